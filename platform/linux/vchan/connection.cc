#include "platform/linux/vchan/connection.h"

#include "platform/linux/clock.h"
#include "platform/linux/vchan/hello.h"
#include "vchan/explain/meaning.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

namespace bulkhead::linux_host {
namespace {

using Done = Attempt<void, Connect_error>;

// What an event of the epoll descriptor is about; a pending client has its number added.
enum Subject : uint32_t { LISTENER, WATCH, GREETING, BELL, PENDING };

/* Only tells channels apart that use the same memory, so the time will do. */
uint32_t new_generation()
{
	return static_cast<uint32_t>(Monotonic_clock{}.now_us()) & vchan::GENERATION_MAX;
}

constexpr unsigned DROPPED_MAX = 8; // connections that a server may end without a word

// Between two looks for a server where nothing tells of its coming.
constexpr long SEARCH_TICK_NS = 10'000'000;

bool peer_user_of(int socket, uid_t &user)
{
	ucred peer{};
	socklen_t length = sizeof(peer);
	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return false;
	user = peer.uid;
	return true;
}

constexpr size_t DESCRIPTORS = 2; // that a server hands over: memory, and the bell that we hear

/* Sends a message, with descriptors; false if the peer has gone or its queue is full. */
bool send_message(int socket, Bytes message, std::span<int const> descriptors = {})
{
	alignas(cmsghdr) char control[CMSG_SPACE(DESCRIPTORS * sizeof(int))] = {};
	iovec part{const_cast<uint8_t *>(message.data()), message.size()};
	msghdr header{};
	header.msg_iov = &part;
	header.msg_iovlen = 1;
	if (!descriptors.empty()) {
		header.msg_control = control;
		header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
		cmsghdr *const rights = CMSG_FIRSTHDR(&header);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
		memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
	}
	ssize_t const sent = sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent == static_cast<ssize_t>(message.size());
}

struct Received
{
	ssize_t size; // as recvmsg
	bool cut; // there were more descriptors than were asked for, or than we may have
	unsigned count = 0;
	Owned_fd descriptors[DESCRIPTORS]{};
};

Received receive_message(int socket, Mutable_bytes to)
{
	alignas(cmsghdr) char control[CMSG_SPACE(DESCRIPTORS * sizeof(int))] = {};
	iovec part{to.data(), to.size()};
	msghdr header{};
	header.msg_iov = &part;
	header.msg_iovlen = 1;
	header.msg_control = control;
	header.msg_controllen = sizeof(control);
	Received received{.size = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC),
		.cut = (header.msg_flags & MSG_CTRUNC) != 0};
	if (received.size < 0) return received;
	for (cmsghdr *m = CMSG_FIRSTHDR(&header); m; m = CMSG_NXTHDR(&header, m)) {
		if (m->cmsg_level != SOL_SOCKET || m->cmsg_type != SCM_RIGHTS) continue;
		size_t const count = (m->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; ++i) {
			int fd = -1;
			memcpy(&fd, CMSG_DATA(m) + i * sizeof(int), sizeof(int));
			if (received.count < DESCRIPTORS)
				received.descriptors[received.count++].reset(fd);
			else
				close(fd);
		}
	}
	return received;
}

int wait_for_events(int epoll, std::span<epoll_event> events, timespec const *patience)
{
	int const size = static_cast<int>(events.size());
	int const count = epoll_pwait2(epoll, events.data(), size, patience, nullptr);
	if (count >= 0 || errno != ENOSYS) return count;
	// Before Linux 5.11, or in a sandbox that doesn't know the call.
	pollfd waiting{epoll, POLLIN, 0};
	int const ready = ppoll(&waiting, 1, patience, nullptr);
	return ready > 0 ? epoll_wait(epoll, events.data(), size, 0) : ready;
}

std::string text_of(Channel_name const &name) { return "channel " + name.file(); }

} // namespace

Connection::~Connection()
{
	if (_listener.socket) _directory.remove(_name, _listener);
}

