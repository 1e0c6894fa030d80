#pragma once

// Hash tables of the index: from a text, or from a pair of numbers, to a number. They are filled
// from policies and descriptions of the system only; a caller can merely look, and a look costs no
// more than the longest run of neighbours, whatever is looked for.

#include "base/allocator.h"
#include "base/bytes.h"

#include <bit>
#include <limits>
#include <string_view>

namespace bulkhead::policy {

/* What a table answers for a key that it doesn't have; also "no rule", "no domain". */
inline constexpr uint32_t NONE = std::numeric_limits<uint32_t>::max();

inline uint64_t mix(uint64_t value)
{
	value ^= value >> 32;
	value *= 0x9e3779b97f4a7c15;
	value ^= value >> 29;
	return value;
}

inline uint64_t hash_of(std::string_view text)
{
	uint64_t hash = text.size() * 0xd6e8feb86659fd93;
	char const *at = text.data();
	size_t left = text.size();
	for (; left >= sizeof(uint64_t); left -= sizeof(uint64_t), at += sizeof(uint64_t)) {
		uint64_t word;
		__builtin_memcpy(&word, at, sizeof(word));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15;
		hash ^= hash >> 31;
	}
	uint64_t last = 0;
	for (size_t i = 0; i < left; ++i) last = last << 8 | static_cast<unsigned char>(at[i]);
	return mix(hash ^ last);
}

inline uint64_t hash_of(uint64_t key) { return mix(key * 0xd6e8feb86659fd93); }

inline uint64_t pair_key(uint32_t a, uint32_t b) { return uint64_t{a} << 32 | b; }

/*
 * Open addressing, at most half full. Keys that are texts stay the caller's and outlive the table.
 */
template <typename KEY>
class Table
{
private:
	struct Slot
	{
		KEY key;
		uint32_t hash; // the upper half, so that most strangers aren't compared
		uint32_t value;
	};

	Allocator &_allocator;
	std::span<Slot> _slots{};
	size_t _size = 0;

	static uint32_t _upper(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }

	/* The slot of a key, or the empty one where it belongs. */
	size_t _place(KEY key, uint64_t hash) const
	{
		size_t const mask = _slots.size() - 1;
		size_t at = static_cast<size_t>(hash) & mask;
		while (
			_slots[at].value != NONE && (_slots[at].hash != _upper(hash) || _slots[at].key != key))
			at = (at + 1) & mask;
		return at;
	}

	Attempt<void> _grow()
	{
		std::span<Slot> const old = _slots;
		std::span<Slot> const slots =
			TRY(create_array<Slot>(_allocator, old.empty() ? 32 : 2 * old.size()));
		for (Slot &slot : slots) slot.value = NONE;
		_slots = slots;
		for (Slot const &slot : old)
			if (slot.value != NONE) _slots[_place(slot.key, hash_of(slot.key))] = slot;
		if (!old.empty()) destroy_array(_allocator, old);
		return Ok{};
	}

public:
	explicit Table(Allocator &allocator) : _allocator(allocator) {}
	Table(Table const &) = delete;
	Table &operator=(Table const &) = delete;
	~Table()
	{
		if (!_slots.empty()) destroy_array(_allocator, _slots);
	}

	size_t size() const { return _size; }

	/* Changes values, none of them to NONE. */
	template <typename FN>
	void for_each(FN &&change)
	{
		for (Slot &slot : _slots)
			if (slot.value != NONE) change(slot.value);
	}

	/* The value of a key, or NONE. */
	uint32_t find(KEY key) const
	{
		if (_size == 0) return NONE;
		return _slots[_place(key, hash_of(key))].value;
	}

	/* The value that the key has, after it got this one if it had none. Error: OUT_OF_MEMORY. */
	Attempt<uint32_t> insert(KEY key, uint32_t value)
	{
		if (2 * (_size + 1) > _slots.size()) TRY(_grow());
		uint64_t const hash = hash_of(key);
		Slot &slot = _slots[_place(key, hash)];
		if (slot.value == NONE) {
			slot = Slot{key, _upper(hash), value};
			++_size;
		}
		return slot.value;
	}
};

using Text_table = Table<std::string_view>;
using Pair_table = Table<uint64_t>;

} // namespace bulkhead::policy
