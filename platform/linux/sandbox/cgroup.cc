#include "platform/linux/sandbox/cgroup.h"

#include "platform/linux/errno.h"
#include "platform/linux/sandbox/sandbox.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace bulkhead::linux_host {

namespace sandbox {

namespace {

/* A small file, whole; empty if it can't be read. */
std::string read_file(std::string const &path)
{
	std::string text;
	Owned_fd const file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
	char buffer[4096];
	for (ssize_t bytes; file && (bytes = read(file.value(), buffer, sizeof buffer)) > 0;)
		text.append(buffer, static_cast<size_t>(bytes));
	return text;
}

/* Words between blanks and line ends. */
std::vector<std::string> words_in(std::string const &text)
{
	std::vector<std::string> words;
	for (size_t at = 0; (at = text.find_first_not_of(" \n", at)) != std::string::npos;) {
		size_t const end = std::min(text.find_first_of(" \n", at), text.size());
		words.push_back(text.substr(at, end - at));
		at = end;
	}
	return words;
}

bool names(std::string const &file, std::string const &word)
{
	for (std::string const &other : words_in(read_file(file)))
		if (other == word) return true;
	return false;
}

} // namespace

bool write_file(int directory, std::string const &name, std::string const &text)
{
	Owned_fd const file(openat(directory, name.c_str(), O_WRONLY | O_CLOEXEC));
	return file &&
		write(file.value(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

Cgroup::~Cgroup()
{
	if (!_path.empty()) rmdir(_path.c_str());
}

Attempt<void> Cgroup::make(std::string const &path, std::string &why)
{
	rmdir(path.c_str()); // of a broker that was killed
	bool const made = mkdir(path.c_str(), 0755) == 0;
	if (made) _path = path;
	if (made) _directory.reset(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (_directory) return Ok{};
	Error const error = errno == EEXIST ? Error::BUSY : error_of_errno(errno);
	why = "cgroup " + path + ": " + (errno == EEXIST ? "has processes" : strerror(errno));
	return error;
}

bool Cgroup::set(char const *file, std::string const &value)
{
	return write_file(_directory.value(), file, value);
}

bool controls(
	std::string const &parent, bool already, std::string const &controller, std::string &why)
{
	if (names(parent + (already ? "/cgroup.subtree_control" : "/cgroup.controllers"), controller))
		return true;
	why = parent + " has no controller \"" + controller +
		"\"; the kernel lacks it, cgroup version 1 has it, or it wasn't delegated (Delegate=yes)";
	return false;
}

std::string group_of_groups(bool &own, std::string &why)
{
	for (std::string const root : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
		if (access((root + "/cgroup.controllers").c_str(), F_OK) != 0) continue;
		for (std::string const &line : words_in(read_file("/proc/self/cgroup"))) {
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
		for (std::string const &pid : words_in(read_file(group + "/cgroup.procs")))
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
