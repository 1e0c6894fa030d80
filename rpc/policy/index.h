#pragma once

// Compiles the rules of a policy into groups (service and argument), lanes (source word) and
// entries (target word), in which the first match is found without looking at every rule. Used by
// Policy only.

#include "rpc/policy/policy.h"

namespace bulkhead::policy {

class Index_builder
{
private:
	Policy &_policy;
	Growing_list<Policy::Service> _services;
	Growing_list<uint32_t> _lanes_in_group; // how many
	Growing_list<uint32_t> _group_of_lane;
	Growing_list<Lane> _lanes; // in the order of their first rules
	std::span<uint32_t> _places{}; // where a lane has come to lie
	Growing_list<uint32_t> _lane_of_rule;
	Growing_list<bool> _decides; // the rule is the first of its lane for its target word
	Growing_list<bool> _offers; // the same for the word that ask offers

	Attempt<uint32_t> _new_group();
	Attempt<uint32_t> _group_of(Rule const &rule);
	Attempt<void> _sort_in(Pair_table &offered, uint32_t number, Rule const &rule);
	Attempt<void> _place_lanes();
	Attempt<void> _place_entries();

public:
	explicit Index_builder(Policy &policy);

	Attempt<void> build();
};

} // namespace bulkhead::policy
