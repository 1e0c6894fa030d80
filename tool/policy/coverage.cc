#include "tool/policy/coverage.h"

#include <map>

namespace bulkhead::tool {

namespace {

using Kind = policy::Token::Kind;
using policy::Policy;
using policy::Rule;
using policy::Token;

enum class Cover : uint8_t { NONE, BUT_DOM0, ALL };

/* How much of what `inner` stands for `outer` stands for, too, whatever the system. */
Cover covers(Token const &outer, Token const &inner)
{
	if (outer.text == inner.text || outer.kind == Kind::EVERY) return Cover::ALL;
	if (outer.admin() && inner.admin()) return Cover::ALL;
	if (outer.kind != Kind::ANY || inner.admin()) return Cover::NONE;
	switch (inner.kind) {
	case Kind::EVERY:
	case Kind::TAG: return Cover::BUT_DOM0;
	case Kind::TYPE: return inner.value == "AdminVM" ? Cover::NONE : Cover::ALL;
	default: return Cover::ALL;
	}
}

Cover covers(Policy const &policy, Rule const &outer, Rule const &inner)
{
	if (outer.argument != policy::EACH &&
		(inner.argument == policy::EACH || outer.argument != inner.argument))
		return Cover::NONE;
	return std::min(covers(policy.tokens()[outer.source], policy.tokens()[inner.source]),
		covers(policy.tokens()[outer.target], policy.tokens()[inner.target]));
}

/* Rules of the same service and of every service, which are those that can cover one. */
class Earlier
{
private:
	std::map<std::string_view, std::vector<uint32_t>> _of_service{};
	std::vector<uint32_t> _of_every{};

public:
	void add(Rule const &rule, uint32_t number)
	{
		(rule.service == policy::EACH ? _of_every : _of_service[rule.service]).push_back(number);
	}

	Idle_rule cover(Policy const &policy, uint32_t number) const
	{
		Rule const &rule = policy.rules()[number];
		Idle_rule best{number, Idle_rule::Why::COVERED_BUT_FOR_DOM0, policy::NONE};
		auto const look = [&](std::vector<uint32_t> const &numbers) {
			for (uint32_t const other : numbers) {
				Cover const cover = covers(policy, policy.rules()[other], rule);
				bool const all = cover == Cover::ALL;
				bool const better = best.why != Idle_rule::Why::COVERED || other < best.by;
				if (all && better) best = {number, Idle_rule::Why::COVERED, other};
				if (cover == Cover::BUT_DOM0 && best.by == policy::NONE) best.by = other;
			}
		};
		look(_of_every);
		auto const own = _of_service.find(rule.service);
		if (rule.service != policy::EACH && own != _of_service.end()) look(own->second);
		return best;
	}
};

} // namespace

std::vector<Idle_rule> idle_rules(Policy const &policy)
{
	std::vector<Idle_rule> idle;
	Earlier earlier;
	for (uint32_t number = 0; number < policy.rules().size(); ++number) {
		Rule const &rule = policy.rules()[number];
		Kind const source = policy.tokens()[rule.source].kind;
		if (source == Kind::DISPOSABLE_OF || source == Kind::DISPOSABLE_TAG) {
			idle.push_back({number, Idle_rule::Why::NO_SUCH_SOURCE});
			continue;
		}
		// What stands in no line, nobody can change.
		Idle_rule const found = earlier.cover(policy, number);
		if (found.by != policy::NONE && rule.place.line) idle.push_back(found);
		earlier.add(rule, number);
	}
	return idle;
}

} // namespace bulkhead::tool
