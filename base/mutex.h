#pragma once

// A lock between jobs that is handed over in the order of asking: whoever comes late can't barge
// in. It may be held across waits.

#include "base/event.h"

#include <utility>

namespace bulkhead {

class Mutex
{
private:
	List<Job, In_queue> _jobs{};
	Job const *_owner = nullptr;
	unsigned _waiting = 0;

public:
	Mutex() = default;
	Mutex(Mutex const &) = delete;
	Mutex &operator=(Mutex const &) = delete;

	/* Holds the lock; releases it when it is destroyed. */
	class [[nodiscard]] Guard
	{
	private:
		Mutex *_mutex;
		Job const *_job;

	public:
		Guard(Mutex &mutex, Job const &job) : _mutex(&mutex), _job(&job) {}
		Guard(Guard &&other) : _mutex(std::exchange(other._mutex, nullptr)), _job(other._job) {}
		Guard &operator=(Guard &&other)
		{
			std::swap(_mutex, other._mutex);
			std::swap(_job, other._job);
			return *this;
		}
		~Guard() { release(); }

		void release()
		{
			if (_mutex) std::exchange(_mutex, nullptr)->release(*_job);
		}
	};

	class [[nodiscard]] Acquire
	{
	private:
		Mutex &_mutex;
		Job &_job;
		uint64_t const _until_us;
		bool _suspended = false;

	public:
		Acquire(Mutex &mutex, Job &job, uint64_t until_us)
			: _mutex(mutex), _job(job), _until_us(until_us)
		{}
		Acquire(Acquire const &) = delete;
		Acquire &operator=(Acquire const &) = delete;

		bool await_ready()
		{
			BULKHEAD_ASSERT(_mutex._owner != &_job);
			return _job.cancelled() || _mutex.try_acquire(_job);
		}

		void await_suspend(std::coroutine_handle<> coroutine)
		{
			_suspended = true;
			++_mutex._waiting;
			_job.wait_in(&_mutex._jobs, coroutine, _until_us);
		}

		Attempt<Guard> await_resume()
		{
			bool const suspended = std::exchange(_suspended, false);
			if (suspended) --_mutex._waiting;
			if (_mutex._owner == &_job) return Guard{_mutex, _job};
			return suspended ? _job.wait_result().error() : Error::CANCELLED;
		}

		// A coroutine that is destroyed while it waits passes on the lock if it was handed it.
		~Acquire()
		{
			if (!_suspended) return;
			--_mutex._waiting;
			if (_mutex._owner == &_job) _mutex.release(_job);
		}
	};

	/*
	 * `co_await mutex.acquire(job)` yields a Guard. Errors: CANCELLED, TIMEOUT (microseconds of the
	 * executor's clock). A job must not acquire a mutex that it holds.
	 */
	Acquire acquire(Job &job, uint64_t until_us = NEVER_US)
	{
		return Acquire(*this, job, until_us);
	}

	/* Takes the lock if nobody holds it; the caller makes a Guard or calls `release`. */
	bool try_acquire(Job const &job)
	{
		BULKHEAD_ASSERT(_owner != &job);
		if (_owner) return false;
		_owner = &job;
		return true;
	}

	/* Hands the lock to the longest-waiting job; only its owner may. */
	void release(Job const &job)
	{
		BULKHEAD_ASSERT(_owner == &job);
		Job *const next = _jobs.front();
		_owner = next;
		if (next) next->fulfil();
	}

	bool held() const { return _owner != nullptr; }
	bool held_by(Job const &job) const { return _owner == &job; }

	/* How many jobs wait for the lock. */
	unsigned waiting() const { return _waiting; }
};

} // namespace bulkhead
