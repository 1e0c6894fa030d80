#include "domain/broker/broker.h"
#include "rpc/qrexec/command_line.h"
#include "rpc/qrexec/name.h"

namespace bulkhead::domain {

using namespace qrexec;

namespace {

constexpr uint32_t PORT_MASK = 0x0fff'ffff; // what a channel's generation may be

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
	switch (target.state) {
	case State::STOPPED: return on_call && !target.gone;
	case State::STOPPING: return target.asked ? target.next == State::WAITING : on_call;
	case State::FAILED: return false;
	default: return true;
	}
}

/* Where the rule stands that has decided. */
std::string place_of(policy::Policy const &policy, uint32_t rule)
{
	policy::Place const place = policy.rules()[rule].place;
	return " (" + std::string(policy.base_name(place.file)) + ":" + std::to_string(place.line) +
		")";
}

} // namespace

/* Where a call goes; what is returned, unless it is empty, is why it goes nowhere. */
std::string Broker::_decide(Member const &caller, Trigger const &call, Domain *&target)
{
	if (!clean(call.service, IN_SERVICES) || !clean(call.target, IN_TARGETS) ||
		!clean(call.source, IN_TARGETS) || call.service.size() > SERVICE_NAME_MAX)
		return "a name in it is none";
	size_t const plus = std::min(call.service.find('+'), call.service.size());
	std::string_view const service = call.service.substr(0, plus);
	uint32_t number = policy::NONE;
	bool autostart = true;
	if (operators(caller.id)) {
		number = _evaluator->system().find(call.target);
	} else {
		policy::Verdict const verdict = _evaluator->evaluate({.service = service,
			.argument = plus < call.service.size() ? call.service.substr(plus) : "+",
			.source = caller.name,
			.target = call.target,
			.requested_source = call.source});
		if (verdict.action == policy::Action::ASK)
			return "nobody can be asked, as the policy wants";
		if (verdict.action == policy::Action::DENY) {
			std::string reason(name_of(verdict.denial));
			if (verdict.rule != policy::NONE)
				reason += place_of(_evaluator->policy(), verdict.rule);
			return reason;
		}
		auto const fault = _evaluator->call_fault(verdict);
		if (fault != policy::Call_fault::OK) return std::string(name_of(fault));
		if (verdict.target.kind == policy::Destination::Kind::DOMAIN)
			number = verdict.target.number;
		autostart = verdict.autostart;
	}
	target = number < _by_number.size() ? _by_number[number] : nullptr;
	if (!target) return "its target is no domain of this system";
	if (!offers(target->plan, service)) return "its target doesn't offer the service";
	if (target->state == State::RUNNING) return {};
	return autostart && comes(*target) && !_ending ? "" : "its target isn't running";
}

/* Whether there is room for one more call; what is returned, unless it is empty, is why not. */
std::string Broker::_admit(Member const &caller, Domain &target)
{
	unsigned const served_max = target.plan.calls_max;
	if (caller.made_live >= caller.made_max) return "too many calls of its caller are live";
	if (target.served_live >= served_max) return "too many calls to its target are live";
	unsigned of_one_max = (served_max + 1) / 2;
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
	if (!reason.empty())
		return _refuse(
			caller, ident, target ? target->name : asked->target, asked->service, reason);
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
	_want(*target, false);
	_wake(_now_us + CALL_WAIT_US);
}

/* Gives both sides the ends of a channel. The call may be gone after it. */
void Broker::_connect(Call &call)
{
	Domain &target = *find(call.target);
	Member &caller = *_heard(call.caller);
	call.waits = false;
	std::string const trouble = _hand_over(call, target, caller);
	if (trouble.empty()) {
		++caller.calls_made;
		++target.calls_served;
		if (call.service.size() > NAME_SHOWN_MAX) call.service.resize(NAME_SHOWN_MAX);
		return;
	}
	_fail(call, trouble);
}

