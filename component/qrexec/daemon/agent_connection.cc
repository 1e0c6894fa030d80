#include "component/qrexec/daemon/agent_connection.h"

#include "component/qrexec/client/connect.h"
#include "sdk/libvchan/rendezvous.h"
#include "vchan/explain/meaning.h"

#include <array>

namespace bulkhead::qrexec {
namespace {

namespace sleep_for = vchan::sleep_for;

constexpr size_t MESSAGE_MAX = Header::BYTES + TRIGGER4_BYTES + SERVICE_MAX;

} // namespace

Agent_connection::Agent_connection(linux_host::Loop &loop, Handler &handler)
	: Remote(loop),
	  _loop(loop),
	  _handler(handler),
	  _buffer(MESSAGE_MAX),
	  _reader(_buffer, Direction::AGENT_TO_DAEMON, VERSION)
{}

bool Agent_connection::start(uint32_t domain, std::string &why)
{
	close();
	int error = 0;
	_transport = sdk::open_transport(nullptr,
		{.server = false,
			.own = own_domain(),
			.peer = static_cast<int>(domain),
			.port = static_cast<int>(CONTROL_PORT)},
		error, why);
	if (!_transport) return false;
	if (auto const added = _loop.add(*this, _transport->fd(), EPOLLIN); !added.ok()) {
		why = name_of(added.error());
		_transport.reset();
		return false;
	}
	_lost = false;
	// It may be there already; whoever called hears of that later.
	post();
	return true;
}

void Agent_connection::close()
{
	_loop.remove(*this);
	_transport.reset();
	_reader.reset();
	_queue.clear();
	_sent = 0;
	_taken = 0;
	_present = _greeted = _overflowed = false;
	_lost = true;
	++_generation;
}

void Agent_connection::ready(uint32_t) { _work(); }

void Agent_connection::posted() { _work(); }

void Agent_connection::_lose(Loss loss, std::string const &why)
{
	if (_lost) return;
	_lost = true;
	_loop.remove(*this);
	_handler.agent_lost(loss, why);
}

void Agent_connection::_work()
{
	if (_lost) return;
	if (_transport->look() != 0) return _lose(Loss::NO_DOMAIN, _transport->message());
	if (!_present) {
		_transport->arm(sleep_for::PEER | sleep_for::DATA);
		if (_transport->state() == vchan::State::WAITING) return;
		_present = true;
	}
	// Whoever hears of a loss may have started another connection.
	unsigned const generation = _generation;
	bool more = true;
	for (unsigned i = 0; more && i < READS_MAX; ++i) {
		more = _read();
		if (_lost || generation != _generation) return;
	}
	if (more) post();
	_flush();
	if (_overflowed) _lose(Loss::MISBEHAVED, "it doesn't read the answers to what it asks for");
}

// Whether there may be more.
bool Agent_connection::_read()
{
	std::array<uint8_t, READ_BYTES> bytes;
	Mutable_bytes const view = bytes;
	auto got = _transport->try_read({&view, 1});
	if (!got.ok() && got.error() == vchan::Error::WOULD_BLOCK) {
		_transport->arm(sleep_for::DATA | sleep_for::PEER);
		got = _transport->try_read({&view, 1});
	}
	if (got.ok() && got.value() > 0) {
		_feed(std::span(bytes).first(got.value()));
		return true;
	}
	if (!got.ok() && got.error() == vchan::Error::WOULD_BLOCK) return false;
	using enum vchan::Error;
	if (got.ok() || got.error() == PEER_CLOSED || got.error() == PEER_DEAD)
		_lose(Loss::GONE, "it has ended its connection");
	else
		_lose(Loss::MISBEHAVED,
			"it has broken the protocol of channels: " + std::string(name_of(got.error())));
	return false;
}

void Agent_connection::_feed(Bytes bytes)
{
	while (!bytes.empty() && !_lost) {
		auto const message = _reader.read(bytes);
		if (!message.ok()) {
			bool const old = message.error() == Stream_fault::OLD_VERSION;
			return _lose(old ? Loss::OLD_VERSION : Loss::MISBEHAVED,
				"it has sent what an agent may not send: " + std::string(name_of(message.error())));
		}
		if (!message.value()) return;
		if (message.value()->type != Type::HELLO) {
			_handler.agent_said(message.value()->type, message.value()->body);
			continue;
		}
		std::array<uint8_t, 4> version{};
		encode_number(VERSION, version);
		_append(Type::HELLO, {version});
		_greeted = true;
		_handler.agent_came(_reader.version());
	}
}

void Agent_connection::_append(Type type, std::initializer_list<Bytes> parts)
{
	size_t size = 0;
	for (Bytes const part : parts) size += part.size();
	std::array<uint8_t, Header::BYTES> header{};
	encode(Header{static_cast<uint32_t>(type), static_cast<uint32_t>(size)}, std::span(header));
	_queue.insert(_queue.end(), header.begin(), header.end());
	for (Bytes const part : parts) _queue.insert(_queue.end(), part.begin(), part.end());
}

bool Agent_connection::room_for(size_t bytes) const
{
	return present() && !_overflowed && queued() + bytes <= QUEUE_FOR_CLIENTS;
}

void Agent_connection::send(Type type, std::initializer_list<Bytes> parts)
{
	if (!present() || _overflowed) return;
	_append(type, parts);
	if (queued() > QUEUE_MAX) _overflowed = true;
	// What comes together goes together, and nobody is told of the loss from within here.
	post();
}

void Agent_connection::_flush()
{
	bool armed = false;
	size_t const before = queued();
	while (queued() > 0) {
		Bytes const view = std::span(_queue).subspan(_sent);
		auto const written = _transport->try_write({&view, 1});
		if (written.ok()) {
			_sent += written.value();
			_taken += written.value();
			continue;
		}
		// Whatever else it is, the next read says so.
		if (written.error() != vchan::Error::WOULD_BLOCK || armed) break;
		_transport->arm(sleep_for::ROOM | sleep_for::PEER);
		armed = true;
	}
	if (queued() == before) return;
	_queue.erase(_queue.begin(), _queue.begin() + static_cast<ptrdiff_t>(std::exchange(_sent, 0)));
	_handler.agent_took();
}

} // namespace bulkhead::qrexec
