#pragma once

// The process that writes domains' logs (log_writer/): started here, and again if it ends.

#include "platform/linux/clock.h"
#include "platform/linux/gate.h"

#include <string>

namespace bulkhead::broker {

class Logs
{
private:
	linux_host::Monotonic_clock _clock{};
	linux_host::Gate _writer{};
	pid_t _pid = -1;
	uint64_t _since_us = 0;

public:
	/* Ends it, after it has written all; waits for that a little. */
	~Logs() { end(); }

	/* False: it can't be started, or has ended just after its start. */
	bool start();
	void end();

	/* Readable once it has ended. */
	int fd() const { return _writer.fd(); }

	/* Has a pipe written to a file; it stays the caller's, who doesn't read it. */
	void follow(int pipe, uint64_t bytes_max, std::string const &path);
};

} // namespace bulkhead::broker
