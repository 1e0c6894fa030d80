#pragma once

// Rules, arranged by the words that they offer, so that not every one is looked at: groups (a
// service and argument), in each its lanes (a source word), in each its entries (an offered word).

#include "rpc/policy/rule.h"

#include <array>

namespace bulkhead::policy {

/* The first rule of a lane for a word; later ones for the same word can't decide. */
struct Entry
{
	uint32_t rule;
	uint32_t word; // token
};

/* Rules of a group with one source word. */
struct Lane
{
	uint32_t group;
	uint32_t first_rule;
	uint32_t source; // token
	uint32_t begin; // of its entries
	uint32_t end;
};

class Index
{
private:
	Table _numbers; // of groups, by service and argument
	uint32_t _groups = 0;
	Growing_list<uint32_t> _begins; // of each group's lanes, and where the last ends
	Growing_list<Lane> _lanes;
	Growing_list<Entry> _entries;

	std::span<Lane const> _lanes_of(std::string_view service, std::string_view argument) const
	{
		uint32_t const group = _numbers.find(service, argument);
		if (group == NONE) return {};
		return _lanes.view().subspan(_begins[group], _begins[group + 1] - _begins[group]);
	}

public:
	explicit Index(Arena &arena) : _numbers(arena), _begins(arena), _lanes(arena), _entries(arena)
	{}

	/* `word` says which word of a rule its entry is for. Once only. Error: OUT_OF_MEMORY. */
	Attempt<void> build(
		Allocator &allocator, std::span<Rule const> rules, uint32_t (*word)(Rule const &));

	size_t groups() const { return _groups; }
	std::span<Lane const> lanes() const { return _lanes.view(); }

	/*
	 * The lanes of the three groups that can decide a call, each in the order of their first rules:
	 * of the service with this argument, with every argument, and of every service.
	 */
	std::array<std::span<Lane const>, 3> lanes_of(
		std::string_view service, std::string_view argument) const
	{
		// No lane twice, though a caller may write EACH.
		std::string_view const exact = argument == EACH ? std::string_view() : argument;
		std::string_view const named = service == EACH ? std::string_view() : service;
		return {_lanes_of(service, exact), _lanes_of(named, EACH), _lanes_of(EACH, EACH)};
	}

	/* In the order of their rules. */
	std::span<Entry const> entries(Lane const &lane) const
	{
		return _entries.view().subspan(lane.begin, lane.end - lane.begin);
	}
};

} // namespace bulkhead::policy
