#pragma once

// Something that has to happen within a time that is the same for all: the first that was begun is
// the first that is late, so that one timer does for any number.

#include "base/list.h"
#include "platform/linux/descriptor.h"
#include "platform/linux/loop.h"

namespace bulkhead::qrexec {

class Deadlines;

/* Withdrawn by its end. */
class Deadline : private bulkhead::Link<Deadline>
{
private:
	friend class Deadlines;
	friend class bulkhead::Link<Deadline>;
	friend class List<Deadline>;

	uint64_t _until_us = 0;

protected:
	Deadline() = default;
	~Deadline() = default;

	void withdraw() { unlink(); }

public:
	virtual void expired() = 0;
};

/* Belongs to the loop's thread. */
class Deadlines final : private linux_host::Loop::Source
{
private:
	linux_host::Loop &_loop;
	uint64_t const _within_us;
	linux_host::Owned_fd _timer{};
	List<Deadline> _waiting{};
	bool _armed = false;

	void ready(uint32_t) override;
	void _arm(uint64_t until_us);

public:
	/* Takes a descriptor once there is something to wait for. */
	Deadlines(linux_host::Loop &loop, uint64_t within_us);
	~Deadlines();

	/* It will be called unless it is withdrawn before. Errors: those of `Loop::add`. */
	Attempt<void> begin(Deadline &deadline);
};

} // namespace bulkhead::qrexec
