#pragma once

// What a process does with itself before it runs its program, prepared by its parent. Until then it
// shares the parent's memory (as after vfork), so it allocates nothing, takes no locks, and says in
// that memory what went wrong.

#include "platform/linux/sandbox/cgroup.h"
#include "platform/linux/sandbox/sandbox.h"

namespace bulkhead::linux_host::sandbox {

/* Where a program is while it is started: fixed, as lists of system calls name it. */
inline constexpr int EXECUTABLE = 255;
inline constexpr size_t DESCRIPTORS_MAX = 240;

/* User and group of every sandbox, as seen from inside. */
inline constexpr unsigned INSIDE_ID = 1000;

enum class Step : uint8_t {
	BEGIN,
	SOURCE,
	KEYRING,
	USER,
	ROOT,
	PLACE,
	PROC,
	FUSE,
	HOST_NAME,
	LIMITS,
	PRIVILEGES,
	LANDLOCK,
	DESCRIPTORS,
	SECCOMP,
	EXECUTE,
	DONE, // the program's turn, or the probe's end
};

/* Something of the host, or an own directory, in the root. */
struct Place
{
	std::string source; // empty: an own directory, to be written to
	std::string target; // below the root, without '/' at its start
	bool writable = true;
	bool device = false;
	int tree = -1; // the child's
};

/* Refers to the Sandbox. What it has made, its destructor undoes. */
struct Plan
{
	Sandbox const &sandbox;
	int executable; // as it was given, then the child's by a mount of its own; -1: a probe
	bool namespaces = true;
	bool root = false; // the parent is, so it may choose users
	uid_t user = INSIDE_ID;
	gid_t group = INSIDE_ID;

	std::vector<Place> places{};
	std::vector<Place> fuse{};
	std::string root_options{}; // of its tmpfs
	std::vector<int> descriptors{}; // to be 0, 1, 2 …; FUSE's come from the child
	std::vector<std::string> words{};
	std::vector<char *> arguments{};
	std::vector<char *> environment{};
	uint64_t address_space_bytes = 0; // 0: no limit
	int landlock_abi = 0; // 0: none

	Cgroup cgroup{};
	Owned_fd nothing{}; // /dev/null
	// It begins when a byte comes, and ends if the only other one that could send it has ended.
	Owned_fd begin{};
	Owned_fd begin_sender{};

	// The child's words.
	Step step = Step::BEGIN;
	char const *subject = nullptr;
	int error = 0;
};

/* Errors: INVALID, NOT_SUPPORTED, those of groups. */
Attempt<void> prepare(Plan &plan, std::string &why);

/* An error unless the ability may be missing. */
Attempt<void> lacks(
	Sandbox const &sandbox, Ability ability, std::string const &reason, std::string &why);

/* All that the process does. Its argument is the Plan. */
[[noreturn]] void confine_and_execute(void *plan);

/* In the child, which ends there if it isn't `good`, for errno. */
void need(Plan &plan, bool good, Step step, char const *subject = nullptr);
void open_sources(Plan &plan);
void make_root(Plan &plan);
void restrict_files(Plan &plan);

/* What the kernel has; 0: no Landlock, and `why`. */
int landlock_abi(std::string &why);

/* For people: what went wrong, and what to do. */
std::string words_of(Step step, char const *subject, int error);
std::string no_namespaces(char const *what, int error);

/* clone3, the child with a stack of its own: runs `function`, which never returns. -errno. */
long clone_on_stack(
	void *clone_args, unsigned long bytes, void (*function)(void *), void *argument);

} // namespace bulkhead::linux_host::sandbox
