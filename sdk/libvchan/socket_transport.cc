#include "sdk/libvchan/socket_transport.h"

#include "platform/linux/clock.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

namespace bulkhead::sdk {
namespace {

namespace sleep_for = vchan::sleep_for;
using linux_host::Owned_fd;
using vchan::Error;
using vchan::Pieces;
using vchan::State;

constexpr size_t VIEWS_MAX = 14; // that go to the kernel at once, besides a ring's two pieces

// Edges: what nobody takes in wakes once, not for ever. The end of the peer is always told.
constexpr uint32_t ALWAYS = EPOLLET | EPOLLRDHUP;

template <typename VIEW>
size_t total(std::span<VIEW const> views)
{
	size_t sum = 0;
	for (VIEW const &view : views) sum += std::min(view.size(), vchan::ALL - sum);
	return sum;
}

template <typename VIEW>
iovec piece(VIEW view)
{
	return {const_cast<uint8_t *>(view.data()), view.size()};
}

template <typename VIEW>
std::array<iovec, 2> both(Pieces<VIEW> const &pieces)
{
	return {piece(pieces.first), piece(pieces.second)};
}

size_t bytes_in(std::span<iovec const> pieces)
{
	size_t sum = 0;
	for (iovec const &one : pieces) sum += one.iov_len;
	return sum;
}

} // namespace

std::unique_ptr<Transport> open_socket(Wanted const &wanted, int &error, std::string &why)
{
	auto transport = std::make_unique<Socket_transport>(wanted.server);
	error = transport->open(wanted);
	if (error == 0) return transport;
	why = transport->message();
	return nullptr;
}

Socket_transport::~Socket_transport() { close(); }

int Socket_transport::_fail(int error, std::string why)
{
	_message = std::move(why);
	return error;
}

int Socket_transport::open(Wanted const &wanted)
{
	if (wanted.own < 0 || wanted.peer < 0 || wanted.port < 0)
		return _fail(EINVAL, "a domain or port below 0");
	if (wanted.own == wanted.peer && !wanted.within_domain)
		return _fail(ELOOP, "a channel from a domain to itself");
	size_t in = CLIENT_BYTES, out = CLIENT_BYTES;
	if (_server) {
		size_t const larger = std::max(wanted.read_bytes, wanted.write_bytes);
		if (larger == 0 || larger > vchan::RING_MAX)
			return _fail(EINVAL, "rings have from 1 byte to 64 MiB");
		if (wanted.read_bytes == 0 || wanted.write_bytes == 0)
			return _fail(EOPNOTSUPP, "a socket can't be a channel that goes one way");
		auto const sizes = vchan::rounded(
			{static_cast<uint32_t>(wanted.write_bytes), static_cast<uint32_t>(wanted.read_bytes)});
		in = sizes.value().to_server;
		out = sizes.value().to_client;
	}
	_in = Byte_queue::make(in);
	_out = Byte_queue::make(out);
	if (!_in || !_out) return _fail(ENOMEM, "no memory for the rings");
	_epoll.reset(epoll_create1(EPOLL_CLOEXEC));
	if (!_epoll) return _fail(errno, std::string("epoll: ") + std::strerror(errno));

	int const own = wanted.own, peer = wanted.peer;
	Socket_name name(wanted.directory, _server ? own : peer, _server ? peer : own, wanted.port);
	if (!_server) {
		_search.emplace(std::move(name));
		// Most servers are there already, and the kernel takes its time to end a watch.
		int error = _meet();
		if (error != 0 || _socket) return error;
		error = _search->begin(fd(), _message);
		// It may have come before we watched.
		return error == 0 ? _meet() : error;
	}
	int error = _listener.listen(name, _message);
	if (error != 0) return error;
	error = _listener.watch(fd());
	return error == 0 ? 0 : _fail(error, std::string("epoll: ") + std::strerror(error));
}

// Whether the peer is there now. Returns 0 or an errno.
int Socket_transport::_meet()
{
	int error = 0;
	Owned_fd socket = _server ? _listener.accept(error) : _search->look(error, _message);
	if (socket) _adopt(std::move(socket));
	if (error == 0) return _error;
	if (_message.empty()) _message = std::string("no connection: ") + std::strerror(error);
	_listener.close();
	_search.reset();
	return _error = error;
}

void Socket_transport::_adopt(Owned_fd socket)
{
	_search.reset();
	epoll_event event{};
	event.events = _interest = ALWAYS;
	event.data.fd = socket.value();
	if (epoll_ctl(fd(), EPOLL_CTL_ADD, socket.value(), &event) != 0) {
		_error = errno;
		_message = std::string("epoll: ") + std::strerror(errno);
		return;
	}
	_socket = std::move(socket);
	_flush();
}

// What has to wake us. Room comes when what is in the ring has gone to the kernel.
uint32_t Socket_transport::_needed() const
{
	uint32_t needed = ALWAYS;
	if (_armed & sleep_for::DATA && !_in_ended && _in->room() > 0) needed |= EPOLLIN;
	if (!_out_ended && _out->size() > 0) needed |= EPOLLOUT;
	return needed;
}

// What becomes interesting here and is there already wakes at once.
void Socket_transport::_watch(uint32_t interest)
{
	if (!_socket || interest == _interest) return;
	epoll_event event{};
	event.events = _interest = interest;
	epoll_ctl(fd(), EPOLL_CTL_MOD, _socket.value(), &event);
}

// What is needed besides what is watched: that costs nothing if it is already.
void Socket_transport::_watch_too() { _watch(_interest | _needed()); }

// `events` of poll or epoll, whose bits are the same.
void Socket_transport::_note(uint32_t events)
{
	if (events & EPOLLERR) {
		int number = 0;
		socklen_t size = sizeof(number);
		getsockopt(_socket.value(), SOL_SOCKET, SO_ERROR, &number, &size);
		if (number != 0) _note_error(number);
	}
	if (events & (EPOLLRDHUP | EPOLLHUP)) _peer_finished = true;
	if (events & EPOLLHUP) _peer_closed = _out_ended = true;
}

// Of a socket: it has ended. Bytes that came before can still be read.
void Socket_transport::_note_error(int number)
{
	_out_ended = true;
	if (number == EPIPE) return;
	_peer_dead = true;
	_message = std::string("the other side has gone: ") + std::strerror(number);
}

void Socket_transport::_look_at_peer()
{
	if (!_socket || _peer_closed) return;
	pollfd socket{_socket.value(), POLLRDHUP, 0};
	if (poll(&socket, 1, 0) == 1) _note(static_cast<uint32_t>(socket.revents));
}

int Socket_transport::look()
{
	if (_error != 0 || _closed) return _error;
	std::array<epoll_event, 4> events{};
	int const count = epoll_wait(fd(), events.data(), static_cast<int>(events.size()), 0);
	if (count <= 0) return 0;
	if (!_socket) {
		int const error = _meet();
		if (_socket) _armed = 0;
		return error;
	}
	uint32_t happened = 0;
	for (epoll_event const &event : std::span(events).first(static_cast<size_t>(count)))
		if (event.data.fd == _socket.value()) happened |= event.events;
	_note(happened);
	_flush();
	// Interest outlives what was armed, as that will mostly be armed again. What comes then and
	// nobody has asked for wakes this once.
	uint32_t interest = _interest;
	bool const wanted = _armed & sleep_for::DATA && _in->room() > 0;
	if (happened & EPOLLIN && !wanted) interest &= ~uint32_t{EPOLLIN};
	if (happened & EPOLLOUT) interest &= ~uint32_t{EPOLLOUT};
	if (happened & EPOLLIN) _armed &= ~sleep_for::DATA;
	if (happened & EPOLLOUT) _armed &= ~sleep_for::ROOM;
	if (happened & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) _armed = 0;
	_watch(interest | _needed());
	return 0;
}

int Socket_transport::wait(uint64_t until_us)
{
	if (_error != 0 || _closed) return _error;
	uint64_t const now_us = linux_host::Monotonic_clock().now_us();
	uint64_t const left_us = until_us > now_us ? until_us - now_us : 0;
	timespec left{};
	left.tv_sec = static_cast<time_t>(left_us / 1'000'000);
	left.tv_nsec = static_cast<long>(left_us % 1'000'000 * 1000);
	pollfd all{fd(), POLLIN, 0};
	int const count = ppoll(&all, 1, until_us == NEVER_US ? nullptr : &left, nullptr);
	if (count < 0) return errno;
	return count == 0 ? 0 : look();
}

State Socket_transport::state()
{
	if (_closed || _error != 0) return State::CLOSED;
	if (!_socket) return _finished ? State::HALF_CLOSED : State::WAITING;
	_look_at_peer();
	if (_peer_dead) return State::DEAD;
	if (_peer_closed) return State::CLOSED;
	return _finished || _peer_finished ? State::HALF_CLOSED : State::CONNECTED;
}

bool Socket_transport::peer_finished()
{
	_look_at_peer();
	return _peer_finished || _peer_dead || _error != 0;
}

// Before there is a peer this is as good as it gets. If the peer has sent something it may wait for
// us to read that, and we shouldn't wait for it: then the kernel may hold more than usual.
bool Socket_transport::delivered()
{
	_flush();
	auto const all_gone = [this] { return !_socket || _out_ended || _out->size() == 0; };
	if (all_gone() || _in->size() == 0) return all_gone();
	int usual = 0; // twice what was set
	socklen_t size = sizeof(usual);
	getsockopt(_socket.value(), SOL_SOCKET, SO_SNDBUF, &usual, &size);
	_let_the_kernel_hold_more();
	_flush();
	usual /= 2;
	setsockopt(_socket.value(), SOL_SOCKET, SO_SNDBUF, &usual, sizeof(usual));
	return all_gone();
}

std::optional<uid_t> Socket_transport::peer_user() const
{
	ucred peer{};
	socklen_t size = sizeof(peer);
	if (!_socket || getsockopt(_socket.value(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
		return {};
	return peer.uid;
}

size_t Socket_transport::read_capacity() const { return _server || _socket ? _in->capacity() : 0; }

size_t Socket_transport::write_capacity() const
{
	return _server || _socket ? _out->capacity() : 0;
}

void Socket_transport::arm(uint32_t reasons)
{
	if (_closed) return;
	_armed |= reasons & sleep_for::ANY;
	_watch_too();
}

void Socket_transport::finish()
{
	if (_finished || _closed) return;
	_finished = true;
	_flush();
}

void Socket_transport::_let_the_kernel_hold_more()
{
	int const much = INT_MAX / 2;
	if (setsockopt(_socket.value(), SOL_SOCKET, SO_SNDBUFFORCE, &much, sizeof(much)) != 0)
		setsockopt(_socket.value(), SOL_SOCKET, SO_SNDBUF, &much, sizeof(much));
}

// A peer that reads takes what the kernel holds even after our end. So at close the kernel may hold
// more than before; what was in its buffer then, and a ring of 128 KiB, is less than twice its
// default.
void Socket_transport::_linger()
{
	_flush();
	if (_out_ended || _out->size() == 0) return;
	_let_the_kernel_hold_more();
	linux_host::Monotonic_clock const clock;
	uint64_t const until_us = deadline_after_us(clock.now_us(), CLOSE_MAX_MS * 1000);
	for (_flush(); !_out_ended && _out->size() > 0; _flush()) {
		uint64_t const now_us = clock.now_us();
		if (now_us >= until_us) return;
		pollfd socket{_socket.value(), POLLOUT, 0};
		static_cast<void>(poll(&socket, 1, static_cast<int>((until_us - now_us) / 1000) + 1));
	}
}

void Socket_transport::close()
{
	if (_closed) return;
	// A client that has come, but that nobody has looked at, gets what was sent to it.
	if (_server && !_socket && _out && _out->size() > 0) static_cast<void>(_meet());
	if (_socket) _linger();
	_end();
}

void Socket_transport::abandon()
{
	if (!_closed) _end();
}

void Socket_transport::_end()
{
	_closed = true;
	_listener.close();
	_search.reset();
	// A process that was forked may keep the socket open, and epoll then watching it.
	if (_socket) epoll_ctl(fd(), EPOLL_CTL_DEL, _socket.value(), nullptr);
	_socket.reset();
}

Attempt<void, Error> Socket_transport::_may_write() const
{
	if (_closed || _finished || _error != 0) return Error::CLOSED;
	if (_peer_dead) return Error::PEER_DEAD;
	if (_out_ended) return Error::PEER_CLOSED;
	return Ok{};
}

Attempt<void, Error> Socket_transport::_may_read() const
{
	if (_closed || _error != 0) return Error::CLOSED;
	return Ok{};
}

// How much the kernel took.
size_t Socket_transport::_transmit(std::span<iovec const> pieces)
{
	msghdr message{};
	message.msg_iov = const_cast<iovec *>(pieces.data());
	message.msg_iovlen = pieces.size();
	while (true) {
		ssize_t const sent = sendmsg(_socket.value(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent >= 0) return static_cast<size_t>(sent);
		if (errno == EINTR) continue;
		if (errno == EAGAIN) return 0;
		// A reset hides behind a broken pipe.
		int const number = errno;
		if (number == EPIPE) _look_at_peer();
		_note_error(number);
		return 0;
	}
}

void Socket_transport::_flush()
{
	if (!_socket) return;
	while (!_out_ended && _out->size() > 0) {
		size_t const sent = _transmit(both(_out->peek()));
		if (sent == 0) return;
		_out->out.commit(sent);
	}
	if (_finished && !_shut_down && _out->size() == 0) {
		_shut_down = true;
		shutdown(_socket.value(), SHUT_WR);
	}
}

// Takes the first `size` bytes, for which there is room.
size_t Socket_transport::_put(std::span<Bytes const> from, size_t size)
{
	size_t sent = 0;
	if (_socket && _out->size() == 0 && size > 0) {
		std::array<iovec, VIEWS_MAX> pieces{};
		size_t count = 0, left = size;
		for (Bytes const view : from.first(std::min(from.size(), VIEWS_MAX))) {
			pieces[count++] = piece(view.first(std::min(view.size(), left)));
			left -= pieces[count - 1].iov_len;
		}
		sent = _transmit(std::span(pieces).first(count));
		if (_out_ended) return sent;
	}
	size_t begin = 0; // of a view, in all
	for (Bytes const view : from) {
		size_t const end = begin + std::min(view.size(), size - begin);
		if (end > sent) {
			size_t const skipped = std::max(begin, sent) - begin;
			Bytes const rest = view.subspan(skipped, end - begin - skipped);
			_out->write({&rest, 1});
		}
		begin = end;
	}
	if (from.size() > VIEWS_MAX) _flush();
	_watch_too();
	return size;
}

// Whether the peer has gone says the kernel when it gets bytes, unless others are before them.
Attempt<size_t, Error> Socket_transport::_room()
{
	_flush();
	if (_out->size() > 0) _look_at_peer();
	TRY(_may_write());
	return _server || _socket ? _out->room() : 0;
}

Attempt<size_t, Error> Socket_transport::writable()
{
	_look_at_peer();
	return _room();
}

Attempt<size_t, Error> Socket_transport::try_write(std::span<Bytes const> from)
{
	size_t const wanted = total(from);
	size_t const room = TRY(_room());
	if (wanted > 0 && room == 0) return Error::WOULD_BLOCK;
	size_t const written = _put(from, std::min(wanted, room));
	if (written == 0 && wanted > 0) TRY(_may_write());
	return written;
}

Attempt<size_t, Error> Socket_transport::try_send(std::span<Bytes const> from)
{
	size_t const wanted = total(from);
	size_t const room = TRY(_room());
	if (wanted > _out->capacity()) return Error::TOO_LONG;
	if (wanted > room) return Error::WOULD_BLOCK;
	// All, or the peer's end: then it makes no difference what has gone before it.
	if (_put(from, wanted) < wanted) TRY(_may_write());
	return wanted;
}

Attempt<Pieces<Mutable_bytes>, Error> Socket_transport::reserve(size_t max)
{
	size_t const room = TRY(writable());
	return _out->reserve(std::min(max, room));
}

void Socket_transport::commit_written(size_t n)
{
	if (_closed || _finished) return;
	_out->in.commit(n);
	_flush();
	_watch_too();
}

// How much the kernel had.
size_t Socket_transport::_collect(std::span<iovec const> pieces)
{
	if (!_socket || _in_ended) return 0;
	msghdr message{};
	message.msg_iov = const_cast<iovec *>(pieces.data());
	message.msg_iovlen = pieces.size();
	while (true) {
		ssize_t const size = recvmsg(_socket.value(), &message, MSG_DONTWAIT);
		if (size > 0) return static_cast<size_t>(size);
		if (size < 0 && errno == EINTR) continue;
		if (size < 0 && errno == EAGAIN) return 0;
		if (size < 0) _note_error(errno);
		_in_ended = true;
		_peer_finished = true;
		return 0;
	}
}

// Until `wanted` bytes are there, or no more.
void Socket_transport::_fill(size_t wanted)
{
	while (_in->size() < wanted && _in->room() > 0) {
		size_t const got = _collect(both(_in->reserve()));
		if (got == 0) return;
		_in->in.commit(got);
	}
}

// Into the caller's views, and what is behind it into the ring, which is empty.
size_t Socket_transport::_read_directly(std::span<Mutable_bytes const> to)
{
	std::array<iovec, VIEWS_MAX + 2> pieces{};
	size_t count = 0;
	for (Mutable_bytes const view : to) pieces[count++] = piece(view);
	size_t const wanted = bytes_in(std::span(pieces).first(count));
	for (iovec const &ours : both(_in->reserve())) pieces[count++] = ours;
	size_t const got = _collect(std::span(pieces).first(count));
	_in->in.commit(got > wanted ? got - wanted : 0);
	return std::min(got, wanted);
}

// When nothing is there.
Attempt<size_t, Error> Socket_transport::_nothing() const
{
	if (!_in_ended) return Error::WOULD_BLOCK;
	if (_peer_dead) return Error::PEER_DEAD;
	return size_t{0};
}

Attempt<size_t, Error> Socket_transport::readable()
{
	TRY(_may_read());
	_fill(_in->capacity());
	size_t const there = _in->size();
	if (there == 0 && _in_ended) return _nothing();
	return there;
}

Attempt<size_t, Error> Socket_transport::try_read(std::span<Mutable_bytes const> to)
{
	TRY(_may_read());
	size_t const wanted = total(to);
	if (wanted == 0) return size_t{0};
	size_t got = 0;
	if (_in->size() == 0 && to.size() <= VIEWS_MAX) {
		got = _read_directly(to);
	} else {
		_fill(std::min(wanted, _in->capacity()));
		got = _in->read(to);
	}
	if (got == 0) return _nothing();
	_watch_too();
	return got;
}

Attempt<size_t, Error> Socket_transport::try_receive(std::span<Mutable_bytes const> to)
{
	TRY(_may_read());
	size_t const wanted = total(to);
	if (wanted > _in->capacity()) return Error::TOO_LONG;
	_fill(wanted);
	if (_in->size() >= wanted) {
		_in->read(to);
		_watch_too();
		return wanted;
	}
	if (!_in_ended) return Error::WOULD_BLOCK;
	return _peer_dead ? Error::PEER_DEAD : Error::PEER_CLOSED;
}

Attempt<Pieces<Bytes>, Error> Socket_transport::peek(size_t max)
{
	TRY(_may_read());
	_fill(std::min(max, _in->capacity()));
	if (max > 0 && _in->size() == 0 && _in_ended) TRY(_nothing());
	return _in->peek(max);
}

void Socket_transport::commit_read(size_t n)
{
	if (_closed) return;
	_in->out.commit(n);
	_watch_too();
}

} // namespace bulkhead::sdk
