#include "platform/linux/sandbox/plan.h"

#include <cerrno>
#include <fcntl.h>
#include <initializer_list>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace bulkhead::linux_host::sandbox {

namespace {

// What later kernels added to the headers that we build with.
constexpr uint64_t TRUNCATE = 1 << 14; // ABI 3
constexpr uint64_t IOCTL_DEVICE = 1 << 15; // ABI 5
constexpr uint64_t NETWORK = 1 << 0 | 1 << 1; // ABI 4: bind and connect of TCP
constexpr uint64_t SCOPES = 1 << 0 | 1 << 1; // ABI 6: abstract unix sockets, signals

struct Ruleset
{
	uint64_t files;
	uint64_t network;
	uint64_t scopes;
};

constexpr uint64_t EXECUTE_AND_READ =
	LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;

/* Those that a file may have that isn't a directory. */
constexpr uint64_t OF_FILES = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
	LANDLOCK_ACCESS_FS_WRITE_FILE | TRUNCATE | IOCTL_DEVICE;

uint64_t files_of(int abi)
{
	uint64_t all = (1 << 13) - 1;
	if (abi >= 2) all |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3) all |= TRUNCATE;
	if (abi >= 5) all |= IOCTL_DEVICE;
	return all;
}

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

int landlock_abi(std::string &why)
{
	long const abi =
		syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi > 0) return static_cast<int>(abi);
	why = errno == EOPNOTSUPP ? "Landlock is switched off; boot with lsm=landlock,…"
							  : "the kernel has no Landlock; it is there from Linux 5.13 on";
	return 0;
}

/* Mount points say the same; this holds even if one of them is gone. */
void restrict_files(Plan &plan)
{
	int const abi = plan.landlock_abi;
	if (!abi) return;
	uint64_t const all = files_of(abi);
	Ruleset const attributes{all, abi >= 4 ? NETWORK : 0, abi >= 6 ? SCOPES : 0};
	size_t const bytes = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
	int const ruleset =
		static_cast<int>(syscall(SYS_landlock_create_ruleset, &attributes, bytes, 0));
	auto const allow_path = [&](char const *path, uint64_t access) {
		int const file = open(path, O_PATH | O_CLOEXEC);
		need(plan, allow(ruleset, file, access), Step::LANDLOCK, path);
		close(file);
	};
	int const executable = plan.sandbox.executable;
	need(plan, ruleset >= 0 && (executable < 0 || allow(ruleset, executable, EXECUTE_AND_READ)),
		Step::LANDLOCK);
	// Listing the root's directories shows names that it is given, no more.
	if (plan.namespaces) allow_path("/", LANDLOCK_ACCESS_FS_READ_DIR);
	if (plan.namespaces && plan.sandbox.proc) allow_path("proc", all);
	for (Place const &place : plan.places) {
		// Without a root of its own it sees things where they are.
		std::string const &path = plan.namespaces ? place.target : place.source;
		bool const whole = place.writable || place.device;
		if (!path.empty()) allow_path(path.c_str(), whole ? all : EXECUTE_AND_READ);
	}
	for (Place const &place : plan.fuse) allow_path(place.target.c_str(), all);
	need(plan, syscall(SYS_landlock_restrict_self, ruleset, 0) == 0, Step::LANDLOCK);
	close(ruleset);
}

} // namespace bulkhead::linux_host::sandbox
