#include "domain/broker/broker.h"
#include "rpc/policy/text/verdict_text.h"
#include "rpc/qrexec/name.h"

namespace bulkhead::domain {

using namespace qrexec;

namespace {

constexpr uint32_t PORT_MASK = 0x0fff'ffff; // what a channel's generation may be
constexpr char const *LACKING = "memory or descriptors are lacking";

/* All of the operator's connections are one. */
uint32_t caller_id(Party party) { return operators(party) ? OPERATOR_ID : party; }

uint64_t pair_of(Party caller, Party target) { return uint64_t{caller_id(caller)} << 32 | target; }

bool offers(Domain_plan const &plan, std::string_view service)
{
	auto const fits = [&](std::string const &name) { return name == service || name == "*"; };
	return std::ranges::any_of(plan.services, fits) ||
		std::ranges::any_of(plan.commands, fits, &Service_command::service);
}

/* Whether a call may wait until its target runs, or have it start. */
bool comes(Domain const &target)
{
	bool const on_call = target.plan.start == Start::ON_CALL;
	if (target.state == State::STOPPING)
		return target.next ? *target.next == State::WAITING : on_call;
	return target.state == State::STOPPED ? on_call : target.state != State::FAILED;
}

/* Where the rule stands that has decided, if one has. */
std::string place_of(policy::Policy const &policy, uint32_t rule)
{
	if (rule == policy::NONE) return {};
	policy::Place const place = policy.rules()[rule].place;
	return " (" + std::string(base_name(policy, place.file)) + ":" + std::to_string(place.line) +
		")";
}

} // namespace

/* Where a call goes; what is returned, unless it is empty, is why it goes nowhere. */
std::string Broker::_decide(Member const &caller, Trigger const &call, Domain *&target)
{
	if (!clean(call.service, IN_SERVICES) || !clean(call.target, IN_TARGETS) ||
		!clean(call.source, IN_TARGETS) || call.service.size() > SERVICE_NAME_MAX)
		return "the name of its target or service is malformed";
	size_t const plus = std::min(call.service.find('+'), call.service.size());
	std::string_view const service = call.service.substr(0, plus);
	std::string_view name = call.target;
	bool autostart = true;
	if (!operators(caller.id)) {
		bool const argument = plus < call.service.size();
		policy::Verdict const verdict = _evaluator->evaluate({.service = service,
			.argument = argument ? call.service.substr(plus) : "+",
			.source = caller.name,
			.target = call.target,
			.requested_source = call.source});
		if (verdict.action == policy::Action::ASK)
			return "nobody can be asked, as the policy wants";
		if (verdict.action == policy::Action::DENY)
			return std::string(name_of(verdict.denial)) +
				place_of(_evaluator->policy(), verdict.rule);
		auto const fault = _evaluator->call_fault(verdict);
		if (fault != policy::Call_fault::OK) return std::string(name_of(fault));
		name = _evaluator->system().domains()[verdict.target.number].name;
		autostart = verdict.autostart;
		// A disposable isn't the domain that it is made of.
		if (verdict.target.kind != policy::Destination::Kind::DOMAIN) name = {};
	}
	auto const found = _by_name.find(name);
	if (found == _by_name.end() || found->second->gone) return "its target isn't of this system";
	target = found->second;
	if (!offers(target->plan, service)) return "its target doesn't offer the service";
	bool const there = target->state == State::RUNNING || (autostart && !_ending && comes(*target));
	return there ? "" : "its target isn't running";
}

/* Whether there is room for one more call; what is returned, unless it is empty, is why not. */
std::string Broker::_admit(Member const &caller, Domain &target)
{
	unsigned const served_max = target.plan.calls_max;
	unsigned of_one_max = (served_max + 1) / 2;
	if (caller.made_live >= caller.made_max) return "too many calls of its caller are live";
	if (target.served_live >= served_max) return "too many calls to its target are live";
	if (target.state != State::RUNNING) {
		if (target.waiting.size() >= WAITING_MAX) return "too many calls wait for its target";
		of_one_max = std::min(of_one_max, WAITING_MAX / 2);
	}
	auto const live = _live.find(pair_of(caller.id, target.id));
	if (live == _live.end() || live->second < of_one_max) return {};
	return "its caller has half of all calls that its target may have";
}

void Broker::_trigger(Member &caller, Type type, Bytes body)
{
	auto const asked = decode_trigger(type, body);
	if (!asked) return broken(caller.id, "it has sent a call that is malformed");
	auto const ident = trigger_ident(type, body);
	Domain *target = nullptr;
	std::string reason = _decide(caller, *asked, target);
	if (reason.empty()) reason = _admit(caller, *target);
	if (!reason.empty()) {
		std::string_view const name = target ? std::string_view(target->name) : asked->target;
		return _refuse(
			caller, ident, {caller.name, std::string(name), std::string(asked->service), reason});
	}
	do _port = (_port + 1) & PORT_MASK;
	while (!_port || _calls.contains(_port));
	Call &call = _calls[_port];
	call.port = _port;
	call.caller = caller.id;
	call.target = target->id;
	call.since_us = _now_us;
	call.service = asked->service;
	copy_bytes(call.ident, ident);
	++caller.made_live;
	++target->served_live;
	++_live[pair_of(caller.id, target->id)];
	if (target->state == State::RUNNING) return _connect(call);
	call.waits = true;
	target->waiting.push_back(_port);
	_want(*target);
	_wake(_now_us + CALL_WAIT_US);
}

/* Gives both sides the ends of a channel. The call may be gone after it. */
void Broker::_connect(Call &call)
{
	Domain &target = _by_id.at(call.target);
	Member &caller = *_member(call.caller);
	call.waits = false;
	if (!_host.room(target.id)) return _fail(call, "its target doesn't read its gate");
	if (!_host.make_channel(call.port, target.plan.ring_bytes)) return _fail(call, LACKING);
	std::array<uint8_t, Exec_params::BYTES> params;
	auto const send = [&](Party to, Type type, Party other, Bytes rest, With end) {
		encode({.domain = caller_id(other), .port = call.port}, params);
		return _send(to, static_cast<uint32_t>(type), {params, rest}, end) == Sent::OK;
	};
	// First the caller, so that its data is there when the service looks.
	bool const told =
		send(caller.id, Type::SERVICE_CONNECT, target.id, call.ident, With::SERVER_END);
	std::string const line = "DEFAULT:QUBESRPC " + call.service + " " + caller.name;
	Bytes const with_end = bytes_of({line.c_str(), line.size() + 1});
	// If the target can't be told after all, the caller sees that the other end is gone.
	if (told && !send(target.id, Type::EXEC_CMDLINE, caller.id, with_end, With::CLIENT_END))
		_end(call, false, true);
	_host.drop_channel();
	if (!told) return _fail(call, LACKING);
	++caller.calls_made;
	++target.calls_served;
	if (call.service.size() > NAME_SHOWN_MAX) call.service.resize(NAME_SHOWN_MAX);
}

/* Refuses a call that neither side knows of. */
void Broker::_fail(Call &call, std::string const &reason)
{
	Member &caller = *_member(call.caller);
	std::array const ident = call.ident;
	Refused refused{caller.name, _by_id.at(call.target).name, call.service, reason};
	_end(call, true, true);
	_calls.erase(uint32_t{call.port});
	_refuse(caller, ident, std::move(refused));
}

/* Its target doesn't come, or hasn't come to calls that have waited so long. */
void Broker::_refuse_waiting(Domain &target, std::string const &reason, uint64_t waited_us)
{
	// Whoever is told may be ended for it, and takes others of its calls along.
	while (!target.waiting.empty()) {
		Call &call = _calls.at(target.waiting.front());
		if (_now_us < call.since_us + waited_us) return _wake(call.since_us + waited_us);
		target.waiting.erase(target.waiting.begin());
		_fail(call, reason);
	}
}

/* Tells the caller no more than that; the operator gets to know why. */
void Broker::_refuse(Member &caller, Bytes ident, Refused refused)
{
	++caller.calls_refused;
	for (std::string const &line : _refusals.add(std::move(refused), caller.refusal_lines, _now_us))
		_host.log(Level::WARNING, line);
	if (_send(caller.id, static_cast<uint32_t>(Type::SERVICE_REFUSED), {ident}) != Sent::OK)
		broken(caller.id, "it doesn't read the answers to its calls");
}

/* What isn't a call of this side's (any more) was one with the broker before, or is over. */
void Broker::_terminated(Member const &by, Exec_params params)
{
	auto const found = _calls.find(params.port);
	if (found == _calls.end() || found->second.waits) return;
	Call &call = found->second;
	bool const calling = call.caller == by.id && call.target == params.domain;
	bool const serving = call.target == by.id && caller_id(call.caller) == params.domain;
	if (_end(call, calling, serving)) _calls.erase(found);
}

/* These sides are through with it. True: both are. */
bool Broker::_end(Call &call, bool calling, bool serving)
{
	if (calling && std::exchange(call.calling, false)) --_member(call.caller)->made_live;
	if (serving && std::exchange(call.serving, false)) {
		--_by_id.at(call.target).served_live;
		auto const live = _live.find(pair_of(call.caller, call.target));
		if (--live->second == 0) _live.erase(live);
	}
	return !call.calling && !call.serving;
}

/* It is through with all of its calls, but those that wait for its start. */
void Broker::_part(Party party)
{
	for (auto entry = _calls.begin(); entry != _calls.end();) {
		Call &call = entry->second;
		bool const calling = call.calling && call.caller == party;
		if (calling && call.waits) std::erase(_by_id.at(call.target).waiting, call.port);
		bool const serving = call.waits ? calling : call.target == party;
		entry = _end(call, calling, serving) ? _calls.erase(entry) : std::next(entry);
	}
}

} // namespace bulkhead::domain
