#pragma once

// A process that sees nothing but what it is given: own user, mount, pid, net, ipc, uts and cgroup
// namespaces, an empty root, a list of system calls, no new privileges, no inherited descriptor.
// Knows nothing of manifests and brokers.

#include "base/attempt.h"
#include "platform/linux/descriptor.h"

#include <cstdint>
#include <functional>
#include <linux/filter.h>
#include <string>
#include <sys/types.h>
#include <vector>

namespace bulkhead::linux_host {

/* What a kernel may be unable to do, so that a manifest has to permit the weaker form. What it
 * lacks is found by explain/lacks.h. */
enum class Ability : uint8_t {
	NAMESPACES, // else: none of them; the process is nobody in the host's
	SECCOMP,
	LANDLOCK, // else: mount points alone keep a process within a directory that it is given
	MEMORY_LIMIT, // of a cgroup; else: RLIMIT_AS of each process
	CPU_LIMIT, // of a cgroup; else: none
	PROCESS_LIMIT, // of a cgroup; else: RLIMIT_NPROC of the user
};

/*
 * The directory below which this process may make groups with limits (Sandbox::cgroup): its own
 * group if systemd has delegated that, from which it and its fellows then move to the group `name`
 * there; else, for root, a group `name` in the root of all. Errors: NOT_SUPPORTED, DENIED and
 * others of a file; `why`: what to do.
 */
Attempt<std::string> delegated_cgroup(std::string const &name, std::string &why);

/*
 * System calls that a process may make, compiled once for any number of processes. Names are the
 * kernel's ("read", "epoll_pwait2"). "@talk" is what a static C++ program needs that only talks
 * over its gate and its channels; "@program" what ordinary programs need: all but those that reach
 * for the host (mount, ptrace, keyctl, bpf, io_uring, namespaces, modules, clocks …). The rest
 * fails with EPERM, those that no honest program makes by mistake end the process.
 */
using System_calls = std::vector<sock_filter>;

/* Error: INVALID (`why`: an unknown name), OUT_OF_MEMORY. */
Attempt<System_calls> compile_system_calls(std::vector<std::string> const &names, std::string &why);

struct Sandbox
{
	/* A file or directory of the host at a place in the sandbox (absolute). */
	struct Bind
	{
		std::string source;
		std::string target;
		bool writable = false;
	};

	/* A descriptor that it is given, from 3 on in this order, as sd_listen_fds(3) has it: the names
	 * are in LISTEN_FDNAMES, the count in LISTEN_FDS. */
	struct Given
	{
		int descriptor; // stays the caller's
		std::string name; // without ':'
	};

	int executable = -1; // opened with O_PATH; a static one needs nothing in the root
	std::vector<std::string> arguments{}; // the first is the program's name
	std::vector<std::string> environment{}; // "NAME=value"; nothing else is inherited
	std::vector<Given> given{};
	int log = -1; // standard output and error; standard input is /dev/null

	std::vector<Bind> binds{};
	std::vector<std::string> fuse_mounts{}; // directories; a descriptor "fuse:N" for each, N from 0
	uint64_t scratch_bytes = 0; // of /tmp and the other places it may write; 0: there are none
	bool proc = false; // /proc of its own processes, and /dev with null, zero, urandom, full

	// On the host, as which it runs: 0 and unprivileged callers: the caller's own, and the latter
	// can't leave their supplementary groups. Inside both are 1000.
	uid_t user = 0;
	gid_t group = 0;
	std::string host_name{};

	System_calls const *system_calls = nullptr;
	uint64_t memory_bytes = 0; // 0: no limit
	unsigned cpu_percent = 0; // of one processor; 0: no limit
	unsigned processes_max = 0; // 0: no limit
	unsigned files_max = 1024;
	std::string cgroup{}; // directory to make for it and remove after it; empty: none
	std::vector<Ability> without{}; // what the caller lets be missing

	/* Called with the process before it does anything; it ends if the caller ends before `start`
	 * has let it go on. May be empty. */
	std::function<void(int process)> born{};
};

/* A process that was started. Its parent reaps it; a broker that took over needn't. */
struct Sandboxed
{
	pid_t pid = -1;
	Owned_fd process{}; // pidfd: readable once it has ended
};

/*
 * Starts a process; returns once it runs its program, or can't (INVALID, DENIED, NOT_FOUND,
 * NOT_SUPPORTED, OUT_OF_MEMORY, TOO_MANY_OPEN, IO; `why`: which step, and the remedy). Nothing is
 * left behind by what fails. Blocks for as long as that takes: some milliseconds.
 */
Attempt<Sandboxed> start(Sandbox const &sandbox, std::string &why);

/* Ends all processes of a sandbox (those of its pid namespace, or cgroup), and removes its cgroup.
 */
void end(Sandboxed const &process, std::string const &cgroup);

} // namespace bulkhead::linux_host
