#include "component/qrexec/agent/deadlines.h"

#include "platform/linux/errno.h"

#include <cerrno>
#include <sys/timerfd.h>

namespace bulkhead::qrexec {

Deadlines::Deadlines(linux_host::Loop &loop, uint64_t within_us)
	: _loop(loop), _within_us(within_us)
{}

Deadlines::~Deadlines() { _loop.remove(*this); }

Attempt<void> Deadlines::begin(Deadline &deadline)
{
	if (!_timer) {
		_timer.reset(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
		if (!_timer) return linux_host::error_of_errno(errno);
		TRY(_loop.add(*this, _timer.value(), EPOLLIN, linux_host::Loop::Kind::BACKGROUND));
	}
	deadline._until_us = deadline_after_us(_loop.clock().now_us(), _within_us);
	_waiting.push_back(deadline);
	if (!_armed) _arm(deadline._until_us);
	return Ok{};
}

void Deadlines::_arm(uint64_t until_us)
{
	itimerspec at{};
	at.it_value.tv_sec = static_cast<time_t>(until_us / 1'000'000);
	at.it_value.tv_nsec = static_cast<long>(until_us % 1'000'000 * 1000);
	_armed = timerfd_settime(_timer.value(), TFD_TIMER_ABSTIME, &at, nullptr) == 0;
}

// What was withdrawn in time has left the timer as it was: it is set for whoever is the first now.
void Deadlines::ready(uint32_t)
{
	uint64_t count = 0;
	[[maybe_unused]] ssize_t const size = read(_timer.value(), &count, sizeof(count));
	_armed = false;
	uint64_t const now_us = _loop.clock().now_us();
	while (!_waiting.empty()) {
		Deadline &first = *_waiting.front();
		if (first._until_us > now_us) return _arm(first._until_us);
		first.unlink();
		first.expired();
	}
}

} // namespace bulkhead::qrexec
