#include "platform/linux/sandbox/prepare.h"

#include <cerrno>
#include <cstring>
#include <linux/seccomp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace bulkhead::linux_host {

namespace sandbox {

namespace {

constexpr char NAMESPACES_REMEDY[] =
	"; as root: sysctl kernel.unprivileged_userns_clone=1 (Debian), "
	"kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), user.max_user_namespaces=10000";

struct Words
{
	char const *what;
	char const *remedy = "";
};

Words describe(Step step)
{
	switch (step) {
	case Step::NONE: return {"it ended before it began"};
	case Step::SOURCE: return {"can't show", "; it must exist, and its user must reach it"};
	case Step::KEYRING: return {"no session keyring", "; see sysctl kernel.keys.maxkeys"};
	case Step::USER: return {"can't become the user"};
	case Step::ROOT: return {"can't make the root", NAMESPACES_REMEDY};
	case Step::BIND: return {"can't be a place in the root"};
	case Step::PROC: return {"can't mount proc", "; parts of the host's /proc must not be covered"};
	case Step::FUSE: return {"can't mount FUSE at", "; modprobe fuse; /dev/fuse must be writable"};
	case Step::SWITCH_ROOT: return {"can't change to the root", NAMESPACES_REMEDY};
	case Step::HOST_NAME: return {"can't set the host name"};
	case Step::LIMITS: return {"can't set the limits"};
	case Step::PRIVILEGES: return {"can't drop privileges"};
	case Step::LANDLOCK: return {"Landlock"};
	case Step::DESCRIPTORS: return {"can't give the descriptors", "; raise ulimit -n above 512"};
	case Step::SECCOMP: return {"can't set the list of system calls"};
	case Step::EXECUTE: return {"can't execute the program"};
	case Step::DONE: break;
	}
	return {"done"};
}

} // namespace

std::string words_of(Step step, char const *subject, int error)
{
	Words const words = describe(step);
	std::string text = words.what;
	if (subject) text += std::string(" ") + subject;
	if (step != Step::NONE) text += std::string(": ") + strerror(error);
	return text + words.remedy;
}

std::string clone_words(int error)
{
	return std::string("clone3: ") + strerror(error) + NAMESPACES_REMEDY;
}

std::string landlock_words(int error)
{
	return error == EOPNOTSUPP ? "Landlock is switched off: boot with lsm=landlock,…"
							   : "the kernel has no Landlock (since Linux 5.13)";
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
	if (!start(probe, why).ok()) lacks.push_back({Ability::NAMESPACES, why});
	uint32_t const action = SECCOMP_RET_KILL_PROCESS;
	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) != 0)
		lacks.push_back({Ability::SECCOMP, std::string("seccomp: ") + strerror(errno)});
	if (!landlock_abi()) lacks.push_back({Ability::LANDLOCK, landlock_words(errno)});

	std::string none;
	std::string const parent = cgroup.empty() ? own_cgroup(none) : cgroup;
	struct Controller
	{
		Ability ability;
		char const *name;
	};
	for (Controller const &controller : {Controller{Ability::MEMORY_LIMIT, "memory"},
			 Controller{Ability::CPU_LIMIT, "cpu"}, Controller{Ability::PROCESS_LIMIT, "pids"}}) {
		why = none;
		if (!none.empty() || !controls(parent, controller.name, why))
			lacks.push_back({controller.ability, why});
	}
	return lacks;
}

} // namespace bulkhead::linux_host
