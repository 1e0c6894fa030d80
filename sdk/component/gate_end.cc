#include "sdk/component/gate_end.h"

#include "domain/gate/message.h"

#include <array>
#include <sys/epoll.h>

namespace bulkhead::component {
namespace {

using linux_host::Bell;
using linux_host::Channel_end;
using linux_host::Gate;
using linux_host::Owned_fd;
using qrexec::Exec_params;
using qrexec::Header;
using qrexec::Type;

constexpr unsigned MESSAGES_MAX = 32; // in a round

/* Empty if a broker has lost the descriptors on their way. */
Channel_end end_of(std::span<Owned_fd> descriptors, vchan::Role role, uint32_t port)
{
	if (descriptors.size() != domain::DESCRIPTORS) return {};
	return {.memory = std::move(descriptors[domain::MEMORY]),
		.bell =
			Bell(std::move(descriptors[domain::BELL_OUT]), std::move(descriptors[domain::BELL_IN])),
		.role = role,
		.generation = port};
}

} // namespace

Attempt<void> Gate_end::open(Owned_fd socket)
{
	_gate = Gate(std::move(socket), linux_host::Gate_takes::DESCRIPTORS);
	auto const added = _watcher.add(*this, _gate.fd(), EPOLLIN);
	if (!added.ok()) _gate.close();
	return added;
}

void Gate_end::_close()
{
	if (!opened()) return;
	_watcher.remove(*this);
	_gate.close();
	_unsent.clear();
	_taker.gate_closed();
}

void Gate_end::ready(uint32_t events)
{
	if (events & EPOLLOUT) _send_unsent();
	// Where calls come one by one, there is no more than one message.
	unsigned const most = many ? MESSAGES_MAX : 1;
	for (unsigned i = 0; i < most && opened() && _receive(); ++i) {}
}

bool Gate_end::_receive()
{
	std::array<uint8_t, domain::PACKET_MAX> buffer;
	std::array<Owned_fd, Gate::DESCRIPTORS_MAX> descriptors;
	auto const received = _gate.receive(buffer, descriptors);
	if (!received.ok() && received.error() == Error::WOULD_BLOCK) return false;
	if (!received.ok() && received.error() == Error::TOO_MANY_OPEN) return false; // later, perhaps
	if (!received.ok() || received.value().bytes == 0) {
		// What doesn't fit, or has more descriptors than any message, is no broker's.
		_close();
		return false;
	}
	_handle(std::span(buffer).first(received.value().bytes),
		std::span(descriptors).first(received.value().descriptors));
	return true;
}

/* What makes no sense is passed over: a later version of a broker may know more than we. */
void Gate_end::_handle(Bytes message, std::span<Owned_fd> descriptors)
{
	if (message.size() < Header::BYTES) return;
	Header const header = qrexec::decode_header(message);
	Bytes body = message.subspan(Header::BYTES);
	if (header.size != body.size()) return;
	if (!qrexec::permitted(qrexec::Direction::DAEMON_TO_AGENT, qrexec::VERSION, header)) return;
	Type const type = static_cast<Type>(header.type);
	if (type == Type::HELLO) return _taker.greeted();
	if (type == Type::SERVICE_REFUSED) {
		auto const ident = qrexec::decode_name(body);
		if (ident) _taker.refused(*ident);
		return;
	}
	Exec_params const params = qrexec::decode_exec_params(body);
	body = body.subspan(Exec_params::BYTES);
	auto const text = qrexec::decode_name(body);
	if (!text) return;
	if (type == Type::SERVICE_CONNECT)
		return _taker.connected(
			*text, params, end_of(descriptors, vchan::Role::SERVER, params.port));
	if (type != Type::EXEC_CMDLINE) return;
	auto const command = qrexec::parse_command_line(*text, true);
	if (!command.ok() || !command.value().service_call) return tell_end(params);
	_taker.called(command.value(), params, end_of(descriptors, vchan::Role::CLIENT, params.port));
}

/* False: no room. A gate that has closed says so when it is read. */
bool Gate_end::_try_send(Bytes message)
{
	auto const sent = _gate.send({&message, 1});
	return sent.ok() ||
		(sent.error() != Error::WOULD_BLOCK && sent.error() != Error::OUT_OF_MEMORY);
}

void Gate_end::_send(Bytes message)
{
	if (!opened()) return;
	if (_unsent.empty() && _try_send(message)) return;
	_unsent.emplace_back(message.begin(), message.end());
	if (_unsent.size() == 1) static_cast<void>(_watcher.change(*this, EPOLLIN | EPOLLOUT));
}

void Gate_end::_send_unsent()
{
	while (!_unsent.empty() && _try_send(_unsent.front())) _unsent.pop_front();
	if (_unsent.empty()) static_cast<void>(_watcher.change(*this, EPOLLIN));
}

void Gate_end::greet()
{
	std::array<uint8_t, Header::BYTES + 4> message;
	encode(
		Header{static_cast<uint32_t>(Type::HELLO), 4}, std::span(message).first<Header::BYTES>());
	qrexec::encode_number(qrexec::VERSION, std::span(message).last<4>());
	_send(message);
}

bool Gate_end::ask(std::string_view ident, std::string_view target, std::string_view service)
{
	std::array<uint8_t, domain::PACKET_MAX> message;
	size_t const size = qrexec::encode_trigger(
		qrexec::VERSION, {.target = target, .ident = ident, .service = service}, message);
	if (size) _send(std::span(message).first(size));
	return size != 0;
}

void Gate_end::tell_end(Exec_params call)
{
	std::array<uint8_t, Header::BYTES + Exec_params::BYTES> message;
	encode(Header{static_cast<uint32_t>(Type::CONNECTION_TERMINATED), Exec_params::BYTES},
		std::span(message).first<Header::BYTES>());
	encode(call, std::span(message).last<Exec_params::BYTES>());
	_send(message);
}

} // namespace bulkhead::component
