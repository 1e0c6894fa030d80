#include "component/qrexec/host/local_end.h"

#include "sdk/qrexec/local_socket.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

namespace bulkhead::qrexec {

using linux_host::Owned_fd;

namespace {

// What a pipe that is ready for writing takes for certain; of a terminal one can only hope.
constexpr size_t BLOCKING_MAX = 4096;
constexpr int STANDARD_LAST = 2;

std::string path_of(Owned_fd const &fd) { return "/proc/self/fd/" + std::to_string(fd.value()); }

bool ready_now(int fd, short events)
{
	pollfd asked{.fd = fd, .events = events, .revents = 0};
	if (::poll(&asked, 1, 0) > 0) return true;
	errno = EAGAIN;
	return false;
}

} // namespace

int connect_to_service(std::string const &path, Owned_fd &socket)
{
	int const error = connect_to_local(path, socket);
	if (error != ENAMETOOLONG) return error;
	Owned_fd const file{::open(path.c_str(), O_PATH | O_CLOEXEC)};
	if (!file) return errno;
	return connect_to_local(path_of(file), socket);
}

void Local_stream::_open_once_more(int access)
{
	Owned_fd again{::open(path_of(_fd).c_str(), access | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)};
	if (!again) return;
	// Keeps the number, so that nothing else becomes standard input or output.
	if (_fd.value() <= STANDARD_LAST) {
		if (::dup3(again.value(), _fd.value(), O_CLOEXEC) < 0) return;
	} else {
		_fd = std::move(again);
	}
	_kind = Kind::NONBLOCKING;
}

void Local_stream::adopt(Owned_fd fd, bool to_read)
{
	_fd = std::move(fd);
	_kind = Kind::NONE;
	_paged = false;
	if (!_fd) return;
	struct stat about{};
	if (::fstat(_fd.value(), &about) != 0) about.st_mode = 0;
	if (S_ISSOCK(about.st_mode)) {
		_kind = Kind::SOCKET;
		return;
	}
	int const flags = ::fcntl(_fd.value(), F_GETFL);
	bool const may_block = S_ISFIFO(about.st_mode) || S_ISCHR(about.st_mode);
	_kind = may_block && !(flags & O_NONBLOCK) ? Kind::BLOCKING : Kind::NONBLOCKING;
	if (_kind != Kind::BLOCKING) return;
	// The near end of a terminal (TIOCGPTN) is made anew when it is opened, as are other devices.
	unsigned number = 0;
	bool const terminal = ::isatty(_fd.value()) && ::ioctl(_fd.value(), TIOCGPTN, &number) != 0;
	_paged = terminal || S_ISFIFO(about.st_mode);
	if (_paged) _open_once_more(to_read ? O_RDONLY : O_WRONLY);
}

ssize_t Local_stream::read(vchan::Pieces<Mutable_bytes> const &to)
{
	std::array<iovec, 2> pieces{
		iovec{to.first.data(), to.first.size()}, iovec{to.second.data(), to.second.size()}};
	int const count = to.second.empty() ? 1 : 2;
	if (_kind == Kind::SOCKET) {
		msghdr message{};
		message.msg_iov = pieces.data();
		message.msg_iovlen = static_cast<size_t>(count);
		return ::recvmsg(_fd.value(), &message, MSG_DONTWAIT);
	}
	if (_kind == Kind::BLOCKING && !ready_now(_fd.value(), POLLIN)) return -1;
	return ::readv(_fd.value(), pieces.data(), count);
}

ssize_t Local_stream::write(Bytes from)
{
	if (_kind == Kind::SOCKET)
		return ::send(_fd.value(), from.data(), from.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
	if (_kind == Kind::BLOCKING) {
		if (!ready_now(_fd.value(), POLLOUT)) return -1;
		if (_paged) from = from.first(std::min(from.size(), BLOCKING_MAX));
	}
	return ::write(_fd.value(), from.data(), from.size());
}

Owned_fd Local_stream::another() const
{
	return Owned_fd{_fd ? ::fcntl(_fd.value(), F_DUPFD_CLOEXEC, STANDARD_LAST + 1) : -1};
}

bool Local_stream::shut_down(int how)
{
	if (_kind != Kind::SOCKET) return false;
	// ENOTCONN: the other side of a TCP connection was faster.
	(void)::shutdown(_fd.value(), how);
	return true;
}

void Local_stream::close()
{
	_fd.reset();
	_kind = Kind::NONE;
}

void replace_characters(Mutable_bytes text)
{
	for (uint8_t &c : text) {
		bool const kept = (c >= 0x20 && c <= 0x7e) || (c >= 0x07 && c <= 0x0a) || c == '\r';
		if (!kept) c = '_';
	}
}

} // namespace bulkhead::qrexec
