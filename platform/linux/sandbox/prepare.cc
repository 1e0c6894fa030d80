#include "platform/linux/sandbox/prepare.h"

#include "platform/linux/errno.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace bulkhead::linux_host::sandbox {

namespace {

constexpr Place DEVICES[]{
	{"/dev/null", "dev/null", true, true},
	{"/dev/zero", "dev/zero", true, true},
	{"/dev/full", "dev/full", true, true},
	{"/dev/random", "dev/random", false, true},
	{"/dev/urandom", "dev/urandom", false, true},
};

constexpr Symbolic_link LINKS[]{
	{"/proc/self/fd", "dev", "fd"},
	{"/proc/self/fd/0", "dev", "stdin"},
	{"/proc/self/fd/1", "dev", "stdout"},
	{"/proc/self/fd/2", "dev", "stderr"},
	{"/run", "var", "run"},
};

// All in one file system, so that one limit is for all.
constexpr char const *SCRATCH[]{"run", "tmp", "var/tmp", "dev/shm"};
constexpr uint64_t SCRATCH_LEAST = 64 * 1024;

/* Absolute, and without parts that mean another directory. */
bool plain_path(std::string const &path)
{
	if (path.size() < 2 || path[0] != '/' || path.find('\0') != std::string::npos) return false;
	for (size_t at = 0; at < path.size();) {
		size_t const end = std::min(path.find('/', at + 1), path.size());
		std::string_view const part(path.data() + at + 1, end - at - 1);
		if (part.empty() || part == "." || part == "..") return false;
		at = end;
	}
	return true;
}

/* One limit of a group; whether the group has it now. */
Attempt<bool> limit(Prepared &prepared, Sandbox const &sandbox, Ability ability,
	std::string const &file, std::string const &value, std::string &why)
{
	std::string reason = "there is no cgroup to be in";
	if (prepared.cgroup.directory() >= 0) {
		if (prepared.cgroup.set(file.c_str(), value).ok()) return true;
		reason = sandbox.cgroup + "/" + file + ": " + strerror(errno);
		(void)controls(sandbox.cgroup.substr(0, sandbox.cgroup.rfind('/')),
			file.substr(0, file.find('.')), reason);
	}
	TRY(lacks(sandbox, ability, reason, why));
	return false;
}

/* Where groups have no limits, what the process alone can be limited by. */
Attempt<void> limit_all(Prepared &prepared, Sandbox const &sandbox, std::string &why)
{
	auto const set = [&](Ability ability, char const *file, uint64_t value, char const *unit = "") {
		return limit(prepared, sandbox, ability, file, std::to_string(value) + unit, why);
	};
	if (!sandbox.cgroup.empty()) {
		Attempt<void> const made = prepared.cgroup.make(sandbox.cgroup, why);
		// Who may do without limits may do without a group.
		if (!made.ok() && !permitted(sandbox, Ability::PROCESS_LIMIT)) return made;
	}
	if (sandbox.memory_bytes) {
		if (TRY(set(Ability::MEMORY_LIMIT, "memory.max", sandbox.memory_bytes))) {
			(void)prepared.cgroup.set("memory.swap.max", "0"); // there may be no swap
			(void)prepared.cgroup.set("memory.oom.group", "1");
		} else {
			prepared.plan.memory_bytes = sandbox.memory_bytes;
		}
	}
	if (sandbox.cpu_percent)
		TRY(set(Ability::CPU_LIMIT, "cpu.max", sandbox.cpu_percent * 1000ull, " 100000"));
	prepared.plan.processes_max = sandbox.processes_max;
	if (sandbox.processes_max) TRY(set(Ability::PROCESS_LIMIT, "pids.max", sandbox.processes_max));
	return Ok{};
}

/* What is in the root, in the order of making it. */
Attempt<void> plan_root(Plan &plan, Sandbox const &sandbox, std::string &why)
{
	uint64_t const scratch = std::max(sandbox.scratch_bytes, SCRATCH_LEAST);
	plan.root_options = "mode=755,size=" + std::to_string(scratch) +
		",nr_inodes=" + std::to_string(256 + scratch / 4096);
	plan.proc = sandbox.proc;
	plan.fuse_mounts = sandbox.fuse_mounts;
	if (sandbox.proc) {
		plan.places.assign(std::begin(DEVICES), std::end(DEVICES));
		plan.links = LINKS;
	}
	for (char const *const directory : SCRATCH)
		if (sandbox.scratch_bytes || (sandbox.proc && directory == SCRATCH[0]))
			plan.places.push_back({nullptr, directory, true, false});
	for (Sandbox::Bind const &bind : sandbox.binds)
		plan.places.push_back({bind.source.c_str(), bind.target.c_str() + 1, bind.writable, false});
	std::vector<std::string> targets = sandbox.fuse_mounts;
	for (Sandbox::Bind const &bind : sandbox.binds) targets.push_back(bind.target);
	for (std::string const &target : targets)
		if (!plain_path(target)) {
			why =
				"\"" + target + "\" is no place for a file: write an absolute path without \"..\"";
			return Error::INVALID;
		}
	return Ok{};
}

void plan_words(Prepared &prepared, Sandbox const &sandbox)
{
	std::string names;
	for (Sandbox::Given const &given : sandbox.given) {
		prepared.plan.given.push_back(given.descriptor);
		names += (names.empty() ? "" : ":") + given.name;
	}
	for (size_t i = 0; i < sandbox.fuse_mounts.size(); ++i)
		names += (names.empty() ? "fuse:" : ":fuse:") + std::to_string(i);
	std::vector<std::string> &words = prepared.words;
	words = sandbox.arguments;
	words.insert(words.end(), sandbox.environment.begin(), sandbox.environment.end());
	if (size_t const count = sandbox.given.size() + sandbox.fuse_mounts.size()) {
		words.push_back("LISTEN_PID=1");
		words.push_back("LISTEN_FDS=" + std::to_string(count));
		words.push_back("LISTEN_FDNAMES=" + names);
	}
	for (size_t i = 0; i < words.size(); ++i)
		(i < sandbox.arguments.size() ? prepared.plan.arguments : prepared.plan.environment)
			.push_back(words[i].data());
	prepared.plan.arguments.push_back(nullptr);
	prepared.plan.environment.push_back(nullptr);
}

} // namespace

