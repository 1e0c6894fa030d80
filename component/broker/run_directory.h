#pragma once

// The directory of a running system, <run dir>/NAME: the socket of its operators, the lock of its
// broker and, unless the manifest says otherwise, its logs.

#include "component/broker/notify.h"
#include "platform/linux/gate.h"

#include <string>

namespace bulkhead::broker {

/* $BULKHEAD_RUN_DIR; or /run/bulkhead of root, and a directory of the user's own for others. */
std::string default_run_directory();

class Run_directory
{
private:
	std::string _path{};
	linux_host::Owned_fd _lock{};
	linux_host::Owned_fd _listener{};

	bool _make_directory(std::string &why);
	bool _take_lock(std::string &why);
	bool _listen(std::string &why);

public:
	enum class Opened : uint8_t { YES, NO, RUNS_ALREADY };

	/*
	 * Takes the system's name for this process, and for those after it which are given what is
	 * stored. Else `why`: who runs, or what is to be done.
	 */
	Opened open(std::string const &path,
		std::map<std::string, linux_host::Owned_fd, std::less<>> &stored, Notify &notify,
		std::string &why);

	std::string const &path() const { return _path; }
	int listener() const { return _listener.value(); }

	/* An operator who has come; without a socket: nobody, or somebody who may not. */
	linux_host::Gate accept();

	/* Leaves nothing behind but logs. */
	void remove(Notify &notify);
};

} // namespace bulkhead::broker
