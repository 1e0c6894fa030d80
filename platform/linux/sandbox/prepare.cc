#include "platform/linux/errno.h"
#include "platform/linux/sandbox/explain/lacks.h"
#include "platform/linux/sandbox/plan.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace bulkhead::linux_host::sandbox {

namespace {

constexpr size_t DESCRIPTORS_MAX = 240;

constexpr char const *DEVICES[]{
	"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};

// All in one file system, so that one limit is for all.
constexpr char const *SCRATCH_PLACES[]{"/run", "/tmp", "/var/tmp", "/dev/shm"};
constexpr uint64_t SCRATCH_LEAST = 64 * 1024;

/* Absolute, and without parts that mean another directory. */
bool plain(std::string const &path)
{
	return path.size() > 1 && path.starts_with('/') && !path.ends_with('/') &&
		path.find('\0') == std::string::npos && path.find("//") == std::string::npos &&
		(path + "/").find("/./") == std::string::npos &&
		(path + "/").find("/../") == std::string::npos;
}

/* A new group. BUSY: there is one with processes. */
Attempt<void> make_group(Plan &plan, std::string &why)
{
	char const *const path = plan.sandbox.cgroup.c_str();
	rmdir(path); // of a broker that was killed
	if (mkdir(path, 0755) == 0) plan.cgroup.reset(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (plan.cgroup) return Ok{};
	int const number = errno;
	why = std::string("cgroup ") + path + ": " +
		(number == EEXIST ? "has processes" : strerror(number));
	// Who may do without limits may do without a group.
	if (lacks(plan.sandbox, Ability::PROCESS_LIMIT, std::string(why), why).ok()) return Ok{};
	return number == EEXIST ? Error::BUSY : error_of_errno(number);
}

/* Where groups have no limits, what a process alone can be limited by. */
Attempt<void> limit(Plan &plan, std::string &why)
{
	Sandbox const &sandbox = plan.sandbox;
	if (!sandbox.cgroup.empty()) TRY(make_group(plan, why));
	struct Limit
	{
		Ability ability;
		char const *file;
		uint64_t value;
		char const *unit = "";
	};
	for (Limit const &limit : {Limit{Ability::MEMORY_LIMIT, "memory.max", sandbox.memory_bytes},
			 Limit{Ability::CPU_LIMIT, "cpu.max", sandbox.cpu_percent * 1000ull, " 100000"},
			 Limit{Ability::PROCESS_LIMIT, "pids.max", sandbox.processes_max}}) {
		std::string const text = std::to_string(limit.value) + limit.unit;
		if (!limit.value || write_file(plan.cgroup.value(), limit.file, text)) continue;
		TRY(lacks(sandbox, limit.ability, no_limit(sandbox.cgroup, limit.file, errno), why));
		if (limit.ability == Ability::MEMORY_LIMIT) plan.address_space_bytes = limit.value;
	}
	(void)write_file(plan.cgroup.value(), "memory.swap.max", "0"); // there may be no swap
	(void)write_file(plan.cgroup.value(), "memory.oom.group", "1");
	return Ok{};
}

/* What is in the root, in the order of making it. */
Attempt<void> plan_root(Plan &plan, std::string &why)
{
	Sandbox const &sandbox = plan.sandbox;
	uint64_t const scratch = std::max(sandbox.scratch_bytes, SCRATCH_LEAST);
	plan.root_options = "mode=755,size=" + std::to_string(scratch) +
		",nr_inodes=" + std::to_string(256 + scratch / 4096);
	using enum Place::Kind;
	for (char const *const device : DEVICES)
		if (sandbox.proc) plan.places.push_back({{device, device, true}, DEVICE});
	for (char const *const directory : SCRATCH_PLACES)
		if (sandbox.scratch_bytes || (sandbox.proc && directory == SCRATCH_PLACES[0]))
			plan.places.push_back({{"", directory, true}, SCRATCH});
	for (Sandbox::Bind const &bind : sandbox.binds) plan.places.push_back({bind, BIND});
	for (std::string const &target : sandbox.fuse_mounts)
		plan.places.push_back({{"/dev/fuse", target, true}, FUSE});
	for (Place &place : plan.places) {
		if (!plain(place.target)) {
			why = "\"" + place.target + "\" is no place: write an absolute path without \"..\"";
			return Error::INVALID;
		}
		place.target.erase(0, 1);
	}
	return Ok{};
}

void plan_words(Plan &plan)
{
	Sandbox const &sandbox = plan.sandbox;
	std::string names;
	for (Sandbox::Given const &given : sandbox.given) {
		plan.descriptors.push_back(given.descriptor);
		names += ":" + given.name;
	}
	for (size_t i = 0; i < sandbox.fuse_mounts.size(); ++i) {
		plan.descriptors.push_back(-1);
		names += ":fuse:" + std::to_string(i);
	}
	for (std::string const &word : sandbox.arguments) plan.arguments.push_back(word.c_str());
	for (std::string const &word : sandbox.environment) plan.environment.push_back(word.c_str());
	if (!names.empty()) {
		plan.listen_fds = "LISTEN_FDS=" + std::to_string(plan.descriptors.size() - 3);
		plan.listen_names = "LISTEN_FDNAMES=" + names.substr(1);
		for (char const *const word :
			{"LISTEN_PID=1", plan.listen_fds.c_str(), plan.listen_names.c_str()})
			plan.environment.push_back(word);
	}
	plan.arguments.push_back(nullptr);
	plan.environment.push_back(nullptr);
}

} // namespace

Attempt<void> lacks(
	Sandbox const &sandbox, Ability ability, std::string const &reason, std::string &why)
{
	if (std::ranges::find(sandbox.without, ability) != sandbox.without.end()) return Ok{};
	why = "this machine lacks " + std::string(name_of(ability)) + ": " + reason;
	return Error::NOT_SUPPORTED;
}

Attempt<void> plan_landlock(Plan &plan, std::string &why)
{
	plan.landlock_abi = std::max(landlock_abi(), 0);
	if (plan.landlock_abi) return Ok{};
	return lacks(plan.sandbox, Ability::LANDLOCK, no_landlock(errno), why);
}

Attempt<void> prepare(Plan &plan, std::string &why)
{
	Sandbox const &sandbox = plan.sandbox;
	plan.root = geteuid() == 0;
	plan.user = plan.root ? sandbox.user : geteuid();
	plan.group = plan.root ? sandbox.group : getegid();
	plan.nothing.reset(open("/dev/null", O_RDWR | O_CLOEXEC));
	int const log = sandbox.log < 0 ? plan.nothing.value() : sandbox.log;
	plan.descriptors = {plan.nothing.value(), log, log};
	plan_words(plan);
	if (plan.descriptors.size() > DESCRIPTORS_MAX) {
		why = "more descriptors to be given than " + std::to_string(DESCRIPTORS_MAX - 3);
		return Error::INVALID;
	}
	TRY(plan_root(plan, why));
	TRY(limit(plan, why));
	if (!sandbox.system_calls) TRY(lacks(sandbox, Ability::SECCOMP, "no list is given", why));
	if (!sandbox.binds.empty()) TRY(plan_landlock(plan, why));
	return Ok{};
}

} // namespace bulkhead::linux_host::sandbox
