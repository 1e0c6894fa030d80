#include "sdk/qrexec/call_streams.h"

#include "platform/linux/clock.h"

#include <algorithm>
#include <cerrno>
#include <poll.h>

namespace bulkhead::qrexec {

using State = Call::State;

void Call_streams::Kept::keep(Bytes more)
{
	bytes.erase(0, taken).append(text_of(more));
	taken = 0;
}

size_t Call_streams::Kept::take(Mutable_bytes to)
{
	size_t const n = copy_bytes(to, bytes_of(bytes).subspan(taken));
	taken += n;
	if (taken == bytes.size()) {
		bytes.clear();
		taken = 0;
	}
	return n;
}

// When no byte comes any more, or as yet.
ssize_t Call_streams::_end() const
{
	switch (_call.state()) {
	case State::REFUSED:
	case State::FAILED: return -_call.error_number();
	case State::ENDED: return 0;
	default: return -EAGAIN;
	}
}

// Takes what comes, up to the wanted stream's: how many of its bytes (0: its end).
ssize_t Call_streams::_pump(Stream wanted, Mutable_bytes to)
{
	using Kind = Data_channel::Kind;
	for (auto next = _call.peek(); next.kind != Kind::NOTHING; next = _call.peek()) {
		if (next.kind == Kind::EXIT_CODE) return ++_news, 0;
		Kept &kept = _kept(next.stream);
		if (next.kind == Kind::END) {
			kept.ended = true;
			++_news;
			if (next.stream == wanted) return 0;
		} else if (next.stream == wanted && !to.empty()) {
			size_t const n = copy_bytes(to, next.bytes);
			_call.consume(n);
			return static_cast<ssize_t>(n);
		} else {
			bool const wasted = next.stream == Stream::ERR && !_keeps_errors;
			size_t const room = wasted ? KEPT_MAX : KEPT_MAX - kept.size();
			Bytes const fits = next.bytes.first(std::min(room, next.bytes.size()));
			if (fits.empty()) return -ENOBUFS;
			if (!wasted) kept.keep(fits);
			++_news;
			_call.consume(fits.size());
		}
	}
	if (_call.state() != State::OPEN) ++_news; // it has ended just now, perhaps
	return _end();
}

ssize_t Call_streams::read(Stream stream, Mutable_bytes to)
{
	Kept &kept = _kept(stream);
	if (to.empty()) return 0;
	if (kept.size() > 0) {
		++_news; // there is room for more
		return static_cast<ssize_t>(kept.take(to));
	}
	if (kept.ended) return 0;
	return _pump(stream, to);
}

ssize_t Call_streams::write(Bytes from)
{
	if (_call.state() == State::ENDED) return -EPIPE;
	if (_call.state() != State::OPEN) return _end();
	if (from.empty()) return 0;
	size_t const n = _call.channel().send(Stream::IN, from);
	if (n > 0) return static_cast<ssize_t>(n);
	return _call.channel().takes(Stream::IN) ? -EAGAIN : -EPIPE;
}

ssize_t Call_streams::finish_input()
{
	if (_call.state() == State::ENDED) return -EPIPE;
	if (_call.state() != State::OPEN) return _end();
	if (_call.channel().send_end(Stream::IN)) return 0;
	return _call.channel().takes(Stream::IN) ? -EAGAIN : -EPIPE;
}

ssize_t Call_streams::opened() const { return _call.state() == State::OPEN ? 0 : _end(); }

ssize_t Call_streams::ended()
{
	if (_call.state() != State::OPEN) return _end();
	ssize_t const pumped = _pump(Stream::OUT, {});
	// The end of one stream isn't that of the call.
	if (pumped == 0 && _call.state() == State::OPEN) return ended();
	return pumped;
}

bool Call_streams::_readable(Stream stream)
{
	Kept &kept = _kept(stream);
	if (kept.size() > 0 || kept.ended || _call.state() > State::OPEN) return true;
	// What is there goes where it belongs, and what must be read first counts.
	return _pump(stream, {}) != -EAGAIN || kept.size() > 0;
}

unsigned Call_streams::_ready(unsigned reasons)
{
	unsigned ready = 0;
	if (reasons & OUTPUT && _readable(Stream::OUT)) ready |= OUTPUT;
	if (reasons & ERRORS && _readable(Stream::ERR)) ready |= ERRORS;
	if (reasons & INPUT && _call.state() >= State::OPEN) {
		bool const open = _call.state() == State::OPEN;
		bool room = true; // to be told that it is in vain
		if (open && _call.channel().takes(Stream::IN)) {
			room = _call.channel().reserve(Stream::IN).size() > 0;
			_call.channel().commit(0);
		}
		if (room) ready |= INPUT;
	}
	return ready;
}

unsigned Call_streams::arm(unsigned reasons)
{
	unsigned const ready = _ready(reasons);
	if (ready || _call.state() != State::OPEN) return ready;
	_call.arm(reasons & (OUTPUT | ERRORS), reasons & INPUT);
	// What came before the other side could know that we wait.
	return _ready(reasons);
}

int Call_streams::wait(uint64_t until_us)
{
	int wait_ms = -1;
	if (until_us != NEVER_US) {
		uint64_t const now_us = linux_host::Monotonic_clock{}.now_us();
		if (now_us >= until_us) return ETIMEDOUT;
		wait_ms = static_cast<int>(std::min<uint64_t>((until_us - now_us + 999) / 1000, 60'000));
	}
	pollfd entry{.fd = _call.fd(), .events = POLLIN, .revents = 0};
	int const count = poll(&entry, 1, wait_ms);
	if (count < 0) return errno;
	if (count > 0) _call.look();
	return 0;
}

} // namespace bulkhead::qrexec
