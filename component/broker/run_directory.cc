#include "component/broker/run_directory.h"

#include "component/broker/plan/options.h"

#include <cerrno>
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

ucred peer_of(int socket)
{
	ucred peer{0, static_cast<uid_t>(-1), 0};
	socklen_t size = sizeof(peer);
	(void)getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size);
	return peer;
}

} // namespace

/* A directory of this user's, and of nobody else's, and of no other broker's. */
int Run_directory::_take(std::string &why)
{
	std::string const parent = _path.substr(0, _path.rfind('/'));
	for (std::string const &path : {parent, _path}) {
		struct stat made{};
		(void)mkdir(path.c_str(), 0700);
		_lock.reset(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
		why = path + ": " + strerror(errno) + "; choose another place by --run-dir";
		if (!_lock || fstat(_lock.value(), &made) != 0) return UNABLE;
		why = path + ": others may write there; choose another place by --run-dir";
		if (made.st_uid != geteuid() || made.st_mode & 022) return UNABLE;
	}
	return flock(_lock.value(), LOCK_EX | LOCK_NB) == 0 ? 0 : RUNS_ALREADY;
}

int Run_directory::open(
	std::string const &path, Descriptors &stored, Notify &notify, std::string &why)
{
	_path = path;
	_lock = std::move(stored["lock"]);
	_listener = std::move(stored["control"]);
	// Who connects sees the process that has called this last.
	if (_lock && _listener && listen(_listener.value(), BACKLOG) == 0) return 0;
	std::string const control = path + "/control";
	sockaddr_un to{.sun_family = AF_UNIX, .sun_path = {}};
	why = control + ": too long; choose a shorter place by --run-dir";
	if (control.size() >= sizeof(to.sun_path)) return UNABLE;
	memcpy(to.sun_path, control.data(), control.size());
	auto *const address = reinterpret_cast<sockaddr *>(&to);
	_listener.reset(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	if (int const code = _take(why)) {
		if (code != RUNS_ALREADY) return code;
		(void)connect(_listener.value(), address, sizeof(to));
		why = "process " + std::to_string(peer_of(_listener.value()).pid);
		return code;
	}
	unlink(control.c_str());
	if (bind(_listener.value(), address, sizeof(to)) != 0 || chmod(control.c_str(), 0600) != 0 ||
		listen(_listener.value(), BACKLOG) != 0) {
		why = control + ": " + strerror(errno);
		return UNABLE;
	}
	notify.store("lock", _lock.value());
	notify.store("control", _listener.value());
	return 0;
}

linux_host::Gate Run_directory::accept()
{
	Owned_fd socket{accept4(_listener.value(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
	uid_t const user = socket ? peer_of(socket.value()).uid : static_cast<uid_t>(-1);
	if (user != 0 && user != geteuid()) return {};
	return {std::move(socket), linux_host::Gate_takes::NOTHING};
}

void Run_directory::remove()
{
	unlink((_path + "/control").c_str());
	rmdir(_path.c_str());
}

} // namespace bulkhead::broker
