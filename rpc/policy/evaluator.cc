#include "rpc/policy/evaluator.h"

#include "rpc/policy/evaluator_builder.h"

namespace bulkhead::policy {

using To = Destination::Kind;

namespace {

// Up to so many are compared one by one; of more, those that matter are looked up.
constexpr size_t FEW_ENTRIES = 16;

/* What a caller has sent must not end the line that it stands in. */
void put_printable(Text_writer &to, std::string_view text)
{
	for (char const c : text) to.put(c > ' ' && c < '\x7f' ? c : '_');
}

} // namespace

std::string_view name_of(Denial denial)
{
	switch (denial) {
	case Denial::NOT_DENIED: return "not denied";
	case Denial::RULE: return "a rule denies it";
	case Denial::NO_RULE: return "no rule matches";
	case Denial::BROKEN_POLICY: return "the policy has faults, so that everything is denied";
	case Denial::BAD_TARGET: return "the target is none that can be asked for";
	case Denial::NOT_A_TEMPLATE: return "there is no such template for disposables";
	case Denial::NO_TARGET: return "neither the caller nor the rule names a target that exists";
	case Denial::NO_DISPOSABLE: return "the source has no default template for disposables";
	case Denial::NOTHING_TO_OFFER: return "there is no target to choose from";
	case Denial::NOT_OFFERED: return "what was chosen isn't on offer";
	case Denial::SOURCE_UNKNOWN: return "the requested source doesn't exist";
	case Denial::SOURCE_NOT_REMOTE: return "the requested source is no RemoteVM";
	case Denial::SOURCE_OF_OTHER_RELAY: return "the caller is no relay for the requested source";
	}
	return "denied";
}

std::string_view name_of(Call_fault fault)
{
	switch (fault) {
	case Call_fault::OK: return "none";
	case Call_fault::LOOPBACK: return "source and target are the same";
	case Call_fault::NOT_RUNNING: return "the target isn't running and mustn't be started";
	case Call_fault::NO_RELAY: return "the RemoteVM has no relay";
	case Call_fault::NO_TRANSPORT: return "the RemoteVM has no transport service";
	case Call_fault::NO_TEMPLATE: return "the default template for disposables doesn't exist";
	}
	return "unknown";
}

Evaluator::Evaluator(Allocator &allocator, Policy const &policy, System const &system)
	: _policy(policy),
	  _system(system),
	  _arena(allocator),
	  _count(system.domains().size()),
	  _words((2 * _count + 2 + 63) / 64),
	  _strangers(allocator)
{}

Attempt<Owned<Evaluator>> Evaluator::create(
	Allocator &allocator, Policy const &policy, System const &system)
{
	Owned<Evaluator> evaluator = TRY(create_owned<Evaluator>(allocator, allocator, policy, system));
	TRY(Evaluator_builder(*evaluator).build());
	return evaluator;
}

/* What the request says is the target, or a denial. */
bool Evaluator::_set_target(std::string_view text, Call &call, Denial &denial) const
{
	size_t const count = _count;
	call.target_row = static_cast<uint32_t>(2 * count + 1);
	if (text.empty()) return true;
	Token_result const parsed = parse_token(text, Position::REQUEST);
	if (parsed.fault != Token_fault::OK) {
		denial = Denial::BAD_TARGET;
		return false;
	}
	Token const &token = parsed.token;
	if (token.kind == Token::Kind::ADMIN) {
		call.target_row = static_cast<uint32_t>(2 * count);
		call.requested = {.kind = To::ADMIN};
	} else if (token.kind == Token::Kind::DISPOSABLE) {
		uint32_t const row = call.source == NONE ? static_cast<uint32_t>(count) : call.source;
		call.target_row = static_cast<uint32_t>(2 * count + 2 + row);
		call.requested = {.kind = To::DISPOSABLE};
	} else if (token.kind != Token::Kind::DEFAULT) {
		bool const disposable = token.kind == Token::Kind::DISPOSABLE_OF;
		std::string_view const name = disposable ? token.value : text;
		uint32_t const domain = _system.find(name);
		bool const there = domain != NONE && _system.domains()[domain].exists;
		if (disposable && !(there && _system.domains()[domain].template_for_dispvms)) {
			denial = Denial::NOT_A_TEMPLATE;
			return false;
		}
		// Who names what isn't there learns nothing from the answer: it is as if nothing was named.
		if (!there) return true;
		call.target_row = static_cast<uint32_t>(disposable ? count + domain : domain);
		call.requested = {.kind = disposable ? To::DISPOSABLE_OF : To::DOMAIN,
			.by_uuid = name.starts_with(UUID_PREFIX),
			.number = domain};
	}
	return true;
}

uint32_t Evaluator::_source_row(std::string_view source, uint32_t domain) const
{
	if (domain != NONE) return domain;
	uint32_t const stranger = static_cast<uint32_t>(_count);
	if (source == "@adminvm") return stranger + 1;
	uint32_t const word = _policy.source_id(source);
	uint32_t const own = word == NONE ? NONE : _strangers.find(pair_key(word, 0));
	return own == NONE ? stranger : own;
}

/* Who calls: the channel's other end, or a RemoteVM that it relays for. */
bool Evaluator::_set_source(Request const &request, Call &call, Denial &denial) const
{
	std::string_view source = request.source;
	if (!request.requested_source.empty()) {
		uint32_t const remote = _system.find(request.requested_source);
		if (remote == NONE || !_system.domains()[remote].exists)
			denial = Denial::SOURCE_UNKNOWN;
		else if (!_system.domains()[remote].remote)
			denial = Denial::SOURCE_NOT_REMOTE;
		else if (uint32_t const relay = _system.domains()[remote].relayvm;
			relay == NONE || relay != _system.find(source))
			denial = Denial::SOURCE_OF_OTHER_RELAY;
		if (denial != Denial::NOT_DENIED) return false;
		source = request.requested_source;
	}
	call.source = _system.find(source);
	call.source_by_uuid = source.starts_with(UUID_PREFIX);
	call.source_row = _source_row(source, call.source);
	return true;
}

bool Evaluator::_resolve(Request const &request, Call &call, Denial &denial) const
{
	// A bad target counts before a bad source, though @dispvm depends on the source.
	Denial bad_source = Denial::NOT_DENIED;
	bool const good = _set_source(request, call, bad_source);
	if (!_set_target(request.target, call, denial)) return false;
	denial = bad_source;
	return good;
}

/*
 * The lanes of a group that match a source, in the order of their first rules unless there are very
 * many, until `bool fn(Lane_head const &, Lane const &)` wants no more.
 */
template <typename FN>
inline void Evaluator::_for_each_lane(uint32_t group, uint32_t source_row, FN &&fn) const
{
	if (group == NONE) return;
	std::span<Lane_head const> const heads = _policy.lane_heads(group);
	std::span<Lane const> const lanes = _policy.lanes(group);
	Token_set const source = _sources[source_row];
	if (uint32_t const masks = _masks_of_group[group]; masks != NONE) {
		for (uint64_t mask = _masks[masks + source_row]; mask; mask &= mask - 1) {
			size_t const i = static_cast<size_t>(std::countr_zero(mask));
			if (!fn(heads[i], lanes[i])) return;
		}
	} else if (lanes.size() <= FEW_LANES) {
		for (size_t i = 0; i < heads.size(); ++i)
			if (source.has(heads[i].source) && !fn(heads[i], lanes[i])) return;
	} else {
		for (uint32_t const token : source.tokens)
			if (Lane const *const lane = _policy.lane(group, token)) fn(lane->head, *lane);
	}
}

inline uint32_t Evaluator::_first_in(Lane const &lane, Token_set const &target, uint32_t best) const
{
	if (lane.entry_count <= FEW_ENTRIES) {
		for (Entry const &entry : _policy.entries(lane)) {
			if (entry.rule >= best) break;
			if (target.has(entry.target)) return entry.rule;
		}
		return best;
	}
	for (uint32_t const token : target.tokens) best = std::min(best, _policy.entry(lane, token));
	return best;
}

inline uint32_t Evaluator::_first_in(
	uint32_t group, uint32_t source_row, Token_set const &target, uint32_t best) const
{
	_for_each_lane(group, source_row, [&](Lane_head const &head, Lane const &lane) {
		if (head.first_rule >= best) return false;
		best = _first_in(lane, target, best);
		return true;
	});
	return best;
}

uint32_t Evaluator::_first(Policy::Groups const &groups, Call const &call) const
{
	Token_set const target = _targets[call.target_row];
	uint32_t best = _first_in(groups.argument, call.source_row, target, NONE);
	best = _first_in(groups.service, call.source_row, target, best);
	return _first_in(groups.every, call.source_row, target, best);
}

Destination Evaluator::_default_disposable(uint32_t source) const
{
	uint32_t const standard = source == NONE ? NONE : _system.domains()[source].default_dispvm;
	if (standard == NONE) return {};
	return {.kind = To::DISPOSABLE_OF, .number = standard};
}

bool Evaluator::_running(Destination const &destination) const
{
	if (destination.kind == To::ADMIN) return true;
	if (destination.kind != To::DOMAIN) return false;
	Domain const &domain = _system.domains()[destination.number];
	return domain.exists ? domain.running : destination.number == _system.admin();
}

Verdict Evaluator::_deny(Verdict verdict, Denial denial, bool notify) const
{
	verdict.action = Action::DENY;
	verdict.denial = denial;
	verdict.notify = notify;
	return verdict;
}

/* Allows a call to where a rule, its caller or a person wants it. */
Verdict Evaluator::_send_to(Destination target, Verdict verdict) const
{
	if (target.kind == To::DEFAULT) return _deny(verdict, Denial::NO_TARGET);
	if (target.kind == To::UNKNOWN) {
		bool const disposable = _policy.targets()[target.number].kind == Token::Kind::DISPOSABLE_OF;
		return _deny(verdict, disposable ? Denial::NOT_A_TEMPLATE : Denial::NO_TARGET);
	}
	if (target.kind == To::ADMIN) target = {.kind = To::DOMAIN, .number = _system.admin()};
	if (target.kind == To::DISPOSABLE) target = _default_disposable(verdict.source);
	if (target.kind == To::DEFAULT) return _deny(verdict, Denial::NO_DISPOSABLE);
	verdict.action = Action::ALLOW;
	verdict.target = target;
	return verdict;
}

Verdict Evaluator::_allow(Rule const &rule, Verdict verdict) const
{
	return _send_to(
		rule.redirect == NONE ? verdict.requested : _destinations[rule.redirect], verdict);
}

/* Only what the rule's target= says, as it says it. */
void Evaluator::_offer_one(Rule const &rule)
{
	_one = true;
	_only = _destinations[rule.redirect];
	if (_only.kind == To::ADMIN) _only = {.kind = To::DOMAIN, .number = _system.admin()};
	if (!rule.autostart && !_running(_only)) _one = false;
}

/* Adds the lanes of a group that match the source to the cursors; returns how many there are. */
size_t Evaluator::_open_lanes(uint32_t group, uint32_t source_row, size_t cursors)
{
	if (group == NONE) return cursors;
	uint64_t const *const offerable = _offerable.data() + group * _words;
	for (size_t word = 0; word < _words; ++word) _undecided[word] |= offerable[word];
	_for_each_lane(group, source_row, [&](Lane_head const &, Lane const &lane) {
		std::span<Offer const> const offers = _policy.offers(lane);
		_cursors[cursors++] = {offers.front().rule, offers.data(), offers.data() + offers.size()};
		return true;
	});
	return cursors;
}

/* What no earlier rule has decided, this one does. Returns whether anything is left. */
bool Evaluator::_apply(Offer const &offer)
{
	uint64_t const *const expansion = _expansions.data() + offer.target * _words;
	uint64_t left = 0;
	for (size_t word = 0; word < _words; ++word) {
		uint64_t const decided = _undecided[word] & expansion[word];
		_undecided[word] &= ~decided;
		if (!offer.denies) _offered[word] |= decided;
		left |= _undecided[word];
	}
	return left != 0;
}

/*
 * The rules in their order, whatever their targets: the first that speaks of a target decides
 * whether it is offered. That is what upstream gets by walking them in reverse.
 */
void Evaluator::_collect(Policy::Groups const &groups, Call const &call)
{
	std::ranges::fill(_undecided, 0);
	std::ranges::fill(_offered, 0);
	size_t cursors = _open_lanes(groups.argument, call.source_row, 0);
	cursors = _open_lanes(groups.service, call.source_row, cursors);
	cursors = _open_lanes(groups.every, call.source_row, cursors);
	while (cursors) {
		Cursor *first = &_cursors[0];
		for (Cursor &cursor : _cursors.subspan(1, cursors - 1))
			if (cursor.rule < first->rule) first = &cursor;
		if (!_apply(*first->at)) return;
		if (++first->at == first->end)
			*first = _cursors[--cursors];
		else
			first->rule = first->at->rule;
	}
}

/* Turns the keywords into domains and takes away what can't be called. */
void Evaluator::_settle_choices(Call const &call, bool autostart)
{
	auto const take = [&](size_t bit) {
		uint64_t const mask = uint64_t{1} << bit % 64;
		bool const was = _offered[bit / 64] & mask;
		_offered[bit / 64] &= ~mask;
		return was;
	};
	auto const put = [&](size_t bit) { _offered[bit / 64] |= uint64_t{1} << bit % 64; };
	bool const disposable = take(_bit_of_default_disposable());
	Destination const standard = _default_disposable(call.source);
	if (disposable && standard.kind != To::DEFAULT) put(_bit_of_disposable(standard.number));
	if (take(_bit_of_admin())) put(_system.admin());
	if (call.source != NONE) take(call.source);
	for (size_t word = 0; word < _words; ++word) _offered[word] &= ~_hidden[word];
	if (autostart) return;
	for (size_t word = 0; word < _words; ++word) {
		for (uint64_t bits = _offered[word]; bits; bits &= bits - 1) {
			size_t const bit = word * 64 + static_cast<size_t>(std::countr_zero(bits));
			if (!_running(_choice(bit))) take(bit);
		}
	}
}

bool Evaluator::_nothing_offered() const
{
	return std::ranges::all_of(_offered, [](uint64_t word) { return word == 0; });
}

/* What default_target= says, or DEFAULT if that isn't on offer. */
Destination Evaluator::_preselected(Rule const &rule, uint32_t source) const
{
	if (rule.default_target == NONE) return {};
	Destination wanted = _destinations[rule.default_target];
	if (wanted.kind == To::ADMIN) wanted = {.kind = To::DOMAIN, .number = _system.admin()};
	if (wanted.kind == To::DISPOSABLE) wanted = _default_disposable(source);
	return wanted.kind != To::DEFAULT && offers(wanted) ? wanted : Destination{};
}

Verdict Evaluator::_ask(
	Rule const &rule, Policy::Groups const &groups, Call const &call, Verdict verdict)
{
	if (rule.redirect != NONE) {
		_offer_one(rule);
		if (!_one) return _deny(verdict, Denial::NOTHING_TO_OFFER);
	} else {
		_one = false;
		_collect(groups, call);
		_settle_choices(call, rule.autostart);
		if (_nothing_offered()) return _deny(verdict, Denial::NOTHING_TO_OFFER);
	}
	verdict.action = Action::ASK;
	verdict.target = _preselected(rule, call.source);
	return verdict;
}

Verdict Evaluator::evaluate(Request const &request)
{
	Verdict verdict;
	if (_policy.broken()) return _deny(verdict, Denial::BROKEN_POLICY);
	Call call;
	Denial denial = Denial::NOT_DENIED;
	if (!_resolve(request, call, denial)) return _deny(verdict, denial);
	verdict.source = call.source;
	verdict.source_by_uuid = call.source_by_uuid;
	verdict.requested = call.requested;
	Policy::Groups const groups = _policy.groups_of(request.service, request.argument);
	verdict.rule = _first(groups, call);
	if (verdict.rule == NONE) return _deny(verdict, Denial::NO_RULE);
	Rule const &rule = _policy.rules()[verdict.rule];
	verdict.notify = rule.notify;
	verdict.autostart = rule.autostart;
	switch (rule.action) {
	case Action::ALLOW: return _allow(rule, verdict);
	case Action::ASK: return _ask(rule, groups, call, verdict);
	case Action::DENY: break;
	}
	return _deny(verdict, Denial::RULE, rule.notify);
}

Verdict Evaluator::answer(Request const &request, std::string_view chosen)
{
	Verdict verdict = evaluate(request);
	if (verdict.action != Action::ASK) return verdict;
	Destination found{};
	for_each_choice([&](Destination const &choice) {
		char text[256];
		Text_writer writer{std::span<char>(text)};
		write(writer, choice);
		if (!writer.cut() && writer.text() == chosen) found = choice;
	});
	verdict.target = {};
	if (found.kind == To::DEFAULT) return _deny(verdict, Denial::NOT_OFFERED);
	return _send_to(found, verdict);
}

Destination Evaluator::_choice(size_t bit) const
{
	if (bit < _count) return {.kind = To::DOMAIN, .number = static_cast<uint32_t>(bit)};
	return {.kind = To::DISPOSABLE_OF, .number = static_cast<uint32_t>(bit - _count)};
}

bool Evaluator::offers(Destination const &destination) const
{
	if (_one) return destination == _only;
	bool const domain = destination.kind == To::DOMAIN;
	if (destination.by_uuid || (!domain && destination.kind != To::DISPOSABLE_OF)) return false;
	size_t const bit = domain ? destination.number : _bit_of_disposable(destination.number);
	return _offered[bit / 64] >> bit % 64 & 1;
}

Call_fault Evaluator::call_fault(Verdict const &verdict) const
{
	Destination const &target = verdict.target;
	Domain const &domain = _system.domains()[target.number];
	bool const itself = target.kind == To::DOMAIN && target.number == verdict.source &&
		target.by_uuid == verdict.source_by_uuid;
	if (itself) return Call_fault::LOOPBACK;
	if (!verdict.autostart && !_running(target)) return Call_fault::NOT_RUNNING;
	if (target.kind == To::DISPOSABLE_OF && !domain.exists) return Call_fault::NO_TEMPLATE;
	if (target.kind != To::DOMAIN || !domain.remote) return Call_fault::OK;
	if (domain.relayvm == NONE || !_system.domains()[domain.relayvm].exists)
		return Call_fault::NO_RELAY;
	return domain.transport_rpc.empty() ? Call_fault::NO_TRANSPORT : Call_fault::OK;
}

void Evaluator::write(Text_writer &to, Destination const &destination) const
{
	switch (destination.kind) {
	case To::DEFAULT: to.put("@default"); return;
	case To::ADMIN: to.put("@adminvm"); return;
	case To::DISPOSABLE: to.put("@dispvm"); return;
	case To::UNKNOWN: to.put(_policy.targets()[destination.number].text); return;
	case To::DOMAIN: break;
	case To::DISPOSABLE_OF: to.put(DISPVM_PREFIX); break;
	}
	Domain const &domain = _system.domains()[destination.number];
	to.put(destination.by_uuid ? domain.uuid_text : domain.name);
}

/* The lines about the target, which for a RemoteVM is its relay. */
void Evaluator::_write_target(Text_writer &to, Request const &request, Verdict const &verdict) const
{
	Destination const &target = verdict.target;
	Domain const &domain = _system.domains()[target.number];
	bool const admin = target.kind == To::DOMAIN && target.number == _system.admin();
	bool const remote = target.kind == To::DOMAIN && domain.remote;
	Domain const &end = remote ? _system.domains()[domain.relayvm] : domain;
	to.put("target=");
	if (admin || remote)
		to.put(end.name);
	else
		write(to, target);
	to.put('\n');
	if (!admin && !end.uuid_text.empty())
		format_all(to,
			"target_uuid=", target.kind == To::DISPOSABLE_OF ? DISPVM_PREFIX : std::string_view(),
			end.uuid_text, '\n');
	to.put(verdict.autostart ? "autostart=True\n" : "autostart=False\n");
	to.put("requested_target=");
	write(to, verdict.requested);
	if (remote) {
		// Where the policy sends it, not what the caller asked for; by name: a service has no
		// colon.
		format_all(to, "\nservice=", domain.transport_rpc, '+', domain.name, '+');
		put_printable(to, request.service);
		put_printable(to, request.argument);
	}
	if (!admin && !request.requested_source.empty())
		format_all(to, "\npolicy_source=", request.requested_source);
}

void Evaluator::write_response(
	Text_writer &to, Request const &request, Verdict const &verdict) const
{
	bool const remote =
		verdict.target.kind == To::DOMAIN && _system.domains()[verdict.target.number].remote;
	std::string_view user = verdict.rule == NONE ? "" : _policy.rules()[verdict.rule].user;
	if (user.empty() || remote) user = "DEFAULT";
	format_all(to, "user=", user, "\nresult=allow\n");
	_write_target(to, request, verdict);
}

Mismatch Evaluator::mismatch(Rule const &rule, Request const &request) const
{
	if (!rule.any_service && rule.service != request.service) return Mismatch::SERVICE;
	if (!rule.any_argument && rule.argument != request.argument) return Mismatch::ARGUMENT;
	Call call;
	Denial denial = Denial::NOT_DENIED;
	if (!_set_source(request, call, denial)) return Mismatch::SOURCE;
	if (!_sources[call.source_row].has(rule.source)) return Mismatch::SOURCE;
	if (!_set_target(request.target, call, denial)) return Mismatch::TARGET;
	return _targets[call.target_row].has(rule.target) ? Mismatch::MATCHES : Mismatch::TARGET;
}

} // namespace bulkhead::policy
