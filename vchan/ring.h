#pragma once

// The two ends of one ring in memory that a hostile peer can write to at any time. Each end keeps
// its own index in private memory and only publishes it; the peer's index is read once, bounded,
// and then used. An index that can't be is an error that stays.
//
// Indices count bytes since the beginning and wrap at 2^32; a position is an index modulo the size.

#include "base/bytes.h"
#include "vchan/error.h"
#include "vchan/layout.h"

#include <algorithm>
#include <limits>
#include <type_traits>

namespace bulkhead::vchan {

/* Bytes in a ring: up to the end of its memory, and what goes on at the beginning. */
template <typename VIEW>
struct Pieces
{
	VIEW first{};
	VIEW second{};

	size_t size() const { return first.size() + second.size(); }
};

/* All that there is. */
inline constexpr size_t ALL = std::numeric_limits<size_t>::max();

/* Bytes in several views. */
template <typename VIEW>
size_t total(std::span<VIEW const> views)
{
	// A sum that wrapped around would turn a message that is too long into one that fits.
	size_t sum = 0;
	for (VIEW const &view : views) sum += std::min(view.size(), ALL - sum);
	return sum;
}

/* The Producer or the Consumer, which differ in which way bytes go; LIE is the peer's. */
template <typename BYTE, Error LIE>
class Ring_end
{
private:
	static constexpr bool PRODUCES = !std::is_const_v<BYTE>;

	std::span<BYTE> _ring;
	Word &_own_word; // only written
	Word const &_peer_word; // only read
	uint32_t _own; // what we have committed
	uint32_t _limit; // up to where we may, by what we have believed of the peer: a ring at most
	bool _broken = false;

	size_t _known() const { return _limit - _own; }

public:
	/* What bytes come from or go to: the caller's. */
	using Caller_view = std::conditional_t<PRODUCES, Bytes, Mutable_bytes>;

	/*
	 * The size of `ring` is a power of two up to `RING_MAX`; indices begin at `first`. Or the ring
	 * is empty: then there is never anything, and no word of the peer's is looked at.
	 */
	Ring_end(std::span<BYTE> ring, Word &own, Word const &peer, uint32_t first = 0);

	size_t capacity() const { return _ring.size(); }

	/*
	 * For how many bytes there is room, or how many can be read; looks at the peer's index only if
	 * fewer than `wanted` are known. Error: LIE, then and ever after.
	 */
	Attempt<size_t, Error> available(size_t wanted = ALL);

	/*
	 * Zero-copy: up to `max` bytes where they lie, to be filled in or read, and committed. A
	 * hostile peer may change them meanwhile: what was put there isn't read back and believed, and
	 * what is checked is copied first. Error as `available`.
	 */
	Attempt<Pieces<std::span<BYTE>>, Error> view(size_t max = ALL);

	/* Hands the next `n` bytes to the peer, at most as many as are known to be available. */
	void commit(size_t n);

	/* Copies as much as is available, in order; returns how much. Error as `available`. */
	Attempt<size_t, Error> transfer(std::span<Caller_view const> views);
};

using Producer = Ring_end<uint8_t, Error::PEER_CONSUMED_TOO_MUCH>;
using Consumer = Ring_end<uint8_t const, Error::PEER_PRODUCED_TOO_MUCH>;

extern template class Ring_end<uint8_t, Error::PEER_CONSUMED_TOO_MUCH>;
extern template class Ring_end<uint8_t const, Error::PEER_PRODUCED_TOO_MUCH>;

} // namespace bulkhead::vchan
