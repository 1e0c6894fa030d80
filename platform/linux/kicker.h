#pragma once

// Wakes a loop that sleeps in a read of its own instead of in epoll: a thread that watches what the
// loop can't watch then, and interrupts the read by a signal.

#include "platform/linux/loop.h"

#include <mutex>
#include <pthread.h>

namespace bulkhead::linux_host {

class Kicker
{
private:
	Loop &_loop;
	int _epoll = -1;
	int _event = -1;
	std::atomic<bool> _quit{false};
	std::mutex _kicking{};
	pthread_t _sleeper{};
	pthread_t _thread{};
	bool _started = false;

	void _run();
	bool _kick();

public:
	explicit Kicker(Loop &loop) : _loop(loop) {}
	~Kicker();

	/*
	 * Starts the thread; called in the one that sleeps. Errors: TOO_MANY_OPEN, OUT_OF_MEMORY.
	 */
	Attempt<void> start();

	/* Interrupts the loop's sleep when this descriptor becomes ready. */
	void watch(int fd, uint32_t events);
	void unwatch(int fd);

	/* Before the loop sleeps: the thread that calls will. */
	void will_sleep() { _sleeper = pthread_self(); }

	/* After a sleep that was interrupted: no signal comes any more. */
	void was_kicked();

	/* Interrupts the loop's sleep. Any thread. */
	void wake();
};

} // namespace bulkhead::linux_host
