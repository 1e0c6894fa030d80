#include "rpc/policy/index.h"

namespace bulkhead::policy {

namespace {

/* The word whose domains a rule adds to what ask offers, or takes from it. */
uint32_t offered_by(Rule const &rule)
{
	return rule.redirect == NONE ? rule.target : rule.redirect;
}

} // namespace

Index_builder::Index_builder(Policy &policy)
	: _policy(policy),
	  _services(policy._arena.allocator()),
	  _lanes_in_group(policy._arena.allocator()),
	  _group_of_lane(policy._arena.allocator()),
	  _lanes(policy._arena.allocator()),
	  _lane_of_rule(policy._arena.allocator()),
	  _decides(policy._arena.allocator()),
	  _offers(policy._arena.allocator())
{}

Attempt<uint32_t> Index_builder::_new_group()
{
	TRY(_lanes_in_group.push_back(0));
	return static_cast<uint32_t>(_lanes_in_group.size() - 1);
}

Attempt<uint32_t> Index_builder::_group_of(Rule const &rule)
{
	if (rule.any_service) {
		if (_policy._every_service == NONE) _policy._every_service = TRY(_new_group());
		return _policy._every_service;
	}
	uint32_t const next = static_cast<uint32_t>(_services.size());
	uint32_t const service = TRY(_policy._services.insert(rule.service, next));
	if (service == next) TRY(_services.push_back({}));
	if (rule.any_argument) {
		if (_services[service].group == NONE) _services[service].group = TRY(_new_group());
		return _services[service].group;
	}
	_services[service].exact = true;
	uint32_t const argument = TRY(
		_policy._arguments.insert(rule.argument, static_cast<uint32_t>(_policy._arguments.size())));
	uint64_t const key = pair_key(service, argument);
	uint32_t const group = _policy._groups_of_argument.find(key);
	if (group != NONE) return group;
	return _policy._groups_of_argument.insert(key, TRY(_new_group()));
}

Attempt<void> Index_builder::_sort_in(Pair_table &offered, uint32_t number, Rule const &rule)
{
	uint32_t const group = TRY(_group_of(rule));
	uint32_t const next = static_cast<uint32_t>(_lanes.size());
	uint32_t const lane = TRY(_policy._lanes_of_group.insert(pair_key(group, rule.source), next));
	if (lane == next) {
		TRY(_lanes.push_back({.head = {rule.source, number}, .key = next}));
		TRY(_group_of_lane.push_back(group));
		++_lanes_in_group[group];
	}
	TRY(_lane_of_rule.push_back(lane));
	bool const decides =
		TRY(_policy._entries_of_lane.insert(pair_key(lane, rule.target), number)) == number;
	bool const offers = TRY(offered.insert(pair_key(lane, offered_by(rule)), number)) == number;
	TRY(_decides.push_back(decides));
	TRY(_offers.push_back(offers));
	_lanes[lane].entry_count += decides;
	_lanes[lane].offer_count += offers;
	return Ok{};
}

/* Lanes of a group get neighbours, which are still in the order of their first rules. */
Attempt<void> Index_builder::_place_lanes()
{
	_policy._groups = TRY(_policy._arena.array<Group>(_lanes_in_group.size()));
	_policy._lanes = TRY(_policy._arena.array<Lane>(_lanes.size()));
	_policy._lane_heads = TRY(_policy._arena.array<Lane_head>(_lanes.size()));
	_places = TRY(_policy._arena.array<uint32_t>(_lanes.size()));
	uint32_t at = 0;
	for (size_t group = 0; group < _lanes_in_group.size(); ++group) {
		_policy._groups[group].lanes = at;
		at += _lanes_in_group[group];
	}
	uint32_t entries = 0;
	uint32_t offers = 0;
	for (size_t i = 0; i < _lanes.size(); ++i) {
		Group &group = _policy._groups[_group_of_lane[i]];
		uint32_t const place = group.lanes + group.lane_count++;
		Lane &lane = _policy._lanes[place];
		lane = _lanes[i];
		_policy._lane_heads[place] = lane.head;
		lane.entries = entries;
		lane.offers = offers;
		entries += lane.entry_count;
		offers += lane.offer_count;
		// From here on the old number leads to the new place; the counts are filled once more.
		_places[i] = place;
		lane.entry_count = 0;
		lane.offer_count = 0;
	}
	_policy._entries = TRY(_policy._arena.array<Entry>(entries));
	_policy._offers = TRY(_policy._arena.array<Offer>(offers));
	return Ok{};
}

Attempt<void> Index_builder::_place_entries()
{
	for (uint32_t number = 0; number < _policy._rules.size(); ++number) {
		Rule const &rule = _policy._rules[number];
		Lane &lane = _policy._lanes[_places[_lane_of_rule[number]]];
		if (_decides[number])
			_policy._entries[lane.entries + lane.entry_count++] = {number, rule.target};
		if (_offers[number])
			_policy._offers[lane.offers + lane.offer_count++] = {
				number, offered_by(rule), rule.action == Action::DENY};
	}
	// Lookups by group and source now lead to the final place, too.
	Pair_table &table = _policy._lanes_of_group;
	table.for_each([&](uint32_t &value) { value = _places[value]; });
	_policy._service_groups =
		TRY(_policy._arena.copy(std::span<Policy::Service const>(_services.view())));
	return Ok{};
}

Attempt<void> Index_builder::build()
{
	Pair_table offered(_policy._arena.allocator());
	for (uint32_t number = 0; number < _policy._rules.size(); ++number)
		TRY(_sort_in(offered, number, _policy._rules[number]));
	TRY(_place_lanes());
	return _place_entries();
}

} // namespace bulkhead::policy
