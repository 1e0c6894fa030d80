#pragma once

// The clock of the host: CLOCK_MONOTONIC in microseconds.

#include "base/clock.h"

#include <time.h>

namespace bulkhead::linux_host {

class Monotonic_clock final : public Clock
{
public:
	uint64_t now_us() const override
	{
		timespec now{};
		clock_gettime(CLOCK_MONOTONIC, &now);
		return static_cast<uint64_t>(now.tv_sec) * 1'000'000 +
			static_cast<uint64_t>(now.tv_nsec) / 1000;
	}
};

} // namespace bulkhead::linux_host
