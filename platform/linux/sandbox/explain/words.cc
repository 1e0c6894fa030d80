#include "platform/linux/sandbox/explain/words.h"

#include "platform/linux/sandbox/explain/lacks.h"
#include "platform/linux/sandbox/plan.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace bulkhead::linux_host {

namespace sandbox {

namespace {

/* Whether `file` of a group has the name of a controller; else `why`. */
bool controls(std::string const &group, char const *file, std::string const &name, std::string &why)
{
	if (std::ranges::count(words_in(group + file), name)) return true;
	why = group + " has no controller \"" + name +
		"\"; the kernel lacks it, cgroup version 1 has it, or it wasn't delegated (Delegate=yes)";
	return false;
}

} // namespace

std::string words_of(Step const &step, char const *subject, int error)
{
	char const *const remedy = error == EMFILE ? "; raise ulimit -n"
		: passes(error)                        ? ""
											   : step.remedy;
	return std::string(step.what) + (subject ? " " : "") + (subject ? subject : "") + ": " +
		strerror(error) + remedy;
}

std::string no_landlock(int error)
{
	return error == EOPNOTSUPP ? "Landlock is switched off; boot with lsm=landlock,…"
							   : "the kernel has no Landlock; it is there from Linux 5.13 on";
}

std::string no_limit(std::string const &group, std::string const &file, int error)
{
	std::string why = group + "/" + file + ": " + strerror(error);
	(void)controls(group.substr(0, group.rfind('/')), "/cgroup.subtree_control",
		file.substr(0, file.find('.')), why);
	return why;
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
	Owned_fd const no_program(open("/dev/null", O_PATH | O_CLOEXEC));
	Sandbox probe;
	probe.executable = no_program.value();
	probe.without = {Ability::SECCOMP};
	probe.user = probe.group = NOBODY; // to map root would take CAP_SETFCAP, which no domain needs
	// It can't succeed; what else may be wrong now is told when a domain is started.
	if (start(probe, why).error() == Error::NOT_SUPPORTED)
		lacks.push_back({Ability::NAMESPACES, why});
	uint32_t const action = SECCOMP_RET_KILL_PROCESS;
	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) != 0)
		lacks.push_back({Ability::SECCOMP, std::string("seccomp: ") + strerror(errno)});
	if (landlock_abi() <= 0) lacks.push_back({Ability::LANDLOCK, no_landlock(errno)});
	bool own = false;
	std::string const parent = cgroup.empty() ? group_of_groups(own, why) : cgroup;
	char const *const file = cgroup.empty() ? "/cgroup.controllers" : "/cgroup.subtree_control";
	constexpr char const *CONTROLLERS[]{"memory", "cpu", "pids"};
	for (unsigned i = 0; i < 3; ++i)
		if (parent.empty() || !controls(parent, file, CONTROLLERS[i], why))
			lacks.push_back({Ability(unsigned(Ability::MEMORY_LIMIT) + i), why});
	return lacks;
}

} // namespace bulkhead::linux_host