/* Tells the caller. The call is gone after it, unless its target knows of it. */
void Broker::_fail(Call &call, std::string const &reason)
{
	Member &caller = *_heard(call.caller);
	std::array const ident = call.ident;
	std::string const service = call.service;
	std::string const target = find(call.target)->name;
	_end_calling(call);
	if (!call.serving) _calls.erase(call.port);
	_refuse(caller, ident, target, service, reason);
}

/* What is returned, unless it is empty, is why it didn't work; the target may know nonetheless. */
std::string Broker::_hand_over(Call &call, Domain &target, Member &caller)
{
	static constexpr std::string_view LACKING = "memory or descriptors are lacking";
	std::array<uint8_t, Exec_params::BYTES> params;
	std::string const line =
		std::string(DEFAULT_USER) + ":QUBESRPC " + call.service + " " + caller.name;
	bool const made = _host.make_channel(call.port, target.plan.ring_bytes);
	encode({.domain = caller_id(caller.id), .port = call.port}, params);
	Sent sent = made ? _send(target.id, Type::EXEC_CMDLINE,
						   {params, bytes_of({line.c_str(), line.size() + 1})}, With::CLIENT_END)
					 : Sent::FAILED;
	bool const told = sent == Sent::OK;
	if (told) {
		encode({.domain = target.id, .port = call.port}, params);
		sent = _send(caller.id, Type::SERVICE_CONNECT, {params, call.ident}, With::SERVER_END);
	} else {
		_end_serving(call);
	}
	if (made) _host.drop_channel();
	if (sent == Sent::OK) return {};
	if (sent == Sent::FAILED) return std::string(LACKING);
	return told ? "its caller doesn't read its gate" : "its target doesn't read its gate";
}

/* Its target has come. */
void Broker::_connect_waiting(Domain &target)
{
	for (uint32_t const port : std::exchange(target.waiting, {}))
		if (auto const found = _calls.find(port); found != _calls.end()) _connect(found->second);
}

/* Its target doesn't come, or hasn't come to calls that have waited so long. */
void Broker::_refuse_waiting(Domain &target, std::string const &reason, uint64_t waited_us)
{
	// Whoever is told may be ended for it, and takes others of its calls along.
	while (!target.waiting.empty()) {
		Call &call = _calls.at(target.waiting.front());
		if (_now_us < call.since_us + waited_us) return _wake(call.since_us + waited_us);
		target.waiting.erase(target.waiting.begin());
		_end_serving(call);
		_fail(call, reason);
	}
}

/* What isn't a call of this side's (any more) was one with the broker before, or is over. */
void Broker::_terminated(Member const &by, Exec_params params)
{
	auto const found = _calls.find(params.port);
	if (found == _calls.end() || found->second.waits) return;
	Call &call = found->second;
	if (call.caller == by.id && call.target == params.domain)
		_end_calling(call);
	else if (call.target == by.id && caller_id(call.caller) == params.domain)
		_end_serving(call);
	if (!call.calling && !call.serving) _calls.erase(found);
}

void Broker::_end_calling(Call &call)
{
	if (std::exchange(call.calling, false)) --_member(call.caller)->made_live;
}

void Broker::_end_serving(Call &call)
{
	if (!std::exchange(call.serving, false)) return;
	--find(call.target)->served_live;
	auto const live = _live.find(pair_of(call.caller, call.target));
	if (--live->second == 0) _live.erase(live);
}

/* It is through with all of its calls, but those that wait for its start. */
void Broker::_part(Member &member, unsigned served_live)
{
	if (!member.made_live && !served_live) return;
	for (auto entry = _calls.begin(); entry != _calls.end();) {
		Call &call = entry->second;
		if (call.calling && call.caller == member.id) {
			_end_calling(call);
			if (call.waits) {
				std::erase(find(call.target)->waiting, call.port);
				_end_serving(call);
			}
		}
		if (call.target == member.id && !call.waits) _end_serving(call);
		entry = call.calling || call.serving ? std::next(entry) : _calls.erase(entry);
	}
}

} // namespace bulkhead::domain
