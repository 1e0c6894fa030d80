#pragma once

// What jobs wait for: an Event that others raise, or the passing of time.

#include "base/job.h"

namespace bulkhead {

/* A condition that may change, e.g. by the interrupt of a device. It keeps no memory of being
 * raised. */
class Event
{
private:
	List<Job, In_queue> _jobs{};

public:
	struct [[nodiscard]] Wait
	{
		Event &event;
		Job &job;
		uint64_t until_us;
		bool suspended = false;

		bool await_ready() const { return job.cancelled(); }

		void await_suspend(std::coroutine_handle<> coroutine)
		{
			suspended = true;
			job.wait_in(&event._jobs, coroutine, until_us);
		}

		Attempt<void> await_resume() const
		{
			if (!suspended) return Error::CANCELLED;
			return job.wait_result();
		}
	};

	/*
	 * `co_await event.wait(job)` suspends until the event is raised. Jobs are woken in the order in
	 * which they came. Errors: CANCELLED, TIMEOUT (microseconds of the executor's clock).
	 */
	Wait wait(Job &job, uint64_t until_us = NEVER_US) { return {*this, job, until_us}; }

	bool awaited() const { return !_jobs.empty(); }

	/* Makes the longest-waiting job ready. It is resumed by its executor, never from here. */
	void raise()
	{
		if (Job *const job = _jobs.front()) job->fulfil();
	}

	/* Makes all jobs ready that wait now. */
	void raise_all()
	{
		while (Job *const job = _jobs.front()) job->fulfil();
	}
};

/* `co_await Sleep { job, until_us }` suspends until a point in time. Errors: CANCELLED, TIMEOUT. */
struct [[nodiscard]] Sleep
{
	Job &job;
	uint64_t until_us;
	bool suspended = false;

	bool await_ready() const { return job.cancelled() || job.executor.clock.now_us() >= until_us; }

	void await_suspend(std::coroutine_handle<> coroutine)
	{
		suspended = true;
		job.wait_in(nullptr, coroutine, until_us);
	}

	Attempt<void> await_resume() const
	{
		if (job.cancelled()) return Error::CANCELLED;
		// The end of the sleep is its purpose; an earlier deadline of the job is not.
		if (suspended && job.limit_us() < until_us) return Error::TIMEOUT;
		return Ok{};
	}
};

/* Sleeps for a duration in microseconds. */
inline Sleep sleep_us(Job &job, uint64_t duration_us)
{
	return {job, deadline_after_us(job.executor.clock.now_us(), duration_us)};
}

/* `co_await Yield { job }` lets the other ready jobs run first. */
struct [[nodiscard]] Yield
{
	Job &job;

	bool await_ready() const { return false; }
	void await_suspend(std::coroutine_handle<> coroutine) { job.start(coroutine); }
	void await_resume() const {}
};

} // namespace bulkhead
