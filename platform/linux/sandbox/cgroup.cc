#include "platform/linux/errno.h"
#include "platform/linux/sandbox/plan.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace bulkhead::linux_host {

namespace sandbox {

std::vector<std::string> words_in(std::string const &path)
{
	std::ifstream file(path);
	return {std::istream_iterator<std::string>(file), {}};
}

bool write_file(int directory, std::string const &name, std::string const &text)
{
	Owned_fd const file(openat(directory, name.c_str(), O_WRONLY | O_CLOEXEC));
	return file &&
		write(file.value(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

std::string group_of_groups(bool &own, std::string &why)
{
	for (std::string const root : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
		if (access((root + "/cgroup.controllers").c_str(), F_OK) != 0) continue;
		for (std::string const &line : words_in("/proc/self/cgroup")) {
			if (!line.starts_with("0::/")) continue;
			std::string const group = root + line.substr(3);
			// systemd marks what it leaves to somebody else, but for users not always.
			auto const marked = [&](char const *name) {
				char mark = 0;
				return getxattr(group.c_str(), name, &mark, 1) == 1 && mark == '1';
			};
			own = marked("user.delegate") || marked("trusted.delegate") ||
				(geteuid() != 0 && access((group + "/cgroup.subtree_control").c_str(), W_OK) == 0);
			if (own) return group;
		}
		if (access(root.c_str(), W_OK) == 0) return root;
		why = "no cgroup is delegated; Delegate=yes in the unit, or run it by systemd-run --user "
			  "--scope -p Delegate=yes";
		return {};
	}
	why = "cgroup version 2 isn't mounted; as root: mount -t cgroup2 none /sys/fs/cgroup, or boot "
		  "with systemd.unified_cgroup_hierarchy=1";
	return {};
}

} // namespace sandbox

using namespace sandbox;

Attempt<std::string> delegated_cgroup(std::string const &name, std::string &why)
{
	bool own = false;
	std::string const group = group_of_groups(own, why);
	if (group.empty()) return Error::NOT_SUPPORTED;
	std::string const below = group + "/" + name;
	bool good = mkdir(below.c_str(), 0755) == 0 || errno == EEXIST;
	// A group other than the root of all can't have both processes and limits for others.
	if (own)
		for (std::string const &pid : words_in(group + "/cgroup.procs"))
			good = good && (write_file(AT_FDCWD, below + "/cgroup.procs", pid) || errno == ESRCH);
	if (!good) {
		Error const error = error_of_errno(errno);
		why = below + ": " + strerror(errno);
		return error;
	}
	std::string const parent = own ? group : below;
	for (std::string const &limiting : {group, parent})
		for (char const *const controller : {"+memory", "+cpu", "+pids"})
			(void)write_file(AT_FDCWD, limiting + "/cgroup.subtree_control", controller);
	return parent;
}

} // namespace bulkhead::linux_host
