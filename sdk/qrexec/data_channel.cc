#include "sdk/qrexec/data_channel.h"

#include "vchan/explain/meaning.h"

#include <array>

namespace bulkhead::qrexec {
namespace {

namespace sleep_for = vchan::sleep_for;
using vchan::Error;

constexpr size_t NUMBER_BYTES = Header::BYTES + 4; // HELLO, and the exit code

std::array<uint8_t, NUMBER_BYTES> number_message(Type type, uint32_t number)
{
	std::array<uint8_t, NUMBER_BYTES> message{};
	encode(Header{static_cast<uint32_t>(type), 4}, std::span(message).first<Header::BYTES>());
	encode_number(number, std::span(message).last<4>());
	return message;
}

std::array<uint8_t, Header::BYTES> header_of(Type type, size_t size)
{
	std::array<uint8_t, Header::BYTES> header{};
	encode(Header{static_cast<uint32_t>(type), static_cast<uint32_t>(size)}, std::span(header));
	return header;
}

// Into the front of two pieces, however it is split.
void put(vchan::Pieces<Mutable_bytes> const &to, Bytes from)
{
	size_t const n = copy_bytes(to.first, from);
	copy_bytes(to.second, from.subspan(n));
}

Mutable_bytes without(Mutable_bytes view, size_t n)
{
	return view.subspan(std::min(n, view.size()));
}

Direction incoming(Side side)
{
	return side == Side::CALLER ? Direction::SERVICE_TO_CALLER : Direction::CALLER_TO_SERVICE;
}

uint8_t bit(Stream stream) { return static_cast<uint8_t>(1U << unsigned(stream)); }

} // namespace

Data_channel::Data_channel(std::unique_ptr<sdk::Transport> transport, Side side)
	: _transport(std::move(transport)), _side(side), _reader(incoming(side))
{
	look();
}

Data_channel::~Data_channel() { _transport->close(); }

Data_channel::State Data_channel::_end(State state, std::string_view why)
{
	if (_message.empty()) _message = why;
	_shown = 0;
	_peer_gone = true;
	return _state = state;
}

// What a transport has refused because of its peer. What the peer had sent can still be read.
Data_channel::State Data_channel::_lost(Error error)
{
	switch (error) {
	case Error::WOULD_BLOCK:
	case Error::CLOSED: break; // by us
	case Error::PEER_CLOSED:
	case Error::PEER_DEAD: _peer_gone = true; break;
	default:
		return _end(State::BROKEN,
			"the other side has broken the protocol of channels: " + std::string(name_of(error)));
	}
	return _state;
}

Data_channel::State Data_channel::look()
{
	int const error = _transport->look();
	if (_state == State::CLOSED || _state == State::BROKEN) return _state;
	if (error) return _end(State::BROKEN, _transport->message());
	// What comes after this wakes; what has come before is seen now.
	_transport->arm(_state == State::OPEN ? sleep_for::PEER : sleep_for::PEER | sleep_for::DATA);
	if (!_greeted) _greet();
	if (_state == State::WAITING && _transport->state() != vchan::State::WAITING)
		_state = State::GREETING;
	_look_at_peer();
	return _state;
}

void Data_channel::_greet()
{
	auto const hello = number_message(Type::HELLO, VERSION);
	Bytes const view = hello;
	_greeted = _send_all({&view, 1});
}

// All or nothing.
bool Data_channel::_send_all(std::span<Bytes const> views)
{
	auto const sent = _transport->try_send(views);
	if (sent.ok()) return true;
	if (sent.error() == Error::TOO_LONG)
		_end(State::BROKEN, "the other side's ring is too small for a call");
	else
		_lost(sent.error());
	return false;
}

// Looks for the peer's end before it looks for its bytes: none come in between.
void Data_channel::_look_at_peer()
{
	if (_state != State::GREETING && _state != State::OPEN) return;
	_peer_finished = _transport->peer_finished();
	if (_peer_finished) _peer_gone = _transport->state() != vchan::State::HALF_CLOSED;
	if (_state == State::GREETING) _await_hello();
	if (_state == State::OPEN && _peer_finished && _seen == 0) static_cast<void>(_next_bytes());
}

void Data_channel::_await_hello()
{
	while (_state == State::GREETING) {
		Bytes const there = _next_bytes();
		if (there.empty()) return;
		Bytes left = there;
		auto const event = _reader.next(left);
		_committed(there.size() - left.size());
		if (!event.ok())
			_end(State::BROKEN,
				std::string("the other side has broken the protocol: ") +
					std::string(name_of(event.error())));
		else if (event.value().kind == Data_reader::Kind::HELLO)
			_state = State::OPEN;
	}
}

void Data_channel::_committed(size_t bytes)
{
	bytes += std::exchange(_header_bytes, 0);
	if (bytes) _transport->commit_read(bytes);
	_seen -= std::min(_seen, bytes);
}

// Bytes that lie together, behind what is committed. Empty: none now, or the channel has ended.
Bytes Data_channel::_next_bytes()
{
	auto const there = _transport->peek(_seen ? _seen : vchan::ALL);
	if (!there.ok()) {
		_seen = 0;
		bool const dead = there.error() == Error::PEER_DEAD;
		if (dead)
			_end(State::CLOSED, "the other side has died");
		else
			_lost(there.error());
		return {};
	}
	_seen = there.value().size();
	if (_seen == 0 && _peer_finished)
		_end(State::CLOSED,
			_state == State::GREETING ? "the other side has closed the connection before it began"
									  : "the other side has closed the connection");
	return there.value().first;
}

Data_channel::Incoming Data_channel::peek()
{
	if (_state != State::OPEN) return {};
	_shown = 0;
	_committed(0); // the header of a chunk that was shown and not consumed
	while (true) {
		Bytes const there = _next_bytes();
		if (there.empty()) return {};
		Bytes left = there;
		auto const event = _reader.next(left);
		size_t const taken = there.size() - left.size();
		if (!event.ok()) {
			_end(State::BROKEN,
				std::string("the other side has broken the protocol: ") +
					std::string(name_of(event.error())));
			return {};
		}
		Data_reader::Event const &what = event.value();
		switch (what.kind) {
		case Data_reader::Kind::BYTES:
			_header_bytes = taken;
			_shown = what.bytes;
			return {Kind::BYTES, what.stream, left.first(what.bytes), 0};
		case Data_reader::Kind::END: _committed(taken); return {Kind::END, what.stream, {}, 0};
		case Data_reader::Kind::EXIT_CODE:
			_committed(taken);
			return {Kind::EXIT_CODE, Stream::OUT, {}, what.exit_code};
		case Data_reader::Kind::HELLO:
		case Data_reader::Kind::MORE: _committed(taken); break;
		}
	}
}

void Data_channel::consume(size_t bytes)
{
	if (_state != State::OPEN || bytes == 0) return;
	BULKHEAD_ASSERT(bytes <= _shown);
	_shown = 0;
	_reader.take(bytes);
	_committed(bytes);
}

Type Data_channel::_type_of(Stream stream) const
{
	BULKHEAD_ASSERT((stream == Stream::IN) == (_side == Side::CALLER));
	if (stream == Stream::IN) return Type::DATA_STDIN;
	return stream == Stream::OUT ? Type::DATA_STDOUT : Type::DATA_STDERR;
}

bool Data_channel::takes(Stream stream) const
{
	return _state == State::OPEN && !_peer_gone && !_exit_sent && !(_ended & bit(stream));
}

vchan::Pieces<Mutable_bytes> Data_channel::reserve(Stream stream, size_t max)
{
	_reserved = {};
	max = std::min(max, _reader.chunk_max());
	if (max == 0 || !takes(stream)) return {};
	auto const room = _transport->reserve(Header::BYTES + max);
	if (!room.ok()) {
		_lost(room.error());
		return {};
	}
	if (room.value().size() <= Header::BYTES) return {};
	_reserved = room.value();
	_reserved_stream = stream;
	size_t const in_second = Header::BYTES - std::min(Header::BYTES, _reserved.first.size());
	vchan::Pieces<Mutable_bytes> const body{
		without(_reserved.first, Header::BYTES), without(_reserved.second, in_second)};
	if (!body.first.empty()) return body;
	return {body.second, {}};
}

void Data_channel::commit(size_t bytes)
{
	vchan::Pieces<Mutable_bytes> const reserved = std::exchange(_reserved, {});
	if (bytes == 0) return;
	BULKHEAD_ASSERT(Header::BYTES + bytes <= reserved.size());
	put(reserved, header_of(_type_of(_reserved_stream), bytes));
	_transport->commit_written(Header::BYTES + bytes);
}

size_t Data_channel::send(Stream stream, Bytes bytes)
{
	size_t const ring = _transport->write_capacity();
	if (!takes(stream) || ring <= Header::BYTES) return 0;
	size_t n = std::min({bytes.size(), _reader.chunk_max(), ring - Header::BYTES});
	auto const try_to = [&] {
		auto const header = header_of(_type_of(stream), n);
		std::array<Bytes, 2> const views{Bytes(header), bytes.first(n)};
		return _transport->try_send(views);
	};
	if (n == 0) return 0; // an empty chunk would be the end
	auto sent = try_to();
	if (!sent.ok() && sent.error() == Error::WOULD_BLOCK) {
		auto const room = _transport->writable();
		if (!room.ok()) return _lost(room.error()), 0;
		if (room.value() <= Header::BYTES) return 0;
		n = std::min(n, room.value() - Header::BYTES);
		sent = try_to();
	}
	if (sent.ok()) return n;
	_lost(sent.error());
	return 0;
}

bool Data_channel::send_end(Stream stream)
{
	if (_ended & bit(stream)) return true;
	if (!takes(stream)) return false;
	auto const header = header_of(_type_of(stream), 0);
	Bytes const view = header;
	if (!_send_all({&view, 1})) return false;
	_ended |= bit(stream);
	return true;
}

bool Data_channel::send_exit_code(int32_t code)
{
	BULKHEAD_ASSERT(_side == Side::SERVICE);
	if (_state != State::OPEN || _peer_gone || _exit_sent) return _exit_sent;
	auto const message = number_message(Type::DATA_EXIT_CODE, static_cast<uint32_t>(code));
	Bytes const view = message;
	return _exit_sent = _send_all({&view, 1});
}

void Data_channel::arm(bool to_read, bool to_write)
{
	_transport->arm(
		sleep_for::PEER | (to_read ? sleep_for::DATA : 0) | (to_write ? sleep_for::ROOM : 0));
}

void Data_channel::finish() { _transport->finish(); }

void Data_channel::abandon()
{
	_transport->abandon();
	if (_state != State::BROKEN) _end(State::CLOSED, "this side has ended the connection");
}

} // namespace bulkhead::qrexec
