#pragma once

// How often something may happen that a peer can cause as often as it likes.

#include <algorithm>
#include <cstdint>

namespace bulkhead::qrexec {

/* So many at once, and one more after each interval. */
class Rate_limit
{
private:
	uint64_t const _burst;
	uint64_t const _interval_us;
	uint64_t _left = _burst;
	uint64_t _counted_us = 0; // intervals are counted from then

public:
	constexpr Rate_limit(uint64_t burst, uint64_t interval_us)
		: _burst(burst), _interval_us(interval_us)
	{}

	/* Whether it may happen now, by a clock that doesn't go back; it has then. */
	bool admits(uint64_t now_us)
	{
		uint64_t const intervals = (now_us - _counted_us) / _interval_us;
		_left = std::min(_burst, _left + std::min(intervals, _burst));
		_counted_us += intervals * _interval_us;
		if (_left == 0) return false;
		--_left;
		return true;
	}
};

} // namespace bulkhead::qrexec
