#include "sdk/qrexec/link.h"

#include "platform/linux/gate.h"
#include "sdk/qrexec/local_socket.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

namespace bulkhead::qrexec {
namespace {

using Done = Attempt<void, Link_error>;

// How long to wait for a place in the other side's queue, which nothing tells of.
constexpr uint64_t PAUSE_FIRST_US = 500;
constexpr uint64_t PAUSE_MAX_US = 32'000;

Link_error error_of(int number)
{
	switch (number) {
	case ENOENT:
	case ENOTDIR:
	case ECONNREFUSED: return Link_error::NOT_THERE;
	case EACCES:
	case EPERM: return Link_error::NOT_ALLOWED;
	case ENAMETOOLONG:
	case ELOOP: return Link_error::BAD_NAME;
	case EMFILE:
	case ENFILE: return Link_error::TOO_MANY_OPEN;
	default: return Link_error::SYSTEM;
	}
}

void append(std::string &to, Bytes bytes) { to += text_of(bytes); }

template <typename MESSAGE>
void append_encoded(std::string &to, MESSAGE message)
{
	std::array<uint8_t, MESSAGE::BYTES> encoded{};
	encode(message, std::span(encoded));
	append(to, encoded);
}

void append_header(std::string &to, Type type, size_t size)
{
	append_encoded(to, Header{static_cast<uint32_t>(type), static_cast<uint32_t>(size)});
}

} // namespace

std::string_view name_of(Link_error error)
{
	switch (error) {
	case Link_error::NOT_THERE: return "not there";
	case Link_error::NOT_ALLOWED: return "not allowed to connect";
	case Link_error::BAD_NAME: return "bad name";
	case Link_error::TOO_LONG: return "too long";
	case Link_error::REFUSED: return "refused";
	case Link_error::BAD_ANSWER: return "an answer that makes no sense";
	case Link_error::PEER_VERSION: return "another version";
	case Link_error::TOO_MANY_OPEN: return "too many open descriptors";
	case Link_error::SYSTEM: return "system error";
	}
	return "unknown error";
}

int errno_of(Link_error error)
{
	switch (error) {
	case Link_error::NOT_THERE: return ENOENT;
	case Link_error::NOT_ALLOWED: return EPERM;
	case Link_error::BAD_NAME: return EINVAL;
	case Link_error::TOO_LONG: return EMSGSIZE;
	case Link_error::REFUSED: return EACCES;
	case Link_error::BAD_ANSWER: return EBADMSG;
	case Link_error::PEER_VERSION: return EPROTOTYPE;
	case Link_error::TOO_MANY_OPEN: return EMFILE;
	case Link_error::SYSTEM: return EIO;
	}
	return EIO;
}

std::string default_socket_directory()
{
	char const *const directory = getenv("QREXEC_SOCKET_DIR");
	return directory && *directory ? directory : "/run/qubes";
}

Link_error Link::_fail(Link_error error, std::string message)
{
	_message = std::move(message);
	close();
	return error;
}

std::string Link::_who() const { return (_daemon ? "the daemon on " : "the agent on ") + _path; }

Done Link::_connect()
{
	linux_host::Owned_fd socket;
	int const number = connect_to_local(_path, socket);
	if (number == EAGAIN) return _pause();
	if (number == 0) {
		_socket = std::move(socket);
		_connected = true;
		return Ok{};
	}
	Link_error const error = error_of(number);
	std::string text = _who() + ": ";
	if (error == Link_error::NOT_THERE)
		text += _daemon ? "nobody listens; start the domain, and qrexec-daemon for it"
						: "nobody listens; start qrexec-agent in this domain";
	else if (error == Link_error::BAD_NAME)
		text += "the path of a socket has at most 107 bytes";
	else if (error == Link_error::NOT_ALLOWED)
		text += "this user may not connect; its group may be the one to be in";
	else
		text += strerror(number);
	return _fail(error, text);
}

// The other side's queue is full, and there is nothing that would tell when it isn't.
Done Link::_pause()
{
	if (!_pause_us) {
		_socket.reset(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
		if (!_socket) return _fail(error_of(errno), std::string("timer: ") + strerror(errno));
	}
	_pause_us = _pause_us ? std::min(2 * _pause_us, PAUSE_MAX_US) : PAUSE_FIRST_US;
	itimerspec time{};
	time.it_value.tv_nsec = static_cast<long>(_pause_us * 1000);
	timerfd_settime(_socket.value(), 0, &time, nullptr); // forgets that it had expired
	return Ok{};
}

Done Link::_begin(std::string path)
{
	BULKHEAD_ASSERT(_state == State::IDLE);
	_path = std::move(path);
	TRY(_connect());
	_state = State::ASKING;
	if (!_connected) return Ok{};
	return _send();
}

Done Link::ask_daemon(std::string const &directory, std::string_view domain, Type type,
	Exec_params params, std::string_view command_or_ident)
{
	bool const connect = type == Type::SERVICE_CONNECT;
	BULKHEAD_ASSERT(connect || type == Type::EXEC_CMDLINE || type == Type::JUST_EXEC);
	if (domain.empty() || domain.find_first_of(std::string_view("/\0", 2)) != domain.npos)
		return _fail(
			Link_error::BAD_NAME, "a domain has a name, an id, or uuid:UUID; with no / in it");
	if (command_or_ident.find('\0') != command_or_ident.npos)
		return _fail(Link_error::BAD_NAME, "a command line can't have a NUL in it");
	if (!connect && command_or_ident.size() > CONTROL_COMMAND_MAX)
		return _fail(Link_error::TOO_LONG,
			"the command line has " + std::to_string(command_or_ident.size()) +
				" bytes; a call can carry " + std::to_string(CONTROL_COMMAND_MAX));
	std::array<uint8_t, IDENT_BYTES> ident{};
	if (connect && !encode_name(command_or_ident, ident))
		return _fail(Link_error::TOO_LONG, "the name of a request has at most 31 bytes");

	_daemon = true;
	_type = type;
	_answer_expected = params.port == 0;
	append_header(_to_send, Type::HELLO, 4);
	std::array<uint8_t, 4> version{};
	encode_number(LOCAL_VERSION, version);
	append(_to_send, version);
	size_t const body = connect ? ident.size() : command_or_ident.size() + 1;
	append_header(_to_send, type, Exec_params::BYTES + body);
	append_encoded(_to_send, params);
	if (connect)
		append(_to_send, ident);
	else
		_to_send.append(command_or_ident).push_back('\0');
	return _begin((directory.empty() ? default_socket_directory() : directory) + "/qrexec." +
		std::string(domain));
}

Done Link::ask_agent(std::string const &socket, Trigger trigger)
{
	if (trigger.service.empty() || trigger.service.starts_with('+'))
		return _fail(Link_error::BAD_NAME, "the service has no name");
	if (trigger.service.size() > SERVICE_NAME_MAX)
		return _fail(Link_error::TOO_LONG,
			"the service and its argument have " + std::to_string(trigger.service.size()) +
				" bytes; a call can carry " + std::to_string(SERVICE_NAME_MAX));
	for (std::string_view const name : {trigger.target, trigger.source})
		if (name.size() >= DOMAIN_NAME_BYTES)
			return _fail(Link_error::TOO_LONG, "the name of a domain has at most 63 bytes");
	if (trigger.ident.empty()) trigger.ident = "SOCKET";
	std::array<uint8_t, CONTROL_RING_BYTES> message{};
	size_t const size = encode_trigger(VERSION, trigger, message);
	if (size == 0) return _fail(Link_error::BAD_NAME, "a name can't have a NUL in it");
	append(_to_send, std::span(message).first(size));
	_type = Type::TRIGGER_SERVICE4;
	return _begin(socket.empty() ? AGENT_SOCKET : socket);
}

uint32_t Link::wanted() const
{
	return _connected && !_to_send.empty() ? EPOLLIN | EPOLLOUT : EPOLLIN;
}

Done Link::_send()
{
	while (!_to_send.empty()) {
		ssize_t const sent =
			send(_socket.value(), _to_send.data(), _to_send.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno == EINTR) continue;
		if (sent < 0 && errno == EAGAIN) return Ok{};
		// It has closed; what it said before may tell more.
		if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) {
			_deaf = true;
			_to_send.clear();
			return Ok{};
		}
		if (sent < 0) return _fail(Link_error::SYSTEM, _who() + ": " + strerror(errno));
		_to_send.erase(0, static_cast<size_t>(sent));
	}
	return Ok{};
}

// Descriptors are taken from an agent alone, and no more than an answer has.
Attempt<size_t> Link::_receive_some(Mutable_bytes to)
{
	auto const takes =
		_daemon ? linux_host::Gate_takes::NOTHING : linux_host::Gate_takes::DESCRIPTORS;
	auto const room = std::span(_brought).subspan(_brought_count);
	auto const got = TRY(linux_host::receive_with_descriptors(_socket.value(), to, room, takes));
	_brought_count += got.descriptors;
	return got.bytes;
}

Done Link::_receive()
{
	while (true) {
		std::array<uint8_t, 256> buffer;
		auto const received = _receive_some(buffer);
		Error const error = received.ok() ? Error{} : received.error();
		if (error == Error::CANCELLED) continue;
		if (error == Error::WOULD_BLOCK) return Ok{};
		if (error == Error::INVALID)
			return _fail(
				Link_error::BAD_ANSWER, _who() + " gives more descriptors along than fit in here");
		if (error != Error{} && error != Error::BROKEN_PIPE)
			return _fail(Link_error::SYSTEM, _who() + ": " + std::string(name_of(error)));
		size_t const got = received.ok() ? received.value() : 0;
		if (got == 0) return _closed();
		TRY(_take(std::span(buffer).first(got)));
		if (got < buffer.size() && _state == State::ANSWERED) return Ok{};
	}
}

Done Link::_closed()
{
	_answered();
	if (_state == State::ANSWERED) {
		close();
		_state = State::ENDED;
		return Ok{};
	}
	return _fail(Link_error::REFUSED,
		_daemon ? _who() + " has closed instead of answering; its log may tell why"
				: std::string("the call was refused"));
}

Done Link::_take(Bytes bytes)
{
	if (!_daemon) return _take_agents_answer(bytes);
	while (!bytes.empty()) {
		if (_state == State::ANSWERED) return _more_than_an_answer();
		auto const read = _reader.read(bytes);
		if (!read.ok())
			return _fail(read.error() == Stream_fault::OLD_VERSION ? Link_error::PEER_VERSION
																   : Link_error::BAD_ANSWER,
				_who() + " has sent " + std::string(name_of(read.error())) +
					"; is it a qrexec-daemon?");
		if (read.value()) TRY(_take_message(*read.value()));
	}
	return Ok{};
}

Done Link::_take_agents_answer(Bytes bytes)
{
	if (_state == State::ANSWERED) return _more_than_an_answer();
	size_t const n =
		copy_bytes(std::span(_buffer).subspan(_filled, Exec_params::BYTES - _filled), bytes);
	_filled += n;
	if (_filled < Exec_params::BYTES) return Ok{};
	if (n < bytes.size()) return _more_than_an_answer();
	if (_brought_count != 0 &&
		(_brought_count != _brought.size() || !linux_host::Bell::suitable(_brought[1].value()) ||
			!linux_host::Bell::suitable(_brought[2].value())))
		return _fail(Link_error::BAD_ANSWER, _who() + " gives along what is no end of a channel");
	_answer = decode_exec_params(_buffer);
	_state = State::ANSWERED;
	return Ok{};
}

std::optional<linux_host::Channel_end> Link::take_end()
{
	bool const answered = _state == State::ANSWERED || _state == State::ENDED;
	if (!answered || _brought_count != _brought.size()) return {};
	_brought_count = 0;
	auto &[memory, bell_out, bell_in] = _brought;
	return linux_host::Channel_end{.memory = std::move(memory),
		.bell = linux_host::Bell(std::move(bell_out), std::move(bell_in)),
		.role = vchan::Role::SERVER,
		.generation = _answer.port};
}

Link_error Link::_more_than_an_answer()
{
	return _fail(Link_error::BAD_ANSWER, _who() + " says more than an answer");
}

Done Link::_take_message(Message_reader::Message const &message)
{
	if (message.type == Type::HELLO) {
		uint32_t const version = decode_number(message.body);
		if (version < LOCAL_VERSION)
			return _fail(Link_error::PEER_VERSION,
				_who() + " speaks version " + std::to_string(version) + " and this program " +
					std::to_string(LOCAL_VERSION) + "; they have to be of one release");
		_answered();
		return Ok{};
	}
	if (!_answer_expected || message.type != _type)
		return _fail(Link_error::BAD_ANSWER, _who() + " has answered another question");
	_answer = decode_exec_params(message.body);
	_state = State::ANSWERED;
	return Ok{};
}

// A question that has no answer is through when it is sent to one who has greeted.
void Link::_answered()
{
	if (_answer_expected || !_daemon || _state != State::ASKING) return;
	if (_to_send.empty() && !_deaf && _reader.version() != 0) _state = State::ANSWERED;
}

Attempt<Link::State, Link_error> Link::look()
{
	if (_state == State::ASKING && !_connected) {
		TRY(_connect());
		if (!_connected) return _state;
	}
	if (!_socket) return _state;
	TRY(_send());
	TRY(_receive());
	_answered();
	return _state;
}

void Link::close()
{
	_socket.reset();
	_to_send.clear();
	_connected = false;
	if (_state != State::ASKING) return;
	_state = State::IDLE;
	_brought = {};
	_brought_count = 0;
}

} // namespace bulkhead::qrexec
