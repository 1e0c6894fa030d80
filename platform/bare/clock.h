#pragma once

#include "base/clock.h"

#include <cstdint>

// Time since the machine started, from a counter that needs no interrupt: the HPET on x86_64, the
// generic timer's virtual counter on aarch64.

namespace bulkhead::bare {

// Microseconds. Never goes back; wraps after half a million years.
std::uint64_t monotonic_us();

// The same for those who are handed their time.
class Monotonic_clock final : public Clock
{
public:
	std::uint64_t now_us() const override { return monotonic_us(); }
};

} // namespace bulkhead::bare
