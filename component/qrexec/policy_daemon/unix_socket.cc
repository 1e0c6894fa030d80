#include "component/qrexec/policy_daemon/unix_socket.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace bulkhead::qrexec {

using linux_host::Owned_fd;

namespace {

bool set_path(sockaddr_un &address, std::string const &path)
{
	address.sun_family = AF_UNIX;
	if (path.empty() || path.size() >= sizeof(address.sun_path)) return false;
	std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
	return true;
}

} // namespace

Owned_fd connect_unix(std::string const &path, int &error)
{
	sockaddr_un address{};
	error = ENAMETOOLONG;
	if (!set_path(address, path)) return {};
	Owned_fd made(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	error = 0;
	if (made && connect(made.value(), reinterpret_cast<sockaddr *>(&address), sizeof(address)) == 0)
		return made;
	error = errno;
	return {};
}

Owned_fd listen_unix(std::string const &path, mode_t mode, int &error)
{
	sockaddr_un address{};
	error = ENAMETOOLONG;
	if (!set_path(address, path)) return {};
	Owned_fd made(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	error = 0;
	struct stat found{};
	if (lstat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode)) unlink(path.c_str());
	// Nobody may connect before the mode is what it is to be, which is the socket's and not of
	// whatever somebody of the group has put there.
	if (made && bind(made.value(), reinterpret_cast<sockaddr *>(&address), sizeof(address)) == 0 &&
		fchmodat(AT_FDCWD, path.c_str(), mode, AT_SYMLINK_NOFOLLOW) == 0 &&
		listen(made.value(), SOMAXCONN) == 0)
		return made;
	error = errno;
	return {};
}

} // namespace bulkhead::qrexec
