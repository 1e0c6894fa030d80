#pragma once

// Decides calls: a policy, compiled for the domains of a system. What a word of the policy means
// for each domain is settled when it is made; a decision then looks up names and compares numbers.
// What a person may choose from where the policy says `ask`, rpc/policy/ask knows.

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
		UNKNOWN, // what target= names isn't there; without rows
	};

	Kind kind = Kind::DEFAULT;
	bool by_uuid = false; // it was written as "uuid:…"
	uint32_t number = NONE; // domain; of UNKNOWN the policy's word

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

/* Why a call that is allowed can't be made. */
enum class Call_fault : uint8_t {
	OK,
	LOOPBACK, // source and target are the same
	NOT_RUNNING, // autostart=no
	NO_RELAY, // a RemoteVM without a relay that is there
	NO_TRANSPORT, // a RemoteVM without a transport service
	NO_TEMPLATE, // the default template isn't there
};

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
	Destination target{}; // allow: where to

	/* The same, but denied. */
	Verdict denied(Denial why, bool tell = true) const;
};

/* What rules are compared with: a request, looked up. */
struct Call
{
	Verdict verdict{}; // with what the request says, and what is wrong with it
	uint32_t source_word = NONE; // the policy's own word for an unknown source
	size_t source_row = 0;
	size_t target_row = 0;
};

/* Changes nothing once it is made. Policy, system and allocator outlive it. */
class Evaluator final
{
private:
	Policy const &_policy;
	System const &_system;
	Arena _arena;
	size_t const _count; // of domains
	size_t _words = 0; // of a row
	// For each row, which tokens match. Each kind of destination has one for each domain and one
	// for none: DISPOSABLE has them by who asks for it, DEFAULT and ADMIN use the last only. As a
	// source, who isn't there is like @default.
	std::span<uint64_t> _rows{};

	size_t _row(Destination::Kind kind, size_t domain = NONE) const
	{
		return static_cast<size_t>(kind) * (_count + 1) + std::min(domain, _count);
	}
	uint32_t _meant(Token const &token) const;
	void _compile(Token const &token, uint32_t number);
	Destination _destination(Token const &token, uint32_t number = NONE) const;
	void _set_source(std::string_view source, Call &call) const;
	Denial _set_target(std::string_view text, Call &call) const;
	uint32_t _first(Request const &request, Call const &call) const;

public:
	Evaluator(Allocator &allocator, Policy const &policy, System const &system);

	/* Error: OUT_OF_MEMORY. */
	static Attempt<Owned<Evaluator>> create(
		Allocator &allocator, Policy const &policy, System const &system);

	Policy const &policy() const { return _policy; }
	System const &system() const { return _system; }

	/* Decides; a call that is relayed is denied. Never blocks, never allocates. */
	Verdict evaluate(Request const &request) const;

	/* Whether an allowed call can be made now. */
	Call_fault call_fault(Verdict const &verdict) const;

	// The steps of a decision.
	Call resolve(Request const &request) const;
	bool matches(size_t row, uint32_t token) const
	{
		return _rows[row * _words + token / 64] >> token % 64 & 1;
	}
	bool source_matches(Call const &call, uint32_t token) const
	{
		return token == call.source_word || matches(call.source_row, token);
	}
	/* Where target= or default_target= leads. */
	Destination destination(uint32_t token) const
	{
		return _destination(_policy.tokens()[token], token);
	}
	/* What @dispvm is for a source, or DEFAULT. */
	Destination default_disposable(uint32_t source) const;
	bool running(Destination const &destination) const;
	/* Allows a call to where a rule, its caller or a person wants it. */
	Verdict send_to(Destination target, Verdict verdict) const;
};

} // namespace bulkhead::policy
