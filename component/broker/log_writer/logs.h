#pragma once

// The process that writes domains' logs (log_writer/): started here, and again if it ends.

#include "base/clock.h"
#include "component/broker/back_off.h"
#include "platform/linux/gate.h"

#include <string>

namespace bulkhead::broker {

class Logs
{
private:
	linux_host::Gate _writer{};
	pid_t _pid = -1;
	Back_off _back_off{30'000'000};

public:
	/* Ends it, after it has written all; waits for that a little. */
	~Logs() { end(); }

	/* Has a descriptor then, unless it can't be started. */
	void start(uint64_t now_us);
	void end();

	/* When it is to be started; NEVER_US: it runs. */
	uint64_t due_us() const { return _writer.fd() < 0 ? _back_off.due_us() : NEVER_US; }

	/* Readable once it has ended. */
	int fd() const { return _writer.fd(); }

	/* Has a pipe written to a file; it stays the caller's, who doesn't read it. */
	void follow(int pipe, uint64_t bytes_max, std::string const &path);
};

} // namespace bulkhead::broker
