#pragma once

// The control group (version 2) of a sandbox: what it may use of the machine.

#include "platform/linux/descriptor.h"
#include "platform/linux/sandbox/sandbox.h"

namespace bulkhead::linux_host::sandbox {

/* A directory of cgroup2; removed with its owner unless it is kept. */
class Cgroup
{
private:
	std::string _path{};
	Owned_fd _directory{};

public:
	Cgroup() = default;
	Cgroup(Cgroup const &) = delete;
	~Cgroup();

	/* BUSY: there is one with processes. NOT_FOUND, DENIED, NOT_SUPPORTED … as `why` says. */
	Attempt<void> make(std::string const &path, std::string &why);

	/* Writes a limit; what a kernel doesn't have is NOT_FOUND. */
	Attempt<void> set(char const *file, std::string const &value);

	int directory() const { return _directory.value(); }
	void keep() { _path.clear(); }
};

/* "memory", "cpu" and "pids" that groups below `parent` can be limited by, and why not. */
bool controls(std::string const &parent, std::string const &controller, std::string &why);

/* The group that this process is in, as a directory; empty: `why`. */
std::string own_cgroup(std::string &why);

} // namespace bulkhead::linux_host::sandbox
