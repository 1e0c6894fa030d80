#include "component/qrexec/daemon/visit.h"

#include "component/qrexec/host/log.h"
#include "rpc/qrexec/command_line.h"

#include <array>
#include <cerrno>
#include <sys/socket.h>
#include <unistd.h>

namespace bulkhead::qrexec {
namespace {

// The NUL, and what is behind it, is no text.
std::string_view until_nul(std::string_view text) { return text.substr(0, text.find('\0')); }

// Of this daemon, or of the one that it is given for.
bool may_carry_data(uint32_t port)
{
	return port >= DATA_PORT_FIRST && port - DATA_PORT_FIRST < Port_table::MOST;
}

} // namespace

Visit::~Visit() { leave(); }

// Who doesn't wait for our greeting, as ours don't, has said everything by now, and gets greeting
// and answer together: woken once, and never watched before the call runs.
bool Visit::start()
{
	_greet();
	if (!_loop.add(*this, _socket.value(), 0).ok()) return false;
	ready(0);
	if (_state == State::OVER || _state == State::TELLING) return true;
	if (!_send({})) return false;
	return _state == State::WAITING || _loop.change(*this, EPOLLIN).ok();
}

void Visit::leave()
{
	if (_state == State::OVER) return;
	if (_state == State::WAITING) _host.no_longer(*this);
	if (_state == State::TELLING) _host.no_longer_when_taken(*this);
	_state = State::OVER;
	(void)_send({});
	_loop.remove(*this);
	_socket.reset();
	if (_lease) _host.ports().forget(*_lease);
	_host.leave(*this);
}

void Visit::_greet()
{
	std::array<uint8_t, Header::BYTES + 4> hello{};
	encode(Header{static_cast<uint32_t>(Type::HELLO), 4}, std::span(hello).first<Header::BYTES>());
	encode_number(LOCAL_VERSION, std::span(hello).last<4>());
	_unsent.assign(hello.begin(), hello.end());
}

// Behind what is unsent. False: not all of it.
bool Visit::_send(Bytes bytes)
{
	if (_unsent.empty() && bytes.empty()) return true;
	_unsent.append(bytes.begin(), bytes.end());
	ssize_t const n =
		send(_socket.value(), _unsent.data(), _unsent.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
	bool const sent = n == static_cast<ssize_t>(_unsent.size());
	_unsent.clear();
	return sent;
}

void Visit::_complain(std::string_view what)
{
	log("a client of the daemon's socket is sent away: ", what);
	leave();
}

void Visit::ready(uint32_t)
{
	std::array<uint8_t, CONTROL_RING_BYTES> buffer;
	ssize_t const n = recv(_socket.value(), buffer.data(), buffer.size(), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
	if (n <= 0) return leave();
	_take(std::span(buffer).first(static_cast<size_t>(n)));
}

void Visit::_take(Bytes bytes)
{
	while (!bytes.empty() && _state == State::GREETING) {
		auto const message = _inbox->reader.read(bytes);
		if (!message.ok())
			return _complain(message.error() == Stream_fault::TOO_LONG
					? "its command line is longer than an agent can be sent"
					: name_of(message.error()));
		if (message.value()) _take(*message.value());
	}
	if (!bytes.empty() && _state != State::OVER) _complain("it says more than its request");
}

void Visit::_take(Message_reader::Message const &message)
{
	if (message.type == Type::HELLO) {
		if (decode_number(message.body) < LOCAL_VERSION)
			_complain("it is of an old version; it has to be of the daemon's release");
		return;
	}
	_type = message.type;
	_params = decode_exec_params(message.body);
	Bytes const text = message.body.subspan(Exec_params::BYTES);
	_text.assign(reinterpret_cast<char const *>(text.data()), text.size());
	_inbox.reset();
	_take_request();
}

void Visit::_take_request()
{
	if (_params.port != 0 && !may_carry_data(_params.port))
		return _complain("its port is none of calls");
	if (_text.empty() || _text.back() != '\0') return _complain("its text has no end");
	if (_type == Type::SERVICE_CONNECT) {
		if (!_host.answered_by_client(until_nul(_text)))
			return _complain(
				"nobody has asked for the request that it answers, or it was answered");
	} else {
		_replace_default_user();
		if (_text.size() > CONTROL_COMMAND_MAX + 1)
			return _complain("its command line is longer than an agent can be sent");
	}
	_state = State::WAITING;
	// Its end is heard when it is its turn.
	(void)_loop.change(*this, 0);
	_host.when_room(*this);
}

void Visit::_replace_default_user()
{
	if (!_text.starts_with(DEFAULT_USER) || _text.substr(DEFAULT_USER.size(), 1) != ":") return;
	_text.replace(0, DEFAULT_USER.size(), _host.default_user());
}

size_t Visit::bytes() const { return Header::BYTES + Exec_params::BYTES + _text.size(); }

void Visit::go_on()
{
	if (_params.port == 0 && !_take_port()) return;
	_state = State::TELLING;
	_host.send_to_agent(
		_type, _params, {reinterpret_cast<uint8_t const *>(_text.data()), _text.size()});
	_text = {};
	_host.when_taken(*this);
}

// The answer goes after the agent's message: were it the other way round, a caller would wait for
// a domain that has heard nothing if the daemon died in between.
void Visit::taken()
{
	_state = State::RUNNING;
	bool const heard = _lease ? _answer() : _send({});
	if (!heard) return leave();
	(void)_loop.change(*this, EPOLLIN);
}

bool Visit::_take_port()
{
	_lease = _host.ports().take(_params.domain, this);
	if (!_lease) {
		_complain("the domain has as many calls as it can have");
		return false;
	}
	_params.port = _lease->port;
	return true;
}

// Where the other side of the call is. False: nobody is there to hear it; the agent says when the
// port is free.
bool Visit::_answer()
{
	std::array<uint8_t, Header::BYTES + Exec_params::BYTES> answer{};
	encode(Header{static_cast<uint32_t>(_type), Exec_params::BYTES},
		std::span(answer).first<Header::BYTES>());
	encode(Exec_params{_host.domain(), _params.port}, std::span(answer).last<Exec_params::BYTES>());
	return _send(answer);
}

} // namespace bulkhead::qrexec
