#pragma once

// The hash table of the index: from a text, or from two, to a number. It is filled from policies
// and descriptions of the system only; a caller can merely look, and a look costs no more than the
// longest run of neighbours, whatever is looked for.

#include "base/allocator.h"
#include "base/bytes.h"

#include <limits>
#include <string_view>

namespace bulkhead::policy {

/* What a table answers for a key that it doesn't have; also "no rule", "no domain". */
inline constexpr uint32_t NONE = std::numeric_limits<uint32_t>::max();

/* Open addressing, at most half full. Keys stay the caller's and outlive the table. */
class Table
{
private:
	struct Key
	{
		std::string_view text{};
		std::string_view more{};

		bool operator==(Key const &) const = default;
	};

	struct Slot
	{
		Key key{};
		uint32_t value = NONE;
	};

	Allocator &_allocator;
	std::span<Slot> _slots{};
	uint32_t _size = 0;

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
	Slot &_place(Key const &key) const
	{
		size_t const mask = _slots.size() - 1;
		size_t at = static_cast<size_t>(_hash(key.more, _hash(key.text, 0))) & mask;
		while (_slots[at].value != NONE && _slots[at].key != key) at = (at + 1) & mask;
		return _slots[at];
	}

	Attempt<void> _grow()
	{
		std::span<Slot> const old = _slots;
		_slots = TRY(create_array<Slot>(_allocator, old.empty() ? 32 : 2 * old.size()));
		for (Slot const &slot : old)
			if (slot.value != NONE) _place(slot.key) = slot;
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

	uint32_t size() const { return _size; }

	/* The value of a key, or NONE. */
	uint32_t find(std::string_view text, std::string_view more = {}) const
	{
		return _size ? _place({text, more}).value : NONE;
	}

	/* The value that the key has, after it got this one if it had none. Error: OUT_OF_MEMORY. */
	Attempt<uint32_t> insert(uint32_t value, std::string_view text, std::string_view more = {})
	{
		if (2 * (_size + 1) > _slots.size()) TRY(_grow());
		Slot &slot = _place({text, more});
		if (slot.value == NONE) {
			slot = {{text, more}, value};
			++_size;
		}
		return slot.value;
	}
};

} // namespace bulkhead::policy
