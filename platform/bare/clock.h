#pragma once

#include "base/clock.h"

#include <cstdint>

// Time since the machine started: the HPET on x86_64, the generic timer's virtual counter on
// aarch64.

namespace bulkhead::bare {

// Microseconds. Never goes back; wraps after half a million years.
std::uint64_t monotonic_us();

// Stops the processor until monotonic_us() has reached `time_us`, but for IDLE_MAX_US at most;
// returns at once if that time is past. As `poll` of sync_wait it makes waiting cost nothing.
inline constexpr std::uint64_t IDLE_MAX_US = 1'000'000;
void idle_until_us(std::uint64_t time_us);

// The time for those who are handed their time.
class Monotonic_clock final : public Clock
{
public:
	std::uint64_t now_us() const override { return monotonic_us(); }
};

} // namespace bulkhead::bare
