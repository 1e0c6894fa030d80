#pragma once

// The time of day of the host.

#include "vfs/calendar.h"

#include <time.h>

namespace bulkhead::host_system {

class Host_calendar final : public vfs::Calendar
{
public:
	/* To the kernel's tick, a few milliseconds, which costs no system call. */
	int64_t now_ns() const override
	{
		timespec now{};
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
		return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
	}
};

} // namespace bulkhead::host_system
