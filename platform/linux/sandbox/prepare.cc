#include "platform/linux/sandbox/plan.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace bulkhead::linux_host::sandbox {

namespace {

constexpr char const *DEVICES[]{
	"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};

// All in one file system, so that one limit is for all.
constexpr char const *SCRATCH[]{"/run", "/tmp", "/var/tmp", "/dev/shm"};
constexpr uint64_t SCRATCH_LEAST = 64 * 1024;

/* Absolute, and without parts that mean another directory. */
bool plain(std::string const &path)
{
	return path.size() > 1 && path.starts_with('/') && !path.ends_with('/') &&
		path.find('\0') == std::string::npos && path.find("//") == std::string::npos &&
		(path + "/").find("/./") == std::string::npos &&
		(path + "/").find("/../") == std::string::npos;
}

/* Where groups have no limits, what a process alone can be limited by. */
Attempt<void> limit(Plan &plan, std::string &why)
{
	Sandbox const &sandbox = plan.sandbox;
	if (!sandbox.cgroup.empty()) {
		Attempt<void> const made = plan.cgroup.make(sandbox.cgroup, why);
		// Who may do without limits may do without a group.
		if (!made.ok() && !lacks(sandbox, Ability::PROCESS_LIMIT, std::string(why), why).ok())
			return made;
	}
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
		if (!limit.value) continue;
		if (plan.cgroup.set(limit.file, std::to_string(limit.value) + limit.unit)) continue;
		std::string reason = sandbox.cgroup + "/" + limit.file + ": " + strerror(errno);
		std::string const parent = sandbox.cgroup.substr(0, sandbox.cgroup.rfind('/'));
		(void)controls(parent, true, std::string(limit.file, strcspn(limit.file, ".")), reason);
		TRY(lacks(sandbox, limit.ability, reason, why));
		if (limit.ability == Ability::MEMORY_LIMIT) plan.address_space_bytes = limit.value;
	}
	(void)plan.cgroup.set("memory.swap.max", "0"); // there may be no swap
	(void)plan.cgroup.set("memory.oom.group", "1");
	return Ok{};
}

/* What is in the root, in the order of making it. */
Attempt<void> plan_root(Plan &plan, std::string &why)
{
	Sandbox const &sandbox = plan.sandbox;
	uint64_t const scratch = std::max(sandbox.scratch_bytes, SCRATCH_LEAST);
	plan.root_options = "mode=755,size=" + std::to_string(scratch) +
		",nr_inodes=" + std::to_string(256 + scratch / 4096);
	for (std::string const device : DEVICES)
		if (sandbox.proc) plan.places.push_back({device, device, true, true});
	for (char const *const directory : SCRATCH)
		if (sandbox.scratch_bytes || (sandbox.proc && directory == SCRATCH[0]))
			plan.places.push_back({"", directory});
	for (Sandbox::Bind const &bind : sandbox.binds)
		plan.places.push_back({bind.source, bind.target, bind.writable});
	for (std::string const &target : sandbox.fuse_mounts) plan.fuse.push_back({"", target});
	for (std::vector<Place> *const places : {&plan.places, &plan.fuse})
		for (Place &place : *places) {
			if (plain(place.target)) {
				place.target.erase(0, 1);
				continue;
			}
			why = "\"" + place.target + "\" is no place: write an absolute path without \"..\"";
			return Error::INVALID;
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
	plan.words = sandbox.arguments;
	plan.words.insert(plan.words.end(), sandbox.environment.begin(), sandbox.environment.end());
	if (!names.empty()) {
		plan.words.push_back("LISTEN_PID=1");
		plan.words.push_back("LISTEN_FDS=" + std::to_string(plan.descriptors.size() - 3));
		plan.words.push_back("LISTEN_FDNAMES=" + names.substr(1));
	}
	for (size_t i = 0; i < plan.words.size(); ++i)
		(i < sandbox.arguments.size() ? plan.arguments : plan.environment)
			.push_back(plan.words[i].data());
	plan.arguments.push_back(nullptr);
	plan.environment.push_back(nullptr);
}

} // namespace

Attempt<void> lacks(
	Sandbox const &sandbox, Ability ability, std::string const &reason, std::string &why)
{
	if (std::ranges::find(sandbox.without, ability) != sandbox.without.end()) return Ok{};
	why = std::string(name_of(ability)) + " is lacking: " + reason;
	return Error::NOT_SUPPORTED;
}

Attempt<void> prepare(Plan &plan, std::string &why)
{
	Sandbox const &sandbox = plan.sandbox;
	plan.root = geteuid() == 0;
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
	std::string reason;
	if (!sandbox.binds.empty() && (plan.landlock_abi = landlock_abi(reason)) == 0)
		TRY(lacks(sandbox, Ability::LANDLOCK, reason, why));
	return Ok{};
}

} // namespace bulkhead::linux_host::sandbox
