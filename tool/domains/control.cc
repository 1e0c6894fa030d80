#include "tool/domains/control.h"

#include "platform/linux/runtime_directory.h"
#include "tool/domains/systems.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace bulkhead::tool {

using domain::Admin;
using linux_host::Owned_fd;
using qrexec::Exec_params;
using qrexec::Header;
using qrexec::Type;

namespace {

constexpr int GREETING_MS = 10'000;
constexpr int FOR_EVER = -1;
constexpr std::string_view IDENT = "bulkhead";
constexpr off_t STATUS_MAX = 256 << 20;

Or_trouble<Owned_fd> connect_to(std::string const &path, std::string const &system)
{
	sockaddr_un to{.sun_family = AF_UNIX, .sun_path = {}};
	if (path.size() >= sizeof(to.sun_path))
		return Trouble{Exit::SYSTEM, fmt::format("{}: the path is too long", path)};
	memcpy(to.sun_path, path.data(), path.size());
	Owned_fd socket{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
	if (socket && connect(socket.value(), reinterpret_cast<sockaddr *>(&to), sizeof(to)) == 0)
		return socket;
	if (errno == ECONNREFUSED)
		return Trouble{Exit::SYSTEM, fmt::format("the broker of '{}' has ended", system),
			"bulkhead run MANIFEST"};
	if (errno == EAGAIN)
		return Trouble{Exit::SYSTEM, fmt::format("the broker of '{}' is busy", system), "again"};
	return Trouble{Exit::SYSTEM, fmt::format("{}: {}", path, strerror(errno))};
}

Trouble broken()
{
	return {Exit::PEER_BROKE, "the broker doesn't speak our protocol",
		"the same version of broker and tool"};
}

} // namespace

struct Control::Packet
{
	std::array<uint8_t, domain::PACKET_MAX> bytes;
	std::array<Owned_fd, domain::DESCRIPTORS> descriptors{};
	size_t descriptor_count = 0;
	uint32_t type = 0;
	Bytes body{};
};

Trouble Control::_gone() const
{
	return {Exit::PEER_DIED, fmt::format("the broker of '{}' has closed the connection", _system)};
}

Or_trouble<Ok> Control::_send(uint32_t type, std::initializer_list<Bytes> body)
{
	std::array<uint8_t, Header::BYTES> header;
	std::array<Bytes, 4> parts{Bytes(header)};
	size_t count = 1, size = 0;
	for (Bytes const part : body) {
		parts[count++] = part;
		size += part.size();
	}
	qrexec::encode(Header{type, static_cast<uint32_t>(size)}, header);
	Attempt<void> const sent = _gate.send(std::span(parts).first(count));
	if (sent.ok()) return Ok{};
	return _gone();
}

/* False: nothing is there. */
Or_trouble<bool> Control::_receive(Packet &packet)
{
	auto const received = _gate.receive(packet.bytes, packet.descriptors);
	if (!received.ok()) {
		if (received.error() == Error::WOULD_BLOCK) return false;
		return received.error() == Error::BROKEN_PIPE ? _gone() : broken();
	}
	if (received.value().bytes == 0) return _gone();
	Bytes const bytes = Bytes(packet.bytes).first(received.value().bytes);
	if (bytes.size() < Header::BYTES) return broken();
	Header const header = qrexec::decode_header(bytes);
	packet.type = header.type;
	packet.body = bytes.subspan(Header::BYTES);
	packet.descriptor_count = received.value().descriptors;
	if (packet.body.size() != header.size) return broken();
	return true;
}

Or_trouble<Ok> Control::_wait(Packet &packet, int timeout_ms)
{
	while (true) {
		auto const received = _receive(packet);
		if (!received.ok()) return received.error();
		if (received.value()) return Ok{};
		pollfd waiting{fd(), POLLIN, 0};
		if (poll(&waiting, 1, timeout_ms) == 0)
			return Trouble{Exit::SYSTEM, fmt::format("the broker of '{}' doesn't answer", _system)};
	}
}

Or_trouble<Ok> Control::_greet()
{
	std::array<uint8_t, 4> version;
	qrexec::encode_number(qrexec::VERSION, version);
	auto const sent = _send(static_cast<uint32_t>(Type::HELLO), {version});
	if (!sent.ok()) return sent.error();
	Packet packet;
	auto const greeted = _wait(packet, GREETING_MS);
	if (!greeted.ok()) return greeted.error();
	if (packet.type != static_cast<uint32_t>(Type::HELLO) || packet.body.size() != 4)
		return broken();
	return Ok{};
}

Or_trouble<Control> Control::open(std::string const &name)
{
	std::string const directory = linux_host::runtime_directory();
	auto system = choose_system(systems_in(directory), name);
	if (!system.ok()) return system.error();
	auto socket =
		connect_to(fmt::format("{}/{}/control", directory, system.value()), system.value());
	if (!socket.ok()) return socket.error();
	Control control(std::move(system.value()),
		linux_host::Gate(std::move(socket.value()), linux_host::Gate_takes::DESCRIPTORS));
	auto const greeted = control._greet();
	if (!greeted.ok()) return greeted.error();
	return control;
}

Or_trouble<std::string> Control::ask(Admin what, std::string_view about)
{
	auto const sent = _send(static_cast<uint32_t>(what), {bytes_of(about)});
	if (!sent.ok()) return sent.error();
	Packet packet;
	do {
		auto const answered = _wait(packet, FOR_EVER);
		if (!answered.ok()) return answered.error();
		// Of a call before: the service's side is through with it.
	} while (packet.type == static_cast<uint32_t>(Type::CONNECTION_TERMINATED));
	if (packet.type != static_cast<uint32_t>(Admin::DONE) || packet.body.size() < 4)
		return broken();
	int const number = static_cast<int>(qrexec::decode_number(packet.body));
	std::string text(text_of(packet.body.subspan(4)));
	if (number) return Trouble{Exit::FAILURE, text.empty() ? std::string(strerror(number)) : text};
	if (what != Admin::STATUS) return text;
	if (packet.descriptor_count != 1) return broken();
	int const memory = packet.descriptors[0].value();
	off_t const size = lseek(memory, 0, SEEK_END);
	if (size < 0 || size > STATUS_MAX) return broken();
	text.resize(static_cast<size_t>(size));
	if (pread(memory, text.data(), text.size(), 0) != size) return broken();
	return text;
}

Or_trouble<std::string> Control::status() { return ask(Admin::STATUS); }

Or_trouble<Ok> Control::call(std::string_view target, std::string_view service)
{
	std::array<uint8_t, domain::PACKET_MAX> packet;
	size_t const size = qrexec::encode_trigger(
		qrexec::VERSION, {.target = target, .ident = IDENT, .service = service}, packet);
	if (size == 0) return Trouble{Exit::USAGE, "the name of the domain or the service is too long"};
	Bytes const whole = Bytes(packet).first(size);
	Attempt<void> const sent = _gate.send(std::span(&whole, 1));
	if (sent.ok()) return Ok{};
	return _gone();
}

Or_trouble<Control::Call> Control::_answer_of(Packet &packet) const
{
	Call call;
	if (packet.type == static_cast<uint32_t>(Type::SERVICE_REFUSED)) {
		call.state = Call::State::REFUSED;
		return call;
	}
	if (packet.type != static_cast<uint32_t>(Type::SERVICE_CONNECT) ||
		packet.body.size() < Exec_params::BYTES)
		return broken();
	call.params = qrexec::decode_exec_params(packet.body);
	if (packet.descriptor_count != domain::DESCRIPTORS)
		return Trouble{Exit::FAILURE, "the channel didn't come: too many open files",
			"ulimit -n with a larger number"};
	using namespace domain;
	call.state = Call::State::CONNECTED;
	call.end.memory = std::move(packet.descriptors[MEMORY]);
	call.end.bell = linux_host::Bell(
		std::move(packet.descriptors[BELL_OUT]), std::move(packet.descriptors[BELL_IN]));
	call.end.role = vchan::Role::SERVER;
	call.end.generation = call.params.port;
	return call;
}

Or_trouble<Control::Call> Control::look()
{
	while (true) {
		Packet packet;
		auto const received = _receive(packet);
		if (!received.ok()) return received.error();
		if (!received.value()) return Call{};
		// Of a call before: the service's side is through with it.
		if (packet.type == static_cast<uint32_t>(Type::CONNECTION_TERMINATED)) continue;
		return _answer_of(packet);
	}
}

Or_trouble<Control::Call> Control::wait()
{
	while (true) {
		auto call = look();
		if (!call.ok() || call.value().state != Call::State::ASKED) return call;
		pollfd waiting{fd(), POLLIN, 0};
		poll(&waiting, 1, FOR_EVER);
	}
}

void Control::ended(Exec_params params)
{
	std::array<uint8_t, Exec_params::BYTES> body;
	qrexec::encode(params, body);
	static_cast<void>(_send(static_cast<uint32_t>(Type::CONNECTION_TERMINATED), {body}));
}

} // namespace bulkhead::tool
