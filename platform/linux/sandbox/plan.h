#pragma once

// What a process does with itself before it runs its program, prepared by its parent. Until then it
// shares the parent's memory (as after vfork), so it allocates nothing, takes no locks, and says in
// that memory what went wrong.

#include "platform/linux/sandbox/explain/words.h"
#include "platform/linux/sandbox/sandbox.h"

namespace bulkhead::linux_host::sandbox {

/* Where a program is while it is started: fixed, as lists of system calls name it. */
inline constexpr int EXECUTABLE = 255;

/* User and group of every sandbox, as seen from inside. */
inline constexpr unsigned INSIDE_ID = 1000;

/* Something in the root. */
struct Place
{
	enum class Kind : uint8_t { SCRATCH, BIND, DEVICE, FUSE };

	Kind kind;
	std::string source; // empty: of scratch
	std::string target; // below the root, without '/' at its start
	bool writable = true;
	int descriptor = -1; // of the source, the child's
};

/* Refers to the Sandbox. */
struct Plan
{
	Sandbox const &sandbox;
	bool namespaces = true;
	bool root = false; // the parent is, so it may choose users
	uid_t user = 0; // on the host
	gid_t group = 0;

	std::vector<Place> places{};
	std::string root_options{}; // of its tmpfs
	std::vector<int> descriptors{}; // to be 0, 1, 2 …; those of FUSE, at the end, are the child's
	std::string listen_fds{}, listen_names{}; // "LISTEN_FDS=…" of the environment
	std::vector<char const *> arguments{};
	std::vector<char const *> environment{};
	uint64_t address_space_bytes = 0; // 0: no limit
	int landlock_abi = 0; // 0: none

	Owned_fd cgroup{};
	Owned_fd nothing{}; // /dev/null
	// It begins when a byte comes, and ends if the only other one that could send it has ended.
	Owned_fd begin{};
	Owned_fd begin_sender{};

	// The child's words.
	int executable = -1; // as it was given, or by a mount of its own
	Step const *step = nullptr; // that failed; null: it is the program's turn
	char const *subject = nullptr;
	int error = 0;
};

/* Errors: INVALID, NOT_SUPPORTED, those of groups. */
Attempt<void> prepare(Plan &plan, std::string &why);

/* An error unless the ability may be missing. */
Attempt<void> lacks(
	Sandbox const &sandbox, Ability ability, std::string const &reason, std::string &why);

/* Has Landlock keep the process to what it is given. NOT_SUPPORTED, unless that may be missing. */
Attempt<void> plan_landlock(Plan &plan, std::string &why);

/* All that the process does. Its argument is the Plan. */
[[noreturn]] void confine_and_execute(void *plan);

/* In the child, which ends there if it isn't `good`, for errno. */
void need(Plan &plan, bool good, Step const &step, char const *subject = nullptr);
void open_sources(Plan &plan);
void make_root(Plan &plan);
void restrict_files(Plan &plan);

/* What the kernel has; -1: no Landlock, for errno. */
int landlock_abi();

/* A directory in which groups may be made: this process's `own`, if that is delegated, or the root
 * of all. Empty: `why`. */
std::string group_of_groups(bool &own, std::string &why);

/* The words of a small file; none if it can't be read. */
std::vector<std::string> words_in(std::string const &path);

/* A text to an existing file; false with errno. */
bool write_file(int directory, std::string const &name, std::string const &text);

/* clone3, the child with a stack of its own: runs `function`, which never returns. -errno. */
long clone_on_stack(
	void *clone_args, unsigned long bytes, void (*function)(void *), void *argument);

} // namespace bulkhead::linux_host::sandbox
