#include "component/broker/machine.h"

#include <fcntl.h>
#include <filesystem>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace bulkhead::broker {
/* What the kernel can't do and the manifest doesn't permit to be missing is a fault. */
bool Machine::_permitted(domain::System_plan const &plan, std::string &faults)
{
	Lacks_of_plan lacks = lacks_of(plan, _cgroup);
	faults += lacks.faults;
	if (!faults.empty()) return false;
	if (lacks.permitted != weaker) log(Level::WARNING, lacks.warnings);
	_lacking = std::move(lacks.all);
	weaker = std::move(lacks.permitted);
	return true;
}

/*
 * The group below which domains have theirs, the same for each broker of a system. Systems of one
 * name in two run directories have one each.
 */
void Machine::_find_cgroup(std::string const &system, std::string const &run_directory)
{
	linux_host::Owned_fd group = std::move(_kept["cgroup"]);
	if (group) {
		std::error_code error; // then there is none
		std::string const link = "/proc/self/fd/" + std::to_string(group.value());
		_cgroup = std::filesystem::read_symlink(link, error);
		return;
	}
	struct stat place{};
	(void)stat(run_directory.c_str(), &place);
	std::string why;
	auto const found = linux_host::delegated_cgroup(
		"bulkhead-" + system + "-" + std::to_string(place.st_ino), why);
	if (!found.ok()) return; // then limits are lacking, which `find_lacks` explains
	_cgroup = found.value();
	group.reset(open(_cgroup.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
	_notify.store("cgroup", group.value());
}

/* Takes away what the host has of this system. */
void Machine::_leave()
{
	_directory.remove();
	if (!_cgroup.empty()) rmdir(_cgroup.c_str());
}

/* All that has to be right before anything is started. */
int Machine::_prepare()
{
	Plan_read read = read_plan(_options.manifest, _components);
	if (!read.faults.empty()) return say(read.faults), BAD_MANIFEST;
	std::string const path = _options.run_directory + "/" + read.plan.name;
	std::string why;
	if (int const code = _directory.open(path, _kept, _notify, why)) {
		if (code == RUNS_ALREADY)
			why = "system '" + read.plan.name + "' runs already: " + why +
				"; stop it before, or give this one another name";
		return say(why), code;
	}
	_find_cgroup(read.plan.name, path);
	std::string faults;
	if (!_permitted(read.plan, faults)) return say(faults), _leave(), UNABLE;
	pid = getpid();
	since_us = _clock.now_us();
	manifest = _options.manifest;
	policy = read.plan.policy_directory;
	logs = read.plan.logs.empty() ? path : read.plan.logs;
	std::error_code error;
	std::filesystem::create_directories(logs, error);
	if (error) return say(logs + ": " + error.message() + "; correct `logs`"), _leave(), UNABLE;
	_ruling = std::move(read.ruling);
	_broker.apply(std::move(read.plan), _ruling->evaluator());
	for (auto const &each : _broker.domains()) _adopt(each->plan);
	_drop();
	_watch(_directory.listener(), EPOLLIN, CONTROL);
	return 0;
}

} // namespace bulkhead::broker
