#pragma once

// Free-standing use: runs a task to completion from plain code, on a stack, without a loop.

#include "base/task.h"

namespace bulkhead {

template <typename T, typename E>
Root run_into(Job &, Task<T, E> &task, Attempt<T, E> &result)
{
	result = co_await task;
}

/*
 * Runs a task to its end. Whenever no job is ready, and now and then while some are,
 * `poll(until_us)` is called: it lets the hardware make progress, and may sleep until an event
 * arrives or the time comes (microseconds of the executor's clock, 0: don't sleep, NEVER_US: no
 * deadline). Other jobs of the executor run meanwhile.
 */
template <typename T, typename E, typename POLL>
Attempt<T, E> sync_wait(Job &job, Task<T, E> task, POLL &&poll)
{
	if (task.ready()) return task.take();
	Attempt<T, E> result{E::OUT_OF_FRAMES};
	Root root = run_into(job, task, result);
	if (!root.start(job).ok()) return result;
	Executor &executor = job.executor;
	while (executor.run_ready(), !root.done()) {
		poll(executor.ready() ? 0 : executor.next_deadline_us());
		executor.expire();
	}
	return result;
}

/* The same where nothing has to be polled: time and other jobs are all that is waited for. */
template <typename T, typename E>
Attempt<T, E> sync_wait(Job &job, Task<T, E> task)
{
	return sync_wait(job, std::move(task), [](uint64_t until_us) {
		// Nobody is left who could end the wait.
		BULKHEAD_ASSERT(until_us != NEVER_US);
	});
}

} // namespace bulkhead
