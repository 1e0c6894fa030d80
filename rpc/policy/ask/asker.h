#pragma once

// Decides calls where a person can be asked: what is on offer, what becomes of the answer, and what
// is said about a verdict.

#include "base/format.h"
#include "rpc/policy/ask/index.h"
#include "rpc/policy/evaluator.h"

#include <bit>

namespace bulkhead::policy {

/* Which part of a rule doesn't fit a request. */
enum class Mismatch : uint8_t { MATCHES, SERVICE, ARGUMENT, SOURCE, TARGET };

/* Of one thread. Policy, system and allocator outlive it. */
class Asker final
{
private:
	/* A lane whose offers are walked. */
	struct Cursor
	{
		uint32_t rule; // of the offer that is next
		Entry const *at;
		Entry const *end;
	};

	Owned<Evaluator> _evaluator;
	Policy const &_policy;
	System const &_system;
	Arena _arena;
	Index _offers{_arena}; // by the words that rules offer, or take from the offer
	size_t const _count; // of domains
	size_t const _words; // of a set of choices
	std::span<uint64_t> _expansions{}; // of tokens: what they offer
	std::span<uint64_t> _offerable{}; // of groups: what a rule of them may offer to anybody
	std::span<uint64_t> _hidden{}; // internal domains
	std::span<uint64_t> _undecided{};
	std::span<uint64_t> _offered{};
	std::span<Cursor> _cursors{};
	Destination _only{}; // the one choice, if a rule says so
	bool _one = false;

	size_t _bit_of_disposable(size_t domain) const { return _count + domain; }
	size_t _bit_of_admin() const { return 2 * _count; }
	size_t _bit_of_default_disposable() const { return 2 * _count + 1; }
	std::span<uint64_t> _expansion(uint32_t token) const
	{
		return _expansions.subspan(token * _words, _words);
	}

	bool _denies(Entry const &offer) const
	{
		return _policy.rules()[offer.rule].action == Action::DENY;
	}

	Attempt<void> _build(Allocator &allocator);
	void _expand(Token const &token, std::span<uint64_t> bits) const;
	Denial _settle_source(Request &request) const;
	void _offer_one(Rule const &rule);
	bool _apply(Entry const &offer);
	void _collect(Request const &request);
	void _settle_choices(uint32_t source, bool autostart);
	bool _nothing_offered() const;
	Destination _choice(size_t bit) const;
	Destination _preselected(Rule const &rule, uint32_t source) const;
	void _write_target(Text_writer &to, Request const &request, Verdict const &verdict) const;

public:
	Asker(Allocator &allocator, Owned<Evaluator> evaluator);

	/* Error: OUT_OF_MEMORY. */
	static Attempt<Owned<Asker>> create(
		Allocator &allocator, Policy const &policy, System const &system);

	Evaluator const &evaluator() const { return *_evaluator; }
	Policy const &policy() const { return _policy; }
	System const &system() const { return _system; }

	/*
	 * Decides, also what a source relays. Of ASK the verdict's target is what to preselect, or
	 * DEFAULT; if there is nothing to choose from, it is denied. Never blocks, never allocates.
	 */
	Verdict evaluate(Request const &asked);

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

	Call_fault call_fault(Verdict const &verdict) const { return _evaluator->call_fault(verdict); }

	/*
	 * The lines that tell the daemon to make an allowed call, the last without its end. Only where
	 * `call_fault` finds none.
	 */
	void write_response(Text_writer &to, Request const &request, Verdict const &verdict) const;

	/* `work`, `uuid:…`, `@dispvm:web` … */
	void write(Text_writer &to, Destination const &destination) const;

	/* Why a rule doesn't match, for people; SOURCE or TARGET also if the request is wrong. */
	Mismatch mismatch(Rule const &rule, Request const &asked) const;
};

} // namespace bulkhead::policy
