#pragma once

// A daemon that isn't started with --direct: its own process, and the one before it, which waits
// until the domain's agent has come and tells by its exit code how that went.

#include "component/qrexec/daemon/settings.h"
#include "platform/linux/descriptor.h"

#include <optional>

namespace bulkhead::qrexec {

class Background
{
private:
	linux_host::Owned_fd _pipe{}; // to the process that waits

public:
	/*
	 * Goes on in a child, with the log as standard output and error. In the process that was there
	 * before: its exit code, when the child has told.
	 */
	std::optional<int> enter(Settings const &settings);

	/* An exit code of Daemon: 0, the agent is there. Once. */
	void tell(int exit_code);
};

} // namespace bulkhead::qrexec
