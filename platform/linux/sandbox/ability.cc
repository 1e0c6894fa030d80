#include "platform/linux/sandbox/plan.h"

#include <cerrno>
#include <cstring>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace bulkhead::linux_host {

namespace sandbox {

namespace {

constexpr char NAMESPACES_REMEDY[] =
	"; as root: sysctl kernel.unprivileged_userns_clone=1 (Debian), "
	"kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), user.max_user_namespaces=10000";

constexpr uid_t NOBODY = 65534;

struct Words
{
	char const *what;
	char const *remedy = "";
};

/* By Step. */
constexpr Words WORDS[]{
	{"it ended before it began"},
	{"can't show", "; it must exist, and the broker's user must reach it"},
	{"no session keyring", "; see sysctl kernel.keys.maxkeys"},
	{"can't become the user"},
	{"can't make the root", NAMESPACES_REMEDY},
	{"can't be a place in the root"},
	{"can't mount proc", "; nothing of the host's /proc may be covered"},
	{"can't mount FUSE at", "; modprobe fuse; /dev/fuse must be writable"},
	{"can't set the host name"},
	{"can't set the limits"},
	{"can't drop privileges"},
	{"Landlock"},
	{"can't give the descriptors", "; raise ulimit -n above 512"},
	{"can't set the list of system calls"},
	{"can't execute the program"},
};

} // namespace

std::string words_of(Step step, char const *subject, int error)
{
	Words const &words = WORDS[static_cast<unsigned>(step)];
	return std::string(words.what) + (subject ? " " : "") + (subject ? subject : "") + ": " +
		strerror(error) + words.remedy;
}

std::string no_namespaces(char const *what, int error)
{
	bool const lacking = error == EPERM || error == ENOSPC || error == EUSERS || error == EINVAL;
	return std::string(what) + ": " + strerror(error) + (lacking ? NAMESPACES_REMEDY : "");
}

} // namespace sandbox

using namespace sandbox;

std::string_view name_of(Ability ability)
{
	constexpr std::string_view NAMES[ABILITIES]{
		"namespaces", "seccomp", "landlock", "memory_limit", "cpu_limit", "process_limit"};
	return NAMES[static_cast<unsigned>(ability)];
}

std::vector<Lack> find_lacks(std::string const &cgroup)
{
	std::vector<Lack> lacks;
	std::string why;
	Sandbox probe;
	probe.without = {Ability::SECCOMP};
	probe.user = probe.group = NOBODY; // to map root would take CAP_SETFCAP, which no domain needs
	if (!start(probe, why).ok()) lacks.push_back({Ability::NAMESPACES, why});
	uint32_t const action = SECCOMP_RET_KILL_PROCESS;
	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) != 0)
		lacks.push_back({Ability::SECCOMP, std::string("seccomp: ") + strerror(errno)});
	if (!landlock_abi(why)) lacks.push_back({Ability::LANDLOCK, why});
	bool own = false;
	std::string const parent = cgroup.empty() ? group_of_groups(own, why) : cgroup;
	constexpr char const *CONTROLLERS[]{"memory", "cpu", "pids"};
	for (unsigned i = 0; i < 3; ++i)
		if (parent.empty() || !controls(parent, !cgroup.empty(), CONTROLLERS[i], why))
			lacks.push_back({Ability(unsigned(Ability::MEMORY_LIMIT) + i), why});
	return lacks;
}

} // namespace bulkhead::linux_host
