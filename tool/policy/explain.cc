#include "tool/policy/explain.h"

#include "rpc/policy/text/verdict_text.h"
#include "tool/report.h"

#include <fmt/format.h>

namespace bulkhead::tool {

namespace {

using Json = nlohmann::ordered_json;
using policy::Action;
using policy::Mismatch;
using policy::Request;
using policy::Rule;
using policy::Verdict;

class Explanation
{
private:
	Policy_setting &_setting;
	Request const _request;
	Verdict const _verdict;

	std::string _why(Rule const &rule, Mismatch mismatch) const
	{
		policy::Policy const &policy = *_setting.policy;
		std::string_view const source =
			_request.requested_source.empty() ? _request.source : _request.requested_source;
		switch (mismatch) {
		case Mismatch::ARGUMENT:
			return fmt::format("the argument is {}, not {}", _request.argument, rule.argument);
		case Mismatch::SOURCE:
			return fmt::format("{} isn't {}", source, policy.tokens()[rule.source].text);
		case Mismatch::TARGET:
			return fmt::format("{} isn't {}", _setting.text(_verdict.requested),
				policy.tokens()[rule.target].text);
		default: return "";
		}
	}

	std::vector<std::string> _choices() const
	{
		std::vector<std::string> choices;
		_setting.asker->for_each_choice(
			[&](policy::Destination const &choice) { choices.push_back(_setting.text(choice)); });
		std::ranges::sort(choices);
		return choices;
	}

	/* What is to be said beside the verdict, if anything. */
	std::string _reason() const
	{
		if (_verdict.action == Action::DENY) return std::string(name_of(_verdict.denial));
		if (_verdict.action == Action::ASK) return "";
		policy::Call_fault const fault = _setting.asker->call_fault(_verdict);
		if (fault == policy::Call_fault::OK) return "";
		return fmt::format("but it can't be made now: {}", name_of(fault));
	}

	Json _rule(Rule const &rule) const
	{
		Json json{{"file", _setting.policy->file_name(rule.place.file)}, {"line", nullptr},
			{"rule", _setting.rule_text(rule)}};
		if (rule.place.line) json["line"] = rule.place.line;
		return json;
	}

	template <typename FN>
	size_t _for_each_earlier(FN &&fn) const
	{
		size_t others = 0;
		std::span<Rule const> const rules = _setting.policy->rules();
		size_t const end = std::min<size_t>(_verdict.rule, rules.size());
		for (Rule const &rule : rules.first(end)) {
			Mismatch const mismatch = _setting.asker->mismatch(rule, _request);
			if (mismatch == Mismatch::SERVICE)
				++others;
			else if (mismatch != Mismatch::MATCHES)
				fn(rule, _why(rule, mismatch));
		}
		return others;
	}

	void _print_details() const
	{
		if (_verdict.action == Action::ASK) {
			fmt::print("  offers: {}\n", fmt::join(_choices(), ", "));
			if (_verdict.target.kind != policy::Destination::Kind::DEFAULT)
				fmt::print("  preselected: {}\n", _setting.text(_verdict.target));
		}
		if (_verdict.rule == policy::NONE) return;
		Rule const &rule = _setting.policy->rules()[_verdict.rule];
		fmt::print("  decided by {}: {}\n", _setting.place(rule), _setting.rule_text(rule));
	}

public:
	Explanation(Policy_setting &setting, Request const &request)
		: _setting(setting), _request(request), _verdict(setting.asker->evaluate(request))
	{}

	void print() const
	{
		fmt::print("{}{} from {} to {}: {}", _request.service, _request.argument,
			_request.requested_source.empty() ? _request.source : _request.requested_source,
			_request.target.empty() ? "@default" : _request.target, name_of(_verdict.action));
		if (_verdict.action == Action::ALLOW)
			fmt::print(", it goes to {}", _setting.text(_verdict.target));
		std::string const reason = _reason();
		fmt::print("{}{}\n", reason.empty() ? "" : "; ", reason);
		_print_details();
		bool first = true;
		size_t const others = _for_each_earlier([&](Rule const &rule, std::string const &why) {
			if (std::exchange(first, false))
				fmt::print("  before it, of this service, and why not:\n");
			fmt::print(
				"    {}: {}\n      {}\n", _setting.place(rule), _setting.rule_text(rule), why);
		});
		if (others)
			fmt::print("  {} earlier {} of other services\n", others, others == 1 ? "is" : "are");
		if (_setting.guessed)
			fmt::print("  without --domains, domains are what rules and this command name: running "
					   "AppVMs without tags\n");
	}

	void print_json() const
	{
		Json json{{"action", name_of(_verdict.action)}, {"target", nullptr}};
		if (_verdict.action == Action::ALLOW) json["target"] = _setting.text(_verdict.target);
		if (_verdict.action == Action::ASK) {
			json["offers"] = _choices();
			json["default_target"] = nullptr;
			if (_verdict.target.kind != policy::Destination::Kind::DEFAULT)
				json["default_target"] = _setting.text(_verdict.target);
		}
		json["reason"] = _reason();
		json["notify"] = _verdict.notify;
		json["decided_by"] = nullptr;
		if (_verdict.rule != policy::NONE)
			json["decided_by"] = _rule(_setting.policy->rules()[_verdict.rule]);
		json["earlier"] = Json::array();
		json["of_other_services"] =
			_for_each_earlier([&](Rule const &rule, std::string const &why) {
				Json entry = _rule(rule);
				entry["why_not"] = why;
				json["earlier"].push_back(std::move(entry));
			});
		fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
	}
};

} // namespace

int explain_call(Explain_options const &options)
{
	Policy_setting setting;
	setting.load(options.policy);
	if (setting.policy->broken()) return report_policy_faults(*setting.policy, options.policy.json);
	if (auto const trouble =
			setting.describe(options.policy, {options.source, options.target, options.relay}))
		return report(*trouble);
	size_t const plus = std::min(options.service.find('+'), options.service.size());
	std::string const argument =
		plus == options.service.size() ? "+" : options.service.substr(plus);
	bool const relayed = !options.relay.empty();
	Request const request{.service = std::string_view(options.service).substr(0, plus),
		.argument = argument,
		.source = relayed ? options.relay : options.source,
		.target = options.target,
		.requested_source = relayed ? options.source : std::string_view()};
	Explanation const explanation(setting, request);
	if (options.policy.json)
		explanation.print_json();
	else
		explanation.print();
	return static_cast<int>(Exit::OK);
}

} // namespace bulkhead::tool
