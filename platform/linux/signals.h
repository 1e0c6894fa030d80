#pragma once

// Signals as events of a loop instead of interruptions at any point.

#include "platform/linux/descriptor.h"
#include "platform/linux/loop.h"

#include <initializer_list>
#include <signal.h>

namespace bulkhead::linux_host {

/*
 * Blocks signals in the calling thread and has them read from a descriptor, which doesn't block.
 * `before`: what was blocked until now. None: nothing is blocked, errno says why.
 */
Owned_fd take_signals(std::initializer_list<int> signals, sigset_t *before = nullptr);

/* The number of the next that has come to such a descriptor; 0: none has. */
int next_signal(int signals);

/*
 * Takes signals of the process for a loop. From `start` on they are blocked in the calling thread
 * and in all that it starts afterwards, so this comes before other threads are made; the end of
 * the object restores what was. One object per signal.
 */
class Signals : private Loop::Source
{
private:
	sigset_t _before{};
	Owned_fd _signals{};

	void _take_one();

	// Here, so that whoever derives from this may use RTTI, which the library is built without.
	void ready(uint32_t) override { _take_one(); }

protected:
	Signals() = default;
	~Signals();

public:
	/* Errors: TOO_MANY_OPEN, OUT_OF_MEMORY, NO_SPACE. */
	Attempt<void> start(Loop &loop, std::initializer_list<int> signals);

	/* A signal has come; several of the same number may be told as one. */
	virtual void signalled(int number) = 0;
};

/* Stops the loop at SIGTERM, SIGINT or SIGHUP. */
class Stop_signals final : public Signals
{
private:
	Loop &_loop;
	int _received = 0;

	void signalled(int number) override
	{
		_received = number;
		_loop.stop();
	}

public:
	explicit Stop_signals(Loop &loop) : _loop(loop) {}

	Attempt<void> start() { return Signals::start(_loop, {SIGTERM, SIGINT, SIGHUP}); }

	/* The signal that has stopped the loop, 0 if none has. */
	int received() const { return _received; }
};

} // namespace bulkhead::linux_host
