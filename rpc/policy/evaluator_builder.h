#pragma once

// Settles what each word of a policy means for each domain of a system. Used by Evaluator only.

#include "rpc/policy/evaluator.h"

namespace bulkhead::policy {

class Evaluator_builder
{
private:
	Evaluator &_to;
	Policy const &_policy;
	System const &_system;
	uint32_t const _count;
	Growing_list<Token_rows::Pair> _pairs;

	Attempt<void> _pair(size_t row, size_t token);
	uint32_t _with_uuid(Token const &token) const;
	uint32_t _named(std::string_view value) const;
	bool _in_class(Token const &token, Domain const &domain) const;
	Attempt<void> _match_domains(Token const &token, size_t number);
	Attempt<void> _match_disposables(Token const &token, size_t number);
	Attempt<void> _match_default_disposables(Token const &token, size_t number);
	Attempt<void> _fill_sources();
	Attempt<void> _fill_targets();
	Attempt<void> _fill_masks();
	Destination _destination(Token const &token, uint32_t number) const;
	void _set(std::span<uint64_t> bits, size_t bit) const;
	void _expand(Token const &token, std::span<uint64_t> bits) const;
	void _add_offers(uint32_t group, Lane const &lane);
	Attempt<void> _fill_choices();

public:
	explicit Evaluator_builder(Evaluator &to);

	Attempt<void> build();
};

} // namespace bulkhead::policy
