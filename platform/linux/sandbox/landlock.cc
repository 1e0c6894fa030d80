#include "platform/linux/sandbox/plan.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace bulkhead::linux_host::sandbox {

namespace {

/* What a ruleset handles; the kernel's headers that we build with don't have all of it. */
struct Ruleset
{
	uint64_t files;
	uint64_t network;
	uint64_t scopes;
};

constexpr unsigned FILE_RIGHTS[]{0, 13, 14, 15, 15, 16}; // how many there are, by ABI
constexpr uint64_t TRUNCATE = 1 << 14;
constexpr uint64_t IOCTL_DEVICE = 1 << 15;
constexpr uint64_t NETWORK = 1 << 0 | 1 << 1; // ABI 4: bind and connect of TCP
constexpr uint64_t SCOPES = 1 << 0 | 1 << 1; // ABI 6: abstract unix sockets, signals

constexpr uint64_t EXECUTE_AND_READ =
	LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;

/* Those that a file may have that isn't a directory. */
constexpr uint64_t OF_FILES = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
	LANDLOCK_ACCESS_FS_WRITE_FILE | TRUNCATE | IOCTL_DEVICE;

bool allow(int ruleset, int file, uint64_t access)
{
	// Not by fstat: that of a file system that nobody serves yet would wait for ever. What is no
	// directory has the rights of files only, says the kernel, and changes nothing.
	for (uint64_t const wanted : {access, access & OF_FILES}) {
		landlock_path_beneath_attr const rule{wanted, file};
		if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0)
			return true;
		if (errno != EINVAL) return false;
	}
	return false;
}

} // namespace

int landlock_abi()
{
	return static_cast<int>(
		syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION));
}

/* Mount points say the same; this holds even if one of them is gone. */
void restrict_files(Plan &plan)
{
	int const abi = plan.landlock_abi;
	if (!abi) return;
	uint64_t const all = (1 << FILE_RIGHTS[std::min(abi, 5)]) - 1;
	// An older kernel takes a longer ruleset whose end is 0.
	Ruleset const handled{all, abi >= 4 ? NETWORK : 0, abi >= 6 ? SCOPES : 0};
	int const ruleset =
		static_cast<int>(syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0));
	auto const allow_path = [&](char const *path, uint64_t access) {
		int const file = open(path, O_PATH | O_CLOEXEC);
		need(plan, allow(ruleset, file, access), steps::LANDLOCK, path);
		close(file);
	};
	need(plan, ruleset >= 0 && allow(ruleset, plan.sandbox.executable, EXECUTE_AND_READ),
		steps::LANDLOCK);
	// Listing the root's directories shows names that it is given, no more.
	if (plan.namespaces) allow_path("/", LANDLOCK_ACCESS_FS_READ_DIR);
	if (plan.namespaces && plan.sandbox.proc) allow_path("proc", all);
	for (Place const &place : plan.places) {
		// Without a root of its own it sees things where they are.
		std::string const &path = plan.namespaces ? place.target : place.source;
		if (!path.empty()) allow_path(path.c_str(), place.writable ? all : EXECUTE_AND_READ);
	}
	need(plan, syscall(SYS_landlock_restrict_self, ruleset, 0) == 0, steps::LANDLOCK);
	close(ruleset);
}

} // namespace bulkhead::linux_host::sandbox
