#include "sdk/qrexec/service_socket.h"

#include "rpc/qrexec/message.h"
#include "sdk/qrexec/local_socket.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace bulkhead::qrexec {
namespace {

using linux_host::Owned_fd;

constexpr unsigned ACCEPTED_MAX = 64; // between two looks at those who are there

uid_t user_of(int socket)
{
	ucred peer{};
	socklen_t size = sizeof(peer);
	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return UINT32_MAX;
	return peer.uid;
}

bool watch(int epoll, int fd, uint32_t events, void *what)
{
	epoll_event event{};
	event.events = events;
	event.data.ptr = what;
	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

} // namespace

Attempt<Service_request, Command_fault> parse_service_descriptor(std::string_view text)
{
	if (text.size() >= COMMAND_MAX) return Command_fault::TOO_LONG;
	std::string line = "QUBESRPC ";
	line += text;
	Command_line const call = TRY(parse_command_line(line, false));
	Service_request request;
	request.service = call.service;
	if (call.argument) request.argument.emplace(*call.argument);
	request.source = call.source;
	request.target_kind = call.target_kind;
	request.target = call.target;
	return request;
}

int Service_socket::listen(std::string const &path, mode_t mode, bool descriptor)
{
	_descriptor = descriptor;
	Owned_fd listener, epoll(epoll_create1(EPOLL_CLOEXEC));
	int error = epoll ? listen_locally(path, mode, listener) : errno;
	struct stat file{};
	if (error == 0 && lstat(path.c_str(), &file) != 0) error = errno;
	if (error == 0 && !watch(epoll.value(), listener.value(), EPOLLIN, nullptr)) error = errno;
	if (error) {
		_message = path + ": " +
			(error == EADDRINUSE ? "another service listens there, or it is no socket"
								 : strerror(error));
		return error;
	}
	_path = path;
	_device = file.st_dev;
	_inode = file.st_ino;
	_listener = std::move(listener);
	_epoll = std::move(epoll);
	return 0;
}

void Service_socket::_drop(Pending const *pending)
{
	// A child that was forked may keep the socket open, and epoll then watching it.
	if (pending->socket) epoll_ctl(_epoll.value(), EPOLL_CTL_DEL, pending->socket.value(), nullptr);
	std::erase_if(_pending, [&](auto const &one) { return one.get() == pending; });
}

// New connections. 0 or an errno.
int Service_socket::_accept_all()
{
	for (unsigned i = 0; i < ACCEPTED_MAX; ++i) {
		Owned_fd socket(accept4(_listener.value(), nullptr, nullptr, SOCK_CLOEXEC));
		if (!socket && (errno == EINTR || errno == ECONNABORTED)) continue;
		if (!socket) return errno == EAGAIN ? 0 : errno;
		if (_pending.size() == PENDING_MAX) {
			_message = _path + ": a connection that said nothing has made room for another";
			_drop(_pending.front().get());
		}
		auto &pending = _pending.emplace_back(std::make_unique<Pending>());
		pending->socket = std::move(socket);
		// Who needn't say anything is ready as soon as it is writable: at once.
		uint32_t const events = _descriptor ? EPOLLIN : EPOLLOUT;
		if (!watch(_epoll.value(), pending->socket.value(), events, pending.get())) {
			int const error = errno;
			_pending.pop_back();
			return error;
		}
	}
	return 0;
}

// Up to the NUL, and no byte more: the rest is the service's.
Service_socket::Reading Service_socket::_read(Pending &pending)
{
	int const socket = pending.socket.value();
	while (_descriptor) {
		std::array<char, 512> buffer;
		ssize_t const there = recv(socket, buffer.data(), buffer.size(), MSG_PEEK | MSG_DONTWAIT);
		if (there < 0 && errno == EINTR) continue;
		if (there < 0 && errno == EAGAIN) return Reading::MORE;
		if (there <= 0) {
			_message = _path + ": a connection ended before it said which call it is";
			return Reading::WRONG;
		}
		auto const *const end = std::find(buffer.data(), buffer.data() + there, '\0');
		auto const size = static_cast<size_t>(end - buffer.data());
		bool const whole = size < static_cast<size_t>(there);
		if (recv(socket, buffer.data(), size + whole, MSG_DONTWAIT) < 0) return Reading::WRONG;
		pending.text.append(buffer.data(), size);
		if (whole) break;
		if (pending.text.size() >= COMMAND_MAX) {
			_message = _path + ": " + std::string(name_of(Command_fault::TOO_LONG));
			return Reading::WRONG;
		}
	}
	return Reading::WHOLE;
}

std::unique_ptr<Service_request> Service_socket::_finish(Pending &pending)
{
	auto request = std::make_unique<Service_request>();
	if (_descriptor) {
		auto parsed = parse_service_descriptor(pending.text);
		if (!parsed.ok()) {
			_message =
				_path + ": a connection was turned away: " + std::string(name_of(parsed.error()));
			return nullptr;
		}
		*request = std::move(parsed).value();
	}
	epoll_ctl(_epoll.value(), EPOLL_CTL_DEL, pending.socket.value(), nullptr);
	request->user = user_of(pending.socket.value());
	request->stream = std::move(pending.socket);
	return request;
}

int Service_socket::accept(std::unique_ptr<Service_request> &request)
{
	request = nullptr;
	if (!_listener) return EBADF;
	int error = 0;
	while (error == 0) {
		// One at a time: the others are still there at the next call.
		epoll_event event{};
		int const count = epoll_wait(_epoll.value(), &event, 1, 0);
		if (count < 0 && errno == EINTR) continue;
		if (count <= 0) break;
		auto *const pending = static_cast<Pending *>(event.data.ptr);
		if (!pending) {
			error = _accept_all();
			continue;
		}
		Reading const reading = _read(*pending);
		if (reading == Reading::MORE) continue;
		if (reading == Reading::WHOLE) request = _finish(*pending);
		_drop(pending);
		if (request) return 0;
	}
	if (error) _message = _path + ": " + strerror(error);
	return error;
}

void Service_socket::close()
{
	if (!_listener) return;
	struct stat file{};
	if (lstat(_path.c_str(), &file) == 0 && file.st_dev == _device && file.st_ino == _inode)
		static_cast<void>(unlink(_path.c_str()));
	_pending.clear();
	_listener.reset();
	_epoll.reset();
}

} // namespace bulkhead::qrexec
