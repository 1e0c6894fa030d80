#include "sdk/qrexec/local_socket.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace bulkhead::qrexec {
namespace {

using linux_host::Owned_fd;

bool address_of(std::string const &path, sockaddr_un &address)
{
	address = {};
	address.sun_family = AF_UNIX;
	if (path.size() >= sizeof(address.sun_path)) return false;
	path.copy(address.sun_path, path.size());
	return true;
}

Owned_fd new_socket()
{
	return Owned_fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

// Whether the path is free, or has a socket that nobody listens on. 0 or an errno.
int may_replace(std::string const &path)
{
	struct stat there{};
	if (lstat(path.c_str(), &there) != 0) return errno == ENOENT ? 0 : errno;
	if (!S_ISSOCK(there.st_mode)) return EADDRINUSE;
	Owned_fd probe;
	int const error = connect_to_local(path, probe);
	if (error == 0 || error == EAGAIN) return EADDRINUSE;
	return error == ECONNREFUSED || error == ENOENT ? 0 : error;
}

} // namespace

int connect_to_local(std::string const &path, Owned_fd &to)
{
	sockaddr_un address;
	if (path.empty()) return ENOENT;
	if (!address_of(path, address)) return ENAMETOOLONG;
	Owned_fd socket = new_socket();
	if (!socket) return errno;
	auto const *const name = reinterpret_cast<sockaddr const *>(&address);
	while (connect(socket.value(), name, sizeof(address)) != 0)
		if (errno != EINTR) return errno;
	to = std::move(socket);
	return 0;
}

int listen_locally(std::string const &path, mode_t mode, Owned_fd &to)
{
	// It is ready, and has its rights, before anybody can find it.
	// The character is in no domain's name: it is nobody's socket.
	std::string const temporary = path + '~' + std::to_string(getpid());
	sockaddr_un address;
	if (path.empty()) return ENOENT;
	if (!address_of(temporary, address)) return ENAMETOOLONG;
	if (int const error = may_replace(path)) return error;
	Owned_fd socket = new_socket();
	if (!socket) return errno;
	static_cast<void>(unlink(temporary.c_str()));
	if (bind(socket.value(), reinterpret_cast<sockaddr const *>(&address), sizeof(address)) != 0)
		return errno;
	// In a directory of several users somebody may have put a link there meanwhile.
	if (fchmodat(AT_FDCWD, temporary.c_str(), mode, AT_SYMLINK_NOFOLLOW) == 0 &&
		listen(socket.value(), SOMAXCONN) == 0 && rename(temporary.c_str(), path.c_str()) == 0) {
		to = std::move(socket);
		return 0;
	}
	int const error = errno;
	static_cast<void>(unlink(temporary.c_str()));
	return error;
}

} // namespace bulkhead::qrexec
