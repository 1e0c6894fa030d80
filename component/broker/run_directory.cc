#include "component/broker/run_directory.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace bulkhead::broker {
namespace {

using linux_host::Owned_fd;

constexpr int BACKLOG = 16;

bool fail(std::string &why, std::string const &path, std::string_view remedy = {})
{
	why = path + ": " + strerror(errno);
	if (!remedy.empty()) why.append("; ").append(remedy);
	return false;
}

} // namespace

std::string default_run_directory()
{
	if (char const *const path = getenv("BULKHEAD_RUN_DIR"); path && *path) return path;
	if (geteuid() == 0) return "/run/bulkhead";
	if (char const *const path = getenv("XDG_RUNTIME_DIR"); path && *path)
		return std::string(path) + "/bulkhead";
	return "/tmp/bulkhead-" + std::to_string(geteuid());
}

/* Both directories belong to this user, and to nobody else. */
bool Run_directory::_make_directory(std::string &why)
{
	std::string const parent = _path.substr(0, _path.rfind('/'));
	for (std::string const &path : {parent, _path}) {
		struct stat made{};
		if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
			return fail(why, path, "choose another place by --run-dir");
		if (lstat(path.c_str(), &made) != 0) return fail(why, path);
		if (S_ISDIR(made.st_mode) && made.st_uid == geteuid() && !(made.st_mode & 022)) continue;
		why = path + ": others may write there; choose another place by --run-dir";
		return false;
	}
	return true;
}

bool Run_directory::_take_lock(std::string &why)
{
	std::string const path = _path + "/lock";
	while (true) {
		_lock.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
		if (!_lock) return fail(why, path);
		if (flock(_lock.value(), LOCK_EX | LOCK_NB) != 0) {
			std::array<char, 16> pid{};
			ssize_t const size = pread(_lock.value(), pid.data(), pid.size(), 0);
			why = "process ";
			if (size > 0) why.append(pid.data(), static_cast<size_t>(size));
			return false;
		}
		// One that has just ended may have removed the file that we have opened.
		struct stat ours{}, there{};
		fstat(_lock.value(), &ours);
		if (stat(path.c_str(), &there) == 0 && ours.st_ino == there.st_ino) return true;
	}
}

bool Run_directory::_listen(std::string &why)
{
	std::string const path = _path + "/control";
	sockaddr_un to{.sun_family = AF_UNIX, .sun_path = {}};
	if (path.size() >= sizeof(to.sun_path)) {
		errno = ENAMETOOLONG;
		return fail(why, path, "choose a shorter place by --run-dir");
	}
	memcpy(to.sun_path, path.data(), path.size());
	unlink(path.c_str());
	_listener.reset(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	bool const bound =
		bind(_listener.value(), reinterpret_cast<sockaddr *>(&to), sizeof(to)) == 0 &&
		chmod(path.c_str(), 0600) == 0 && listen(_listener.value(), BACKLOG) == 0;
	return bound || fail(why, path);
}

Run_directory::Opened Run_directory::open(std::string const &path,
	std::map<std::string, Owned_fd, std::less<>> &stored, Notify &notify, std::string &why)
{
	_path = path;
	_lock = std::move(stored["lock"]);
	_listener = std::move(stored["control"]);
	bool const taken_over = _lock && _listener;
	if (!taken_over) {
		if (!_make_directory(why)) return Opened::NO;
		if (!_take_lock(why)) return why.starts_with('/') ? Opened::NO : Opened::RUNS_ALREADY;
		if (!_listen(why)) return Opened::NO;
		notify.store("lock", _lock.value());
		notify.store("control", _listener.value());
	}
	std::string const pid = std::to_string(getpid());
	(void)!ftruncate(_lock.value(), 0);
	(void)!pwrite(_lock.value(), pid.data(), pid.size(), 0);
	return Opened::YES;
}

linux_host::Gate Run_directory::accept()
{
	Owned_fd socket{accept4(_listener.value(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
	ucred peer{};
	socklen_t size = sizeof(peer);
	if (!socket || getsockopt(socket.value(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
		return {};
	if (peer.uid != 0 && peer.uid != geteuid()) return {};
	return {std::move(socket), linux_host::Gate_takes::NOTHING};
}

void Run_directory::remove(Notify &notify)
{
	if (_path.empty() || !_lock) return;
	unlink((_path + "/control").c_str());
	unlink((_path + "/lock").c_str());
	rmdir(_path.c_str());
	notify.forget("control");
	notify.forget("lock");
	_lock.reset();
}

} // namespace bulkhead::broker
