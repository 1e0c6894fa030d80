#include "domain/broker/broker.h"

namespace bulkhead::domain {

void Broker::_set(Domain &domain, State state, uint64_t due_us)
{
	domain.state = state;
	domain.since_us = _now_us;
	domain.due_us = due_us;
	// Others may have waited for this.
	_wake(0);
}

/* Has it start, unless it has failed for good. */
void Broker::_want(Domain &domain, bool by_operator)
{
	if (_ending) return;
	if (domain.state == State::STOPPING && (domain.asked || by_operator)) {
		domain.asked = true;
		domain.next = State::WAITING;
	}
	bool const failed = domain.state == State::FAILED;
	if (domain.state == State::STOPPED ||
		(by_operator && (failed || domain.state == State::WAITING)))
		_set(domain, State::WAITING, _now_us);
	for (Domain *const need : domain.needs)
		if (failed && by_operator && need->state == State::FAILED) _want(*need, true);
}

/* Has it end, and be in this state then. */
void Broker::_stop(Domain &domain, State next)
{
	if (domain.alive()) {
		domain.asked = true;
		domain.next = next;
		if (domain.state == State::STOPPING) return;
		_host.close(domain.id);
		return _leave(domain);
	}
	_set(domain, next, _now_us);
	if (next == State::STOPPED) _refuse_waiting(domain, "its target was stopped");
}

/* Its gate is closed. */
void Broker::_leave(Domain &domain)
{
	if (domain.state == State::RUNNING && _now_us - domain.since_us >= LONG_LIFE_US)
		domain.back_off_us = 0;
	domain.version = 0;
	_part(domain, domain.served_live);
	_set(domain, State::STOPPING, _now_us + GRACE_US);
}

/* Its processes are gone, or there were none. */
void Broker::_over(Domain &domain, End const &end)
{
	bool const failure = !domain.fault.empty() || (!domain.asked && !(end.clean && domain.greeted));
	bool const again = domain.plan.restart == Restart::ALWAYS ||
		(domain.plan.restart == Restart::ON_FAILURE && failure);
	domain.last_end = domain.fault.empty() ? end.text : domain.fault;
	domain.failures += failure;
	_host.log(
		failure ? Level::WARNING : Level::INFO, domain.name + " has ended: " + domain.last_end);

	State next = failure ? State::FAILED : State::STOPPED;
	if (domain.asked)
		next = domain.next;
	else if (again && !end.lasting)
		next = State::WAITING;
	else if (!failure && domain.plan.start == Start::ON_CALL && !domain.waiting.empty())
		next = State::WAITING;
	if (_ending && next == State::WAITING) next = State::STOPPED;

	uint64_t due_us = _now_us;
	if (next == State::WAITING && !domain.asked) {
		domain.back_off_us = std::clamp(2 * domain.back_off_us, BACK_OFF_MIN_US, BACK_OFF_MAX_US);
		due_us += domain.back_off_us;
	}
	domain.asked = false;
	domain.fault.clear();
	_set(domain, next, due_us);
	if (next != State::WAITING) _refuse_waiting(domain, "its target has ended");
}

void Broker::_start(Domain &domain, unsigned &starts)
{
	bool ready = true;
	for (Domain *const need : domain.needs) {
		if (need->state == State::FAILED)
			return _over(
				domain, {.text = "it needs " + need->name + ", which has failed", .lasting = true});
		ready &= need->state == State::RUNNING;
		if (need->state == State::STOPPED) _want(*need, false);
	}
	if (!ready) return;
	if (starts == STARTS_OF_TICK) return _wake(0);
	++starts;
	++domain.starts;
	domain.adopted = domain.greeted = false;
	if (End end; !_host.start(domain.id, domain.plan, end)) return _over(domain, end);
	_set(domain, State::STARTING, _now_us + HELLO_US);
	_say_hello(domain);
}

void Broker::adopt(Party id)
{
	Domain *const domain = find(id);
	if (!domain || domain->alive()) return;
	domain->adopted = true;
	_set(*domain, State::STARTING, _now_us + HELLO_US);
	_say_hello(*domain);
}

/* Does what is due, and says when it is to be looked at next. */
void Broker::_look_at(Domain &domain, unsigned &starts)
{
	_refuse_waiting(domain, "its target wasn't ready in time", CALL_WAIT_US);
	State const state = domain.state;
	if (state == State::STOPPED || state == State::RUNNING || state == State::FAILED) return;
	if (_now_us < domain.due_us) return _wake(domain.due_us);
	if (state == State::WAITING) return _start(domain, starts);
	if (state == State::STARTING) return broken(domain.id, "it hasn't said HELLO in time");
	_host.kill(domain.id);
	domain.due_us = _now_us + GRACE_US;
	_wake(domain.due_us);
}

void Broker::shut_down()
{
	_ending = true;
	_wake(0);
}

void Broker::_stop_unneeded()
{
	std::vector<Domain const *> needed;
	for (auto const &domain : _domains)
		if (domain->alive())
			needed.insert(needed.end(), domain->needs.begin(), domain->needs.end());
	std::ranges::sort(needed);
	for (auto const &domain : _domains) {
		bool const last = !std::ranges::binary_search(needed, domain.get());
		if (domain->state == State::WAITING || (domain->alive() && last))
			_stop(*domain, State::STOPPED);
	}
}

bool Broker::finished() const
{
	auto const waits = [](auto const &entry) { return entry.second.waits; };
	return _ending && _at_rest() && std::ranges::none_of(_operators, waits);
}

/* Forgets those that are neither there nor in the plan. */
void Broker::_bury()
{
	std::erase_if(_domains, [&](auto const &domain) {
		bool const over = domain->gone && !domain->alive();
		if (over) _by_id.erase(domain->id);
		return over;
	});
}

void Broker::apply(System_plan plan, policy::Evaluator &evaluator)
{
	_evaluator = &evaluator;
	_name = plan.name;
	std::unordered_map<std::string_view, std::unique_ptr<Domain>> before;
	for (auto &domain : std::exchange(_domains, {}))
		before.emplace(domain->name, std::move(domain));
	std::unordered_map<std::string_view, Domain *> by_name;
	for (Domain_plan &wanted : plan.domains) {
		auto const known = before.extract(wanted.name);
		auto &domain =
			*_domains.emplace_back(known ? std::move(known.mapped()) : std::make_unique<Domain>());
		bool const changed = !known || domain.gone || !domain.plan.same_as(wanted);
		domain.plan = std::move(wanted);
		domain.made_max = domain.plan.calls_max;
		domain.gone = false;
		if (!known) {
			domain.id = _next_id++;
			domain.name = domain.plan.name;
			domain.since_us = _now_us;
			_by_id[domain.id] = &domain;
		}
		by_name[domain.name] = &domain;
		bool const on_call = domain.plan.start == Start::ON_CALL;
		if (changed) domain.back_off_us = 0;
		if (!known && !on_call)
			_want(domain, false);
		else if (domain.state == State::FAILED || (changed && domain.state != State::STOPPED))
			_stop(
				domain, on_call && domain.state == State::FAILED ? State::STOPPED : State::WAITING);
	}
	for (auto &[name, domain] : before) {
		domain->gone = true;
		domain->needs.clear();
		_stop(*domain, State::STOPPED);
		_domains.push_back(std::move(domain));
	}
	_bury();
	for (auto const &domain : _domains) {
		if (domain->gone) continue;
		domain->needs.clear();
		for (std::string const &need : domain->plan.needs)
			if (auto const found = by_name.find(need); found != by_name.end())
				domain->needs.push_back(found->second);
	}
	_by_number.clear();
	for (policy::Domain const &known : evaluator.system().domains()) {
		auto const found = by_name.find(known.name);
		_by_number.push_back(found == by_name.end() ? nullptr : found->second);
	}
	_wake(0);
}

} // namespace bulkhead::domain
