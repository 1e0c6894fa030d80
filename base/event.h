#pragma once

// What jobs wait for: an Event that others raise, or the passing of time.

#include "base/job.h"

#include <utility>

namespace bulkhead {

/*
 * A condition that may change, e.g. by the interrupt of a device. It keeps no memory of being
 * raised, and a wake-up may be in vain: whoever is woken looks at the condition again. It outlives
 * the coroutines that wait for it.
 */
class Event
{
private:
	List<Job, In_queue> _jobs{};

public:
	class [[nodiscard]] Wait
	{
	private:
		Event &_event;
		Job &_job;
		uint64_t const _until_us;
		bool _suspended = false;

	public:
		Wait(Event &event, Job &job, uint64_t until_us)
			: _event(event), _job(job), _until_us(until_us)
		{}
		Wait(Wait const &) = delete;
		Wait &operator=(Wait const &) = delete;

		bool await_ready() const { return _job.cancelled(); }

		void await_suspend(std::coroutine_handle<> coroutine)
		{
			_suspended = true;
			_job.wait_in(&_event._jobs, coroutine, _until_us);
		}

		Attempt<void> await_resume()
		{
			if (!std::exchange(_suspended, false)) return Error::CANCELLED;
			return _job.wait_result();
		}

		// A coroutine that is destroyed after it was woken and before it ran passes that on.
		~Wait()
		{
			if (_suspended && _job.wait_result().ok()) _event.raise();
		}
	};

	/*
	 * `co_await event.wait(job)` suspends until the event is raised. Jobs are woken in the order in
	 * which they came. Errors: CANCELLED, TIMEOUT (microseconds of the executor's clock).
	 */
	Wait wait(Job &job, uint64_t until_us = NEVER_US) { return Wait(*this, job, until_us); }

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
		if (!suspended) return job.cancelled() ? Attempt<void>(Error::CANCELLED) : Ok{};
		auto const result = job.wait_result();
		// The end of the sleep is its purpose; an earlier deadline of the job is not.
		bool const slept = !result.ok() && result.error() == Error::TIMEOUT;
		return slept && job.limit_us() >= until_us ? Ok{} : result;
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
