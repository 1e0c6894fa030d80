#include "component/broker/notify.h"

#include "platform/linux/gate.h"

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace bulkhead::broker {
namespace {

constexpr int FIRST = 3; // SD_LISTEN_FDS_START

int number_of(char const *variable)
{
	std::string_view const text = getenv(variable) ? getenv(variable) : "";
	int number = -1;
	std::from_chars(text.data(), text.data() + text.size(), number);
	return number;
}

} // namespace

Notify Notify::of_environment()
{
	int const socket = number_of(KEEPER_VARIABLE);
	if (socket < 0) return of_systemd();
	Notify notify;
	notify._socket.reset(socket);
	notify._keeper = notify._stores = true;
	fcntl(socket, F_SETFD, FD_CLOEXEC);
	return notify;
}

Notify Notify::of_systemd()
{
	Notify notify;
	std::string_view const path = getenv("NOTIFY_SOCKET") ? getenv("NOTIFY_SOCKET") : "";
	sockaddr_un to{.sun_family = AF_UNIX, .sun_path = {}};
	if (path.empty() || path.size() >= sizeof(to.sun_path)) return notify;
	memcpy(to.sun_path, path.data(), path.size());
	if (path.front() == '@') to.sun_path[0] = 0;
	linux_host::Owned_fd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
	socklen_t const size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
	if (connect(socket.value(), reinterpret_cast<sockaddr *>(&to), size) == 0)
		notify._socket = std::move(socket);
	notify._stores = getenv("FDSTORE") != nullptr;
	return notify;
}

void Notify::_send(std::string_view text, int descriptor)
{
	if (!_socket) return;
	Bytes const message[] = {bytes_of(text)};
	int const descriptors[] = {descriptor};
	std::span<int const> const given(descriptors, descriptor >= 0 ? 1 : 0);
	while (true) {
		auto const sent = linux_host::send_with_descriptors(_socket.value(), message, given);
		if (sent.ok() || sent.error() != Error::WOULD_BLOCK) return;
		// It is trusted to read on, and what is lost here would be missing later.
		pollfd waiting{_socket.value(), POLLOUT, 0};
		(void)poll(&waiting, 1, -1);
	}
}

void Notify::store(std::string_view name, int descriptor)
{
	if (_stores) _send(std::string("FDSTORE=1\nFDPOLL=0\nFDNAME=").append(name), descriptor);
}

void Notify::forget(std::string_view name)
{
	if (_stores) _send(std::string("FDSTOREREMOVE=1\nFDNAME=").append(name));
}

Descriptors take_stored()
{
	Descriptors stored;
	int const count = number_of("LISTEN_PID") == getpid() ? number_of("LISTEN_FDS") : 0;
	std::string_view names = getenv("LISTEN_FDNAMES") ? getenv("LISTEN_FDNAMES") : "";
	for (int fd = FIRST; fd < FIRST + count; ++fd) {
		size_t const end = std::min(names.find(':'), names.size());
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		stored[std::string(names.substr(0, end))].reset(fd);
		names.remove_prefix(std::min(end + 1, names.size()));
	}
	return stored;
}

} // namespace bulkhead::broker
