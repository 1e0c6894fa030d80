#include "component/qrexec/policy_daemon/person.h"

#include "component/qrexec/policy_daemon/journal.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace bulkhead::qrexec {

namespace {

using Json = nlohmann::ordered_json;
using policy::Destination;

constexpr size_t NAME_MAX_BYTES = 512;

std::string ascii(Json const &json)
{
	return json.dump(-1, ' ', true, Json::error_handler_t::replace);
}

/* A disposable's icon is named as its template's. */
std::string disposable_icon(std::string icon)
{
	for (size_t at = 0; (at = icon.find("app", at)) != std::string::npos; at += 4)
		icon.replace(at, 3, "disp");
	return icon;
}

Json icons(System_info const &info)
{
	Json result = Json::object();
	std::span<policy::Domain const> const domains = info.system->domains();
	for (uint32_t number = 0; number < domains.size(); ++number) {
		if (!domains[number].exists) continue;
		std::string const name(domains[number].name);
		std::string const &icon = info.face(number).icon;
		result[name] = icon;
		if (domains[number].template_for_dispvms)
			result[std::string(policy::DISPVM_PREFIX) + name] = disposable_icon(icon);
	}
	return result;
}

} // namespace

std::string text_of(policy::Asker const &asker, Destination const &destination)
{
	char text[NAME_MAX_BYTES];
	Text_writer writer{std::span<char>(text)};
	asker.write(writer, destination);
	return std::string(writer.text());
}

std::string question_text(System_info const &info, policy::Asker const &asker,
	policy::Request const &request, policy::Verdict const &verdict)
{
	std::vector<std::string> targets;
	asker.for_each_choice(
		[&](Destination const &choice) { targets.push_back(text_of(asker, choice)); });
	std::ranges::sort(targets);
	bool const preselected = verdict.target.kind != Destination::Kind::DEFAULT;
	Json json;
	json["source"] = info.name(verdict.source);
	json["service"] = request.service;
	json["argument"] = request.argument;
	json["targets"] = std::move(targets);
	json["default_target"] = preselected ? text_of(asker, verdict.target) : std::string();
	json["icons"] = icons(info);
	return ascii(json);
}

std::string notice_text(std::string_view resolution, policy::Request const &request,
	std::string_view source, std::string_view target)
{
	Json json;
	json["resolution"] = resolution;
	json["service"] = printable(request.service, request.service.size());
	json["argument"] = printable(request.argument, request.argument.size());
	json["source"] = source;
	json["target"] = printable(target, target.size());
	return ascii(json);
}

Reply parse_reply(std::string_view text)
{
	constexpr std::string_view ALLOW = "allow:";
	if (text == "deny") return {Reply::Kind::DENY, {}};
	if (!text.starts_with(ALLOW)) return {};
	std::string_view const target = text.substr(ALLOW.size());
	bool const word = !target.empty() &&
		std::ranges::all_of(target, [](char c) { return c > ' ' && c < '\x7f'; });
	return word ? Reply{Reply::Kind::ALLOW, target} : Reply{};
}

} // namespace bulkhead::qrexec
