#pragma once

// The calls that a component serves: which service takes which, and the jobs that serve them.

#include "sdk/component/env.h"
#include "sdk/component/gate_end.h"

#include <deque>
#include <functional>
#include <map>
#include <vector>

namespace bulkhead::component {

class Served_calls
{
private:
	class Slot;

	struct Taker
	{
		std::string service{};
		Service *jobs = nullptr; // or
		std::function<void(Env::Given_call)> ends{};
	};

	/* A call that waits for another to end. */
	struct Waiting
	{
		Env::Given_call call{};
		Taker *taker = nullptr;
	};

	linux_host::Loop &_loop;
	Gate_end &_gate;
	Env::Limits const _limits;
	std::function<void()> _idle;
	std::deque<Taker> _takers{};
	std::vector<std::unique_ptr<Slot>> _slots{};
	std::vector<Slot *> _free{};
	std::deque<Waiting> _waiting{};
	std::map<uint32_t, uint32_t> _given{}; // callers of those whose ends were passed on, by port
	std::map<uint32_t, size_t> _live_of{}; // by caller
	size_t _running = 0; // of `_slots`

	Taker *_taker_of(std::string_view service);
	bool _may_start(uint32_t caller) const;
	bool _may_wait(uint32_t caller) const;
	void _start(Waiting);
	void _one_less(uint32_t caller);
	void _ended(Slot &, qrexec::Exec_params);
	void _go_on();
	void _choose_spin();

public:
	/* `idle` is called whenever the last call has ended. */
	Served_calls(linux_host::Loop &, Gate_end &, Env::Limits const &, std::function<void()> idle);
	~Served_calls();

	void add(std::string_view service, Service &);
	void add(std::string_view service, std::function<void(Env::Given_call)> taker);

	void called(qrexec::Command_line const &, qrexec::Exec_params, linux_host::Channel_end);
	/* Of one that was passed on; false: there is none. */
	bool given_ended(uint32_t port);
	/* Those that wait are ended. */
	void refuse_waiting();

	size_t live() const { return _running + _given.size(); }
};

} // namespace bulkhead::component
