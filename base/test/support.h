#pragma once

// What the tests of base share: a clock that stands still until it is told, and objects that are
// counted.

#include "base/clock.h"
#include "base/sync_wait.h"

#include <cstdint>

namespace bulkhead::test {

class Manual_clock final : public Clock
{
public:
	uint64_t time_us = 1000;

	uint64_t now_us() const override { return time_us; }
};

/* Counts how many of it are alive. */
struct Probe
{
	inline static int alive = 0;

	int value;

	explicit Probe(int v = 0) : value(v) { ++alive; }
	Probe(Probe const &other) : value(other.value) { ++alive; }
	Probe(Probe &&other) noexcept : value(other.value)
	{
		other.value = -1;
		++alive;
	}
	Probe &operator=(Probe const &) = default;
	Probe &operator=(Probe &&other) noexcept
	{
		value = other.value;
		if (this != &other) other.value = -1;
		return *this;
	}
	~Probe()
	{
		value = -2;
		--alive;
	}
};

/* A clock, an executor and a few jobs with room for their frames. */
struct World
{
	Manual_clock clock{};
	Executor executor{clock};
	Job_with_arena<8192> a{executor};
	Job_with_arena<8192> b{executor};
	Job_with_arena<8192> c{executor};

	/* Lets the time pass and everything run that becomes ready. */
	void pass_us(uint64_t duration_us)
	{
		clock.time_us += duration_us;
		executor.expire();
		executor.run_ready();
	}
};

} // namespace bulkhead::test
