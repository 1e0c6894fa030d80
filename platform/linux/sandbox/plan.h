#pragma once

// What a process does with itself before it runs its program, as a list of things prepared by its
// parent. Until then it shares the parent's memory (as after vfork), so it allocates nothing, takes
// no locks, and says in that memory what went wrong.

#include <array>
#include <cstdint>
#include <linux/filter.h>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace bulkhead::linux_host::sandbox {

/* Where a program is while it is started: fixed, as lists of system calls name it. */
inline constexpr int EXECUTABLE = 255;
inline constexpr int GIVEN_FIRST = 3;
inline constexpr int GIVEN_MAX = 240;

/* User and group of every sandbox, as seen from inside. */
inline constexpr unsigned INSIDE_ID = 1000;

enum class Step : uint8_t {
	NONE,
	SOURCE,
	KEYRING,
	USER,
	ROOT,
	BIND,
	PROC,
	FUSE,
	SWITCH_ROOT,
	HOST_NAME,
	LIMITS,
	PRIVILEGES,
	LANDLOCK,
	DESCRIPTORS,
	SECCOMP,
	EXECUTE,
	DONE, // the program's turn, or the probe's end
};

/* Something of the host, or an own directory, at a place in the root. */
struct Place
{
	char const *source; // nullptr: a directory of the root itself, to be written to
	char const *target; // below the root, without '/' at its start
	bool writable;
	bool device;
	int tree = -1; // child only
};

struct Symbolic_link
{
	char const *target;
	char const *directory; // below the root
	char const *name;
};

struct Plan
{
	bool namespaces = true;
	bool drop_groups = false; // the parent may, so the child does
	uid_t user = INSIDE_ID;
	gid_t group = INSIDE_ID;

	std::vector<Place> places{};
	std::span<Symbolic_link const> links{};
	std::span<std::string const> fuse_mounts{};
	std::string root_options{}; // of its tmpfs
	bool proc = false;
	std::string_view host_name{};

	int executable = -1; // -1: a probe, which ends before it
	int log = -1;
	int nothing = -1; // /dev/null
	std::vector<int> given{}; // FUSE's come behind them
	std::vector<char *> arguments{};
	std::vector<char *> environment{};

	uint64_t files_max = 0;
	uint64_t memory_bytes = 0; // RLIMIT_AS; 0: as it is
	uint64_t processes_max = 0; // RLIMIT_NPROC; 0: as it is
	int landlock_abi = 0; // 0: none
	std::span<sock_filter const> system_calls{};

	// It begins when a byte comes, and ends if the only other one that could send it has ended.
	int begin = -1;
	int begin_sender = -1;

	// The child's words.
	Step step = Step::NONE;
	char const *subject = nullptr;
	int error = 0;
};

/* All that the process does. Its argument is the Plan. */
[[noreturn]] void confine_and_execute(void *plan);

/* In the child. False: `plan` says what went wrong. */
bool fail(Plan &plan, Step step, char const *subject = nullptr); // with errno; always false
bool open_sources(Plan &plan, int *fuse);
bool make_root(Plan &plan, int const *fuse);
bool restrict_files(Plan &plan);

/* What the kernel has; 0: no Landlock, and errno says why. */
int landlock_abi();

/* clone3, the child with a stack of its own: runs `function`, which never returns. -errno. */
long clone_on_stack(
	void *clone_args, unsigned long bytes, void (*function)(void *), void *argument);

} // namespace bulkhead::linux_host::sandbox
