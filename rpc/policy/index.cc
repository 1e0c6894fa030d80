#include "rpc/policy/index.h"

#include <algorithm>

namespace bulkhead::policy {

namespace {

struct Row
{
	uint32_t group;
	uint32_t source;
	uint32_t word;
	uint32_t rule;
};

std::array<uint32_t, 3> place(Row const &row) { return {row.group, row.source, row.word}; }

std::array<uint32_t, 4> by_word(Row const &row)
{
	return {row.group, row.source, row.word, row.rule};
}

std::array<uint32_t, 3> by_rule(Row const &row) { return {row.group, row.source, row.rule}; }

std::array<uint32_t, 2> by_first_rule(Lane const &lane) { return {lane.group, lane.first_rule}; }

} // namespace

Attempt<void> Index::build(std::span<Rule const> rules, uint32_t (*word)(Rule const &))
{
	Growing_list<Row> rows(_allocator);
	for (uint32_t i = 0; i < rules.size(); ++i) {
		Rule const &rule = rules[i];
		uint32_t const group = TRY(_groups.insert(_groups.size(), rule.service, rule.argument));
		TRY(rows.push_back({group, rule.source, word(rule), i}));
	}
	// Of each word in each lane only the first rule stays.
	std::ranges::sort(rows, {}, by_word);
	rows.truncate(rows.size() - std::ranges::unique(rows, {}, place).size());
	std::ranges::sort(rows, {}, by_rule);
	for (Row const &row : rows) {
		bool const first = _lanes.empty() || _lanes.back().group != row.group ||
			_lanes.back().source != row.source;
		if (first) TRY(_lanes.push_back({row.group, row.rule, row.source, _entries.size(), 0}));
		TRY(_entries.push_back({row.rule, row.word}));
		_lanes.back().end = _entries.size();
	}
	std::ranges::sort(_lanes, {}, by_first_rule);
	for (uint32_t i = 0; i < _lanes.size(); ++i)
		if (_lanes[i].group == _begins.size()) TRY(_begins.push_back(i));
	return _begins.push_back(_lanes.size());
}

} // namespace bulkhead::policy