bool permitted(Sandbox const &sandbox, Ability ability)
{
	return std::ranges::find(sandbox.without, ability) != sandbox.without.end();
}

Attempt<void> lacks(
	Sandbox const &sandbox, Ability ability, std::string const &reason, std::string &why)
{
	if (permitted(sandbox, ability)) return Ok{};
	why = std::string(name_of(ability)) + " is lacking: " + reason;
	return Error::NOT_SUPPORTED;
}

Attempt<void> prepare(Prepared &prepared, Sandbox const &sandbox, std::string &why)
{
	Plan &plan = prepared.plan;
	if (sandbox.given.size() + sandbox.fuse_mounts.size() > size_t{GIVEN_MAX}) {
		why = "more than " + std::to_string(GIVEN_MAX) + " descriptors to be given";
		return Error::INVALID;
	}
	TRY(plan_root(plan, sandbox, why));
	TRY(limit_all(prepared, sandbox, why));
	plan_words(prepared, sandbox);
	plan.host_name = sandbox.host_name;
	plan.drop_groups = geteuid() == 0;
	plan.executable = sandbox.executable;
	plan.files_max = sandbox.files_max;
	prepared.nothing.reset(open("/dev/null", O_RDWR | O_CLOEXEC));
	plan.nothing = prepared.nothing.value();
	plan.log = sandbox.log < 0 ? plan.nothing : sandbox.log;
	if (sandbox.system_calls) plan.system_calls = sandbox.system_calls->program();
	if (plan.system_calls.empty()) TRY(lacks(sandbox, Ability::SECCOMP, "no list is given", why));
	if (!sandbox.binds.empty() && (plan.landlock_abi = landlock_abi()) == 0)
		TRY(lacks(sandbox, Ability::LANDLOCK, landlock_words(errno), why));
	return Ok{};
}

} // namespace bulkhead::linux_host::sandbox
