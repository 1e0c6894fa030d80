#include "sdk/libvchan/socket_name.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>

namespace bulkhead::sdk {
namespace {

using linux_host::Owned_fd;

constexpr int64_t SHORTEST_PAUSE_NS = 1'000'000;
constexpr int64_t LONGEST_PAUSE_NS = 100'000'000;
constexpr unsigned TEMPORARY_NAMES = 100; // how many are tried

std::string words(std::string_view what, std::string const &path, int number)
{
	return std::string(what) + ' ' + path + ": " + std::strerror(number);
}

std::string no_directory(std::string const &directory)
{
	return "no directory " + directory +
		" where servers and clients meet; make it, or set VCHAN_SOCKET_DIR";
}

int too_long(std::string const &path, std::string &why)
{
	why = path + ": longer than the " + std::to_string(sizeof(sockaddr_un::sun_path) - 1) +
		" bytes of a socket's name; choose a shorter directory";
	return ENAMETOOLONG;
}

bool fits(std::string const &path) { return path.size() < sizeof(sockaddr_un::sun_path); }

sockaddr_un address_of(std::string const &path)
{
	sockaddr_un address{};
	address.sun_family = AF_UNIX;
	path.copy(address.sun_path, sizeof(address.sun_path) - 1);
	return address;
}

int connect_to(int socket, std::string const &path)
{
	sockaddr_un const address = address_of(path);
	return connect(socket, reinterpret_cast<sockaddr const *>(&address), sizeof(address)) == 0
		? 0
		: errno;
}

// Who is at the name? A stream connection would be the one client that a server takes, so this asks
// with the wrong type: EPROTOTYPE is a living socket, ECONNREFUSED one that nobody has open.
int probe(std::string const &path)
{
	Owned_fd const socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	return socket ? connect_to(socket.value(), path) : errno;
}

int move_to(std::string const &from, std::string const &to, unsigned flags)
{
	return renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags) == 0 ? 0 : errno;
}

int observe(int epoll, int fd)
{
	epoll_event event{};
	event.events = EPOLLIN;
	event.data.fd = fd;
	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

// To close isn't enough: epoll goes on with what a process that was forked still has open.
void unobserve(int epoll, int fd)
{
	if (epoll >= 0 && fd >= 0) epoll_ctl(epoll, EPOLL_CTL_DEL, fd, nullptr);
}

} // namespace

Socket_name::Socket_name(std::string where, int server, int client, int port)
	: directory(std::move(where)),
	  file("vchan." + std::to_string(server) + '.' + std::to_string(client) + '.' +
		  std::to_string(port) + ".sock")
{
	if (!directory.empty()) return;
	char const *const named = std::getenv("VCHAN_SOCKET_DIR");
	directory = named && *named ? named : "/var/run/vchan";
}

// Under a name of its own first: when it gets the one that clients know it already listens.
int Socket_listener::_bind(std::string const &directory, std::string &temporary, std::string &why)
{
	int number = EADDRINUSE;
	for (unsigned i = 0; i < TEMPORARY_NAMES && number == EADDRINUSE; ++i) {
		uint32_t random = 0;
		if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0) random = i;
		std::array<char, 16> name{};
		std::snprintf(name.data(), name.size(), "/.vchan%08x", random);
		temporary = directory + name.data();
		if (!fits(temporary)) return too_long(temporary, why);
		sockaddr_un const address = address_of(temporary);
		auto const *const generic = reinterpret_cast<sockaddr const *>(&address);
		number = bind(_fd.value(), generic, sizeof(address)) == 0 ? 0 : errno;
	}
	if (number == 0) return 0;
	why = number == ENOENT ? no_directory(directory) : words("bind", temporary, number);
	return number;
}

// Gives the name to our socket unless a living one has it. Two servers that find the same dead one
// must not replace each other, so it is exchanged, and looked at once nobody else can see it.
// Afterwards `temporary` is empty, or a name that has to go.
int Socket_listener::_publish(std::string &temporary, std::string &why)
{
	for (unsigned attempt = 0; attempt < TEMPORARY_NAMES; ++attempt) {
		int number = move_to(temporary, _path, RENAME_NOREPLACE);
		if (number == 0) {
			temporary.clear();
			return 0;
		}
		bool const simple = number == EINVAL; // this file system can't exchange either
		if (number != EEXIST && !simple) {
			why = words("rename to", _path, number);
			return number;
		}
		struct stat there{};
		bool const exists = lstat(_path.c_str(), &there) == 0;
		if (exists && !S_ISSOCK(there.st_mode)) {
			why = _path + " is there already, and no socket";
			return EADDRINUSE;
		}
		number = exists ? probe(_path) : ENOENT;
		if (number == EPROTOTYPE || number == 0) {
			why = _path + ": another server waits there";
			return EADDRINUSE;
		}
		if (number == ENOENT && !simple) continue;
		if (number != ECONNREFUSED && number != ENOENT) {
			why = words("look at", _path, number);
			return number;
		}
		number = move_to(temporary, _path, simple ? 0 : RENAME_EXCHANGE);
		if (number == ENOENT) continue;
		if (number != 0) {
			why = words("rename to", _path, number);
			return number;
		}
		if (simple || probe(temporary) == ECONNREFUSED) return 0;
		static_cast<void>(move_to(temporary, _path, RENAME_EXCHANGE));
	}
	why = _path + ": other servers come and go";
	return EADDRINUSE;
}

