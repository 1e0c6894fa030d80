#include "sdk/component/served_calls.h"

#include "vchan/spin.h"

#include <algorithm>

namespace bulkhead::component {
namespace {

using linux_host::Channel_end;
using qrexec::Exec_params;
using qrexec::Loop_channel;

/* For calls of what nobody serves. */
class No_service final : public Service
{
public:
	Task<int> serve(Job &, Incoming_call const &) override { return qrexec::EXIT_NO_SERVICE; }
};

No_service no_service;

} // namespace

/* A job that serves one call at a time. */
class Served_calls::Slot final : private Completion
{
private:
	Served_calls &_owner;
	std::unique_ptr<std::byte[]> _arena; // operator new aligns as frames need it
	Job _job;
	Loop_channel _channel;
	std::string _full_name{};
	std::string _caller{};
	Incoming_call _call{.channel = _channel};
	Exec_params _params{};
	unsigned _spin = 0; // as it was chosen for it
	Root _root{}; // first to go

	static Root _serve(Job &job, Service &service, Incoming_call const &call)
	{
		auto const code = co_await service.serve(job, call);
		int const said = code.ok() ? code.value() : qrexec::EXIT_TROUBLE;
		static_cast<void>(co_await call.channel.exit(job, said));
	}

	void completed() override
	{
		_root = Root();
		_job.reset();
		_channel.close();
		_owner._ended(*this, _params);
	}

public:
	explicit Slot(Served_calls &owner)
		: _owner(owner),
		  _arena(std::make_unique_for_overwrite<std::byte[]>(owner._limits.frame_bytes)),
		  _job(owner._loop.executor(), {_arena.get(), owner._limits.frame_bytes}),
		  _channel(owner._loop)
	{}

	/* False: it could not be taken up. */
	bool start(Service &service, Env::Given_call call)
	{
		_params = {call.domain, call.port};
		_full_name = std::move(call.full_name);
		_caller = std::move(call.caller);
		std::string_view const name = _full_name;
		size_t const plus = std::min(name.find('+'), name.size());
		_call.service = name.substr(0, plus);
		_call.argument = plus < name.size() ? name.substr(plus + 1) : std::string_view();
		_call.caller = _caller;
		_job.spin = _spin;
		_root = _serve(_job, service, _call);
		// Its turn comes before that in which the channel sends our greeting: an answer that is
		// given at once goes along, and wakes the caller once.
		if (_root.start(_job, this).ok() &&
			_channel.adopt(std::move(call.end), qrexec::Side::SERVICE).ok())
			return true;
		_root = Root();
		_job.reset();
		return false;
	}

	/* Unless the service has chosen itself. */
	void spin(unsigned looks)
	{
		if (_job.spin == _spin) _job.spin = looks;
		_spin = looks;
	}
};

Served_calls::Served_calls(
	linux_host::Loop &loop, Gate_end &gate, Env::Limits const &limits, std::function<void()> idle)
	: _loop(loop), _gate(gate), _limits(limits), _idle(std::move(idle))
{}

Served_calls::~Served_calls() = default;

void Served_calls::add(std::string_view service, Service &jobs)
{
	_takers.push_back({.service = std::string(service), .jobs = &jobs});
}

void Served_calls::add(std::string_view service, std::function<void(Env::Given_call)> ends)
{
	_takers.push_back({.service = std::string(service), .ends = std::move(ends)});
}

Served_calls::Taker *Served_calls::_taker_of(std::string_view service)
{
	auto const named = [&](std::string_view name) {
		auto const found = std::ranges::find(_takers, name, &Taker::service);
		return found == _takers.end() ? nullptr : &*found;
	};
	Taker *const taker = named(service);
	return taker ? taker : named("*");
}

void Served_calls::called(qrexec::Command_line const &command, Exec_params params, Channel_end end)
{
	Waiting call{.call = {.full_name = std::string(command.full_name),
					 .caller = std::string(command.source),
					 .end = std::move(end),
					 .domain = params.domain,
					 .port = params.port},
		.taker = _taker_of(command.service)};
	// Without its descriptors, as we have too many, it can't be taken.
	if (!call.call.end.memory) return _gate.tell_end(params);
	if (_may_start(params.domain)) return _start(std::move(call));
	if (!_may_wait(params.domain)) return _gate.tell_end(params);
	_waiting.push_back(std::move(call));
}

bool Served_calls::_may_start(uint32_t caller) const
{
	auto const found = _live_of.find(caller);
	return live() < _limits.calls &&
		(found == _live_of.end() || found->second < _limits.of_a_caller);
}

bool Served_calls::_may_wait(uint32_t caller) const
{
	auto const of_caller = std::ranges::count_if(
		_waiting, [&](Waiting const &waiting) { return waiting.call.domain == caller; });
	return _waiting.size() < _limits.waiting &&
		static_cast<size_t>(of_caller) < std::max<size_t>(_limits.waiting / 4, 1);
}

void Served_calls::_one_less(uint32_t caller)
{
	auto const found = _live_of.find(caller);
	if (found != _live_of.end() && --found->second == 0) _live_of.erase(found);
}

void Served_calls::_start(Waiting waiting)
{
	Exec_params const params{waiting.call.domain, waiting.call.port};
	if (waiting.taker && waiting.taker->ends) {
		_given.emplace(params.port, params.domain);
		++_live_of[params.domain];
		_gate.many = live() > 1;
		return waiting.taker->ends(std::move(waiting.call));
	}
	if (_free.empty()) {
		_slots.push_back(std::make_unique<Slot>(*this));
		_free.push_back(_slots.back().get());
	}
	Slot &slot = *_free.back();
	Service &service = waiting.taker ? *waiting.taker->jobs : no_service;
	if (!slot.start(service, std::move(waiting.call))) return _gate.tell_end(params);
	_free.pop_back();
	++_running;
	++_live_of[params.domain];
	_choose_spin();
}

/* Looking for long keeps others from being served: only who is alone does it. */
void Served_calls::_choose_spin()
{
	_gate.many = live() > 1;
	if (_running > 2) return;
	for (auto const &slot : _slots) slot->spin(_running == 1 ? vchan::Spin::MOST : 0);
}

void Served_calls::_ended(Slot &slot, Exec_params params)
{
	--_running;
	_one_less(params.domain);
	_free.push_back(&slot);
	_gate.tell_end(params);
	_choose_spin();
	_go_on();
}

bool Served_calls::given_ended(uint32_t port)
{
	auto const found = _given.find(port);
	if (found == _given.end()) return false;
	_one_less(found->second);
	_given.erase(found);
	_go_on();
	return true;
}

void Served_calls::_go_on()
{
	while (live() < _limits.calls) {
		auto const next = std::ranges::find_if(
			_waiting, [&](Waiting const &waiting) { return _may_start(waiting.call.domain); });
		if (next == _waiting.end()) break;
		Waiting call = std::move(*next);
		_waiting.erase(next);
		_start(std::move(call));
	}
	if (live() == 0) _idle();
}

void Served_calls::refuse_waiting() { _waiting.clear(); }

} // namespace bulkhead::component
