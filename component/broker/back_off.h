#pragma once

// When a process that ends is to be started again: later each time, unless it has lived for long.

#include <algorithm>
#include <cstdint>

namespace bulkhead::broker {

class Back_off
{
private:
	static constexpr uint64_t MIN_US = 50'000;

	uint64_t _max_us;
	uint64_t _since_us = 0;
	uint64_t _pause_us = 0;

public:
	/* The longest time between two starts; twice as long is a long life. */
	explicit Back_off(uint64_t max_us) : _max_us(max_us) {}

	void started(uint64_t now_us)
	{
		bool const lived_long = now_us - _since_us > 2 * _max_us;
		_pause_us = lived_long ? MIN_US : std::clamp(2 * _pause_us, MIN_US, _max_us);
		_since_us = now_us;
	}

	/* At once, before the first start. */
	uint64_t due_us() const { return _since_us + _pause_us; }
};

} // namespace bulkhead::broker
