#include "component/qrexec/policy_daemon/timer.h"

#include "platform/linux/errno.h"

#include <cerrno>
#include <sys/timerfd.h>

namespace bulkhead::qrexec {

Attempt<void> Timer::attach(linux_host::Loop &loop)
{
	_timer.reset(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	if (!_timer) return linux_host::error_of_errno(errno);
	return loop.add(*this, _timer.value(), EPOLLIN);
}

void Timer::detach()
{
	if (linux_host::Loop *const in = loop()) in->remove(*this);
	_timer.reset();
	_running = false;
}

void Timer::_set(uint64_t after_ms)
{
	itimerspec const time{.it_interval = {},
		.it_value = {.tv_sec = static_cast<time_t>(after_ms / 1000),
			.tv_nsec = static_cast<long>(after_ms % 1000 * 1'000'000)}};
	if (_timer) timerfd_settime(_timer.value(), 0, &time, nullptr);
}

void Timer::start(uint64_t after_ms)
{
	_set(std::max<uint64_t>(after_ms, 1));
	_running = true;
}

void Timer::stop()
{
	if (_running) _set(0);
	_running = false;
}

void Timer::ready(uint32_t)
{
	uint64_t times = 0;
	if (read(_timer.value(), &times, sizeof(times)) != sizeof(times) || !_running) return;
	_running = false;
	_expired();
}

} // namespace bulkhead::qrexec
