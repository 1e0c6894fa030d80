#pragma once

// A time after which something is done.

#include "platform/linux/descriptor.h"
#include "platform/linux/loop.h"

#include <functional>

namespace bulkhead::qrexec {

/* Of the loop's thread. */
class Timer final : private linux_host::Loop::Source
{
private:
	linux_host::Owned_fd _timer{};
	std::function<void()> _expired;
	bool _running = false;

	void ready(uint32_t events) override;
	void _set(uint64_t after_ms);

public:
	/* `expired` must not destroy the timer. */
	explicit Timer(std::function<void()> expired) : _expired(std::move(expired)) {}
	~Timer() { detach(); }

	/* Errors: those of `Loop::add`. */
	Attempt<void> attach(linux_host::Loop &loop);
	void detach();

	/* From now on, even if it ran already. At least a millisecond. */
	void start(uint64_t after_ms);
	void stop();
	bool running() const { return _running; }
};

} // namespace bulkhead::qrexec
