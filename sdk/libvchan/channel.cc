#include "sdk/libvchan/channel.h"

#include "platform/linux/clock.h"
#include "sdk/libvchan/errors.h"
#include "vchan/explain/meaning.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace bulkhead::sdk {
namespace {

using vchan::Error;
using vchan::State;
namespace sleep_for = vchan::sleep_for;

bool blocked(Attempt<size_t, Error> const &result)
{
	return !result.ok() && result.error() == Error::WOULD_BLOCK;
}

bool passed(uint64_t until_us)
{
	return until_us != NEVER_US && linux_host::Monotonic_clock{}.now_us() >= until_us;
}

// Drops the first bytes of all views together.
std::span<Bytes> without(std::span<Bytes> views, size_t n)
{
	while (!views.empty() && n >= views.front().size()) {
		n -= views.front().size();
		views = views.subspan(1);
	}
	if (!views.empty()) views.front() = views.front().subspan(n);
	return views;
}

} // namespace

Channel::Channel(std::unique_ptr<Transport> transport, int spin, bool restarts)
	: _transport(std::move(transport)),
	  _restarts(restarts),
	  _spin_max(std::min(
		  spin == SPIN_OF_TRANSPORT ? _transport->spin() : static_cast<unsigned>(spin), SPIN_MAX))
{}

ssize_t Channel::_fail(int number, std::string text)
{
	_error = number;
	_text = std::move(text);
	note_error(number, _text);
	return -number;
}

ssize_t Channel::_fail(Error error)
{
	// Of every second call of a program that polls: not worth a text.
	if (error == Error::WOULD_BLOCK) return -(_error = EAGAIN);
	return _fail(errno_of(error), std::string(name_of(error)));
}

int Channel::look()
{
	if (_ended == 0) _ended = _transport->look();
	return _ended ? static_cast<int>(-_fail(_ended, _transport->message())) : 0;
}

// 0, or an errno.
int Channel::_sleep(uint64_t until_us)
{
	++_sleeps;
	int const error = _transport->wait(until_us);
	if (error == 0) return 0;
	if (error == EINTR) return _restarts ? 0 : EINTR;
	return _ended = error;
}

int Channel::wait_for_event()
{
	if (_ended == 0 && _sleep(NEVER_US) == EINTR)
		return static_cast<int>(-_fail(EINTR, strerror(EINTR)));
	return _ended ? static_cast<int>(-_fail(_ended, _transport->message())) : 0;
}

template <typename TRY>
ssize_t Channel::_until(uint32_t reasons, uint64_t until_us, TRY const &attempt)
{
	if (_ended) return _fail(_ended, _transport->message());
	Attempt<size_t, Error> result = attempt();
	if (blocked(result) && until_us != NOW_US && reasons != sleep_for::PEER)
		result = _spin.look_again(_spin_max, attempt);
	while (blocked(result) && until_us != NOW_US) {
		_transport->arm(reasons | sleep_for::PEER);
		// What came before the peer could know that we sleep.
		result = attempt();
		if (!blocked(result)) break;
		if (passed(until_us)) return _fail(ETIMEDOUT, std::string(name_of(Error::TIMEOUT)));
		if (int const error = _sleep(until_us))
			return _fail(error, error == EINTR ? strerror(EINTR) : _transport->message());
		result = attempt();
	}
	return result.ok() ? static_cast<ssize_t>(result.value()) : _fail(result.error());
}

Attempt<size_t, Error> Channel::_ready(uint32_t reasons)
{
	uint32_t ready = 0;
	auto const worth_a_call = [](Attempt<size_t, Error> const &bytes) {
		return bytes.ok() ? bytes.value() > 0 : !blocked(bytes);
	};
	if (reasons & sleep_for::DATA)
		if (worth_a_call(_transport->readable()) || _transport->peer_finished())
			ready |= sleep_for::DATA;
	if (reasons & sleep_for::ROOM)
		if (worth_a_call(_transport->writable())) ready |= sleep_for::ROOM;
	if (State const state = _transport->state();
		reasons & sleep_for::PEER && state != _known_state) {
		_known_state = state;
		ready |= sleep_for::PEER;
	}
	if (ready == 0) return Error::WOULD_BLOCK;
	return size_t{ready};
}

ssize_t Channel::wait(uint32_t reasons, uint64_t until_us)
{
	return _until(reasons, until_us, [&] { return _ready(reasons); });
}

int Channel::wait_for_peer(uint64_t until_us)
{
	return static_cast<int>(_until(sleep_for::PEER, until_us, [&]() -> Attempt<size_t, Error> {
		if (_transport->state() == State::WAITING) return Error::WOULD_BLOCK;
		return size_t{0};
	}));
}

ssize_t Channel::read(std::span<Mutable_bytes const> to, uint64_t until_us)
{
	return _until(sleep_for::DATA, until_us, [&] { return _transport->try_read(to); });
}

ssize_t Channel::receive(std::span<Mutable_bytes const> to, uint64_t until_us)
{
	return _until(sleep_for::DATA, until_us, [&] { return _transport->try_receive(to); });
}

ssize_t Channel::send(std::span<Bytes const> from, uint64_t until_us)
{
	ssize_t const sent =
		_until(sleep_for::ROOM, until_us, [&] { return _transport->try_send(from); });
	if (sent > 0) _deliver(until_us);
	return sent;
}

ssize_t Channel::write(std::span<Bytes> from, uint64_t until_us)
{
	ssize_t written = 0;
	while (true) {
		ssize_t const n =
			_until(sleep_for::ROOM, until_us, [&] { return _transport->try_write(from); });
		if (n < 0) return written ? written : n;
		written += n;
		from = without(from, static_cast<size_t>(n));
		if (from.empty()) _deliver(until_us);
		if (from.empty() || until_us == NOW_US) return written;
	}
}

// Who blocks may turn to something else and not look at this channel for long, so the peer should
// have the bytes by then. If the peer has sent something, though, it may wait for us to read that.
void Channel::_deliver(uint64_t until_us)
{
	if (until_us == NOW_US || _transport->delivered()) return;
	(void)_until(sleep_for::DATA | sleep_for::ROOM, until_us, [&]() -> Attempt<size_t, Error> {
		auto const there = _transport->readable();
		if (_transport->delivered() || !there.ok() || there.value() > 0) return size_t{0};
		return Error::WOULD_BLOCK;
	});
}

ssize_t Channel::peek(vchan::Pieces<Bytes> &pieces, size_t max)
{
	if (_ended) return _fail(_ended, _transport->message());
	for (bool finished = false;;) {
		auto const there = _transport->peek(max);
		if (!there.ok()) return _fail(there.error());
		pieces = there.value();
		if (pieces.size() > 0 || max == 0 || finished) return static_cast<ssize_t>(pieces.size());
		// Once more: it may have sent something between our look there and at its end.
		finished = _transport->peer_finished();
		if (!finished) return _fail(Error::WOULD_BLOCK);
	}
}

ssize_t Channel::reserve(vchan::Pieces<Mutable_bytes> &pieces, size_t max)
{
	if (_ended) return _fail(_ended, _transport->message());
	auto const room = _transport->reserve(max);
	if (!room.ok()) return _fail(room.error());
	pieces = room.value();
	if (pieces.size() > 0 || max == 0) return static_cast<ssize_t>(pieces.size());
	return _fail(Error::WOULD_BLOCK);
}

} // namespace bulkhead::sdk
