#pragma once

// What pid 1 does for all processes of its domain: it waits for those that nobody waits for.

#include "platform/linux/signals.h"

#include <set>
#include <sys/types.h>

namespace bulkhead::component {

/* Belongs to the loop's thread. */
class Reaper final : private linux_host::Signals, private linux_host::Loop::Remote
{
public:
	class Events
	{
	protected:
		~Events() = default;

	public:
		/* A child has ended that isn't kept, with this exit code. */
		virtual void ended(pid_t process, int exit_code) = 0;
	};

private:
	linux_host::Loop &_loop;
	Events &_events;
	std::set<pid_t> _kept{};

	void signalled(int) override { posted(); }
	void posted() override;

public:
	Reaper(linux_host::Loop &loop, Events &events) : Remote(loop), _loop(loop), _events(events) {}

	/* Errors: those of `Signals::start`. */
	Attempt<void> start() { return Signals::start(_loop, {SIGCHLD}); }

	/* A child that somebody else in this process waits for, until it is released. */
	void keep(pid_t process) { _kept.insert(process); }
	void release(pid_t process);
};

} // namespace bulkhead::component