Connect_error Connection::_fail(Connect_error error, std::string_view text)
{
	_message = text_of(_name).append(": ").append(text);
	return error;
}

Connect_error Connection::_fail(std::string_view call, int number)
{
	Connect_error const error = connect_error_of_errno(number);
	std::string text(call);
	text.append(": ").append(strerror(number));
	if (error == Connect_error::TOO_MANY_OPEN)
		text.append("; raise the limit of open files (ulimit -n)");
	return _fail(error, text);
}

Connect_error Connection::_fail_directory(Connect_error error)
{
	_message = _directory.message();
	return error;
}

Done Connection::_observe(int fd, uint32_t events, uint32_t subject)
{
	epoll_event event{};
	event.events = events;
	event.data.u32 = subject;
	if (epoll_ctl(_epoll.value(), EPOLL_CTL_ADD, fd, &event) != 0) return _fail("epoll_ctl", errno);
	return Ok{};
}

// A child that was forked keeps what we only close open, and epoll would go on watching it.
void Connection::_forget(Owned_fd &watched)
{
	if (watched) (void)epoll_ctl(_epoll.value(), EPOLL_CTL_DEL, watched.value(), nullptr);
	watched.reset();
}

/* As if nothing had been asked for; only `fd` and the message stay. */
void Connection::_end_search()
{
	if (_listener.socket) _directory.remove(_name, _listener);
	_forget(_listener.socket);
	for (Owned_fd &client : _pending) _forget(client);
	_watch.end();
	_forget(_ticks);
	_forget(_greeting);
	_endpoint.reset();
	_to_share.reset();
	_memory = Sealed_memory();
	_bell = Bell();
	_directory = Directory();
	_dropped = 0;
	_phase = Phase::IDLE;
}

/* What has failed can be asked for again. */
Done Connection::_begun(Done const &result)
{
	if (result.ok()) return result;
	_end_search();
	_epoll.reset();
	return result;
}

Done Connection::_begin(
	Channel_name const &name, std::string const &directory, Within_domain within)
{
	BULKHEAD_ASSERT(_phase == Phase::IDLE);
	_name = name;
	if (name.server < 0 || name.client < 0 || name.port < 0)
		return _fail(Connect_error::BAD_NAME, "domains and ports are numbers from 0");
	if (name.server == name.client && within == Within_domain::NO)
		return _fail(Connect_error::SELF, "a domain has no channel to itself");
	auto const opened = _directory.open(directory);
	if (!opened.ok()) return _fail_directory(opened.error());
	return _make_epoll();
}

Done Connection::_make_epoll()
{
	_epoll.reset(epoll_create1(EPOLL_CLOEXEC));
	if (!_epoll) return _fail("epoll_create1", errno);
	return Ok{};
}

Done Connection::_make_memory(vchan::Sizes wanted)
{
	auto const sizes = vchan::rounded(wanted);
	if (!sizes.ok()) return _fail(Connect_error::BAD_SIZE, vchan::name_of(sizes.error()));
	size_t const bytes = vchan::region_bytes(sizes.value());
	auto memory = Sealed_memory::create(bytes);
	if (!memory.ok()) return _fail("memfd_create", errno);
	auto mapped = Sealed_memory::map_own(memory.value().value(), bytes);
	if (!mapped.ok()) return _fail("mmap", errno);
	_to_share = std::move(memory.value());
	_memory = std::move(mapped.value());
	_generation = new_generation();
	auto &control = *::new (_memory.bytes().data()) vchan::Control{};
	auto const formatted = vchan::format(control, sizes.value(), _generation);
	BULKHEAD_ASSERT(formatted.ok());
	auto const attached = vchan::attach(_memory.bytes(), _generation, vchan::Role::SERVER);
	if (!attached.ok()) return _fail(Connect_error::BAD_MEMORY, vchan::name_of(attached.error()));
	_endpoint.emplace(attached.value(), _bell);
	return Ok{};
}

