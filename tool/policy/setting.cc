#include "tool/policy/setting.h"

#include <fmt/format.h>
#include <fstream>

namespace bulkhead::tool {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t MESSAGE_MAX = 4096;

std::string text_in(nlohmann::json const &object, char const *key)
{
	auto const found = object.find(key);
	return found == object.end() || found->is_null() ? std::string() : found->get<std::string>();
}

bool flag_in(nlohmann::json const &object, char const *key)
{
	auto const found = object.find(key);
	return found != object.end() && !found->is_null() && found->get<bool>();
}

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

Described_domains::Described_domains(nlohmann::json const &system)
{
	if (system.contains("uuid_aliases")) _aliases = system.at("uuid_aliases").get<bool>();
	for (auto const &[name, of] : system.at("domains").items()) {
		Domain domain{name, text_in(of, "type"), text_in(of, "default_dispvm"), text_in(of, "uuid"),
			text_in(of, "relayvm"), text_in(of, "transport_rpc"), {},
			flag_in(of, "template_for_dispvms"), text_in(of, "power_state") == "Running",
			flag_in(of, "internal")};
		if (of.contains("tags")) of.at("tags").get_to(domain.tags);
		_domains.push_back(std::move(domain));
	}
}

void Described_domains::add(std::string_view name)
{
	for (Domain const &domain : _domains)
		if (domain.name == name) return;
	bool const admin = name == policy::ADMIN_NAME;
	_domains.push_back(
		{std::string(name), admin ? "AdminVM" : "AppVM", "", "", "", "", {}, false, true, false});
}

Attempt<Owned<policy::System>> Described_domains::make(Allocator &allocator) const
{
	std::vector<std::vector<std::string_view>> tags;
	std::vector<policy::Domain_description> descriptions;
	for (Domain const &domain : _domains) tags.emplace_back(domain.tags.begin(), domain.tags.end());
	for (size_t i = 0; i < _domains.size(); ++i)
		descriptions.push_back({.name = _domains[i].name,
			.type = _domains[i].type,
			.tags = tags[i],
			.default_dispvm = _domains[i].default_dispvm,
			.uuid = _domains[i].uuid,
			.relayvm = _domains[i].relayvm,
			.transport_rpc = _domains[i].transport_rpc,
			.template_for_dispvms = _domains[i].template_for_dispvms,
			.running = _domains[i].running,
			.internal = _domains[i].internal});
	return policy::System::create(allocator, descriptions, _aliases);
}

void Policy_setting::load(Policy_options const &options)
{
	std::vector<std::string_view> directories(
		options.directories.begin(), options.directories.end());
	if (directories.empty()) directories = {policy::RUNTIME_DIRECTORY, policy::DIRECTORY};
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
		for (auto const tokens : {policy->sources(), policy->targets()})
			for (policy::Token const &token : tokens)
				if (token.kind == Kind::NAME) domains.add(token.value);
		for (std::string const &name : more)
			if (policy::parse_token(name, policy::Position::REQUEST).token.kind == Kind::NAME)
				domains.add(name);
	}
	auto made = domains.make(_heap);
	if (!made.ok() && made.error() == Error::EXISTS)
		return Trouble{Exit::FAILURE, "two domains have one name"};
	system = got(std::move(made));
	evaluator = got(policy::Evaluator::create(_heap, *policy, *system));
	return {};
}

std::string Policy_setting::text(policy::Destination const &destination) const
{
	return written([&](Text_writer &to) { evaluator->write(to, destination); });
}

std::string Policy_setting::rule_text(policy::Rule const &rule) const
{
	auto const target = [&](uint32_t token) { return policy->targets()[token].text; };
	std::string text = fmt::format("{} {} {} {} {}", rule.any_service ? "*" : rule.service,
		rule.any_argument ? "*" : rule.argument, policy->sources()[rule.source].text,
		target(rule.target), name_of(rule.action));
	if (rule.redirect != policy::NONE) text += fmt::format(" target={}", target(rule.redirect));
	if (rule.default_target != policy::NONE)
		text += fmt::format(" default_target={}", target(rule.default_target));
	if (rule.has_user) text += fmt::format(" user={}", rule.user);
	if (rule.notify != (rule.action == policy::Action::DENY))
		text += rule.notify ? " notify=yes" : " notify=no";
	if (!rule.autostart) text += " autostart=no";
	return text;
}

std::string Policy_setting::place(policy::Rule const &rule) const
{
	std::string_view const file = policy->base_name(rule.place.file);
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

std::string text_of(policy::Policy const &policy, policy::Fault const &fault)
{
	std::string text;
	if (fault.place.file != policy::NONE)
		text = fmt::format(
			"{}:{}:{}: ", policy.file_name(fault.place.file), fault.place.line, fault.place.column);
	text += written([&](Text_writer &to) {
		write_message(to, fault);
		to.put("; ");
		write_remedy(to, fault);
	});
	return text;
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
