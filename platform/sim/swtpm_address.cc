// How swtpm is found by an address. A file of its own: whoever is handed connected sockets doesn't
// link what looks up hosts.

#include "platform/sim/swtpm.h"

#include <cerrno>
#include <cstring>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

namespace bulkhead::sim {

using Result = Attempt<void, Swtpm_error>;

/* A connected socket, or -1 and errno. The time-out of sending is that of connecting, too. */
static int connect_to(int family, sockaddr const *address, socklen_t size, unsigned timeout_ms)
{
	int const fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) return -1;
	timeval const limit{
		static_cast<time_t>(timeout_ms / 1000), static_cast<suseconds_t>(timeout_ms % 1000 * 1000)};
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (::connect(fd, address, size) == 0) return fd;
	int const number = errno;
	close(fd);
	errno = number == EINPROGRESS ? ETIMEDOUT : number;
	return -1;
}

static int connect_to_path(std::string_view path, unsigned timeout_ms)
{
	sockaddr_un address{};
	address.sun_family = AF_UNIX;
	if (path.size() >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path.data(), path.size());
	return connect_to(
		AF_UNIX, reinterpret_cast<sockaddr const *>(&address), sizeof(address), timeout_ms);
}

static int connect_to_host(std::string const &host, std::string const &port, unsigned timeout_ms)
{
	addrinfo hints{};
	hints.ai_socktype = SOCK_STREAM;
	addrinfo *found = nullptr;
	if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) {
		errno = ENOENT;
		return -1;
	}
	int fd = -1;
	for (addrinfo const *at = found; at && fd < 0; at = at->ai_next)
		fd = connect_to(at->ai_family, at->ai_addr, at->ai_addrlen, timeout_ms);
	int const number = errno;
	freeaddrinfo(found);
	int const on = 1;
	if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	errno = number;
	return fd;
}

Attempt<int, Swtpm_error> Swtpm::_connect(std::string_view address)
{
	std::string const quoted = "'" + std::string(address) + "'";
	if (address.empty()) return _fail(Swtpm_error::BAD_ADDRESS, quoted);
	size_t const colon = address.rfind(':');
	bool const path = address.find('/') != address.npos || colon == address.npos;
	int fd = -1;
	if (path) {
		fd = connect_to_path(address, _patience.connect_ms);
	} else {
		std::string const host(address.substr(0, colon));
		std::string const port(address.substr(colon + 1));
		if (host.empty() || port.empty()) return _fail(Swtpm_error::BAD_ADDRESS, quoted);
		fd = connect_to_host(host, port, _patience.connect_ms);
	}
	if (fd >= 0) return fd;
	if (errno == ENAMETOOLONG) return _fail(Swtpm_error::BAD_ADDRESS, quoted, errno);
	return _fail(_error_of(errno), quoted, errno);
}

Result Swtpm::connect(std::string_view data, std::string_view control)
{
	_begin_anew();
	_dial = &Swtpm::_connect;
	_control_address = control;
	_data = TRY(_connect(data));
	_set_timeout(_data, SO_RCVTIMEO, _patience.command_ms);
	return Ok{};
}

} // namespace bulkhead::sim