Done Connection::listen(Channel_name const &name, vchan::Sizes sizes, std::string const &directory,
	Within_domain within)
{
	return _begun(_listen(name, sizes, directory, within));
}

Done Connection::_listen(Channel_name const &name, vchan::Sizes sizes, std::string const &directory,
	Within_domain within)
{
	TRY(_begin(name, directory, within));
	TRY(_make_memory(sizes));
	auto listener = _directory.listen(name);
	if (!listener.ok()) return _fail_directory(listener.error());
	_listener = std::move(listener.value());
	_phase = Phase::LISTENING;
	return _observe(_listener.socket.value(), EPOLLIN, LISTENER);
}

Done Connection::connect(
	Channel_name const &name, std::string const &directory, Within_domain within)
{
	return _begun(_connect(name, directory, within));
}

Done Connection::_connect(
	Channel_name const &name, std::string const &directory, Within_domain within)
{
	TRY(_begin(name, directory, within));
	_phase = Phase::SEARCHING;
	return _search();
}

Done Connection::adopt(Channel_end end)
{
	BULKHEAD_ASSERT(_phase == Phase::IDLE);
	Done const made = _make_epoll();
	return _begun(made.ok() ? _attach(std::move(end)) : made);
}

/* Client: asks the server if there is one, else waits for a change of the directory. */
Done Connection::_search()
{
	while (true) {
		auto found = _directory.connect(_name);
		if (!found.ok()) return _fail_directory(found.error());
		if (found.value()) return _greet(std::move(found.value()));
		if (_watch.waiting() || _ticks) return Ok{};
		auto const watched = _directory.watch(_watch, _name, _epoll.value(), WATCH);
		if (!watched.ok() && watched.error() == Connect_error::TOO_MANY_WATCHES)
			TRY(_search_by_time());
		else if (!watched.ok())
			return _fail_directory(watched.error());
		// It may have come before we watched.
	}
}

