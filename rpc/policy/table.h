#pragma once

// A hash table from a text, or from two, to a number. It is filled from policies and descriptions
// of the system only; a caller can merely look, and a look costs no more than the longest run of
// neighbours, whatever is looked for.

#include "rpc/policy/arena.h"

#include <limits>

namespace bulkhead::policy {

/* What a table answers for a key that it doesn't have; also "no rule", "no domain". */
inline constexpr uint32_t NONE = std::numeric_limits<uint32_t>::max();

/* Open addressing, at most half full. Keys stay the caller's and outlive the table. */
class Table
{
private:
	struct Slot
	{
		std::string_view text{};
		std::string_view more{};
		uint32_t value = NONE;
	};

	Arena &_arena;
	std::span<Slot> _slots{};
	size_t _used = 0;

	static uint64_t _hash(std::string_view text, uint64_t seed)
	{
		uint64_t hash = seed ^ text.size() * 0xd6e8feb86659fd93;
		for (; text.size() >= sizeof(uint64_t); text.remove_prefix(sizeof(uint64_t))) {
			uint64_t word;
			__builtin_memcpy(&word, text.data(), sizeof(word));
			hash = (hash ^ word) * 0x9e3779b97f4a7c15;
			hash ^= hash >> 31;
		}
		uint64_t last = 0;
		for (char const c : text) last = last << 8 | static_cast<unsigned char>(c);
		hash = (hash ^ last) * 0x9e3779b97f4a7c15;
		return hash ^ hash >> 32;
	}

	/* The slot of a key, or the empty one where it belongs. */
	Slot &_place(std::string_view text, std::string_view more) const
	{
		for (uint64_t at = _hash(more, _hash(text, 0));; ++at) {
			Slot &slot = _slots[at & (_slots.size() - 1)];
			bool const same = slot.text == text && slot.more == more;
			if (same || slot.value == NONE) return slot;
		}
	}

public:
	explicit Table(Arena &arena) : _arena(arena) {}

	/* The value of a key, or NONE. */
	uint32_t find(std::string_view text, std::string_view more = {}) const
	{
		return _slots.empty() ? NONE : _place(text, more).value;
	}

	/* The same, to be set before the table is used again. Error: OUT_OF_MEMORY. */
	Attempt<uint32_t &> at(std::string_view text, std::string_view more = {})
	{
		if (2 * (_used + 1) > _slots.size()) {
			std::span<Slot> const old = _slots;
			_slots = TRY(create_array<Slot>(_arena, old.empty() ? 32 : 2 * old.size()));
			for (Slot const &slot : old)
				if (slot.value != NONE) _place(slot.text, slot.more) = slot;
		}
		Slot &slot = _place(text, more);
		if (slot.value == NONE) ++_used;
		slot.text = text;
		slot.more = more;
		return slot.value;
	}
};

} // namespace bulkhead::policy
