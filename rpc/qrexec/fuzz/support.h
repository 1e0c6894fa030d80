#pragma once

// What the fuzz targets share: demands, and choices that are part of the input.

#include "base/bytes.h"

#include <cstdlib>

namespace bulkhead::qrexec::fuzz {

inline void demand(bool condition)
{
	if (!condition) abort();
}

/* Takes decisions off the front of an input; 0 when it is used up. */
inline uint8_t take_choice(Bytes &input)
{
	if (input.empty()) return 0;
	uint8_t const choice = input.front();
	input = input.subspan(1);
	return choice;
}

/* Sizes of pieces, as random as one number makes them. */
class Sizes
{
private:
	uint32_t _state;

public:
	explicit Sizes(uint8_t seed) : _state(seed * 2654435761U + 1) {}

	/* 1 to `most`, small ones often. */
	size_t next(size_t most)
	{
		_state = _state * 1664525 + 1013904223;
		uint32_t const random = _state >> 8;
		size_t const limit = random % 3 ? size_t(16) : most;
		return 1 + (random >> 2) % std::max<size_t>(1, std::min(limit, most));
	}
};

} // namespace bulkhead::qrexec::fuzz
