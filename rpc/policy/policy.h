#pragma once

// A policy: who may call what. Loaded as a whole from files in Qubes' language (doc/policy.md), it
// never changes afterwards: to reload is to load another one and to let that take this one's place.
// One fault in one file leaves a policy that denies everything.

#include "base/owned.h"
#include "rpc/policy/arena.h"
#include "rpc/policy/fault.h"
#include "rpc/policy/files.h"
#include "rpc/policy/rule.h"
#include "rpc/policy/token.h"

namespace bulkhead::policy {

/* The places of a system that follows Qubes. */
inline constexpr std::string_view RUNTIME_DIRECTORY = "/run/qubes/policy.d";
inline constexpr std::string_view DIRECTORY = "/etc/qubes/policy.d";
inline constexpr std::string_view COMPAT_DIRECTORY = "/etc/qubes-rpc/policy";

/* How much a policy may be; more is a fault (TOO_DEEP, TOO_MUCH). */
inline constexpr size_t DEEPEST_INCLUDE = 32;
inline constexpr size_t MOST_FILES = 20'000;
inline constexpr size_t MOST_RULES = 200'000;
inline constexpr size_t MOST_TEXT_BYTES = 64 * 1024 * 1024;

/* What is looked at of a lane first, for all lanes of a group in a row. */
struct Lane_head
{
	uint32_t source = NONE; // token
	uint32_t first_rule = NONE; // the lowest in the lane
};

/* Rules with one source word, of one service: what of them can decide. */
struct Lane
{
	Lane_head head{};
	uint32_t key = NONE; // of the table of its targets
	uint32_t entries = 0; // where its entries begin, and how many there are
	uint32_t entry_count = 0;
	uint32_t offers = 0;
	uint32_t offer_count = 0;
};

/* The first rule of a lane for a target word. */
struct Entry
{
	uint32_t rule;
	uint32_t target; // token
};

/* What the first rule for a target word adds to what `ask` offers, or takes from it. */
struct Offer
{
	uint32_t rule;
	uint32_t target; // token
	bool denies;
};

/* The lanes of a service and argument, in the order of their first rules. */
struct Group
{
	uint32_t lanes = 0;
	uint32_t lane_count = 0;
};

class Policy final
{
private:
	friend class Loader;
	friend class Index_builder;

	/* The groups of a service. */
	struct Service
	{
		uint32_t group = NONE; // of its rules for every argument
		bool exact = false; // there are rules for single arguments
	};

	Arena _arena;
	Text_table _source_ids;
	Text_table _target_ids;
	Text_table _services;
	Text_table _arguments;
	Pair_table _groups_of_argument; // service, argument
	Pair_table _lanes_of_group; // group, source
	Pair_table _entries_of_lane; // key of the lane, target

	std::span<std::string_view> _files{};
	std::span<Rule> _rules{};
	std::span<Fault> _faults{};
	std::span<Token> _sources{};
	std::span<Token> _targets{};
	std::span<Group> _groups{};
	std::span<Lane> _lanes{};
	std::span<Lane_head> _lane_heads{};
	std::span<Entry> _entries{};
	std::span<Offer> _offers{};
	std::span<Service> _service_groups{};
	uint32_t _every_service = NONE; // group

public:
	/* Without rules: it denies everything. The allocator outlives it. */
	explicit Policy(Allocator &allocator)
		: _arena(allocator),
		  _source_ids(allocator),
		  _target_ids(allocator),
		  _services(allocator),
		  _arguments(allocator),
		  _groups_of_argument(allocator),
		  _lanes_of_group(allocator),
		  _entries_of_lane(allocator)
	{}

	/*
	 * Reads directories: their files `*.policy`, sorted by name; of two of one name that in the
	 * earlier directory counts. A directory that isn't there is empty, but one must be there.
	 * `compat` is where `!compat-4.0` looks. A policy with faults is a result, too. Error:
	 * OUT_OF_MEMORY. The allocator outlives the policy; `files` may go.
	 */
	static Attempt<Owned<Policy>> load(Allocator &allocator, Files &files,
		std::span<std::string_view const> directories, std::string_view compat);

	/* Reads one file, and what it includes from `directory`. */
	static Attempt<Owned<Policy>> load_file(Allocator &allocator, Files &files,
		std::string_view directory, std::string_view name, std::string_view compat);

	/* With faults there are no rules. In the order in which they were found. */
	std::span<Fault const> faults() const { return _faults; }
	bool broken() const { return !_faults.empty(); }

	/* In the order in which they are looked at. */
	std::span<Rule const> rules() const { return _rules; }
	std::span<Token const> sources() const { return _sources; }
	std::span<Token const> targets() const { return _targets; }

	/* The path of a file as it was read, and its last part. */
	std::string_view file_name(uint32_t file) const;
	std::string_view base_name(uint32_t file) const;

	/* A source word's number, if a rule has the word, or NONE. */
	uint32_t source_id(std::string_view text) const { return _source_ids.find(text); }
	uint32_t target_id(std::string_view text) const { return _target_ids.find(text); }

	/* The three groups that a call can be decided by; NONE: no rule. */
	struct Groups
	{
		uint32_t argument = NONE; // of this service with this argument
		uint32_t service = NONE; // of this service with every argument
		uint32_t every = NONE; // of every service
	};
	Groups groups_of(std::string_view service, std::string_view argument) const;

	size_t groups() const { return _groups.size(); }
	std::span<Lane_head const> lane_heads(uint32_t group) const
	{
		return _lane_heads.subspan(_groups[group].lanes, _groups[group].lane_count);
	}
	std::span<Lane const> lanes(uint32_t group) const
	{
		return _lanes.subspan(_groups[group].lanes, _groups[group].lane_count);
	}
	Lane const *lane(uint32_t group, uint32_t source) const
	{
		uint32_t const lane = _lanes_of_group.find(pair_key(group, source));
		return lane == NONE ? nullptr : &_lanes[lane];
	}
	std::span<Entry const> entries(Lane const &lane) const
	{
		return _entries.subspan(lane.entries, lane.entry_count);
	}
	std::span<Offer const> offers(Lane const &lane) const
	{
		return _offers.subspan(lane.offers, lane.offer_count);
	}
	/* The first rule of a lane for a target word, or NONE. */
	uint32_t entry(Lane const &lane, uint32_t target) const
	{
		return _entries_of_lane.find(pair_key(lane.key, target));
	}
};

} // namespace bulkhead::policy