int Socket_listener::listen(Socket_name const &name, std::string &why)
{
	_path = name.path();
	if (!fits(_path)) return too_long(_path, why);
	_fd.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	int number = _fd ? 0 : errno;
	if (number != 0) {
		why = words("socket for", _path, number);
		return number;
	}
	std::string temporary;
	number = _bind(name.directory, temporary, why);
	if (number == 0) {
		struct stat ours{};
		// The shortest queue holds one, who is then the client; the others wait, or try again.
		if (::listen(_fd.value(), 0) != 0 || lstat(temporary.c_str(), &ours) != 0) {
			number = errno;
			why = words("listen at", temporary, number);
		} else {
			_device = ours.st_dev;
			_inode = ours.st_ino;
			number = _publish(temporary, why);
		}
		if (!temporary.empty()) unlink(temporary.c_str());
	}
	if (number != 0) _fd.reset();
	return number;
}

int Socket_listener::watch(int epoll)
{
	_epoll = epoll;
	return observe(epoll, _fd.value());
}

void Socket_listener::_unlink()
{
	struct stat there{};
	if (lstat(_path.c_str(), &there) != 0) return;
	if (there.st_dev == _device && there.st_ino == _inode) unlink(_path.c_str());
}

Owned_fd Socket_listener::accept(int &error)
{
	error = 0;
	pollfd waiting{_fd.value(), POLLIN, 0};
	if (!_fd || poll(&waiting, 1, 0) != 1) return {};
	// From here on others are refused, so that none comes into the queue behind the first.
	shutdown(_fd.value(), SHUT_RD);
	Owned_fd client(accept4(_fd.value(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
	if (!client) error = errno;
	close();
	return client;
}

void Socket_listener::close()
{
	if (!_fd) return;
	_unlink();
	unobserve(_epoll, _fd.value());
	_fd.reset();
}

Socket_search::~Socket_search() { unobserve(_epoll, _timer.value()); }

int Socket_search::begin(int epoll, std::string &why)
{
	if (!fits(_name.path())) return too_long(_name.path(), why);
	_timer.reset(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
	int number = _timer ? observe(epoll, _timer.value()) : errno;
	if (number != 0) {
		why = words("watch", _name.directory, number);
		return number;
	}
	_epoll = epoll;
	auto const fault =
		_watch.begin({.directory = _name.directory, .parent = {}, .file = _name.file}, epoll, 0);
	number = fault.number == ENOSPC ? EDQUOT : fault.number;
	if (number == ENOENT)
		why = no_directory(_name.directory);
	else if (number == EDQUOT)
		why =
			_name.directory + ": can't be watched, limit of inotify (fs.inotify.max_user_watches)";
	else if (number != 0)
		why = words(fault.call, _name.directory, number);
	return number;
}

// Of what the directory doesn't tell: that a bound socket begins to listen, that a queue has room.
int Socket_search::_sleep()
{
	if (!_timer) return 0;
	_pause_ns = std::clamp(2 * _pause_ns, SHORTEST_PAUSE_NS, LONGEST_PAUSE_NS);
	itimerspec when{};
	when.it_value.tv_nsec = _pause_ns;
	return timerfd_settime(_timer.value(), 0, &when, nullptr) == 0 ? 0 : errno;
}

int Socket_search::_try(bool &found, std::string &why)
{
	std::string const path = _name.path();
	if (!fits(path)) return too_long(path, why);
	if (!_candidate) {
		_candidate.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
		if (!_candidate) return errno;
	}
	int const number = connect_to(_candidate.value(), path);
	found = number == 0;
	switch (number) {
	case 0:
	case ENOENT: return 0;
	case EAGAIN: return _sleep();
	case ECONNREFUSED: // left over by a dead server; or a server between bind and listen
		return probe(path) == EPROTOTYPE ? _sleep() : 0;
	default: why = words("connect to", path, number); return number;
	}
}

Owned_fd Socket_search::look(int &error, std::string &why)
{
	error = 0;
	auto const news = _watch.look();
	if (news.any) _pause_ns = 0;
	if (_timer) {
		uint64_t expired = 0; // only emptied: what has come is seen by trying
		static_cast<void>(!read(_timer.value(), &expired, sizeof(expired)));
	}
	bool found = false;
	error = _try(found, why);
	if (error != 0 || found) return found ? std::move(_candidate) : Owned_fd{};
	if (news.gone) {
		error = ENOENT;
		why = no_directory(_name.directory);
	}
	return {};
}

} // namespace bulkhead::sdk
