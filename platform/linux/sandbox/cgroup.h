#pragma once

// The control group (version 2) of a sandbox: what it may use of the machine.

#include "base/attempt.h"
#include "platform/linux/descriptor.h"

#include <string>

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

	/* BUSY: there is one with processes; others as `why` says. */
	Attempt<void> make(std::string const &path, std::string &why);

	/* Writes a limit; false with errno, as if there is no group. */
	bool set(char const *file, std::string const &value);

	/* -1: none. */
	int directory() const { return _directory.value(); }
	void keep() { _path.clear(); }
};

/* Whether groups below `parent` are limited by "memory", "cpu" or "pids", or (not `already`) may
 * be. */
bool controls(
	std::string const &parent, bool already, std::string const &controller, std::string &why);

/* A directory in which groups may be made: this process's `own`, if that is delegated, or the root
 * of all. Empty: `why`. */
std::string group_of_groups(bool &own, std::string &why);

/* A text to an existing file; false with errno. */
bool write_file(int directory, std::string const &name, std::string const &text);

} // namespace bulkhead::linux_host::sandbox
