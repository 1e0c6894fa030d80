#include "vfs/fuse/mount_point.h"

#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <fstream>
#include <memory>
#include <spawn.h>
#include <sstream>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::fuse {

namespace {

using Kind = Problem::Kind;

/* The kernel writes blanks and backslashes in a path as three octal digits. */
std::string unescaped(std::string const &text)
{
	std::string result;
	for (size_t i = 0; i < text.size(); ++i) {
		if (text[i] == '\\' && i + 3 < text.size()) {
			result += static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8));
			i += 3;
		} else
			result += text[i];
	}
	return result;
}

bool empty_directory(std::string const &path)
{
	std::unique_ptr<DIR, int (*)(DIR *)> const directory(opendir(path.c_str()), closedir);
	if (!directory) return true; // what can't be read is mounted over unseen
	while (dirent const *const entry = readdir(directory.get()))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) return false;
	return true;
}

std::string unmount_command(std::string const &path)
{
	return geteuid() == 0 ? "umount -l " + path : "fusermount3 -u -z " + path;
}

Problem in_use(std::string const &path, std::string const &type)
{
	if (type == std::string("fuse.") + FUSE_SUBTYPE)
		return {Kind::IN_USE, path + " is in use by another bulkhead",
			"stop that one, or choose another mount point"};
	return {Kind::IN_USE, path + " is in use: a file system of type " + type + " is mounted there",
		"choose another mount point, or unmount it: " + unmount_command(path)};
}

Problem not_there(std::string const &path, int error_number)
{
	switch (error_number) {
	case ENOENT:
		return {
			Kind::NO_MOUNT_POINT, "the mount point " + path + " doesn't exist", "mkdir -p " + path};
	case ENOTDIR:
		return {Kind::NO_MOUNT_POINT, "the mount point " + path + " isn't a directory", ""};
	case EACCES:
		return {Kind::NO_PERMISSION, "the mount point " + path + " may not be looked at",
			"choose a directory of your own"};
	default:
		return {Kind::FAILED,
			"the mount point " + path + " can't be used: " + strerror(error_number), ""};
	}
}

/* errno of a look at the path, 0 if it can be used. */
int look_at(std::string const &path, struct stat &found)
{
	if (stat(path.c_str(), &found) != 0) return errno;
	// The kernel may remember the attributes of a server that has died; this it must ask for.
	struct statfs space{};
	return statfs(path.c_str(), &space) == 0 ? 0 : errno;
}

/* What its server has left when it died. */
bool dead(int error_number) { return error_number == ENOTCONN || error_number == ECONNABORTED; }

} // namespace

std::string real_mount_point(std::string path)
{
	while (path.size() > 1 && path.back() == '/') path.pop_back();
	size_t const slash = path.rfind('/');
	std::string const name = slash == std::string::npos ? path : path.substr(slash + 1);
	std::string const parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
	char resolved[PATH_MAX];
	if (name.empty() || name == "." || name == "..")
		return realpath(path.c_str(), resolved) ? resolved : path;
	struct stat link{};
	if (lstat(path.c_str(), &link) == 0 && S_ISLNK(link.st_mode) &&
		realpath(path.c_str(), resolved))
		return resolved;
	if (!realpath(parent.c_str(), resolved)) return path;
	std::string const above = resolved;
	return above == "/" ? above + name : above + "/" + name;
}

std::string mounted_type(std::string const &path)
{
	std::string const wanted = real_mount_point(path);
	std::ifstream mounts("/proc/self/mountinfo");
	std::string found;
	for (std::string line; std::getline(mounts, line);) {
		std::istringstream fields(line);
		std::string skipped, at, field;
		fields >> skipped >> skipped >> skipped >> skipped >> at;
		if (unescaped(at) != wanted) continue;
		while (fields >> field && field != "-") {}
		fields >> found; // later ones lie on top
	}
	return found;
}

bool unmount_lazily(std::string const &path)
{
	if (geteuid() == 0) return umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0;
	std::string target = path;
	char command[] = "fusermount3", unmount[] = "-u", lazy[] = "-z", quiet[] = "-q", end[] = "--";
	char *const arguments[] = {command, unmount, lazy, quiet, end, target.data(), nullptr};
	pid_t child = 0;
	if (posix_spawnp(&child, command, nullptr, nullptr, arguments, environ) != 0) return false;
	int status = 0;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::optional<Problem> check_fuse(std::string const &device)
{
	int const fd = open(device.c_str(), O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		close(fd);
		return {};
	}
	switch (errno) {
	case EACCES:
	case EPERM:
		return Problem{Kind::NO_PERMISSION, "no permission for " + device,
			"sudo chmod 666 " + device + " (a container needs --device /dev/fuse)"};
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return Problem{Kind::NO_FUSE, "this machine offers no FUSE: " + device + " is missing",
			"sudo modprobe fuse (a container needs --device /dev/fuse)"};
	default: return Problem{Kind::NO_FUSE, device + " can't be opened: " + strerror(errno), ""};
	}
}

std::optional<Problem> prepare_mount_point(std::string const &path)
{
	std::string const place = real_mount_point(path);
	std::string const ours = std::string("fuse.") + FUSE_SUBTYPE;
	struct stat found{};
	// Several servers may have died one over the other.
	for (unsigned tries = 0; tries < 16; ++tries) {
		int const error_number = look_at(place, found);
		std::string const type = mounted_type(place);
		if (!error_number && type.empty()) {
			if (!S_ISDIR(found.st_mode)) return not_there(place, ENOTDIR);
			if (empty_directory(place)) return {};
			return Problem{Kind::IN_USE, "the mount point " + place + " isn't empty",
				"choose an empty directory"};
		}
		if (type.empty()) return not_there(place, error_number);
		if (!dead(error_number)) return in_use(place, type);
		if (type != ours)
			return Problem{Kind::IN_USE,
				"a dead file system of type " + type + " is mounted at " + place,
				unmount_command(place)};
		if (!unmount_lazily(place)) break;
	}
	return Problem{
		Kind::IN_USE, "a dead mount at " + place + " can't be taken away", unmount_command(place)};
}

} // namespace bulkhead::fuse
