#include "tool/domains/status.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace bulkhead::tool {

namespace {

using Json = nlohmann::json;

/* An object, or anything else, which has no entries. */
class Entry
{
private:
	Json const &_json;

	Json const *_find(char const *key) const
	{
		auto const found = _json.is_object() ? _json.find(key) : _json.end();
		return _json.is_object() && found != _json.end() ? &*found : nullptr;
	}

public:
	explicit Entry(Json const &json) : _json(json) {}

	std::string text(char const *key) const
	{
		Json const *const value = _find(key);
		return value && value->is_string() ? value->get<std::string>() : std::string();
	}
	uint64_t number(char const *key) const
	{
		Json const *const value = _find(key);
		return value && value->is_number_unsigned() ? value->get<uint64_t>() : 0;
	}
	std::vector<std::string> texts(char const *key) const
	{
		std::vector<std::string> result;
		Json const *const list = _find(key);
		if (!list || !list->is_array()) return result;
		for (Json const &item : *list)
			if (item.is_string()) result.push_back(item.get<std::string>());
		return result;
	}
	void each(char const *key, auto &&take) const
	{
		Json const *const list = _find(key);
		if (!list || !list->is_array()) return;
		for (Json const &item : *list) take(Entry(item));
	}
};

Domain_status domain_of(Entry const &entry)
{
	return {
		.name = entry.text("name"),
		.component = entry.text("component"),
		.state = entry.text("state"),
		.pid = static_cast<int64_t>(entry.number("pid")),
		.starts = entry.number("starts"),
		.last_end = entry.text("last_end"),
		.since_us = entry.number("since_us"),
		.tags = entry.texts("tags"),
		.needs = entry.texts("needs"),
		.services = entry.texts("services"),
		.calls_made = entry.number("calls_made"),
		.calls_served = entry.number("calls_served"),
		.calls_refused = entry.number("calls_refused"),
		.live = entry.number("live"),
		.log = entry.text("log"),
		.memory_bytes = entry.number("memory_bytes"),
	};
}

} // namespace

Domain_status const *Status::find(std::string_view name) const
{
	auto const found = std::ranges::find(domains, name, &Domain_status::name);
	return found == domains.end() ? nullptr : &*found;
}

std::optional<Status> read_status(std::string_view json)
{
	Json const parsed = Json::parse(json, nullptr, false);
	if (!parsed.is_object()) return {};
	Entry const root(parsed);
	Status status{
		.system = root.text("system"),
		.pid = static_cast<int64_t>(root.number("pid")),
		.manifest = root.text("manifest"),
		.logs = root.text("logs"),
		.policy = root.text("policy"),
		.now_us = root.number("now_us"),
		.since_us = root.number("since_us"),
		.weaker = root.texts("weaker"),
	};
	root.each("domains", [&](Entry const &domain) { status.domains.push_back(domain_of(domain)); });
	root.each("calls", [&](Entry const &call) {
		status.calls.push_back({call.text("caller"), call.text("target"), call.text("service"),
			call.number("since_us")});
	});
	root.each("refusals", [&](Entry const &refused) {
		status.refusals.push_back(
			{refused.text("caller"), refused.text("target"), refused.text("service"),
				refused.text("reason"), refused.number("count"), refused.number("last_us")});
	});
	return status;
}

std::string json_text(std::string_view text)
{
	return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

} // namespace bulkhead::tool
