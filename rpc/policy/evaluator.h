#pragma once

// Decides calls: a policy, compiled for the domains of a system. What a word of the policy means
// for each domain is settled when it is made; a decision then looks up names and compares numbers.

#include "base/format.h"
#include "rpc/policy/policy.h"
#include "rpc/policy/system.h"

namespace bulkhead::policy {

/* A call as it is asked for. Views of the caller's. */
struct Request
{
	std::string_view service{};
	std::string_view argument = "+"; // begins with "+"
	std::string_view source{}; // who calls, as the channel says, never the message
	std::string_view target{}; // empty: @default
	std::string_view requested_source{}; // a RemoteVM that the source relays for, or empty
};

/* Where a call goes, or would go. */
struct Destination
{
	enum class Kind : uint8_t {
		DEFAULT, // @default: nowhere yet
		DOMAIN,
		ADMIN, // @adminvm
		DISPOSABLE, // @dispvm, not resolved
		DISPOSABLE_OF, // a new disposable of a template
		UNKNOWN, // what target= names isn't there
	};

	Kind kind = Kind::DEFAULT;
	bool by_uuid = false; // it was written as "uuid:…"
	uint32_t number = NONE; // domain; of UNKNOWN the policy's target word

	bool operator==(Destination const &) const = default;
};

/* Why a call is denied. */
enum class Denial : uint8_t {
	NOT_DENIED,
	RULE, // a rule says so
	NO_RULE, // no rule matches
	BROKEN_POLICY, // the policy has faults
	BAD_TARGET, // the request's target is no target
	NOT_A_TEMPLATE, // of the disposable that is wanted
	NO_TARGET, // allowed, but neither caller nor rule names a domain that is there
	NO_DISPOSABLE, // @dispvm, but the source has no default template
	NOTHING_TO_OFFER, // ask, but there is nothing to choose from
	NOT_OFFERED, // what was answered isn't what could be chosen
	// The request itself is wrong.
	SOURCE_UNKNOWN,
	SOURCE_NOT_REMOTE, // only a RemoteVM calls through a relay
	SOURCE_OF_OTHER_RELAY,
};

std::string_view name_of(Denial denial);

/* Why a call that is allowed can't be made. */
enum class Call_fault : uint8_t {
	OK,
	LOOPBACK, // source and target are the same
	NOT_RUNNING, // autostart=no
	NO_RELAY, // a RemoteVM without a relay that is there
	NO_TRANSPORT, // a RemoteVM without a transport service
	NO_TEMPLATE, // the default template isn't there
};

std::string_view name_of(Call_fault fault);

struct Verdict
{
	Action action = Action::DENY;
	Denial denial = Denial::NOT_DENIED;
	bool notify = true; // a person is to be told
	bool autostart = true;
	bool source_by_uuid = false;
	uint32_t rule = NONE; // of Policy::rules; NONE: none decided
	uint32_t source = NONE; // domain; NONE: unknown
	Destination requested{};
	Destination target{}; // allow: where to; ask: what to preselect, or DEFAULT
};

/* Which part of a rule doesn't fit a request. */
enum class Mismatch : uint8_t { MATCHES, SERVICE, ARGUMENT, SOURCE, TARGET };

/* The words that match a domain, as bits and as a list. */
struct Token_set
{
	uint64_t const *bits;
	std::span<uint32_t const> tokens;

	bool has(uint32_t token) const { return bits[token / 64] >> token % 64 & 1; }
};

/* A token set for each row. */
class Token_rows
{
private:
	std::span<uint64_t> _bits{};
	std::span<uint32_t> _tokens{};
	std::span<uint32_t> _begins{};
	size_t _words = 0;

public:
	struct Pair
	{
		uint32_t row;
		uint32_t token;
	};

	/* Pairs are in ascending order of their tokens. */
	Attempt<void> fill(Arena &arena, size_t rows, size_t tokens, std::span<Pair const> pairs);

	Token_set operator[](size_t row) const
	{
		return {_bits.data() + row * _words,
			{_tokens.data() + _begins[row], _begins[row + 1] - _begins[row]}};
	}
	size_t rows() const { return _begins.size() - 1; }
	size_t longest() const;
};

/* Of one thread. Policy, system and allocator outlive it. */
class Evaluator final
{
private:
	struct Call
	{
		uint32_t source = NONE; // domain
		bool source_by_uuid = false;
		uint32_t source_row = 0;
		uint32_t target_row = 0;
		Destination requested{};
	};

	/* A lane whose offers are walked. */
	struct Cursor
	{
		uint32_t rule; // of the offer that is next
		Offer const *at;
		Offer const *end;
	};

