#pragma once

// SIGINT, SIGTERM and SIGHUP as something that one finds out when it suits, and that wakes whoever
// waits: a system call that is under way ends with EINTR, and one that is about to begin finds a
// descriptor readable.

#include "platform/linux/descriptor.h"

#include <signal.h>

namespace bulkhead::tool {

/* From its beginning to its end; there is one at a time. A broken pipe is an error meanwhile. */
class Interrupt
{
private:
	linux_host::Owned_fd _wake{};
	struct sigaction _before[4]{};

public:
	Interrupt();
	Interrupt(Interrupt const &) = delete;
	Interrupt &operator=(Interrupt const &) = delete;
	~Interrupt();

	/* The last signal that has come, 0 if none has. */
	int number() const;

	/* How many have come. */
	unsigned count() const;

	/* Readable once one has come, until `quiet`. */
	int fd() const { return _wake.value(); }
	void quiet() const;

	/* The exit code of what was ended by it. */
	int code() const { return 128 + number(); }
};

} // namespace bulkhead::tool
