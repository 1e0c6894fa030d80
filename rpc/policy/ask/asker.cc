#include "rpc/policy/ask/asker.h"

namespace bulkhead::policy {

using Kind = Token::Kind;
using To = Destination::Kind;

namespace {

/* What a caller has sent must not end the line that it stands in. */
void put_printable(Text_writer &to, std::string_view text)
{
	for (char const c : text) to.put(c > ' ' && c < '\x7f' ? c : '_');
}

/* The word whose domains a rule adds to what ask offers, or takes from it. */
uint32_t offered_by(Rule const &rule)
{
	return rule.redirect == NONE ? rule.target : rule.redirect;
}

} // namespace

Asker::Asker(Allocator &allocator, Owned<Evaluator> evaluator)
	: _evaluator(std::move(evaluator)),
	  _policy(_evaluator->policy()),
	  _system(_evaluator->system()),
	  _arena(allocator),
	  _count(_system.domains().size()),
	  _words((2 * _count + 2 + 63) / 64)
{}

Attempt<Owned<Asker>> Asker::create(
	Allocator &allocator, Policy const &policy, System const &system)
{
	Owned<Evaluator> evaluator = TRY(Evaluator::create(allocator, policy, system));
	Owned<Asker> asker = TRY(create_owned<Asker>(allocator, allocator, std::move(evaluator)));
	TRY(asker->_build(allocator));
	return asker;
}

Attempt<void> Asker::_build(Allocator &allocator)
{
	std::span<Token const> const tokens = _policy.tokens();
	TRY(_offers.build(allocator, _policy.rules(), offered_by));
	_expansions = TRY(create_array<uint64_t>(_arena, tokens.size() * _words));
	_hidden = TRY(create_array<uint64_t>(_arena, _words));
	_undecided = TRY(create_array<uint64_t>(_arena, _words));
	_offered = TRY(create_array<uint64_t>(_arena, _words));
	_cursors = TRY(create_array<Cursor>(_arena, _offers.lanes().size()));
	_offerable = TRY(create_array<uint64_t>(_arena, _offers.groups() * _words));
	for (uint32_t i = 0; i < tokens.size(); ++i) _expand(tokens[i], _expansion(i));
	for (Lane const &lane : _offers.lanes())
		for (Entry const &offer : _offers.entries(lane))
			for (size_t word = 0; !_denies(offer) && word < _words; ++word)
				_offerable[lane.group * _words + word] |= _expansion(offer.word)[word];
	for (uint32_t i = 0; i < _count; ++i)
		if (_system.domains()[i].internal) _hidden[i / 64] |= uint64_t{1} << i % 64;
	return Ok{};
}

/* What a word adds to what ask offers, or takes from it. */
void Asker::_expand(Token const &token, std::span<uint64_t> bits) const
{
	std::span<Domain const> const domains = _system.domains();
	bool const all = token.kind == Kind::EVERY || token.kind == Kind::ANY;
	auto const set = [&](size_t bit) { bits[bit / 64] |= uint64_t{1} << bit % 64; };
	if (token.kind == Kind::ADMIN) set(_bit_of_admin());
	if (all || token.kind == Kind::DISPOSABLE) set(_bit_of_default_disposable());
	if (token.kind == Kind::NAME || token.kind == Kind::UUID) {
		uint32_t const domain = _system.find(token.text);
		if (domain != NONE && domains[domain].exists) set(domain);
	}
	if (token.kind == Kind::DISPOSABLE_OF) {
		uint32_t const domain = _system.find(token.value);
		if (domain != NONE && domains[domain].template_for_dispvms) set(_bit_of_disposable(domain));
	}
	for (uint32_t i = 0; i < _count; ++i) {
		Domain const &domain = domains[i];
		if (!domain.exists) continue;
		bool const any = token.kind == Kind::ANY && !domain.admin();
		bool const of_class = (token.kind == Kind::TYPE && domain.type == token.value) ||
			(token.kind == Kind::TAG && domain.tagged(token.value));
		if (any || token.kind == Kind::EVERY || of_class) set(i);
		bool const tagged = token.kind == Kind::DISPOSABLE_TAG && domain.tagged(token.value);
		if (domain.template_for_dispvms && (all || tagged)) set(_bit_of_disposable(i));
	}
}

/* Only what the rule's target= says, as it says it. */
void Asker::_offer_one(Rule const &rule)
{
	_only = _evaluator->destination(rule.redirect);
	if (_only.kind == To::ADMIN) _only = {.kind = To::DOMAIN, .number = _system.admin()};
	_one = rule.autostart || _evaluator->running(_only);
}

/* What no earlier rule has decided, this one does. Returns whether anything is left. */
bool Asker::_apply(Entry const &offer)
{
	std::span<uint64_t const> const expansion = _expansion(offer.word);
	bool const denies = _denies(offer);
	uint64_t left = 0;
	for (size_t word = 0; word < _words; ++word) {
		uint64_t const decided = _undecided[word] & expansion[word];
		_undecided[word] &= ~decided;
		if (!denies) _offered[word] |= decided;
		left |= _undecided[word];
	}
	return left != 0;
}

/*
 * The rules in their order, whatever their targets: the first that speaks of a target decides
 * whether it is offered. That is what upstream gets by walking them in reverse.
 */
void Asker::_collect(Request const &request)
{
	std::ranges::fill(_undecided, 0);
	std::ranges::fill(_offered, 0);
	Call const call = _evaluator->resolve(request);
	size_t cursors = 0;
	for (auto const lanes : _offers.lanes_of(request.service, request.argument)) {
		for (size_t word = 0; !lanes.empty() && word < _words; ++word)
			_undecided[word] |= _offerable[lanes.front().group * _words + word];
		for (Lane const &lane : lanes) {
			if (!_evaluator->source_matches(call, lane.source)) continue;
			std::span<Entry const> const offers = _offers.entries(lane);
			_cursors[cursors++] = {
				offers.front().rule, offers.data(), offers.data() + offers.size()};
		}
	}
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
void Asker::_settle_choices(uint32_t source, bool autostart)
{
	auto const take = [&](size_t bit) {
		uint64_t const mask = uint64_t{1} << bit % 64;
		bool const was = _offered[bit / 64] & mask;
		_offered[bit / 64] &= ~mask;
		return was;
	};
	auto const put = [&](size_t bit) { _offered[bit / 64] |= uint64_t{1} << bit % 64; };
	bool const disposable = take(_bit_of_default_disposable());
	Destination const standard = _evaluator->default_disposable(source);
	if (disposable && standard.kind != To::DEFAULT) put(_bit_of_disposable(standard.number));
	if (take(_bit_of_admin())) put(_system.admin());
	if (source != NONE) take(source);
	for (size_t word = 0; word < _words; ++word) _offered[word] &= ~_hidden[word];
	if (autostart) return;
	for (size_t word = 0; word < _words; ++word) {
		for (uint64_t bits = _offered[word]; bits; bits &= bits - 1) {
			size_t const bit = word * 64 + static_cast<size_t>(std::countr_zero(bits));
			if (!_evaluator->running(_choice(bit))) take(bit);
		}
	}
}

bool Asker::_nothing_offered() const
{
	return std::ranges::all_of(_offered, [](uint64_t word) { return word == 0; });
}

/* What default_target= says, or DEFAULT if that isn't on offer. */
Destination Asker::_preselected(Rule const &rule, uint32_t source) const
{
	if (rule.default_target == NONE) return {};
	Destination wanted = _evaluator->destination(rule.default_target);
	if (wanted.kind == To::ADMIN) wanted = {.kind = To::DOMAIN, .number = _system.admin()};
	if (wanted.kind == To::DISPOSABLE) wanted = _evaluator->default_disposable(source);
	return wanted.kind != To::DEFAULT && offers(wanted) ? wanted : Destination{};
}

/* A call that is relayed comes from the RemoteVM; or what is wrong with that. */
Denial Asker::_settle_source(Request &request) const
{
	std::string_view const requested = std::exchange(request.requested_source, {});
	if (requested.empty()) return Denial::NOT_DENIED;
	uint32_t const number = _system.find(requested);
	bool const there = number != NONE && _system.domains()[number].exists;
	if (!there) return Denial::SOURCE_UNKNOWN;
	Domain const &remote = _system.domains()[number];
	if (!remote.remote()) return Denial::SOURCE_NOT_REMOTE;
	if (remote.relay == NONE || remote.relay != _system.find(request.source))
		return Denial::SOURCE_OF_OTHER_RELAY;
	request.source = requested;
	return Denial::NOT_DENIED;
}

Verdict Asker::evaluate(Request const &asked)
{
	Request request = asked;
	Denial const wrong = _settle_source(request);
	if (wrong != Denial::NOT_DENIED && !_policy.broken()) {
		// A bad target counts before a bad source.
		Denial const target = _evaluator->resolve(request).verdict.denial;
		return Verdict{}.denied(target == Denial::NOT_DENIED ? wrong : target);
	}
	Verdict verdict = _evaluator->evaluate(request);
	if (verdict.action != Action::ASK) return verdict;
	Rule const &rule = _policy.rules()[verdict.rule];
	_one = false;
	if (rule.redirect != NONE) {
		_offer_one(rule);
		if (!_one) return verdict.denied(Denial::NOTHING_TO_OFFER);
	} else {
		_collect(request);
		_settle_choices(verdict.source, rule.autostart);
		if (_nothing_offered()) return verdict.denied(Denial::NOTHING_TO_OFFER);
	}
	verdict.target = _preselected(rule, verdict.source);
	return verdict;
}

Verdict Asker::answer(Request const &request, std::string_view chosen)
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
	if (found.kind == To::DEFAULT) return verdict.denied(Denial::NOT_OFFERED);
	return _evaluator->send_to(found, verdict);
}

Destination Asker::_choice(size_t bit) const
{
	if (bit < _count) return {.kind = To::DOMAIN, .number = static_cast<uint32_t>(bit)};
	return {.kind = To::DISPOSABLE_OF, .number = static_cast<uint32_t>(bit - _count)};
}

bool Asker::offers(Destination const &destination) const
{
	if (_one) return destination == _only;
	bool const domain = destination.kind == To::DOMAIN;
	if (destination.by_uuid || (!domain && destination.kind != To::DISPOSABLE_OF)) return false;
	size_t const bit = domain ? destination.number : _bit_of_disposable(destination.number);
	return _offered[bit / 64] >> bit % 64 & 1;
}

void Asker::write(Text_writer &to, Destination const &destination) const
{
	switch (destination.kind) {
	case To::DEFAULT: to.put("@default"); return;
	case To::ADMIN: to.put("@adminvm"); return;
	case To::DISPOSABLE: to.put("@dispvm"); return;
	case To::UNKNOWN: to.put(_policy.tokens()[destination.number].text); return;
	case To::DOMAIN: break;
	case To::DISPOSABLE_OF: to.put(DISPVM_PREFIX); break;
	}
	Domain const &domain = _system.domains()[destination.number];
	to.put(destination.by_uuid ? domain.uuid : domain.name);
}

/* The lines about the target, which for a RemoteVM is its relay. */
void Asker::_write_target(Text_writer &to, Request const &request, Verdict const &verdict) const
{
	Destination const &target = verdict.target;
	Domain const &domain = _system.domains()[target.number];
	bool const admin = target.kind == To::DOMAIN && target.number == _system.admin();
	bool const remote = target.kind == To::DOMAIN && domain.remote();
	Domain const &end = remote ? _system.domains()[domain.relay] : domain;
	to.put("target=");
	if (admin || remote)
		to.put(end.name);
	else
		write(to, target);
	to.put('\n');
	if (!admin && !end.uuid.empty())
		format_all(to,
			"target_uuid=", target.kind == To::DISPOSABLE_OF ? DISPVM_PREFIX : std::string_view(),
			end.uuid, '\n');
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

void Asker::write_response(Text_writer &to, Request const &request, Verdict const &verdict) const
{
	bool const remote =
		verdict.target.kind == To::DOMAIN && _system.domains()[verdict.target.number].remote();
	std::string_view user =
		verdict.rule == NONE ? "" : _policy.rules()[verdict.rule].user.value_or("");
	if (user.empty() || remote) user = "DEFAULT";
	format_all(to, "user=", user, "\nresult=allow\n");
	_write_target(to, request, verdict);
}

Mismatch Asker::mismatch(Rule const &rule, Request const &asked) const
{
	Request request = asked;
	bool const called = _settle_source(request) == Denial::NOT_DENIED;
	if (rule.service != EACH && rule.service != request.service) return Mismatch::SERVICE;
	if (rule.argument != EACH && rule.argument != request.argument) return Mismatch::ARGUMENT;
	Call const call = _evaluator->resolve(request);
	if (!called || !_evaluator->source_matches(call, rule.source)) return Mismatch::SOURCE;
	bool const wanted = call.verdict.denial == Denial::NOT_DENIED;
	return wanted && _evaluator->matches(call.target_row, rule.target) ? Mismatch::MATCHES
																	   : Mismatch::TARGET;
}

} // namespace bulkhead::policy
