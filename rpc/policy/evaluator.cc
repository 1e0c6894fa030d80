#include "rpc/policy/evaluator.h"

namespace bulkhead::policy {

using Kind = Token::Kind;
using To = Destination::Kind;

Verdict Verdict::denied(Denial why, bool tell) const
{
	Verdict verdict = *this;
	verdict.action = Action::DENY;
	verdict.denial = why;
	verdict.notify = tell;
	return verdict;
}

Evaluator::Evaluator(Allocator &allocator, Policy const &policy, System const &system)
	: _policy(policy), _system(system), _arena(allocator), _count(system.domains().size())
{}

Attempt<Owned<Evaluator>> Evaluator::create(
	Allocator &allocator, Policy const &policy, System const &system)
{
	Owned<Evaluator> made = TRY(create_owned<Evaluator>(allocator, allocator, policy, system));
	std::span<Token const> const tokens = policy.tokens();
	made->_words = (tokens.size() + 63) / 64;
	size_t const rows = made->_row(To::UNKNOWN, 0);
	made->_rows = TRY(create_array<uint64_t>(made->_arena, rows * made->_words));
	for (uint32_t number = 0; number < tokens.size(); ++number)
		made->_compile(tokens[number], number);
	return made;
}

/* The one domain that a word names, or that it names the template by, or NONE. */
uint32_t Evaluator::_meant(Token const &token) const
{
	if (token.kind == Kind::ADMIN) return _system.admin();
	bool const named = token.kind == Kind::NAME || token.kind == Kind::UUID;
	if (!named && token.kind != Kind::DISPOSABLE_OF) return NONE;
	bool const uuid = token.value.starts_with(UUID_PREFIX);
	return uuid ? _system.with_uuid(token.value) : _system.find(token.value);
}

/* Settles what a word matches. */
void Evaluator::_compile(Token const &token, uint32_t number)
{
	std::span<Domain const> const domains = _system.domains();
	Kind const kind = token.kind;
	bool const all = kind == Kind::EVERY || kind == Kind::ANY;
	uint32_t const meant = _meant(token);
	auto const fits = [&](uint32_t i) {
		Domain const &domain = domains[i];
		if (kind == Kind::TYPE) return domain.type == token.value;
		if (kind != Kind::TAG && kind != Kind::DISPOSABLE_TAG) return i == meant;
		bool const base = kind == Kind::TAG || domain.template_for_dispvms;
		return base && domain.tagged(token.value);
	};
	auto const set = [&](To to, size_t domain, bool matches) {
		_rows[_row(to, domain) * _words + number / 64] |= uint64_t{matches} << number % 64;
	};
	bool const disposables = kind == Kind::DISPOSABLE_OF || kind == Kind::DISPOSABLE_TAG;
	for (uint32_t i = 0; i < _count; ++i) {
		uint32_t const base = domains[i].disposables_of;
		// As written: upstream takes the name only for the default template, not its UUID.
		bool const standard = base != NONE &&
			(kind == Kind::DISPOSABLE_TAG
					? fits(base)
					: kind == Kind::DISPOSABLE_OF && token.value == domains[base].name);
		bool const but_admin = kind == Kind::ANY && i != _system.admin();
		set(To::DOMAIN, i, (!disposables && fits(i)) || but_admin || kind == Kind::EVERY);
		set(To::DISPOSABLE_OF, i, (disposables && fits(i)) || all);
		set(To::DISPOSABLE, i, standard || all || kind == Kind::DISPOSABLE);
	}
	set(To::DISPOSABLE, NONE, all || kind == Kind::DISPOSABLE);
	set(To::ADMIN, NONE, kind == Kind::EVERY || token.admin());
	set(To::DEFAULT, NONE, all || kind == Kind::DEFAULT);
}

/* Who calls: the channel's other end. */
void Evaluator::_set_source(std::string_view source, Call &call) const
{
	call.verdict.source = _system.find(source);
	call.verdict.source_by_uuid = source.starts_with(UUID_PREFIX);
	if (call.verdict.source != NONE)
		call.source_row = _row(To::DOMAIN, call.verdict.source);
	else if (source == "@adminvm")
		call.source_row = _row(To::ADMIN);
	else if (uint32_t const word = _policy.token(source);
		word != NONE && !source.starts_with('@') && _meant(_policy.tokens()[word]) == NONE)
		call.source_word = word; // a stranger that a rule names matches that name, too
}

/* What the request says is the target. */
Denial Evaluator::_set_target(std::string_view text, Call &call) const
{
	auto const parsed = parse_token(text.empty() ? "@default" : text, Position::REQUEST);
	if (!parsed.ok()) return Denial::BAD_TARGET;
	Destination const wanted = _destination(parsed.value());
	if (wanted.kind == To::UNKNOWN) {
		// Who names what isn't there learns nothing from the answer: it is as if nothing was named.
		bool const disposable = parsed.value().kind == Kind::DISPOSABLE_OF;
		return disposable ? Denial::NOT_A_TEMPLATE : Denial::NOT_DENIED;
	}
	bool const of_source = wanted.kind == To::DISPOSABLE;
	call.target_row = _row(wanted.kind, of_source ? call.verdict.source : wanted.number);
	call.verdict.requested = wanted;
	return Denial::NOT_DENIED;
}

Call Evaluator::resolve(Request const &request) const
{
	Call call{.source_row = _row(To::DEFAULT), .target_row = _row(To::DEFAULT)};
	_set_source(request.source, call);
	call.verdict.denial = _set_target(request.target, call);
	// An Asker knows who relays for whom, and has put the RemoteVM in the source's place.
	bool const relayed = !request.requested_source.empty();
	if (relayed && call.verdict.denial == Denial::NOT_DENIED)
		call.verdict.denial = Denial::SOURCE_NOT_REMOTE;
	return call;
}

/* The first rule that matches, or NONE. */
uint32_t Evaluator::_first(Request const &request, Call const &call) const
{
	uint32_t best = NONE;
	std::span<Rule const> const rules = _policy.rules();
	for (uint32_t const first : {_policy.first(request.service, request.argument),
			 _policy.first(request.service, EACH), _policy.first(EACH, EACH)})
		for (uint32_t i = first; i < best; i = rules[i].next)
			if (source_matches(call, rules[i].source) && matches(call.target_row, rules[i].target))
				best = i;
	return best;
}

/* Where a word leads that stands for one domain, or for none yet. */
Destination Evaluator::_destination(Token const &token, uint32_t number) const
{
	if (token.kind == Kind::DEFAULT) return {};
	if (token.kind == Kind::ADMIN) return {.kind = To::ADMIN};
	if (token.kind == Kind::DISPOSABLE) return {.kind = To::DISPOSABLE};
	bool const disposable = token.kind == Kind::DISPOSABLE_OF;
	uint32_t const domain = _system.find(token.value);
	bool const there = domain != NONE && _system.domains()[domain].exists;
	if (!there || (disposable && !_system.domains()[domain].template_for_dispvms))
		return {.kind = To::UNKNOWN, .number = number};
	return {.kind = disposable ? To::DISPOSABLE_OF : To::DOMAIN,
		.by_uuid = token.value.starts_with(UUID_PREFIX),
		.number = domain};
}

Destination Evaluator::default_disposable(uint32_t source) const
{
	uint32_t const base = source == NONE ? NONE : _system.domains()[source].disposables_of;
	if (base == NONE) return {};
	return {.kind = To::DISPOSABLE_OF, .number = base};
}

bool Evaluator::running(Destination const &destination) const
{
	if (destination.kind == To::ADMIN) return true;
	if (destination.kind != To::DOMAIN) return false;
	Domain const &domain = _system.domains()[destination.number];
	return domain.exists ? domain.running : destination.number == _system.admin();
}

Verdict Evaluator::send_to(Destination target, Verdict verdict) const
{
	if (target.kind == To::DEFAULT) return verdict.denied(Denial::NO_TARGET);
	if (target.kind == To::UNKNOWN) {
		bool const disposable = _policy.tokens()[target.number].kind == Kind::DISPOSABLE_OF;
		return verdict.denied(disposable ? Denial::NOT_A_TEMPLATE : Denial::NO_TARGET);
	}
	if (target.kind == To::ADMIN) target = {.kind = To::DOMAIN, .number = _system.admin()};
	if (target.kind == To::DISPOSABLE) target = default_disposable(verdict.source);
	if (target.kind == To::DEFAULT) return verdict.denied(Denial::NO_DISPOSABLE);
	verdict.action = Action::ALLOW;
	verdict.target = target;
	return verdict;
}

Verdict Evaluator::evaluate(Request const &request) const
{
	if (_policy.broken()) return Verdict{}.denied(Denial::BROKEN_POLICY);
	Call const call = resolve(request);
	Verdict verdict = call.verdict;
	if (verdict.denial != Denial::NOT_DENIED) return Verdict{}.denied(verdict.denial);
	verdict.rule = _first(request, call);
	if (verdict.rule == NONE) return verdict.denied(Denial::NO_RULE);
	Rule const &rule = _policy.rules()[verdict.rule];
	verdict.action = rule.action;
	verdict.notify = rule.notify;
	verdict.autostart = rule.autostart;
	if (rule.action == Action::ASK) return verdict;
	if (rule.action == Action::DENY) return verdict.denied(Denial::RULE, rule.notify);
	return send_to(rule.redirect == NONE ? verdict.requested : destination(rule.redirect), verdict);
}

Call_fault Evaluator::call_fault(Verdict const &verdict) const
{
	Destination const &target = verdict.target;
	Domain const &domain = _system.domains()[target.number];
	bool const itself = target.kind == To::DOMAIN && target.number == verdict.source &&
		target.by_uuid == verdict.source_by_uuid;
	if (itself) return Call_fault::LOOPBACK;
	if (!verdict.autostart && !running(target)) return Call_fault::NOT_RUNNING;
	if (target.kind == To::DISPOSABLE_OF && !domain.exists) return Call_fault::NO_TEMPLATE;
	if (target.kind != To::DOMAIN || !domain.remote()) return Call_fault::OK;
	if (domain.relay == NONE || !_system.domains()[domain.relay].exists)
		return Call_fault::NO_RELAY;
	return domain.transport_rpc.empty() ? Call_fault::NO_TRANSPORT : Call_fault::OK;
}

} // namespace bulkhead::policy
