#include "component/qrexec/agent/control.h"

#include "sdk/libvchan/rendezvous.h"

namespace bulkhead::qrexec {

namespace sleep_for = vchan::sleep_for;
using vchan::State;

std::unique_ptr<sdk::Transport> Control::open(std::string &why)
{
	sdk::Wanted wanted{};
	wanted.server = true;
	wanted.own = sdk::OWN_FROM_ENVIRONMENT;
	wanted.peer = 0;
	wanted.port = CONTROL_PORT;
	wanted.read_bytes = wanted.write_bytes = CONTROL_RING_BYTES;
	int error = 0;
	return sdk::open_transport(nullptr, std::move(wanted), error, why);
}

Control::Control(linux_host::Loop &loop, Events &events, Opener opener)
	: _loop(loop), _events(events), _open(opener)
{}

Control::~Control() { stop(); }

Attempt<void> Control::start(std::string &why)
{
	TRY(_listen(why));
	if (!_progress()) _lost("");
	return Ok{};
}

Attempt<void> Control::_listen(std::string &why)
{
	_reader.reset();
	_to_send.clear();
	_sent = 0;
	_ended = false;
	_transport = _open(why);
	if (!_transport) return Error::IO;
	Attempt<void> const added = _loop.add(*this, _transport->fd(), EPOLLIN);
	if (!added.ok()) {
		why = name_of(added.error());
		_transport.reset();
		return added;
	}
	std::array<uint8_t, Header::BYTES + 4> hello{};
	encode(Header{static_cast<uint32_t>(Type::HELLO), 4}, std::span(hello).first<Header::BYTES>());
	encode_number(VERSION, std::span(hello).last<4>());
	send(hello);
	return Ok{};
}

void Control::stop()
{
	_loop.remove(*this);
	_transport.reset();
	_reader.reset();
}

// The next daemon may have come already: then the descriptor says so.
void Control::_lost(std::string_view why)
{
	bool const greeted = daemon() != 0;
	std::string const reason(why); // the transport's own words, perhaps
	stop();
	if (greeted || !reason.empty()) _events.daemon_left(reason);
	std::string trouble;
	if (!_listen(trouble).ok()) _events.broken(trouble);
}

void Control::ready(uint32_t)
{
	int const error = _transport->look();
	if (error != 0) return _lost(_transport->message());
	if (!_progress()) _lost("");
}

// False: the connection has ended, and all that was sent has been read.
bool Control::_progress()
{
	for (bool armed = false; _transport;) {
		_flush();
		bool const waiting = _transport->state() == State::WAITING;
		bool const finished = !waiting && (_ended || _transport->peer_finished());
		auto const pieces = _transport->peek(vchan::ALL);
		if (!pieces.ok()) return false;
		size_t const size = pieces.value().first.size() + pieces.value().second.size();
		if (size > 0) {
			if (!_take(pieces.value().first) || !_take(pieces.value().second)) return true;
			_transport->commit_read(size);
			armed = false;
			continue;
		}
		if (finished) return false;
		if (armed) return true;
		// What comes before this is seen in the next round, what comes after it wakes.
		_transport->arm(sleep_for::DATA | (unsent() ? sleep_for::ROOM : 0U));
		armed = true;
	}
	return true;
}

// The reader keeps a copy of what it is acted upon: the bytes here may change. False: they belong
// to a connection that has ended.
bool Control::_take(std::span<uint8_t const> bytes)
{
	while (_transport && !bytes.empty()) {
		auto const message = _reader.read(bytes);
		if (!message.ok()) {
			_lost(name_of(message.error()));
			return false;
		}
		if (!message.value()) break;
		if (message.value()->type == Type::HELLO) {
			++_daemon;
			_events.daemon_came();
		} else {
			_events.told(*message.value());
		}
	}
	return _transport != nullptr;
}

void Control::send(Bytes message)
{
	if (!_transport || _ended) return;
	_to_send.append(reinterpret_cast<char const *>(message.data()), message.size());
	_flush();
	// If that was the end, the descriptor says so, too.
	if (!_ended && unsent()) _transport->arm(sleep_for::ROOM);
}

void Control::_flush()
{
	while (unsent() > 0 && !_ended) {
		Bytes const rest{reinterpret_cast<uint8_t const *>(_to_send.data()) + _sent, unsent()};
		Attempt<size_t, vchan::Error> const sent = _transport->try_write({&rest, 1});
		if (!sent.ok()) {
			_ended = sent.error() != vchan::Error::WOULD_BLOCK;
			break;
		}
		_sent += sent.value();
	}
	if (_sent * 2 < _to_send.size()) return;
	_to_send.erase(0, _sent);
	_sent = 0;
}

} // namespace bulkhead::qrexec
