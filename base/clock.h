#pragma once

// Time as drivers see it. It is handed in, so that a test can make a minute pass in no time.

#include <cstdint>
#include <limits>

namespace bulkhead {

class Clock
{
protected:
	~Clock() = default;

public:
	/* Microseconds since an arbitrary start; never goes back. Does not block. */
	virtual uint64_t now_us() const = 0;
};

/* A deadline that never comes, in microseconds of a `Clock`. */
inline constexpr uint64_t NEVER_US = std::numeric_limits<uint64_t>::max();

/* The deadline `duration_us` from `now_us`, or never if that can't be represented. */
constexpr uint64_t deadline_after_us(uint64_t now_us, uint64_t duration_us)
{
	return duration_us >= NEVER_US - now_us ? NEVER_US : now_us + duration_us;
}

} // namespace bulkhead
