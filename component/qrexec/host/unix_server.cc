#include "component/qrexec/host/unix_server.h"

#include "component/qrexec/host/log.h"
#include "component/qrexec/host/process.h"
#include "platform/linux/errno.h"
#include "sdk/qrexec/local_socket.h"

#include <cerrno>
#include <sys/socket.h>
#include <sys/timerfd.h>

namespace bulkhead::qrexec {

using linux_host::error_of_errno;
using linux_host::Owned_fd;

namespace {

constexpr long PAUSE_NS = 50'000'000;
constexpr unsigned TRIES = 64; // of callers who have gone again

} // namespace

Attempt<void> Unix_server::start(std::string path, mode_t mode)
{
	_path = std::move(path);
	auto const failed = [&](int error) -> Attempt<void> {
		_message = "cannot listen at " + _path + ": " +
			(error == EADDRINUSE      ? "another program does, or it is no socket"
					: error == ENOENT ? "there is no such directory; make it, or name another path"
									  : errno_text(error));
		return error_of_errno(error);
	};
	_timer.reset(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	if (!_timer) return failed(errno);
	if (int const error = listen_locally(_path, mode, _listener)) return failed(error);
	struct stat about{};
	if (::lstat(_path.c_str(), &about) == 0) {
		_device = about.st_dev;
		_inode = about.st_ino;
	}
	Attempt<void> added = _loop.add(_pause, _timer.value(), 0);
	if (added.ok()) added = _loop.add(*this, _listener.value(), EPOLLIN);
	if (!added.ok())
		_message = "cannot watch " + _path + ": " + std::string(name_of(added.error()));
	return added;
}

void Unix_server::ready(uint32_t)
{
	for (unsigned i = 0; i < TRIES && !_paused; ++i) {
		Owned_fd connection{
			::accept4(_listener.value(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
		if (connection) {
			_complained = false;
			// Level-triggered: the rest is told again. The server may be gone afterwards.
			return _to.accepted(*this, std::move(connection));
		}
		if (errno == EAGAIN) return;
		if (errno == ECONNABORTED || errno == EINTR) continue;
		return _wait();
	}
}

// EMFILE, ENFILE, ENOBUFS, ENOMEM: the queue stays as it is, and would wake the loop for ever.
void Unix_server::_wait()
{
	if (!std::exchange(_complained, true))
		log("cannot accept at ", _path, ": ", errno_text(errno), "; whoever asks waits");
	_paused = true;
	(void)_loop.change(*this, 0);
	itimerspec when{};
	when.it_value.tv_nsec = PAUSE_NS;
	(void)::timerfd_settime(_timer.value(), 0, &when, nullptr);
	(void)_loop.change(_pause, EPOLLIN);
}

void Unix_server::resume()
{
	if (!_paused) return;
	_paused = false;
	(void)_loop.change(_pause, 0);
	(void)_loop.change(*this, EPOLLIN);
}

Unix_server::~Unix_server()
{
	if (_inode == 0) return;
	struct stat about{};
	bool const ours =
		::lstat(_path.c_str(), &about) == 0 && about.st_dev == _device && about.st_ino == _inode;
	if (ours) (void)::unlink(_path.c_str());
}

} // namespace bulkhead::qrexec
