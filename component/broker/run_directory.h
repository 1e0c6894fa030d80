#pragma once

// The directory of a running system, <run dir>/NAME, which its broker has locked: the socket of its
// operators and, unless the manifest says otherwise, its logs.

#include "component/broker/notify.h"
#include "platform/linux/gate.h"

#include <fcntl.h>
#include <string>

namespace bulkhead::broker {

class Run_directory
{
private:
	std::string _path{};
	linux_host::Owned_fd _lock{};
	linux_host::Owned_fd _listener{};
	linux_host::Owned_fd _spare{::open("/", O_PATH | O_CLOEXEC)}; // for when there is no other

	int _take(std::string &why);
	void _find_left(Descriptors &kept) const;

public:
	/*
	 * Takes the system's name for this process, and for those after it which are given what is
	 * kept: 0. UNABLE, RUNS_ALREADY: `why`. Processes that were noted and still run, though their
	 * broker and its keeper were killed at once, are among what is kept then.
	 */
	int open(std::string const &path, Descriptors &kept, Notify &notify, std::string &why);

	/* A domain's process (a pidfd), until it is forgotten. */
	void note(std::string const &domain, int process) const;
	void forget(std::string const &domain) const;

	int listener() const { return _listener.value(); }

	/* An operator who has come; without a socket: nobody, or somebody who may not. */
	linux_host::Gate accept();

	/* Leaves nothing behind but logs. */
	void remove();
};

/* The number of a process whose pidfd this is, or 0. */
pid_t pid_of(int process);

} // namespace bulkhead::broker
