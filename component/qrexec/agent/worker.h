#pragma once

// The process that carries calls to processes, one at a time: $QREXEC_AGENT_PID of a service.

#include "component/qrexec/agent/served_call.h"

#include <array>

namespace bulkhead::qrexec {

/* The two messages between an agent and its worker, on a socket of packets. */
struct Work
{
	struct Head
	{
		uint32_t type;
		Exec_params params;
	};

	static constexpr size_t MAX_BYTES = sizeof(Head) + COMMAND_MAX; // and the command line

	enum class Report : uint8_t {
		DONE = 1, // and ready for the next one
		LEAVING, // done, and nothing else
	};
};

/*
 * Takes calls from the socket until its other end is closed. What it hands over isn't resolved yet.
 * `keeps_watch`: has an inotify open all the time, which makes looking for callers faster, but of
 * which a user may have only so many.
 * For a process that has nothing but this socket and descriptors 0 to 2, and SIGUSR1 blocked.
 * Returns an exit status.
 */
int serve_as_worker(int socket, Serving const &serving, bool keeps_watch);

} // namespace bulkhead::qrexec
