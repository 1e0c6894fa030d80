#include "sdk/qrexec/call.h"

#include "sdk/libvchan/rendezvous.h"
#include "sdk/libvchan/shm_transport.h"

#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <sys/epoll.h>
#include <sys/timerfd.h>

namespace bulkhead::qrexec {
namespace {

using linux_host::Owned_fd;

// A question that was never asked is as one that was refused, if nobody could take it.
bool refuses(Link_error error, Wanted_call::Way way)
{
	if (error == Link_error::TOO_LONG) return true;
	return error == Link_error::REFUSED && way == Wanted_call::Way::AGENT;
}

std::string command_line(Wanted_call const &wanted)
{
	if (!wanted.command.empty()) return wanted.command;
	std::string const user = wanted.user.empty() ? "DEFAULT" : wanted.user;
	return user + ":QUBESRPC " + wanted.service + ' ' +
		(wanted.source.empty() ? "dom0" : wanted.source);
}

// Of the host, if nothing else is said. -1: not a domain id.
int host_domain()
{
	char const *const text = getenv("VCHAN_DOMAIN");
	if (!text) return 0;
	int id = -1;
	char const *const end = text + strlen(text);
	auto const result = std::from_chars(text, end, id);
	return result.ec == std::errc{} && result.ptr == end ? id : -1;
}

} // namespace

struct Call::Inside
{
	Wanted_call wanted{};
	State state = State::IDLE;
	int exit_code = EXIT_TROUBLE;
	std::string message{};
	int error_number = 0;
	Owned_fd epoll{epoll_create1(EPOLL_CLOEXEC)};
	Link link{};
	int watched = -1; // the link's descriptor
	uint32_t watched_for = 0;
	Owned_fd timer{};
	std::unique_ptr<Data_channel> channel{};

