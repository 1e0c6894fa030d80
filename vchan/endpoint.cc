#include "vchan/endpoint.h"

#include <algorithm>

namespace bulkhead::vchan {
namespace {

constexpr uint32_t TICKET_MAX = UINT32_MAX >> TICKET_SHIFT;

bool blocked(Attempt<size_t, Error> const &result)
{
	return !result.ok() && result.error() == Error::WOULD_BLOCK;
}

} // namespace

Endpoint::Endpoint(Attachment const &attachment, Doorbell &doorbell)
	: _attachment(attachment),
	  _doorbell(doorbell),
	  _out(attachment.out, attachment.own->produced, attachment.peer->consumed),
	  _in(attachment.in, attachment.own->consumed, attachment.peer->produced)
{
	_publish(Life::OPEN);
}

void Endpoint::_publish(Life life)
{
	if (life <= _own_life) return;
	_own_life = life;
	uint32_t const word = _attachment.generation << GENERATION_SHIFT | static_cast<uint32_t>(life);
	// Release: whoever sees the end sees all bytes before it.
	_attachment.own->life.store(word, std::memory_order_release);
	// Neither bytes nor room come with the opening; an end lets everybody go on.
	_notify(life == Life::OPEN ? sleep_for::PEER : sleep_for::ANY);
	_changed.raise_all();
}

// After what the peer may wait for has been stored.
void Endpoint::_notify(uint32_t reasons)
{
	// Our store before our look at the flag, and the peer's flag before its look at our store: one
	// of us sees the other. Neither release nor acquire orders a store before a later load. Bytes
	// are published by the indices' release and acquire alone, which is why ThreadSanitizer, which
	// knows nothing of fences, still tells the truth.
	std::atomic_thread_fence(std::memory_order_seq_cst);
	uint32_t const sleep = _attachment.peer->sleep.load(std::memory_order_relaxed);
	if ((sleep & reasons) == 0) return;
	// A ring isn't lost, so one for each sleep is enough.
	uint32_t const ticket = sleep >> TICKET_SHIFT;
	if (ticket == _rung_ticket) return;
	_rung_ticket = ticket;
	++_rings;
	_doorbell.ring();
}

void Endpoint::_arm(uint32_t reasons)
{
	_sleeping_for |= reasons & sleep_for::ANY;
	uint32_t const word = _ticket << TICKET_SHIFT | _sleeping_for;
	_attachment.own->sleep.store(word, std::memory_order_relaxed);
	std::atomic_thread_fence(std::memory_order_seq_cst); // see _notify
}

void Endpoint::arm(uint32_t reasons)
{
	_sleeping_elsewhere |= reasons & sleep_for::ANY;
	_arm(reasons);
}

// No job sleeps any more; saves the peer a ring.
void Endpoint::_disarm()
{
	if (_changed.awaited() || _sleeping_for == _sleeping_elsewhere) return;
	_sleeping_for = _sleeping_elsewhere;
	uint32_t const word = _sleeping_for ? _ticket << TICKET_SHIFT | _sleeping_for : 0;
	_attachment.own->sleep.store(word, std::memory_order_relaxed);
}

void Endpoint::rung()
{
	// The peer has used our ticket up, perhaps: the next sleep has another.
	_ticket = _ticket == TICKET_MAX ? 1 : _ticket + 1;
	_sleeping_for = _sleeping_elsewhere = 0;
	_attachment.own->sleep.store(0, std::memory_order_relaxed);
	_changed.raise_all();
}

void Endpoint::peer_died()
{
	_peer_dead = true;
	_changed.raise_all();
}

Error Endpoint::_break(Error error)
{
	if (!_fault) {
		_fault = error;
		_publish(Life::CLOSED);
	}
	return *_fault;
}

Attempt<void, Error> Endpoint::_look_at_peer()
{
	if (_fault) return *_fault;
	uint32_t const word = _attachment.peer->life.load(std::memory_order_acquire);
	Life const life{static_cast<uint8_t>(word & ((1U << GENERATION_SHIFT) - 1))};
	uint32_t const generation = word >> GENERATION_SHIFT;
	if (life > Life::CLOSED || life < _peer_life || (life == Life::ABSENT && generation != 0))
		return _break(Error::PEER_BAD_LIFE);
	if (life != Life::ABSENT && generation != _attachment.generation)
		return _break(Error::PEER_STALE);
	_peer_life = life;
	return Ok{};
}

State Endpoint::state()
{
	if (!_look_at_peer().ok()) return State::BROKEN;
	if (_own_life == Life::CLOSED || _peer_life == Life::CLOSED) return State::CLOSED;
	if (_peer_dead) return State::DEAD;
	if (_own_life == Life::FINISHED || _peer_life == Life::FINISHED) return State::HALF_CLOSED;
	return _peer_life == Life::OPEN ? State::CONNECTED : State::WAITING;
}

bool Endpoint::peer_finished() { return !_look_at_peer().ok() || _peer_ended(); }

Attempt<void, Error> Endpoint::_may_write()
{
	TRY(_look_at_peer());
	if (out_capacity() == 0) return Error::ONE_WAY;
	if (_own_life >= Life::FINISHED) return Error::CLOSED;
	if (_peer_life == Life::CLOSED) return Error::PEER_CLOSED;
	if (_peer_dead) return Error::PEER_DEAD;
	return Ok{};
}

// What a ring says; a lie of the peer's there ends the channel.
template <typename T>
Attempt<T, Error> Endpoint::_checked(Attempt<T, Error> said)
{
	if (!said.ok()) return _break(said.error());
	return said;
}

Attempt<size_t, Error> Endpoint::_moved(Attempt<size_t, Error> said, uint32_t reason)
{
	if (said.ok() && said.value()) _notify(reason);
	return _checked(said);
}

// How many bytes there are; no fewer will be reported than were committed before the peer's end.
Attempt<size_t, Error> Endpoint::_data_or_wait(size_t wanted)
{
	if (_fault) return *_fault;
	if (in_capacity() == 0) return Error::ONE_WAY;
	if (_own_life == Life::CLOSED) return Error::CLOSED;
	if (wanted > in_capacity()) return Error::TOO_LONG;
	size_t there = TRY(_checked(_in.available(wanted)));
	if (there >= wanted) return there;
	TRY(_look_at_peer());
	// It may have produced between our look at its index and that at its life: look again.
	if (_peer_ended()) there = TRY(_checked(_in.available(wanted)));
	if (there >= wanted || _peer_life >= Life::FINISHED) return there;
	if (!_peer_dead) return Error::WOULD_BLOCK;
	if (!there) return Error::PEER_DEAD;
	return there;
}

Attempt<size_t, Error> Endpoint::_room_or_wait(size_t wanted)
{
	TRY(_may_write());
	if (wanted > out_capacity()) return Error::TOO_LONG;
	size_t const room = TRY(_checked(_out.available(wanted)));
	if (room < wanted) return Error::WOULD_BLOCK;
	return room;
}

Attempt<size_t, Error> Endpoint::try_write(std::span<Bytes const> from)
{
	TRY(_may_write());
	size_t const written = TRY(_moved(_out.transfer(from), sleep_for::DATA));
	if (written == 0 && total(from)) return Error::WOULD_BLOCK;
	return written;
}

Attempt<size_t, Error> Endpoint::try_send(std::span<Bytes const> from)
{
	TRY(_room_or_wait(total(from)));
	return _moved(_out.transfer(from), sleep_for::DATA);
}

Attempt<size_t, Error> Endpoint::try_read(std::span<Mutable_bytes const> to)
{
	TRY(_data_or_wait(std::min<size_t>(total(to), 1)));
	return _moved(_in.transfer(to), sleep_for::ROOM);
}

Attempt<size_t, Error> Endpoint::try_receive(std::span<Mutable_bytes const> to)
{
	size_t const wanted = total(to);
	size_t const there = TRY(_data_or_wait(wanted));
	if (there < wanted) return _peer_dead ? Error::PEER_DEAD : Error::PEER_CLOSED;
	return _moved(_in.transfer(to), sleep_for::ROOM);
}

Attempt<Pieces<Mutable_bytes>, Error> Endpoint::reserve(size_t max)
{
	TRY(_may_write());
	return _checked(_out.view(max));
}

void Endpoint::commit_written(size_t n)
{
	// A lie of the peer's may have ended this since the view was asked for.
	if (_own_life >= Life::FINISHED) return;
	_out.commit(n);
	if (n) _notify(sleep_for::DATA);
}

Attempt<Pieces<Bytes>, Error> Endpoint::peek(size_t max)
{
	auto const there = _data_or_wait(std::min<size_t>(max, 1));
	if (!there.ok() && !blocked(there)) return there.error();
	return _checked(_in.view(max));
}

void Endpoint::commit_read(size_t n)
{
	if (_own_life == Life::CLOSED) return;
	_in.commit(n);
	if (n) _notify(sleep_for::ROOM);
}

template <typename LOOK>
Task<size_t, Error> Endpoint::_later(Job &job, uint32_t reasons, uint64_t until_us, LOOK look)
{
	auto const early = _spin.look_again(job.executor.ready() ? 0 : job.spin, look);
	if (!blocked(early)) co_return early;
	while (true) {
		_arm(reasons);
		auto const result = look();
		if (!blocked(result)) {
			_disarm();
			co_return result;
		}
		auto const woken = co_await _changed.wait(job, until_us);
		if (!woken.ok()) {
			_disarm();
			co_return Failure{woken.error()};
		}
	}
}

template <typename LOOK>
Task<size_t, Error> Endpoint::_when(Job &job, uint32_t reasons, uint64_t until_us, LOOK look)
{
	auto const result = look();
	if (!blocked(result)) return result;
	return _later(job, reasons, until_us, look);
}

Task<size_t, Error> Endpoint::read(Job &job, Mutable_bytes to, uint64_t until_us)
{
	return _when(job, sleep_for::DATA, until_us, [this, to] { return try_read(to); });
}

Task<size_t, Error> Endpoint::receive(Job &job, Mutable_bytes to, uint64_t until_us)
{
	return _when(job, sleep_for::DATA, until_us, [this, to] { return try_receive(to); });
}

Task<size_t, Error> Endpoint::write(Job &job, Bytes from, uint64_t until_us)
{
	return _when(job, sleep_for::ROOM, until_us, [this, from] { return try_write(from); });
}

Task<size_t, Error> Endpoint::send(Job &job, Bytes from, uint64_t until_us)
{
	return _when(job, sleep_for::ROOM, until_us, [this, from] { return try_send(from); });
}

Task<size_t, Error> Endpoint::write_all(Job &job, Bytes from, uint64_t until_us)
{
	auto const written = try_write(from);
	if (!written.ok() && !blocked(written)) return written.error();
	size_t const n = written.ok() ? written.value() : 0;
	if (n == from.size()) return n;
	return _write_rest(job, from, n, until_us);
}

Task<size_t, Error> Endpoint::_write_rest(Job &job, Bytes from, size_t written, uint64_t until_us)
{
	while (written < from.size()) {
		auto const more = co_await write(job, from.subspan(written), until_us);
		if (!more.ok() && written == 0) co_return more.error();
		if (!more.ok()) break;
		written += more.value();
	}
	co_return written;
}

Task<size_t, Error> Endpoint::wait_for_room(Job &job, size_t bytes, uint64_t until_us)
{
	return _when(job, sleep_for::ROOM, until_us, [this, bytes] { return _room_or_wait(bytes); });
}

Task<size_t, Error> Endpoint::wait_for_data(Job &job, size_t bytes, uint64_t until_us)
{
	return _when(job, sleep_for::DATA, until_us, [this, bytes] { return _data_or_wait(bytes); });
}

} // namespace bulkhead::vchan
