#include "tool/policy/setting.h"

#include "rpc/policy/text/fault_text.h"
#include "rpc/policy/text/verdict_text.h"

#include <fmt/format.h>
#include <fstream>

namespace bulkhead::tool {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t MESSAGE_MAX = 4096;

template <typename FN>
std::string written(FN &&write)
{
	std::string text(MESSAGE_MAX, '\0');
	Text_writer writer{std::span<char>(text)};
	write(writer);
	text.resize(writer.text().size());
	return text;
}

} // namespace

void Policy_setting::load(Policy_options const &options)
{
	std::vector<std::string_view> directories(
		options.directories.begin(), options.directories.end());
	if (directories.empty()) directories = {RUNTIME_DIRECTORY, DIRECTORY};
	Host_files files;
	policy = got(policy::Policy::load(_heap, files, directories, options.compat));
}

std::optional<Trouble> Policy_setting::describe(
	Policy_options const &options, std::vector<std::string> const &more)
{
	Described_domains domains;
	guessed = options.domains.empty();
	if (!guessed) {
		std::ifstream file(options.domains);
		if (!file) return Trouble{Exit::FAILURE, fmt::format("{}: can't be read", options.domains)};
		try {
			domains = Described_domains(nlohmann::json::parse(file));
		} catch (nlohmann::json::exception const &error) {
			return Trouble{Exit::FAILURE, fmt::format("{}: {}", options.domains, error.what()),
				"give JSON as qubesd's internal.GetSystemInfo has it: "
				R"({"domains":{"work":{"type":"AppVM","tags":["red"]}}})"};
		}
	} else {
		using Kind = policy::Token::Kind;
		domains.add(policy::ADMIN_NAME);
		for (policy::Token const &token : policy->tokens())
			if (token.kind == Kind::NAME) domains.add(token.value);
		for (std::string const &name : more)
			if (auto const token = policy::parse_token(name, policy::Position::REQUEST);
				token.ok() && token.value().kind == Kind::NAME)
				domains.add(name);
	}
	auto made = domains.make(_heap);
	if (!made.ok() && made.error() == Error::EXISTS)
		return Trouble{Exit::FAILURE, "two domains have one name"};
	system = got(std::move(made));
	asker = got(policy::Asker::create(_heap, *policy, *system));
	return {};
}

std::string Policy_setting::text(policy::Destination const &destination) const
{
	return written([&](Text_writer &to) { asker->write(to, destination); });
}

std::string Policy_setting::rule_text(policy::Rule const &rule) const
{
	auto const word = [&](uint32_t token) { return policy->tokens()[token].text; };
	std::string text = fmt::format("{} {} {} {} {}", rule.service, rule.argument, word(rule.source),
		word(rule.target), name_of(rule.action));
	if (rule.redirect != policy::NONE) text += fmt::format(" target={}", word(rule.redirect));
	if (rule.default_target != policy::NONE)
		text += fmt::format(" default_target={}", word(rule.default_target));
	if (rule.user) text += fmt::format(" user={}", *rule.user);
	if (rule.notify != (rule.action == policy::Action::DENY))
		text += rule.notify ? " notify=yes" : " notify=no";
	if (!rule.autostart) text += " autostart=no";
	return text;
}

std::string Policy_setting::place(policy::Rule const &rule) const
{
	std::string_view const file = base_name(*policy, rule.place.file);
	if (rule.place.line == 0) return fmt::format("{}, implicit", file);
	return fmt::format("{}:{}", file, rule.place.line);
}

Json json_of(policy::Policy const &policy, policy::Fault const &fault)
{
	Json json = Json::object();
	json["file"] = nullptr;
	json["line"] = nullptr;
	json["column"] = nullptr;
	if (fault.place.file != policy::NONE) json["file"] = policy.file_name(fault.place.file);
	if (fault.place.line) json["line"] = fault.place.line;
	if (fault.place.line) json["column"] = fault.place.column;
	json["message"] = written([&](Text_writer &to) { write_message(to, fault); });
	json["remedy"] = written([&](Text_writer &to) { write_remedy(to, fault); });
	return json;
}

int report_policy_faults(policy::Policy const &policy, bool json)
{
	Json list = Json::array();
	for (policy::Fault const &fault : policy.faults()) {
		if (json)
			list.push_back(json_of(policy, fault));
		else
			fmt::print(stderr, "{}\n", text_of(policy, fault));
	}
	if (json)
		fmt::print(
			"{}\n", Json{{"faults", list}}.dump(2, ' ', false, Json::error_handler_t::replace));
	size_t const count = policy.faults().size();
	fmt::print(stderr, "bulkhead: {} {}: this policy denies everything\n", count,
		count == 1 ? "fault" : "faults");
	return static_cast<int>(Exit::POLICY);
}

} // namespace bulkhead::tool
