#pragma once

// What a process does with itself before it runs its program, prepared by its parent. Until then it
// has a copy of the parent's memory, in which other threads may have been in the midst of anything:
// so it allocates nothing and takes no locks.

#include "platform/linux/sandbox/explain/words.h"
#include "platform/linux/sandbox/sandbox.h"

#include <cerrno>

namespace bulkhead::linux_host::sandbox {

/* Where a program is while it is started: fixed, as lists of system calls name it. */
inline constexpr int EXECUTABLE = 255;
/* And where it says how that goes; closed by then. */
inline constexpr int WORDS = 256;

/* User and group of every sandbox, as seen from inside. */
inline constexpr unsigned INSIDE_ID = 1000;

/* On the host, where there is no other: owns nothing. */
inline constexpr uid_t NOBODY = 65534;

/* Whether it is a shortage that may be over by the next time, and nothing that a machine lacks. */
constexpr bool passes(int error)
{
	return error == EAGAIN || error == ENOMEM || error == EBUSY || error == EMFILE ||
		error == ENFILE;
}

/* Something in the root. Of scratch the source is empty; targets have no '/' at their start. */
struct Place : Sandbox::Bind
{
	enum class Kind : uint8_t { SCRATCH, BIND, DEVICE, FUSE };

	Kind kind;
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
	// It begins when a byte comes, and ends if the parent has ended. What it says is Said.
	Owned_fd parent_end{};
	Owned_fd child_end{};
	int executable = -1; // as it was given, or by a mount of its own; the child's
};

/* The step that failed; null: none has, and it is the program's turn. */
struct Said
{
	Step const *step = nullptr;
	char const *subject = nullptr; // in the Plan
	int error = 0;
};

/* Errors: INVALID, NOT_SUPPORTED, those of groups. */
Attempt<void> prepare(Plan &plan, std::string &why);

/* An error unless the ability may be missing. */
Attempt<void> lacks(
	Sandbox const &sandbox, Ability ability, std::string const &reason, std::string &why);

/* Has Landlock keep the process to what it is given. NOT_SUPPORTED, unless that may be missing. */
Attempt<void> plan_landlock(Plan &plan, std::string &why);

/* All that the process does. */
[[noreturn]] void confine_and_execute(Plan &plan);

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

} // namespace bulkhead::linux_host::sandbox