	Policy const &_policy;
	System const &_system;
	Arena _arena;
	size_t const _count; // of domains
	size_t _words; // of a set of choices
	Token_rows _sources{};
	Token_rows _targets{};
	// Of groups with more than few lanes, and not very many: which lanes match each source row.
	std::span<uint64_t> _masks{};
	std::span<uint32_t> _masks_of_group{}; // where those of a group begin, or NONE
	Pair_table _strangers; // sources that rules name and that aren't there: word, 0 → row
	std::span<Destination> _destinations{}; // of target words
	std::span<uint64_t> _expansions{}; // of target words: what they offer
	std::span<uint64_t> _offerable{}; // of groups: what a rule of them may offer to anybody
	std::span<uint64_t> _hidden{}; // internal domains
	std::span<uint64_t> _undecided{};
	std::span<uint64_t> _offered{};
	std::span<Cursor> _cursors{};
	Destination _only{}; // the one choice, if a rule says so
	bool _one = false;

	friend class Evaluator_builder;

	// Up to so many lanes are compared one by one; up to a word's bits they have masks.
	static constexpr size_t FEW_LANES = 6;
	static constexpr size_t MANY_LANES = 64;

	size_t _bit_of_disposable(uint32_t domain) const { return _count + domain; }
	size_t _bit_of_admin() const { return 2 * _count; }
	size_t _bit_of_default_disposable() const { return 2 * _count + 1; }

	uint32_t _source_row(std::string_view source, uint32_t domain) const;
	bool _set_target(std::string_view text, Call &call, Denial &denial) const;
	bool _set_source(Request const &request, Call &call, Denial &denial) const;
	bool _resolve(Request const &request, Call &call, Denial &denial) const;
	uint32_t _first_in(Lane const &lane, Token_set const &target, uint32_t best) const;
	template <typename FN>
	void _for_each_lane(uint32_t group, uint32_t source_row, FN &&fn) const;
	uint32_t _first_in(
		uint32_t group, uint32_t source_row, Token_set const &target, uint32_t best) const;
	uint32_t _first(Policy::Groups const &groups, Call const &call) const;
	Destination _default_disposable(uint32_t source) const;
	bool _running(Destination const &destination) const;
	Verdict _deny(Verdict verdict, Denial denial, bool notify = true) const;
	Verdict _allow(Rule const &rule, Verdict verdict) const;
	Verdict _send_to(Destination target, Verdict verdict) const;
	Verdict _ask(Rule const &rule, Policy::Groups const &groups, Call const &call, Verdict verdict);
	void _offer_one(Rule const &rule);
	void _collect(Policy::Groups const &groups, Call const &call);
	size_t _open_lanes(uint32_t group, uint32_t source_row, size_t cursors);
	bool _apply(Offer const &offer);
	void _settle_choices(Call const &call, bool autostart);
	bool _nothing_offered() const;
	Destination _preselected(Rule const &rule, uint32_t source) const;
	void _write_target(Text_writer &to, Request const &request, Verdict const &verdict) const;

public:
	Evaluator(Allocator &allocator, Policy const &policy, System const &system);

	/* Error: OUT_OF_MEMORY. */
	static Attempt<Owned<Evaluator>> create(
		Allocator &allocator, Policy const &policy, System const &system);

	Policy const &policy() const { return _policy; }
	System const &system() const { return _system; }

	/* Decides. Never blocks, never allocates. */
	Verdict evaluate(Request const &request);

	/*
	 * What becomes of a call that a person was asked about and has chosen a target for: it is
	 * evaluated once more, as the policy may have changed, and what was chosen must be on offer.
	 */
	Verdict answer(Request const &request, std::string_view chosen);

	/* What the last verdict ASK has on offer, as `void fn(Destination)`; valid until the next. */
	template <typename FN>
	void for_each_choice(FN &&fn) const
	{
		if (_one) fn(_only);
		for (size_t word = 0; !_one && word < _words; ++word)
			for (uint64_t bits = _offered[word]; bits; bits &= bits - 1)
				fn(_choice(word * 64 + static_cast<size_t>(std::countr_zero(bits))));
	}
	bool offers(Destination const &destination) const;

	/* Whether an allowed call can be made now. */
	Call_fault call_fault(Verdict const &verdict) const;

	/*
	 * The lines that tell the daemon to make an allowed call, the last without its end. Only where
	 * `call_fault` finds none.
	 */
	void write_response(Text_writer &to, Request const &request, Verdict const &verdict) const;

	/* `work`, `uuid:…`, `@dispvm:web` … */
	void write(Text_writer &to, Destination const &destination) const;

	/* Why a rule doesn't match, for people; SOURCE or TARGET also if the request is wrong. */
	Mismatch mismatch(Rule const &rule, Request const &request) const;

private:
	Destination _choice(size_t bit) const;
};

} // namespace bulkhead::policy
