#pragma once

// What a sandbox can't do, in words for people, and the remedy. Which step failed matters to
// `start`, its words to nobody else.

#include "platform/linux/sandbox/sandbox.h"

namespace bulkhead::linux_host::sandbox {

/* Of a process, before its program runs. */
struct Step
{
	char const *what; // it can't do
	char const *remedy = "";
};

namespace steps {

inline constexpr char NAMESPACES_REMEDY[] =
	"; as root: sysctl kernel.unprivileged_userns_clone=1 (Debian), "
	"kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), user.max_user_namespaces=10000";

inline constexpr Step CLONE{"clone3", NAMESPACES_REMEDY};
inline constexpr Step MAP{"user and group can't be mapped", NAMESPACES_REMEDY};
inline constexpr Step BEGIN{"it ended before it began"};
inline constexpr Step ANSWER{
	"it doesn't get on", "; a file system that it is to see may not answer"};
inline constexpr Step SOURCE{"can't show", "; it must exist, and the broker's user must reach it"};
inline constexpr Step PROGRAM{"can't show the program read-only"};
inline constexpr Step KEYRING{"no session keyring", "; see sysctl kernel.keys.maxkeys"};
inline constexpr Step USER{"can't become the user"};
inline constexpr Step ROOT{"can't make the root", NAMESPACES_REMEDY};
inline constexpr Step PLACE{"can't be a place in the root"};
inline constexpr Step PROC{"can't mount proc", "; nothing of the host's /proc may be covered"};
inline constexpr Step FUSE{"can't mount FUSE at", "; modprobe fuse; /dev/fuse must be writable"};
inline constexpr Step HOST_NAME{"can't set the host name"};
inline constexpr Step LIMITS{"can't set the limits"};
inline constexpr Step PRIVILEGES{"can't drop privileges"};
inline constexpr Step LANDLOCK{"Landlock"};
inline constexpr Step DESCRIPTORS{"can't give the descriptors", "; raise ulimit -n above 512"};
inline constexpr Step SYSTEM_CALLS{"can't set the list of system calls"};
inline constexpr Step EXECUTE{"can't execute the program"};

} // namespace steps

/* The step, what it was about (or null), and why it failed. */
std::string words_of(Step const &step, char const *subject, int error);

/* Why there is no Landlock, as errno says. */
std::string no_landlock(int error);

/* Why a limit of a group, such as "memory.max", can't be written. */
std::string no_limit(std::string const &group, std::string const &file, int error);

} // namespace bulkhead::linux_host::sandbox