	State end(State with, int code, int number, std::string why);
	State fail(Link_error error);
	State fail_system(char const *call);
	bool watch(int fd, uint32_t events);
	void watch_link();
	void forget_link();
	State look_at_link();
	std::unique_ptr<sdk::Transport> open_transport(int &error, std::string &why);
	State connect();
	bool start_timer();
	State look_at_channel();
	State look();
};

Call::State Call::Inside::end(State with, int code, int number, std::string why)
{
	forget_link();
	link.close();
	timer.reset();
	if (channel) {
		epoll_ctl(epoll.value(), EPOLL_CTL_DEL, channel->fd(), nullptr);
		channel->abandon();
		channel.reset();
	}
	exit_code = code;
	error_number = number;
	message = std::move(why);
	return state = with;
}

Call::State Call::Inside::fail(Link_error error)
{
	bool const refused = refuses(error, wanted.way);
	return end(refused ? State::REFUSED : State::FAILED, refused ? EXIT_REFUSED : EXIT_TROUBLE,
		errno_of(error), link.message());
}

Call::State Call::Inside::fail_system(char const *call)
{
	int const number = errno;
	return end(State::FAILED, EXIT_TROUBLE, number, std::string(call) + ": " + strerror(number));
}

bool Call::Inside::watch(int fd, uint32_t events)
{
	epoll_event event{};
	event.events = events;
	return epoll_ctl(epoll.value(), EPOLL_CTL_ADD, fd, &event) == 0;
}

// Its descriptor may be another one after each look. One that it has closed is watched no more.
void Call::Inside::watch_link()
{
	int const fd = link.fd();
	uint32_t const events = link.wanted();
	if (fd == watched && events == watched_for) return;
	epoll_event event{};
	event.events = events;
	if (fd >= 0 && epoll_ctl(epoll.value(), EPOLL_CTL_MOD, fd, &event) != 0)
		static_cast<void>(watch(fd, events));
	watched = fd;
	watched_for = events;
}

void Call::Inside::forget_link()
{
	if (watched >= 0 && watched == link.fd())
		epoll_ctl(epoll.value(), EPOLL_CTL_DEL, watched, nullptr);
	watched = -1;
}

Call::State Call::Inside::look_at_link()
{
	auto const looked = link.look();
	if (!looked.ok()) return fail(looked.error());
	watch_link();
	if (looked.value() == Link::State::ASKING) return state;
	if (state == State::ASKING) return connect();
	return state;
}

// The end that came with the answer, else one that listens.
std::unique_ptr<sdk::Transport> Call::Inside::open_transport(int &error, std::string &why)
{
	if (auto end = link.take_end()) {
		auto transport = std::make_unique<sdk::Shm_transport>();
		error = transport->adopt(std::move(*end));
		if (error == 0) return transport;
		why = transport->message();
		return nullptr;
	}
	return sdk::open_transport(wanted.transport.c_str(),
		{.server = true,
			.own = wanted.own_domain,
			.peer = static_cast<int>(link.answer().domain),
			.port = static_cast<int>(link.answer().port),
			.read_bytes = wanted.ring_bytes,
			.write_bytes = wanted.ring_bytes,
			.directory = wanted.directory,
			.within_domain = true},
		error, why);
}

// Allowed: the service's side comes to where we listen now.
Call::State Call::Inside::connect()
{
	Exec_params const answer = link.answer();
	if (answer.domain > INT_MAX || answer.port == 0 || answer.port > INT_MAX)
		return end(State::FAILED, EXIT_TROUBLE, EBADMSG, "the answer names no port to connect to");
	int error = 0;
	std::string why;
	auto transport = open_transport(error, why);
	if (!transport)
		return end(State::FAILED, EXIT_TROUBLE, error,
			"no connection to domain " + std::to_string(answer.domain) + ": " + why);
	channel = std::make_unique<Data_channel>(std::move(transport), Side::CALLER);
	state = State::CONNECTING;
	if (!watch(channel->fd(), EPOLLIN)) return fail_system("epoll");
	if (wanted.connect_timeout_us && !start_timer()) return fail_system("timer");
	// The agent goes on listening to us, but has no more to say.
	if (wanted.way == Wanted_call::Way::AGENT) forget_link();
	return look_at_channel();
}

bool Call::Inside::start_timer()
{
	timer.reset(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	itimerspec time{};
	time.it_value.tv_sec = static_cast<time_t>(wanted.connect_timeout_us / 1'000'000);
	time.it_value.tv_nsec = static_cast<long>(wanted.connect_timeout_us % 1'000'000 * 1000);
	return timer && timerfd_settime(timer.value(), 0, &time, nullptr) == 0 &&
		watch(timer.value(), EPOLLIN);
}

Call::State Call::Inside::look_at_channel()
{
	Data_channel::State const now = channel->look();
	switch (now) {
	case Data_channel::State::WAITING:
	case Data_channel::State::GREETING: return state;
	case Data_channel::State::OPEN:
		if (state == State::CONNECTING) {
			state = State::OPEN;
			timer.reset();
			// A daemon that ends, or is restarted, doesn't end the calls that go on.
			forget_link();
		}
		return state;
	case Data_channel::State::CLOSED:
		return end(State::FAILED, EXIT_DISCONNECTED, ECONNRESET,
			channel->message() + " without an exit code");
	case Data_channel::State::BROKEN:
		return end(State::FAILED, EXIT_TROUBLE, EPROTO, channel->message());
	}
	return state;
}

Call::State Call::Inside::look()
{
	if (state == State::ASKING) return look_at_link();
	if (state == State::OPEN && channel) return look_at_channel();
	if (state != State::CONNECTING) return state;
	// Whoever has come before the link's end counts.
	bool const watching = watched >= 0;
	if (watching && look_at_link() != State::CONNECTING) return state;
	if (look_at_channel() != State::CONNECTING) return state;
	if (watching && link.state() == Link::State::ENDED &&
		channel->state() == Data_channel::State::WAITING)
		return end(State::FAILED, EXIT_DISCONNECTED, ECONNRESET,
			"the call ended before the service's side came");
	uint64_t expired = 0;
	if (timer && read(timer.value(), &expired, sizeof(expired)) == sizeof(expired))
		return end(State::FAILED, EXIT_TROUBLE, ETIMEDOUT,
			"the service's side didn't come in time; is its agent's transport the same?");
	return state;
}

Call::Call() : _inside(std::make_unique<Inside>()) {}

Call::~Call() { cancel(); }

Call::State Call::start(Wanted_call wanted)
{
	Inside &inside = *_inside;
	BULKHEAD_ASSERT(inside.state == State::IDLE);
	inside.wanted = std::move(wanted);
	Wanted_call &call = inside.wanted;
	if (!inside.epoll) return inside.fail_system("epoll");
	inside.state = State::ASKING;
	bool const daemon = call.way == Wanted_call::Way::DAEMON;
	if (daemon && call.own_domain < 0) call.own_domain = host_domain();
	if (daemon && call.own_domain < 0)
		return inside.end(
			State::FAILED, EXIT_TROUBLE, EDESTADDRREQ, "VCHAN_DOMAIN has to be a domain id");
	bool const blanks = (call.service + call.source + call.user).find(' ') != std::string::npos;
	if (daemon && call.command.empty() && (call.service.empty() || blanks))
		return inside.end(State::FAILED, EXIT_TROUBLE, EINVAL,
			"on a host a call has a service, whose name has no blanks, or a command");
	auto const asked = daemon
		? inside.link.ask_daemon(call.socket, call.target, Type::EXEC_CMDLINE,
			  {static_cast<uint32_t>(call.own_domain), 0}, command_line(call))
		: inside.link.ask_agent(call.socket,
			  {.source = call.source, .target = call.target, .ident = {}, .service = call.service});
	if (!asked.ok()) return inside.fail(asked.error());
	inside.watch_link();
	return inside.state;
}

int Call::fd() const { return _inside->epoll.value(); }
Call::State Call::look() { return _inside->look(); }
Call::State Call::state() const { return _inside->state; }
int Call::exit_code() const { return _inside->exit_code; }
std::string const &Call::message() const { return _inside->message; }
int Call::error_number() const { return _inside->error_number; }

Data_channel &Call::channel()
{
	BULKHEAD_ASSERT(_inside->channel);
	return *_inside->channel;
}

Data_channel::Incoming Call::peek()
{
	Inside &inside = *_inside;
	if (inside.state != State::OPEN || !inside.channel) return {};
	auto const next = inside.channel->peek();
	if (next.kind == Data_channel::Kind::EXIT_CODE)
		inside.end(State::ENDED, next.exit_code, 0, {});
	else if (inside.channel->state() != Data_channel::State::OPEN)
		inside.look_at_channel(); // tells how it has ended
	return next;
}

void Call::consume(size_t bytes)
{
	if (_inside->channel) _inside->channel->consume(bytes);
}

void Call::arm(bool to_read, bool to_write)
{
	if (_inside->channel) _inside->channel->arm(to_read, to_write);
}

std::unique_ptr<Data_channel> Call::release_channel()
{
	Inside &inside = *_inside;
	BULKHEAD_ASSERT(inside.state == State::OPEN && inside.channel);
	epoll_ctl(inside.epoll.value(), EPOLL_CTL_DEL, inside.channel->fd(), nullptr);
	return std::move(inside.channel);
}

void Call::cancel()
{
	State const now = _inside->state;
	if (now == State::IDLE || now == State::ASKING || now == State::CONNECTING ||
		now == State::OPEN)
		_inside->end(State::FAILED, EXIT_DISCONNECTED, ECANCELED, "cancelled");
}

} // namespace bulkhead::qrexec
