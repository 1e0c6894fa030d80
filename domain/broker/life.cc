#include "domain/broker/broker.h"

namespace bulkhead::domain {

void Broker::_set(Domain &domain, State state, uint64_t due_us)
{
	bool const was_at_rest = domain.at_rest();
	domain.state = state;
	if (domain.at_rest() != was_at_rest) _host.down(domain.id, !was_at_rest);
	domain.since_us = _now_us;
	domain.due_us = due_us;
	// Others may have waited for this.
	_wake(0);
}

/* Has it start; one that has failed, and what it needs, only if the operator wants it. */
void Broker::_want(Domain &domain, bool by_operator)
{
	if (_ending) return;
	bool const failed = domain.state == State::FAILED && by_operator;
	if (domain.state == State::STOPPING && (domain.next || by_operator))
		domain.next = State::WAITING;
	if (domain.state == State::STOPPED || failed || (domain.state == State::WAITING && by_operator))
		_set(domain, State::WAITING, _now_us);
	for (Domain *const need : domain.needs)
		if (failed && need->state == State::FAILED) _want(*need, true);
}

/* Has it end, and be in this state then. */
void Broker::_stop(Domain &domain, State next)
{
	if (domain.open()) {
		_host.close(domain.id);
		closed(domain.id);
	}
	if (domain.alive()) {
		domain.next = next;
		return;
	}
	_set(domain, next, _now_us);
	if (next == State::STOPPED) _refuse_waiting(domain, "its target was stopped");
}

/* It has said HELLO: calls that have waited are made. */
void Broker::_run(Domain &domain)
{
	domain.greeted = true;
	_set(domain, State::RUNNING);
	for (uint32_t const port : std::exchange(domain.waiting, {}))
		if (auto const found = _calls.find(port); found != _calls.end()) _connect(found->second);
}

/* Its gate is closed. */
void Broker::_leave(Domain &domain)
{
	if (domain.state == State::RUNNING && _now_us - domain.since_us >= LONG_LIFE_US)
		domain.back_off_us = 0;
	domain.version = 0;
	_part(domain.id);
	_set(domain, State::STOPPING, _now_us + GRACE_US);
}

/* Its processes are gone, or there were none. */
void Broker::_over(Domain &domain, End const &end)
{
	bool const failure = !domain.fault.empty() || (!domain.next && !(end.clean && domain.greeted));
	Restart const restart = domain.plan.restart;
	bool const again = restart == Restart::ALWAYS || (restart == Restart::ON_FAILURE && failure);
	bool const called = domain.plan.start == Start::ON_CALL && !domain.waiting.empty();
	domain.last_end = domain.fault.empty() ? end.text : std::exchange(domain.fault, {});
	domain.advice = failure && domain.alive() ? "; see: bulkhead logs " + domain.name : "";
	domain.failures += failure;
	_host.log(failure ? Level::WARNING : Level::INFO,
		domain.name + " has ended: " + domain.last_end + domain.advice);

	State next = failure ? State::FAILED : State::STOPPED;
	uint64_t due_us = _now_us;
	if (domain.next) {
		next = *std::exchange(domain.next, {});
	} else if ((again && !end.lasting) || (called && !failure)) {
		next = State::WAITING;
		domain.back_off_us = std::clamp(2 * domain.back_off_us, BACK_OFF_MIN_US, BACK_OFF_MAX_US);
		due_us += domain.back_off_us;
	}
	_set(domain, next, due_us);
	if (next != State::WAITING) _refuse_waiting(domain, "its target has ended");
}

/* Starts it, if it is ready and not too many were. */
void Broker::_start(Domain &domain, unsigned &starts)
{
	bool ready = true;
	for (Domain *const need : domain.needs) {
		if (need->state == State::FAILED)
			return _over(
				domain, {.text = "it needs " + need->name + ", which has failed", .lasting = true});
		if (need->state == State::STOPPED) _want(*need);
		ready &= need->state == State::RUNNING;
	}
	if (!ready) return;
	if (starts == STARTS_OF_TICK) return _wake(0);
	++starts;
	++domain.starts;
	domain.adopted = domain.greeted = false;
	if (End end; !_host.start(domain.id, domain.plan, end)) return _over(domain, end);
	_set(domain, State::STARTING, _now_us + HELLO_US);
	_say_hello(domain.id);
}

void Broker::adopt(Party id)
{
	auto const found = _by_id.find(id);
	if (found == _by_id.end() || found->second.alive()) return;
	found->second.adopted = true;
	_set(found->second, State::STARTING, _now_us + HELLO_US);
	_say_hello(id);
}

void Broker::rest(Party id)
{
	auto const found = _by_id.find(id);
	if (found != _by_id.end()) _stop(found->second, State::STOPPED);
}

/* Does what is due, and says when it is to be looked at next. */
void Broker::_look_at(Domain &domain, unsigned &starts)
{
	_refuse_waiting(domain, "its target wasn't ready in time", CALL_WAIT_US);
	if (domain.at_rest() || domain.state == State::RUNNING) return;
	if (_now_us < domain.due_us) return _wake(domain.due_us);
	if (domain.state == State::WAITING) return _start(domain, starts);
	if (domain.open()) return broken(domain.id, "it hasn't said HELLO in time");
	_host.kill(domain.id);
	domain.due_us = _now_us + GRACE_US;
	_wake(domain.due_us);
}

void Broker::_stop_unneeded()
{
	std::vector<Domain const *> needed;
	for (Domain const *const domain : _domains)
		if (domain->alive())
			needed.insert(needed.end(), domain->needs.begin(), domain->needs.end());
	std::ranges::sort(needed);
	for (Domain *const domain : _domains) {
		bool const last = domain->alive() && !std::ranges::binary_search(needed, domain);
		if (last || domain->state == State::WAITING) _stop(*domain, State::STOPPED);
	}
}

bool Broker::_at_rest() const { return std::ranges::all_of(_domains, &Domain::at_rest); }

bool Broker::finished() const
{
	auto const waits = [](auto const &entry) { return entry.second.asked.has_value(); };
	return _ending && _at_rest() && std::ranges::none_of(_operators, waits);
}

/* Forgets those that are neither there nor in the plan. */
void Broker::_bury()
{
	std::erase_if(_domains, [&](Domain const *domain) {
		if (!domain->gone || domain->alive()) return false;
		_by_name.erase(domain->name);
		_by_id.erase(Party{domain->id});
		return true;
	});
}

/* Has a domain be what its plan says. */
Domain &Broker::_take(Domain_plan plan)
{
	auto const known = _by_name.find(plan.name);
	Domain &domain = known == _by_name.end() ? _by_id[_next_id] : *known->second;
	if (known == _by_name.end()) {
		domain.id = _next_id++;
		domain.name = plan.name;
		domain.since_us = _now_us;
		_by_name[domain.name] = &domain;
	}
	bool const same = !std::exchange(domain.gone, false) && domain.plan.same_as(plan);
	domain.plan = std::move(plan);
	domain.made_max = domain.plan.calls_max;
	bool const on_call = domain.plan.start == Start::ON_CALL;
	if (!same) domain.back_off_us = 0;
	if (known == _by_name.end() && !on_call)
		_want(domain);
	else if (domain.state == State::FAILED || (!same && domain.state != State::STOPPED))
		_stop(domain, on_call && domain.at_rest() ? State::STOPPED : State::WAITING);
	return domain;
}

void Broker::apply(System_plan plan, policy::Evaluator &evaluator)
{
	_evaluator = &evaluator;
	_name = plan.name;
	std::vector<Domain *> before = std::exchange(_domains, {});
	for (Domain_plan &wanted : plan.domains) {
		Domain &domain = _take(std::move(wanted));
		std::erase(before, &domain);
		_domains.push_back(&domain);
		domain.needs.clear();
		for (std::string const &need : domain.plan.needs)
			if (auto const found = _by_name.find(need); found != _by_name.end())
				domain.needs.push_back(found->second);
	}
	for (Domain *const domain : before) {
		domain->gone = true;
		domain->needs.clear();
		_stop(*domain, State::STOPPED);
		_domains.push_back(domain);
	}
	_bury();
	_wake(0);
}

} // namespace bulkhead::domain
