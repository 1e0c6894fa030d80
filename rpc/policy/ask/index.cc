#include "rpc/policy/ask/index.h"

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

Attempt<void> Index::build(
	Allocator &allocator, std::span<Rule const> rules, uint32_t (*word)(Rule const &))
{
	Arena scratch(allocator);
	Growing_list<Row> rows(scratch);
	for (uint32_t i = 0; i < rules.size(); ++i) {
		Rule const &rule = rules[i];
		uint32_t &group = TRY(_numbers.at(rule.service, rule.argument));
		if (group == NONE) group = _groups++;
		TRY(rows.push_back({group, rule.source, word(rule), i}));
	}
	// Of each word in each lane only the first rule stays.
	std::ranges::sort(rows, {}, by_word);
	rows.truncate(rows.size() - std::ranges::unique(rows, {}, place).size());
	std::ranges::sort(rows, {}, by_rule);
	for (Row const &row : rows) {
		Lane const *const last = _lanes.empty() ? nullptr : &_lanes.view().back();
		if (!last || last->group != row.group || last->source != row.source)
			TRY(_lanes.push_back({row.group, row.rule, row.source, _entries.size(), 0}));
		TRY(_entries.push_back({row.rule, row.word}));
		_lanes.view().back().end = _entries.size();
	}
	std::ranges::sort(_lanes, {}, by_first_rule);
	for (uint32_t i = 0; i < _lanes.size(); ++i)
		if (_lanes[i].group == _begins.size()) TRY(_begins.push_back(i));
	return _begins.push_back(_lanes.size());
}

} // namespace bulkhead::policy
