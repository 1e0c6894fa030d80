#pragma once

// What a file system in memory may still take of its limits.

#include "base/assert.h"

#include <cstdint>

namespace bulkhead::vfs {

class Budget
{
private:
	uint64_t const _total;
	uint64_t _free;

public:
	explicit Budget(uint64_t total) : _total(total), _free(total) {}

	uint64_t total() const { return _total; }
	uint64_t free() const { return _free; }

	[[nodiscard]] bool take(uint64_t amount)
	{
		if (amount > _free) return false;
		_free -= amount;
		return true;
	}

	void give(uint64_t amount)
	{
		BULKHEAD_ASSERT(amount <= _total - _free);
		_free += amount;
	}
};

} // namespace bulkhead::vfs
