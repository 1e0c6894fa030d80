#include "platform/linux/sandbox/cgroup.h"

#include "platform/linux/errno.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace bulkhead::linux_host::sandbox {

namespace {

/* A small file, whole; empty if it can't be read. */
std::string read_file(std::string const &path)
{
	std::string text;
	Owned_fd const file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
	char buffer[4096];
	ssize_t bytes = 0;
	while (file && (bytes = read(file.value(), buffer, sizeof buffer)) > 0)
		text.append(buffer, static_cast<size_t>(bytes));
	return text;
}

Attempt<void> write_file(int directory, char const *name, std::string const &text)
{
	Owned_fd const file(openat(directory, name, O_WRONLY | O_CLOEXEC));
	if (!file || write(file.value(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
		return error_of_errno(errno);
	return Ok{};
}

bool has_word(std::string const &text, std::string_view word)
{
	for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
		size_t const end = at + word.size();
		if ((at == 0 || text[at - 1] == ' ') &&
			(end == text.size() || text[end] == ' ' || text[end] == '\n'))
			return true;
	}
	return false;
}

/* Where cgroup2 is mounted: the ninth field or so of a line "… - cgroup2 …" is the directory. */
std::string mount_point()
{
	std::string const mounts = read_file("/proc/self/mounts");
	for (size_t at = 0; at < mounts.size();) {
		size_t const end = std::min(mounts.find('\n', at), mounts.size());
		std::string const line = mounts.substr(at, end - at);
		size_t const first = line.find(' ');
		size_t const second = line.find(' ', first + 1);
		if (second != std::string::npos && line.compare(second + 1, 8, "cgroup2 ") == 0)
			return line.substr(first + 1, second - first - 1);
		at = end + 1;
	}
	return {};
}

} // namespace

Cgroup::~Cgroup()
{
	_directory.reset();
	if (!_path.empty()) rmdir(_path.c_str());
}

Attempt<void> Cgroup::make(std::string const &path, std::string &why)
{
	rmdir(path.c_str()); // of a broker that was killed
	if (mkdir(path.c_str(), 0755) != 0) {
		int const number = errno;
		why = "cgroup " + path + ": " + (number == EEXIST ? "has processes" : strerror(number));
		return number == EEXIST ? Error::BUSY : error_of_errno(number);
	}
	_path = path;
	_directory.reset(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (!_directory) return error_of_errno(errno);
	return Ok{};
}

Attempt<void> Cgroup::set(char const *file, std::string const &value)
{
	return write_file(_directory.value(), file, value);
}

bool controls(std::string const &parent, std::string const &controller, std::string &why)
{
	if (has_word(read_file(parent + "/cgroup.subtree_control"), controller)) return true;
	if (has_word(read_file(parent + "/cgroup.controllers"), controller))
		why = parent + "/cgroup.subtree_control doesn't name \"" + controller + "\"";
	else
		why = parent + " has no controller \"" + controller +
			"\": the kernel lacks it, cgroup version 1 has it, or it wasn't delegated";
	return false;
}

std::string own_cgroup(std::string &why)
{
	std::string const mount = mount_point();
	std::string const groups = read_file("/proc/self/cgroup");
	size_t const at = groups.starts_with("0::") ? 0 : groups.find("\n0::");
	if (mount.empty() || at == std::string::npos) {
		why = "cgroup version 2 isn't mounted: mount -t cgroup2 none /sys/fs/cgroup, or boot with "
			  "systemd.unified_cgroup_hierarchy=1";
		return {};
	}
	size_t const begin = groups.find("::", at) + 2;
	std::string const path = groups.substr(begin, groups.find('\n', begin) - begin);
	return path == "/" ? mount : mount + path;
}

} // namespace bulkhead::linux_host::sandbox

namespace bulkhead::linux_host {

using namespace sandbox;

Attempt<std::string> delegated_cgroup(std::string const &name, std::string &why)
{
	std::string const own = own_cgroup(why);
	if (own.empty()) return Error::NOT_SUPPORTED;
	bool const whole = access((own + "/cgroup.type").c_str(), F_OK) != 0; // only the root has none
	auto const failed = [&](std::string const &what) -> Error {
		Error const error = error_of_errno(errno);
		why = what + ": " + strerror(errno) +
			"; have systemd delegate it: Delegate=yes in the unit, or systemd-run --user --scope "
			"-p "
			"Delegate=yes";
		return error;
	};
	std::string const parent = whole ? own + "/" + name : own;
	if (whole) {
		if (mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST) return failed(parent);
	} else {
		// A group that has processes can't limit the groups below it.
		std::string const leaf = own + "/" + name;
		if (mkdir(leaf.c_str(), 0755) != 0 && errno != EEXIST) return failed(leaf);
		Owned_fd const to(open(leaf.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
		std::string const pids = read_file(own + "/cgroup.procs");
		for (size_t at = 0; at < pids.size();) {
			size_t const end = std::min(pids.find('\n', at), pids.size());
			if (!write_file(to.value(), "cgroup.procs", pids.substr(at, end - at)).ok() &&
				errno != ESRCH)
				return failed(leaf + "/cgroup.procs");
			at = end + 1;
		}
	}
	for (std::string const &group : {own, parent}) {
		Owned_fd const directory(open(group.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
		for (char const *controller : {"+memory", "+cpu", "+pids"})
			(void)write_file(directory.value(), "cgroup.subtree_control", controller);
	}
	return parent;
}

} // namespace bulkhead::linux_host
