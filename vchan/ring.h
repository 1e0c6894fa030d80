#pragma once

// The two ends of one ring in memory that a hostile peer can write to at any time. Each end keeps
// its own index in private memory and only publishes it; the peer's index is read once, bounded,
// and then used. An index that can't be is an error that stays.
//
// Indices count bytes since the beginning and wrap at 2^32; a position is an index modulo the size.

#include "base/bytes.h"
#include "vchan/error.h"
#include "vchan/layout.h"

#include <limits>

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

class Producer
{
private:
	std::span<uint8_t> _ring;
	Word &_produced_word; // ours: only written
	Word const &_consumed_word; // the peer's: only read
	uint32_t _produced; // what we have committed
	uint32_t _consumed; // what we have believed of the peer, never ahead of `_produced`
	bool _broken = false;

	size_t _known_room() const { return _ring.size() - (_produced - _consumed); }
	Pieces<Mutable_bytes> _at(size_t size) const;

public:
	/*
	 * The size of `ring` is a power of two up to `RING_MAX`; indices begin at `first`. Or the ring
	 * is empty: then it never has room, and no word of the peer's is looked at.
	 */
	Producer(std::span<uint8_t> ring, Word &produced, Word const &consumed, uint32_t first = 0);

	size_t capacity() const { return _ring.size(); }

	/*
	 * For how many bytes there is room; looks at the peer's index only if fewer than `wanted` are
	 * known. Error: PEER_CONSUMED_TOO_MUCH, then and ever after.
	 */
	Attempt<size_t, Error> room(size_t wanted = ALL);

	/*
	 * Zero-copy: room for up to `max` bytes, to be filled in and committed. The peer may scribble
	 * there, so what was put there must not be read back and believed. Error as `room`.
	 */
	Attempt<Pieces<Mutable_bytes>, Error> reserve(size_t max = ALL);

	/* Lets the peer see the next `n` bytes, at most as many as there is known to be room for. */
	void commit(size_t n);

	/* Copies as much as there is room for, in order; returns how much. Error as `room`. */
	Attempt<size_t, Error> write(std::span<Bytes const> from);

	/*
	 * All or nothing: returns the total. Errors: WOULD_BLOCK (no room yet), TOO_LONG (never any),
	 * and as `room`.
	 */
	Attempt<size_t, Error> send(std::span<Bytes const> from);
};

class Consumer
{
private:
	std::span<uint8_t const> _ring;
	Word &_consumed_word; // ours: only written
	Word const &_produced_word; // the peer's: only read
	uint32_t _consumed; // what we have taken
	uint32_t _produced; // what we have believed of the peer, at most a ring ahead
	bool _broken = false;

	size_t _known_available() const { return _produced - _consumed; }
	Pieces<Bytes> _at(size_t size) const;

public:
	/* As the Producer's; the arguments are in the order of who writes them, own first. */
	Consumer(
		std::span<uint8_t const> ring, Word &consumed, Word const &produced, uint32_t first = 0);

	size_t capacity() const { return _ring.size(); }

	/*
	 * How many bytes can be read; looks at the peer's index only if fewer than `wanted` are known.
	 * Error: PEER_PRODUCED_TOO_MUCH, then and ever after.
	 */
	Attempt<size_t, Error> available(size_t wanted = ALL);

	/*
	 * Zero-copy: up to `max` bytes where they lie. A hostile peer may change them while one looks:
	 * whatever is checked is copied first. Error as `available`.
	 */
	Attempt<Pieces<Bytes>, Error> peek(size_t max = ALL);

	/* Gives the room of the next `n` bytes back, at most as many as are known to be there. */
	void commit(size_t n);

	/* Copies as much as there is, in order; returns how much. Error as `available`. */
	Attempt<size_t, Error> read(std::span<Mutable_bytes const> to);

	/*
	 * Fills `to` completely or takes nothing: returns the total. Errors: WOULD_BLOCK (too few bytes
	 * yet), TOO_LONG (the ring can't hold so many), and as `available`.
	 */
	Attempt<size_t, Error> receive(std::span<Mutable_bytes const> to);
};

} // namespace bulkhead::vchan
