#include "tool/vchan/stream.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace bulkhead::tool {

namespace {

bool ready(int fd, short events)
{
	pollfd watched{fd, events, 0};
	return poll(&watched, 1, 0) > 0;
}

ssize_t result_of(ssize_t result)
{
	if (result >= 0) return result;
	if (errno == EINTR || errno == EWOULDBLOCK) return -EAGAIN;
	return errno == ECONNRESET ? -EPIPE : -errno;
}

} // namespace

void occupy_standard_descriptors()
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0) (void)open("/dev/null", O_RDWR); // the lowest that is free
}

ssize_t Input::read(iovec const *pieces, int count)
{
	if (!ready(_fd, POLLIN)) return -EAGAIN;
	return result_of(readv(_fd, pieces, count));
}

bool Input::left_over() const
{
	struct stat found{};
	if (!exists() || isatty(_fd) || fstat(_fd, &found) != 0) return false;
	if (S_ISREG(found.st_mode)) return lseek(_fd, 0, SEEK_CUR) < found.st_size;
	int bytes = 0;
	return ioctl(_fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

Output::Output(int fd) : _fd(fd), _original(fd)
{
	struct stat found{};
	if (fstat(fd, &found) != 0) return;
	if (S_ISSOCK(found.st_mode)) _kind = Kind::SOCKET;
	if (!S_ISFIFO(found.st_mode) && !S_ISCHR(found.st_mode)) return;
	// O_NONBLOCK belongs to the open file, which the shell and others share: one of our own.
	_kind = Kind::CAREFUL;
	std::string const path = fmt::format("/proc/self/fd/{}", fd);
	_owned.reset(open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
	if (!_owned) return;
	_kind = Kind::NON_BLOCKING;
	_fd = _owned.value();
}

Output::Output(linux_host::Owned_fd fd)
	: _owned(std::move(fd)), _fd(_owned.value()), _kind(Kind::NON_BLOCKING)
{
	fcntl(_fd, F_SETFL, O_NONBLOCK);
}

ssize_t Output::write(iovec const *pieces, int count)
{
	if (_kind == Kind::SOCKET) {
		msghdr message{};
		message.msg_iov = const_cast<iovec *>(pieces);
		message.msg_iovlen = static_cast<size_t>(count);
		return result_of(sendmsg(_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
	}
	if (_kind != Kind::CAREFUL) return result_of(writev(_fd, pieces, count));
	if (!ready(_fd, POLLOUT)) return -EAGAIN;
	// A pipe that has room has this much.
	return result_of(::write(_fd, pieces->iov_base, std::min<size_t>(pieces->iov_len, PIPE_BUF)));
}

void Output::end()
{
	if (_kind == Kind::SOCKET) shutdown(_fd, SHUT_WR);
	_owned.reset();
	_fd = -1;
	if (_original < 0) return;
	linux_host::Owned_fd const nothing(open("/dev/null", O_WRONLY | O_CLOEXEC));
	if (nothing) (void)dup2(nothing.value(), std::exchange(_original, -1));
}

} // namespace bulkhead::tool
