#pragma once

// Numbers for objects that the kernel names later: nodes and open files. A number holds the place
// of an object and the generation of that place, so that a number of the past, or an invented one,
// finds nothing.

#include "base/assert.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

namespace bulkhead::fuse {

template <typename T>
class Slots
{
private:
	struct Slot
	{
		T value{};
		uint32_t generation = 0;
		uint32_t next_free = 0;
		bool used = false;
	};

	std::deque<Slot> _slots{}; // grows without moving
	uint32_t _free = 0; // place + 1
	size_t _used = 0;
	size_t const _max;
	uint32_t const _first_generation;

	static uint32_t _place(uint64_t id) { return static_cast<uint32_t>(id) - 1; }

public:
	/*
	 * Place for at most `max` objects. Where numbers may outlive their table, as those of a server
	 * that was replaced, each table begins with another generation.
	 */
	explicit Slots(size_t max, uint32_t first_generation = 0)
		: _max(max), _first_generation(first_generation)
	{}

	size_t used() const { return _used; }

	/* The first number of the first generation is 1; 0 if there is no place. */
	uint64_t add(T value)
	{
		if (_used == _max) return 0;
		uint32_t place = _free - 1;
		if (_free)
			_free = _slots[place].next_free;
		else {
			place = static_cast<uint32_t>(_slots.size());
			_slots.emplace_back().generation = _first_generation;
		}
		Slot &slot = _slots[place];
		slot.value = std::move(value);
		slot.used = true;
		++_used;
		return uint64_t{slot.generation} << 32 | (place + 1);
	}

	/* Null for a number that stands for nothing. */
	T *find(uint64_t id)
	{
		uint32_t const place = _place(id);
		if (place >= _slots.size()) return nullptr;
		Slot &slot = _slots[place];
		return slot.used && slot.generation == id >> 32 ? &slot.value : nullptr;
	}

	T take(uint64_t id)
	{
		BULKHEAD_ASSERT(find(id));
		Slot &slot = _slots[_place(id)];
		slot.used = false;
		++slot.generation;
		slot.next_free = std::exchange(_free, _place(id) + 1);
		--_used;
		return std::exchange(slot.value, T{});
	}

	/* Calls `fn(id, T &)` for each object. */
	template <typename FN>
	void for_each(FN &&fn)
	{
		for (size_t i = 0; i < _slots.size(); ++i) {
			Slot &slot = _slots[i];
			if (slot.used) fn(uint64_t{slot.generation} << 32 | (i + 1), slot.value);
		}
	}
};

} // namespace bulkhead::fuse
