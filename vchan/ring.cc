#include "vchan/ring.h"

#include <algorithm>
#include <bit>

namespace bulkhead::vchan {
namespace {

// Sums that wrapped around would turn a message that is too long into one that fits.
template <typename VIEW>
size_t total(std::span<VIEW const> views)
{
	size_t sum = 0;
	for (VIEW const &view : views) sum += std::min(view.size(), ALL - sum);
	return sum;
}

template <typename BYTE>
Pieces<std::span<BYTE>> pieces(std::span<BYTE> ring, uint32_t index, size_t size)
{
	if (ring.empty()) return {}; // there is no position
	size_t const position = index & (ring.size() - 1);
	size_t const first = std::min(size, ring.size() - position);
	return {ring.subspan(position, first), ring.first(size - first)};
}

// The part of `pieces` behind its first `n` bytes, up to the next seam.
template <typename VIEW>
VIEW rest(Pieces<VIEW> const &pieces, size_t n)
{
	size_t const first = pieces.first.size();
	return n < first ? pieces.first.subspan(n) : pieces.second.subspan(n - first);
}

// After it the compiler must use the copy: it can't fetch from shared memory a second time.
void copied() { std::atomic_signal_fence(std::memory_order_seq_cst); }

bool valid(size_t size) { return size == 0 || (std::has_single_bit(size) && size <= RING_MAX); }

} // namespace

Producer::Producer(std::span<uint8_t> ring, Word &produced, Word const &consumed, uint32_t first)
	: _ring(ring),
	  _produced_word(produced),
	  _consumed_word(consumed),
	  _produced(first),
	  _consumed(first)
{
	BULKHEAD_ASSERT(valid(ring.size()));
}

Pieces<Mutable_bytes> Producer::_at(size_t size) const { return pieces(_ring, _produced, size); }

Attempt<size_t, Error> Producer::room(size_t wanted)
{
	if (_broken) return Error::PEER_CONSUMED_TOO_MUCH;
	if (_known_room() >= std::min(wanted, _ring.size())) return _known_room();
	// Acquire: the peer's reads of what it gave back come before our writes to it.
	uint32_t const consumed = _consumed_word.load(std::memory_order_acquire);
	if (consumed - _consumed > _produced - _consumed) {
		_broken = true;
		return Error::PEER_CONSUMED_TOO_MUCH;
	}
	_consumed = consumed;
	return _known_room();
}

Attempt<Pieces<Mutable_bytes>, Error> Producer::reserve(size_t max)
{
	size_t const known = TRY(room(max));
	return _at(std::min(max, known));
}

void Producer::commit(size_t n)
{
	BULKHEAD_ASSERT(n <= _known_room());
	if (n == 0) return;
	_produced += static_cast<uint32_t>(n);
	// Release: the bytes before their number.
	_produced_word.store(_produced, std::memory_order_release);
}

Attempt<size_t, Error> Producer::write(std::span<Bytes const> from)
{
	Pieces<Mutable_bytes> const room = TRY(reserve(total(from)));
	size_t written = 0;
	for (Bytes view : from) {
		while (!view.empty() && written < room.size()) {
			size_t const n = copy_bytes(rest(room, written), view);
			view = view.subspan(n);
			written += n;
		}
	}
	commit(written);
	return written;
}

Attempt<size_t, Error> Producer::send(std::span<Bytes const> from)
{
	size_t const size = total(from);
	if (size > capacity()) return Error::TOO_LONG;
	size_t const known = TRY(room(size));
	if (known < size) return Error::WOULD_BLOCK;
	return write(from);
}

Consumer::Consumer(
	std::span<uint8_t const> ring, Word &consumed, Word const &produced, uint32_t first)
	: _ring(ring),
	  _consumed_word(consumed),
	  _produced_word(produced),
	  _consumed(first),
	  _produced(first)
{
	BULKHEAD_ASSERT(valid(ring.size()));
}

Pieces<Bytes> Consumer::_at(size_t size) const { return pieces(_ring, _consumed, size); }

Attempt<size_t, Error> Consumer::available(size_t wanted)
{
	if (_broken) return Error::PEER_PRODUCED_TOO_MUCH;
	if (_known_available() >= std::min(wanted, _ring.size())) return _known_available();
	// Acquire: the number before the bytes.
	uint32_t const produced = _produced_word.load(std::memory_order_acquire);
	if (produced - _produced > _ring.size() - _known_available()) {
		_broken = true;
		return Error::PEER_PRODUCED_TOO_MUCH;
	}
	_produced = produced;
	return _known_available();
}

Attempt<Pieces<Bytes>, Error> Consumer::peek(size_t max)
{
	size_t const known = TRY(available(max));
	return _at(std::min(max, known));
}

void Consumer::commit(size_t n)
{
	BULKHEAD_ASSERT(n <= _known_available());
	if (n == 0) return;
	_consumed += static_cast<uint32_t>(n);
	// Release: our reads before the room is the peer's again.
	_consumed_word.store(_consumed, std::memory_order_release);
}

Attempt<size_t, Error> Consumer::read(std::span<Mutable_bytes const> to)
{
	Pieces<Bytes> const there = TRY(peek(total(to)));
	size_t taken = 0;
	for (Mutable_bytes view : to) {
		while (!view.empty() && taken < there.size()) {
			size_t const n = copy_bytes(view, rest(there, taken));
			view = view.subspan(n);
			taken += n;
		}
	}
	copied();
	commit(taken);
	return taken;
}

Attempt<size_t, Error> Consumer::receive(std::span<Mutable_bytes const> to)
{
	size_t const size = total(to);
	if (size > capacity()) return Error::TOO_LONG;
	size_t const known = TRY(available(size));
	if (known < size) return Error::WOULD_BLOCK;
	return read(to);
}

} // namespace bulkhead::vchan
