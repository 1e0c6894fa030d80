#include "component/qrexec/policy_daemon/system_info.h"

#include "component/qrexec/policy_daemon/journal.h"
#include "tool/policy/described_domains.h"

#include <algorithm>

namespace bulkhead::qrexec {

namespace {

using Json = nlohmann::json;

constexpr char const *NAMES[] = {
	"type", "default_dispvm", "uuid", "relayvm", "transport_rpc", "guivm", "icon", "power_state"};

bool one_word(std::string_view text)
{
	return std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

std::string text_in(Json const &object, char const *key)
{
	auto const found = object.find(key);
	return found == object.end() || found->is_null() ? std::string() : found->get<std::string>();
}

/* A name that would break a line; empty if there is none. Throws what nlohmann-json throws. */
std::string broken_name(Json const &domains)
{
	for (auto const &[name, domain] : domains.items()) {
		if (name.empty() || !one_word(name)) return name.empty() ? "(empty)" : name;
		for (char const *const key : NAMES)
			if (std::string const text = text_in(domain, key); !one_word(text)) return text;
	}
	return {};
}

/* Throws what nlohmann-json throws. */
std::variant<System_info, std::string> parse(Allocator &allocator, std::string_view text)
{
	Json json = Json::parse(text);
	Json &domains = json.at("domains");
	if (!domains.is_object() ||
		!std::ranges::all_of(domains, [](Json const &domain) { return domain.is_object(); }))
		return "\"domains\" is no object of objects";
	// Second names of domains, which some programs add.
	for (auto entry = domains.begin(); entry != domains.end();)
		entry = entry.key().starts_with(policy::UUID_PREFIX) ? domains.erase(entry) : ++entry;
	if (std::string const name = broken_name(domains); !name.empty())
		return "'" + printable(name, 64) + "' has characters that no name has";
	auto made = tool::Described_domains(json).make(allocator);
	if (!made.ok())
		return made.error() == Error::EXISTS ? "two domains have one name" : "out of memory";
	System_info info{std::move(made).value(), {}};
	info.faces.resize(info.system->domains().size());
	for (auto const &[name, domain] : domains.items()) {
		uint32_t const number = info.system->find(name);
		if (number == policy::NONE) continue;
		info.faces[number] = {text_in(domain, "guivm"), text_in(domain, "icon")};
	}
	return info;
}

} // namespace

System_info::Face const &System_info::face(uint32_t domain) const
{
	static Face const NOBODY{};
	return domain < faces.size() ? faces[domain] : NOBODY;
}

std::string_view System_info::name(uint32_t domain) const
{
	return domain < faces.size() ? system->domains()[domain].name : std::string_view();
}

std::variant<System_info, std::string> parse_system_info(
	Allocator &allocator, std::string_view text)
{
	if (text.size() > System_info::TEXT_MAX) return "the description is too long";
	try {
		return parse(allocator, text);
	} catch (Json::exception const &error) {
		return printable(error.what());
	}
}

std::variant<std::string_view, std::string> parse_qubesd_answer(std::string_view answer)
{
	using namespace std::string_view_literals;
	if (answer.starts_with("0\0"sv)) return answer.substr(2);
	if (!answer.starts_with("2\0"sv))
		return std::string(answer.empty() ? "qubesd has closed without an answer"
										  : "what qubesd says is no answer");
	std::string_view const rest = answer.substr(2);
	return "qubesd says " + printable(rest.substr(0, rest.find('\0')), 128);
}

} // namespace bulkhead::qrexec
