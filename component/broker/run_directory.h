#pragma once

// The directory of a running system, <run dir>/NAME, which its broker has locked: the socket of its
// operators and, unless the manifest says otherwise, its logs.

#include "component/broker/notify.h"
#include "platform/linux/gate.h"

#include <string>

namespace bulkhead::broker {

class Run_directory
{
private:
	std::string _path{};
	linux_host::Owned_fd _lock{};
	linux_host::Owned_fd _listener{};

	int _take(std::string &why);

public:
	/*
	 * Takes the system's name for this process, and for those after it which are given what is
	 * stored: 0. UNABLE, RUNS_ALREADY: `why`.
	 */
	int open(std::string const &path, Descriptors &stored, Notify &notify, std::string &why);

	int listener() const { return _listener.value(); }

	/* An operator who has come; without a socket: nobody, or somebody who may not. */
	linux_host::Gate accept();

	/* Leaves nothing behind but logs. */
	void remove();
};

} // namespace bulkhead::broker
