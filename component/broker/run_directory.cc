#include "component/broker/run_directory.h"

#include "component/broker/plan/options.h"
#include "platform/linux/unix_address.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

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

/*
 * The number of a process and when it began (field 22 of its line, proc(5)): no other has both, as
 * long as the machine runs.
 */
std::string identity_of(pid_t pid)
{
	std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
	std::string text;
	// Its name, in parentheses, may have anything in it.
	std::getline(file, text, '\0');
	std::istringstream fields(text.substr(text.rfind(')') + 1));
	for (int field = 3; field <= 22; ++field) fields >> text;
	return std::to_string(pid) + " " + text;
}

} // namespace

pid_t pid_of(int process)
{
	std::ifstream info("/proc/self/fdinfo/" + std::to_string(process));
	for (std::string line; std::getline(info, line);)
		if (line.starts_with("Pid:")) return atoi(line.c_str() + 4);
	return 0;
}

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
	std::string const &path, Descriptors &kept, Notify &notify, std::string &why)
{
	_path = path;
	_lock = std::move(kept["lock"]);
	_listener = std::move(kept["control"]);
	// Who connects sees the process that has called this last.
	if (_lock && _listener && listen(_listener.value(), BACKLOG) == 0) return 0;
	std::string const control = path + "/control";
	auto const address = linux_host::unix_address(control);
	why = control + ": too long; choose a shorter place by --run-dir";
	if (!address) return UNABLE;
	_listener.reset(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	if (int const code = _take(why)) {
		if (code != RUNS_ALREADY) return code;
		(void)connect(_listener.value(), address->get(), address->size);
		why = "process " + std::to_string(peer_of(_listener.value()).pid);
		return code;
	}
	_find_left(kept);
	unlink(control.c_str());
	if (bind(_listener.value(), address->get(), address->size) != 0 ||
		chmod(control.c_str(), 0600) != 0 || listen(_listener.value(), BACKLOG) != 0) {
		why = control + ": " + strerror(errno);
		return UNABLE;
	}
	notify.store("lock", _lock.value());
	notify.store("control", _listener.value());
	return 0;
}

void Run_directory::_find_left(Descriptors &kept) const
{
	std::error_code error;
	for (auto const &entry : std::filesystem::directory_iterator(_path, error)) {
		if (entry.path().extension() != ".process") continue;
		std::ifstream file(entry.path());
		std::string noted;
		std::getline(file, noted);
		pid_t const pid = atoi(noted.c_str());
		// No other gets its number between the two: whoever is that old has had it all the time.
		Owned_fd process{static_cast<int>(syscall(SYS_pidfd_open, pid, 0))};
		if (process && identity_of(pid) == noted)
			kept[entry.path().filename()] = std::move(process);
		else
			unlink(entry.path().c_str());
	}
}

void Run_directory::note(std::string const &domain, int process) const
{
	std::ofstream(_path + "/" + domain + ".process") << identity_of(pid_of(process));
}

void Run_directory::forget(std::string const &domain) const
{
	unlink((_path + "/" + domain + ".process").c_str());
}

linux_host::Gate Run_directory::accept()
{
	Owned_fd socket{accept4(_listener.value(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
	// Who can't be taken in is sent away: the listener would be ready for ever.
	if (!socket && (errno == EMFILE || errno == ENFILE)) {
		_spare.reset();
		_spare.reset(accept4(_listener.value(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
		_spare.reset(::open("/", O_PATH | O_CLOEXEC));
	}
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