/* Many processes that search at once use up what a user may have of inotify. */
Done Connection::_search_by_time()
{
	_ticks.reset(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	if (!_ticks) return _fail("timerfd_create", errno);
	itimerspec time{};
	time.it_value.tv_nsec = time.it_interval.tv_nsec = SEARCH_TICK_NS;
	timerfd_settime(_ticks.value(), 0, &time, nullptr);
	return _observe(_ticks.value(), EPOLLIN, WATCH);
}

Done Connection::_greet(Owned_fd server)
{
	if (!peer_user_of(server.value(), _peer_user)) return _fail("SO_PEERCRED", errno);
	if (!_directory.rules().allows(_name.server, _peer_user))
		return _fail(Connect_error::NOT_ALLOWED,
			"user " + std::to_string(_peer_user) + " serves it, who may not be domain " +
				std::to_string(_name.server) + " (see the file domains in " + _directory.path() +
				")");
	auto const hello = encode(Hello{_name.server, _name.client, _name.port});
	// If it can't be sent, the server has gone, and the socket says so.
	(void)send_message(server.value(), hello);
	_greeting = std::move(server);
	_phase = Phase::GREETING;
	return _observe(_greeting.value(), EPOLLIN, GREETING);
}

/* Client: the server's answer. */
Done Connection::_answered()
{
	uint8_t message[64];
	Received received = receive_message(_greeting.value(), message);
	if (received.size < 0 && (errno == EAGAIN || errno == EINTR)) return Ok{};
	if (received.size <= 0) {
		// It has ended, has taken another client, or has too many who ask.
		_forget(_greeting);
		_phase = Phase::SEARCHING;
		if (++_dropped > DROPPED_MAX)
			return _fail(Connect_error::CROWDED, "its server drops whoever asks");
		return _search();
	}
	auto const welcome = decode_welcome({message, static_cast<size_t>(received.size)});
	if (!welcome.ok()) return _fail(welcome.error(), "its server's answer is none");
	switch (welcome.value().status) {
	case Welcome::Status::ACCEPTED: break;
	case Welcome::Status::VERSION:
		return _fail(Connect_error::PEER_VERSION, "its server speaks another version");
	case Welcome::Status::NOT_ALLOWED:
		return _fail(Connect_error::NOT_ALLOWED,
			"its server refuses this user, who may not be domain " + std::to_string(_name.client) +
				" (see the file domains in " + _directory.path() + ")");
	case Welcome::Status::NONSENSE:
		return _fail(Connect_error::BAD_MESSAGE, "its server didn't understand us");
	}
	if (received.cut && received.count < DESCRIPTORS) return _fail("recvmsg", EMFILE);
	if (received.cut || received.count != DESCRIPTORS)
		return _fail(
			Connect_error::BAD_MESSAGE, "its server handed over too many descriptors or too few");
	if (!Bell::suitable(received.descriptors[1].value()))
		return _fail(Connect_error::BAD_MESSAGE, "what its server rings isn't a socket");
	_watch.end();
	_forget(_ticks);
	(void)epoll_ctl(_epoll.value(), EPOLL_CTL_DEL, _greeting.value(), nullptr);
	return _attach({.memory = std::move(received.descriptors[0]),
		.bell = Bell(std::move(_greeting), std::move(received.descriptors[1])),
		.role = vchan::Role::CLIENT,
		.generation = welcome.value().generation});
}

Done Connection::_attach(Channel_end end)
{
	auto mapped = Sealed_memory::map(end.memory.value());
	if (!mapped.ok() && mapped.error() == Connect_error::BAD_MEMORY)
		return _fail(Connect_error::BAD_MEMORY, "the memory handed over isn't a sealed memfd");
	if (!mapped.ok()) return _fail("mmap", errno);
	auto const attached = vchan::attach(mapped.value().bytes(), end.generation, end.role);
	if (!attached.ok())
		return _fail(attached.error() == vchan::Error::BAD_VERSION ? Connect_error::PEER_VERSION
																   : Connect_error::BAD_MEMORY,
			vchan::name_of(attached.error()));
	_memory = std::move(mapped.value());
	_generation = end.generation;
	_bell = std::move(end.bell);
	TRY(_observe(_bell.in(), Bell::events(), BELL));
	_endpoint.emplace(attached.value(), _bell);
	_phase = Phase::JOINED;
	_directory = Directory();
	return Ok{};
}

/* Server: a client, or somebody else. */
Done Connection::_accept()
{
	Owned_fd client{
		accept4(_listener.socket.value(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
	if (!client && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		return _fail("accept4", errno);
	uid_t user = 0;
	if (!client || !peer_user_of(client.value(), user)) return Ok{};
	if (!_directory.rules().allows(_name.client, user)) {
		(void)_fail(Connect_error::NOT_ALLOWED,
			"user " + std::to_string(user) + " asked for it, who may not be domain " +
				std::to_string(_name.client));
		(void)send_message(client.value(), encode(Welcome{Welcome::Status::NOT_ALLOWED}));
		return Ok{};
	}
	return _hear(std::move(client));
}

/* Server: most clients have spoken already; who says nothing makes room for others. */
Done Connection::_hear(Owned_fd client)
{
	TRY(_greeted(client));
	if (!client) return Ok{};
	unsigned const place = _next_pending++ % PENDING_MAX;
	_forget(_pending[place]);
	_pending[place] = std::move(client);
	return _observe(_pending[place].value(), EPOLLIN, PENDING + place);
}

/* Server: what a client has said. Whatever is wrong with it, others may come. */
Done Connection::_greeted(Owned_fd &client)
{
	uint8_t message[64];
	// Descriptors that come with it are not taken.
	ssize_t const size = recv(client.value(), message, sizeof(message), MSG_DONTWAIT);
	if (size < 0 && (errno == EAGAIN || errno == EINTR)) return Ok{};
	if (size <= 0) {
		client.reset();
		return Ok{};
	}
	auto const hello = decode_hello({message, static_cast<size_t>(size)});
	bool const meant = hello.ok() && hello.value() == Hello{_name.server, _name.client, _name.port};
	if (meant) return _welcome(client);
	bool const version = !hello.ok() && hello.error() == Connect_error::PEER_VERSION;
	(void)_fail(version ? Connect_error::PEER_VERSION : Connect_error::BAD_MESSAGE,
		version ? "a client of another version asked for it" : "a client asked for something else");
	Welcome const answer{version ? Welcome::Status::VERSION : Welcome::Status::NONSENSE};
	(void)send_message(client.value(), encode(answer));
	client.reset();
	return Ok{};
}

/* Server: hands this client its end; whoever else asks finds nobody any more. */
Done Connection::_welcome(Owned_fd &client)
{
	Owned_fd ringing, hearing;
	if (!Bell::connect(ringing, hearing)) return _fail("socketpair", errno);
	// Before the client believes that we hear it.
	TRY(_observe(client.value(), Bell::events(), BELL));
	int const handed[] = {_to_share.value(), hearing.value()};
	Welcome const answer{Welcome::Status::ACCEPTED, _generation};
	if (!send_message(client.value(), encode(answer), handed)) {
		_forget(client);
		return Ok{};
	}
	(void)peer_user_of(client.value(), _peer_user);
	_bell = Bell(std::move(ringing), std::move(client));
	_directory.remove(_name, _listener);
	_forget(_listener.socket);
	_to_share.reset();
	for (Owned_fd &other : _pending) _forget(other);
	_phase = Phase::JOINED;
	_directory = Directory();
	_endpoint->rung();
	return Ok{};
}

void Connection::heard(uint32_t events)
{
	_endpoint->rung();
	if (Bell::ended(events)) _endpoint->peer_died();
}

/* Client: the directory has changed, perhaps for others only. */
Done Connection::_changed()
{
	uint64_t count = 0;
	bool const tick = _ticks && read(_ticks.value(), &count, sizeof(count)) == sizeof(count);
	if ((!_watch.look().any && !tick) || _phase != Phase::SEARCHING) return Ok{};
	return _search();
}

Done Connection::_handle(uint32_t subject, uint32_t events)
{
	switch (subject) {
	case LISTENER: return _listener.socket ? _accept() : Done(Ok{});
	case WATCH: return _changed();
	case GREETING: return _greeting ? _answered() : Done(Ok{});
	case BELL: heard(events); return Ok{};
	default: break;
	}
	Owned_fd client = std::move(_pending[subject - PENDING]);
	if (!client) return Ok{};
	(void)epoll_ctl(_epoll.value(), EPOLL_CTL_DEL, client.value(), nullptr);
	return _hear(std::move(client));
}

Attempt<bool, Connect_error> Connection::_look(timespec const *patience)
{
	std::array<epoll_event, 2 + PENDING_MAX> events;
	int const count = wait_for_events(_epoll.value(), events, patience);
	for (int i = 0; i < count; ++i) {
		epoll_event const &event = events[static_cast<size_t>(i)];
		Done const handled = _handle(event.data.u32, event.events);
		if (handled.ok()) continue;
		if (_phase == Phase::SEARCHING || _phase == Phase::GREETING) _end_search();
		return handled.error();
	}
	return count > 0;
}

Done Connection::look()
{
	timespec const none{};
	TRY(_look(&none));
	return Ok{};
}

Attempt<bool, Connect_error> Connection::wait(uint64_t until_us)
{
	if (until_us == NEVER_US) return _look(nullptr);
	uint64_t const now_us = Monotonic_clock{}.now_us();
	uint64_t const left_us = until_us > now_us ? until_us - now_us : 0;
	timespec const left{.tv_sec = static_cast<time_t>(left_us / 1'000'000),
		.tv_nsec = static_cast<long>(left_us % 1'000'000 * 1'000)};
	return _look(&left);
}

int Connection::hand_over()
{
	BULKHEAD_ASSERT(joined());
	_epoll.reset();
	return _bell.in();
}

} // namespace bulkhead::linux_host
