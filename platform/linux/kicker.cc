#include "platform/linux/kicker.h"

#include "platform/linux/errno.h"

#include <algorithm>
#include <csignal>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace bulkhead::linux_host {

static void interrupt_system_call(int) {}

/* The signal must have a handler, and one that doesn't restart the read. */
static void prepare_signal()
{
	struct sigaction action{};
	action.sa_handler = interrupt_system_call;
	sigaction(Loop::kick_signal(), &action, nullptr);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, Loop::kick_signal());
	pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

Attempt<void> Kicker::start()
{
	prepare_signal();
	_epoll = epoll_create1(EPOLL_CLOEXEC);
	_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (_epoll < 0 || _event < 0) return Error::TOO_MANY_OPEN;
	watch(_event, EPOLLIN);

	// Signals of the process are not for this thread.
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	auto const run = [](void *kicker) -> void * {
		static_cast<Kicker *>(kicker)->_run();
		return nullptr;
	};
	_started = pthread_create(&_thread, nullptr, run, this) == 0;
	pthread_sigmask(SIG_SETMASK, &before, nullptr);
	if (!_started) return Error::OUT_OF_MEMORY;
	return Ok{};
}

Kicker::~Kicker()
{
	if (_started) {
		_quit = true;
		wake();
		pthread_join(_thread, nullptr);
	}
	if (_event >= 0) close(_event);
	if (_epoll >= 0) close(_epoll);
}

void Kicker::watch(int fd, uint32_t events)
{
	// One edge is enough: the loop looks at everything once it is awake.
	epoll_event event{.events = events | EPOLLET, .data = {.fd = fd}};
	if (epoll_ctl(_epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		epoll_ctl(_epoll, EPOLL_CTL_MOD, fd, &event);
}

void Kicker::unwatch(int fd) { epoll_ctl(_epoll, EPOLL_CTL_DEL, fd, nullptr); }

void Kicker::wake() { eventfd_write(_event, 1); }

void Kicker::was_kicked()
{
	{
		std::lock_guard const no_signal_is_being_sent{_kicking};
	}
	// What was sent is taken on the way out of this call, and interrupts no later one.
	sched_yield();
}

bool Kicker::_kick()
{
	std::lock_guard const lock{_kicking};
	if (_loop._state != Loop::State::KICKED) return false;
	pthread_kill(_sleeper, Loop::kick_signal());
	return true;
}

void Kicker::_run()
{
	while (!_quit) {
		epoll_event event;
		if (epoll_wait(_epoll, &event, 1, -1) < 1) continue;
		// A loop that is awake sees this before it sleeps; once it leaves KICKED it was awake.
		_loop._attention = true;
		Loop::State asleep = Loop::State::BLOCKED;
		_loop._state.compare_exchange_strong(asleep, Loop::State::KICKED);
		for (useconds_t pause_us = 20; _kick(); pause_us = std::min(2 * pause_us, 1000U))
			usleep(pause_us);
	}
}

} // namespace bulkhead::linux_host
