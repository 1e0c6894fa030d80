#pragma once

// A queue between two threads, or between an interrupt and a loop: one side only pushes, the other
// only pops, and neither ever waits for the other.

#include "base/assert.h"

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <utility>

namespace bulkhead {

/*
 * At most `CAPACITY` elements, a power of two. The producer calls `push` and `room`, the consumer
 * `pop`, `front` and `size`; what was written before a push is seen after the pop. The counters run
 * freely and wrap; `INDEX` is their type.
 */
template <typename T, size_t CAPACITY, std::unsigned_integral INDEX = uint32_t>
class Ring
{
private:
	static_assert(CAPACITY > 0 && (CAPACITY & (CAPACITY - 1)) == 0, "must be a power of two");
	static_assert(
		CAPACITY - 1 <= std::numeric_limits<INDEX>::max() / 2, "full must not look empty");
	static_assert(std::atomic<INDEX>::is_always_lock_free);

	// The sides write to cache lines of their own, and look at the other's only when they must.
	static constexpr size_t CACHE_LINE = 64;

	alignas(CACHE_LINE) std::atomic<INDEX> _pushed{0};
	INDEX _popped_seen = 0; // by the producer

	alignas(CACHE_LINE) std::atomic<INDEX> _popped{0};
	INDEX _pushed_seen = 0; // by the consumer

	alignas(CACHE_LINE) alignas(T) std::byte _memory[CAPACITY * sizeof(T)];

	T *_slot(INDEX index) { return reinterpret_cast<T *>(_memory) + (index & (CAPACITY - 1)); }

	static size_t _distance(INDEX from, INDEX to) { return static_cast<INDEX>(to - from); }

	static INDEX _advanced(INDEX index, size_t n)
	{
		return static_cast<INDEX>(index + static_cast<INDEX>(n));
	}

	// How many can be pushed, at least `wanted` if the consumer has made that much room.
	size_t _room(INDEX pushed, size_t wanted)
	{
		size_t const room = CAPACITY - _distance(_popped_seen, pushed);
		if (room >= wanted) return room;
		_popped_seen = _popped.load(std::memory_order_acquire);
		return CAPACITY - _distance(_popped_seen, pushed);
	}

	size_t _available(INDEX popped, size_t wanted)
	{
		size_t const available = _distance(popped, _pushed_seen);
		if (available >= wanted) return available;
		_pushed_seen = _pushed.load(std::memory_order_acquire);
		return _distance(popped, _pushed_seen);
	}

public:
	Ring() = default;
	Ring(Ring const &) = delete;
	Ring &operator=(Ring const &) = delete;

	/* Both sides are gone. */
	~Ring()
	{
		while (pop()) {}
	}

	static constexpr size_t capacity() { return CAPACITY; }

	/* Producer: whether the element found room. */
	[[nodiscard]] bool push(T element)
	{
		INDEX const pushed = _pushed.load(std::memory_order_relaxed);
		if (_room(pushed, 1) == 0) return false;
		::new (static_cast<void *>(_slot(pushed))) T(std::move(element));
		_pushed.store(_advanced(pushed, 1), std::memory_order_release);
		return true;
	}

	/* Producer: pushes as many as there is room for, in order; returns how many. */
	[[nodiscard]] size_t push(std::span<T const> elements)
	{
		INDEX const pushed = _pushed.load(std::memory_order_relaxed);
		size_t const n = std::min(elements.size(), _room(pushed, elements.size()));
		size_t const until_wrap = CAPACITY - (pushed & (CAPACITY - 1));
		size_t const first = std::min(n, until_wrap);
		std::uninitialized_copy_n(elements.data(), first, _slot(pushed));
		std::uninitialized_copy_n(elements.data() + first, n - first, _slot(0));
		_pushed.store(_advanced(pushed, n), std::memory_order_release);
		return n;
	}

	/* Producer: for how many there is room; it can only become more. */
	size_t room() { return _room(_pushed.load(std::memory_order_relaxed), CAPACITY); }

	/* Consumer: the oldest element. */
	std::optional<T> pop()
	{
		T *const element = front();
		if (!element) return std::nullopt;
		std::optional<T> result(std::move(*element));
		drop();
		return result;
	}

	/* Consumer: moves as many as there are, in order, into `to`; returns how many. */
	[[nodiscard]] size_t pop(std::span<T> to)
	{
		INDEX const popped = _popped.load(std::memory_order_relaxed);
		size_t const n = std::min(to.size(), _available(popped, to.size()));
		size_t const until_wrap = CAPACITY - (popped & (CAPACITY - 1));
		size_t const first = std::min(n, until_wrap);
		_move_out(_slot(popped), first, to.data());
		_move_out(_slot(0), n - first, to.data() + first);
		_popped.store(_advanced(popped, n), std::memory_order_release);
		return n;
	}

	/* Consumer: the oldest element in its place, null if there is none. */
	T *front()
	{
		INDEX const popped = _popped.load(std::memory_order_relaxed);
		return _available(popped, 1) ? _slot(popped) : nullptr;
	}

	/* Consumer: drops the oldest element, which `front` has shown. */
	void drop()
	{
		INDEX const popped = _popped.load(std::memory_order_relaxed);
		BULKHEAD_ASSERT(popped != _pushed_seen);
		std::destroy_at(_slot(popped));
		_popped.store(_advanced(popped, 1), std::memory_order_release);
	}

	/* Consumer: how many there are; it can only become more. */
	size_t size() { return _available(_popped.load(std::memory_order_relaxed), CAPACITY); }

private:
	static void _move_out(T *from, size_t n, T *to)
	{
		std::move(from, from + n, to);
		std::destroy_n(from, n);
	}
};

} // namespace bulkhead
