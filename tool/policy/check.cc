#include "tool/policy/check.h"

#include "tool/policy/coverage.h"
#include "tool/report.h"

#include <fmt/format.h>

namespace bulkhead::tool {

namespace {

using Json = nlohmann::ordered_json;
using Kind = policy::Token::Kind;

struct Warning
{
	policy::Place place;
	std::string message;
	std::string remedy;
};

Warning warning_of(Policy_setting const &setting, Idle_rule const &idle)
{
	policy::Rule const &rule = setting.policy->rules()[idle.rule];
	if (idle.why == Idle_rule::Why::NO_SUCH_SOURCE)
		return {rule.place,
			fmt::format("'{}' never calls: it stands for a disposable that is still to be made",
				setting.policy->tokens()[rule.source].text),
			"name disposables by their tag, such as @tag:disp-created-by-work, or by @type:DispVM"};
	policy::Rule const &by = setting.policy->rules()[idle.by];
	bool const dom0 = idle.why == Idle_rule::Why::COVERED_BUT_FOR_DOM0;
	return {rule.place,
		fmt::format("this rule can {}decide a call{}: {} ({}) comes first", dom0 ? "" : "never ",
			dom0 ? " for dom0 only" : "", setting.place(by), setting.rule_text(by)),
		"move it before that one, or remove it"};
}

/* What names no domain, type or tag that there is. */
void look_for_strangers(Policy_setting const &setting, std::vector<Warning> &warnings)
{
	policy::System const &system = *setting.system;
	std::span<policy::Domain const> const domains = system.domains();
	auto const known = [&](policy::Token const &token) {
		auto const there = [&](std::string_view name) {
			uint32_t const domain = system.find(name);
			return domain != policy::NONE && domains[domain].exists;
		};
		switch (token.kind) {
		case Kind::NAME:
		case Kind::UUID: return there(token.text) || token.admin();
		case Kind::DISPOSABLE_OF: return there(token.value);
		case Kind::TYPE:
			return std::ranges::find(domains, token.value, &policy::Domain::type) != domains.end();
		case Kind::TAG:
		case Kind::DISPOSABLE_TAG:
			return std::ranges::any_of(
				domains, [&](policy::Domain const &domain) { return domain.tagged(token.value); });
		default: return true;
		}
	};
	for (policy::Rule const &rule : setting.policy->rules()) {
		std::vector<policy::Token> words{
			setting.policy->tokens()[rule.source], setting.policy->tokens()[rule.target]};
		for (uint32_t const token : {rule.redirect, rule.default_target})
			if (token != policy::NONE) words.push_back(setting.policy->tokens()[token]);
		for (policy::Token const &token : words)
			if (rule.place.line && !known(token))
				warnings.push_back({rule.place, fmt::format("nothing is '{}'", token.text),
					"look at its spelling, or remove the rule"});
	}
}

void print(Policy_setting const &setting, std::vector<Warning> const &warnings, bool json)
{
	Json list = Json::array();
	for (Warning const &warning : warnings) {
		std::string_view const file = setting.policy->file_name(warning.place.file);
		if (json)
			list.push_back(
				{{"file", file}, {"line", warning.place.line}, {"column", warning.place.column},
					{"message", warning.message}, {"remedy", warning.remedy}});
		else
			fmt::print(stderr, "{}:{}:{}: warning: {}; {}\n", file, warning.place.line,
				warning.place.column, warning.message, warning.remedy);
	}
	size_t const rules = setting.policy->rules().size();
	if (json)
		fmt::print("{}\n",
			Json{{"rules", rules}, {"faults", Json::array()}, {"warnings", list}}.dump(
				2, ' ', false, Json::error_handler_t::replace));
	else
		fmt::print("{} {}, no fault, {} {}\n", rules, rules == 1 ? "rule" : "rules",
			warnings.empty() ? "no" : std::to_string(warnings.size()),
			warnings.size() == 1 ? "warning" : "warnings");
}

} // namespace

int check_policy(Check_options const &options)
{
	Policy_setting setting;
	setting.load(options.policy);
	if (setting.policy->broken()) return report_policy_faults(*setting.policy, options.policy.json);
	std::vector<Warning> warnings;
	for (Idle_rule const &idle : idle_rules(*setting.policy))
		warnings.push_back(warning_of(setting, idle));
	if (!options.policy.domains.empty()) {
		if (auto const trouble = setting.describe(options.policy)) return report(*trouble);
		look_for_strangers(setting, warnings);
	}
	print(setting, warnings, options.policy.json);
	bool const failed = options.strict && !warnings.empty();
	return static_cast<int>(failed ? Exit::POLICY : Exit::OK);
}

} // namespace bulkhead::tool
