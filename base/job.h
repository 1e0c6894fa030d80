#pragma once

// A Job is one logical thread of control: the arena its coroutine frames come from, the executor
// that resumes it, its deadline and its cancellation. It is the first parameter of every coroutine.
// As it waits in one place only, it is itself the element of every queue, and waiting never
// allocates.
//
// An Executor resumes the jobs that are ready, in order, and knows who waits until when. All jobs
// of an executor belong to one thread.

#include "base/attempt.h"
#include "base/clock.h"
#include "base/list.h"

#include <algorithm>
#include <coroutine>
#include <cstddef>
#include <span>

namespace bulkhead {

class Job;

struct In_queue; // tag: the job is ready, or waits for an event
struct In_timers; // tag: the wait ends by a deadline

/* Told when the root coroutine of a job has ended. May destroy the root and the job. */
class Completion
{
protected:
	~Completion() = default;

public:
	virtual void completed() = 0;
};

class Executor
{
private:
	friend class Job;

	List<Job, In_queue> _ready{};
	List<Job, In_timers> _timers{}; // earliest deadline first
	Completion *_completed = nullptr;

	inline void _post(Job &);
	inline void _arm(Job &);

public:
	static constexpr unsigned RUN_MAX = 1024;

	Clock &clock;

	explicit Executor(Clock &c) : clock(c) {}

	/* Resumes the first ready job; false if there is none. */
	inline bool run_one();

	/*
	 * Resumes jobs until none is ready; false if none was. It stops after `limit` resumptions, so
	 * that jobs that only yield to each other can't keep time and devices from being looked at:
	 * whoever sleeps afterwards asks `ready()` first.
	 */
	bool run_ready(unsigned limit = RUN_MAX)
	{
		unsigned runs = 0;
		while (runs < limit && run_one()) ++runs;
		return runs > 0;
	}

	/* Makes the jobs ready whose deadline has passed. */
	inline void expire();

	/* Whether a job is ready to run. */
	bool ready() const { return !_ready.empty(); }

	/* The earliest deadline of any wait in microseconds of `clock`, NEVER_US if there is none. */
	inline uint64_t next_deadline_us();

	/* Has the completion told as soon as the coroutine that runs now has suspended. */
	void complete(Completion &completion)
	{
		BULKHEAD_ASSERT(!_completed);
		_completed = &completion;
	}
};

class Job : private Link<Job, In_queue>, private Link<Job, In_timers>
{
private:
	friend class Executor;
	friend class Event;
	friend class Link<Job, In_queue>;
	friend class Link<Job, In_timers>;
	friend class List<Job, In_queue>;
	friend class List<Job, In_timers>;

	// Behind each frame: how the frame finds its job when it is freed, and its neighbour below.
	struct alignas(16) Tag
	{
		Job *job;
		size_t size;
	};

	std::coroutine_handle<> _resume{};

	std::byte *_base;
	size_t _size;
	size_t _used = 0;
	size_t _peak = 0;

	uint64_t _limit_us = NEVER_US;
	uint64_t _wait_until_us = NEVER_US;
	Error _wait_error{}; // none while the wait was fulfilled
	bool _waiting = false;
	bool _cancelled = false;
	bool _shielded = false;

	static constexpr size_t _padded(size_t n) { return (n + FRAME_ALIGN - 1) & ~(FRAME_ALIGN - 1); }

	static Tag &_tag(std::byte *frame, size_t n)
	{
		return *reinterpret_cast<Tag *>(frame + _padded(n));
	}

	void _withdraw()
	{
		Link<Job, In_queue>::unlink();
		Link<Job, In_timers>::unlink();
		_waiting = false;
	}

	void _wake(Error error)
	{
		_withdraw();
		_wait_error = error;
		executor._post(*this);
	}

public:
	/* The alignment of coroutine frames, in bytes. */
	static constexpr size_t FRAME_ALIGN = 16;

	Executor &executor;

	/* How often a leaf operation polls its device before it suspends; ~0U: it never suspends. */
	unsigned spin = 0;

	/* The arena is the caller's, aligned to 16 bytes, and outlives the job. */
	Job(Executor &e, std::span<std::byte> arena)
		: _base(arena.data()), _size(arena.size()), executor(e)
	{
		BULKHEAD_ASSERT(reinterpret_cast<uintptr_t>(_base) % FRAME_ALIGN == 0);
	}

	/* The coroutines of the job are gone: a Root is destroyed before its job. */
	~Job() { BULKHEAD_ASSERT(_used == 0); }

	Job(Job const &) = delete;
	Job &operator=(Job const &) = delete;

	/* Bytes of the arena in use, and the most that ever were. */
	size_t used() const { return _used; }
	size_t peak() const { return _peak; }

	/* Whether the next wait fails at once. */
	bool cancelled() const { return _cancelled && !_shielded; }

	/*
	 * Lets the pending and all further waits of the job fail with CANCELLED.
	 *
	 * A wait that is already fulfilled stays fulfilled: what was handed to the job is not lost.
	 */
	void cancel()
	{
		_cancelled = true;
		if (_waiting && !_shielded) _wake(Error::CANCELLED);
	}

	/* Makes a job without running coroutine good for another one. */
	void reset()
	{
		BULKHEAD_ASSERT(_used == 0 && !_shielded);
		abandon();
		_cancelled = false;
		_limit_us = NEVER_US;
	}

	/* Resumes the coroutine from the executor, not from here. */
	void start(std::coroutine_handle<> coroutine)
	{
		_resume = coroutine;
		executor._post(*this);
	}

	/* Takes the job out of whatever it waits for, since its frames are about to vanish. */
	void abandon() { _withdraw(); }

	/* The deadline that applies to every wait now, in microseconds of the executor's clock. */
	uint64_t limit_us() const { return _limit_us; }

	/*
	 * For awaitables: suspends the job until `_wake` or until the earlier of the deadline given and
	 * the job's own. The queue may be null for a wait that only time ends.
	 */
	void wait_in(List<Job, In_queue> *queue, std::coroutine_handle<> coroutine, uint64_t until_us)
	{
		BULKHEAD_ASSERT(!_waiting);
		_resume = coroutine;
		_wait_error = Error::CANCELLED; // what it is if the coroutine is destroyed while it waits
		_waiting = true;
		_wait_until_us = std::min(until_us, _limit_us);
		if (queue) queue->push_back(*this);
		if (_wait_until_us != NEVER_US) executor._arm(*this);
	}

	/* For awaitables: whether the wait still lasts; otherwise its outcome is settled. */
	bool waiting() const { return _waiting; }

	/* For events: the wait is fulfilled. */
	void fulfil() { _wake(Error{}); }

	/* For awaitables: outcome of the wait that has just ended. Errors: CANCELLED, TIMEOUT. */
	Attempt<void> wait_result() const
	{
		if (_wait_error != Error{}) return _wait_error;
		return Ok{};
	}

	/*
	 * Within this scope no wait lasts beyond the deadline; scopes nest, the earliest deadline
	 * holds.
	 */
	class Deadline
	{
	private:
		Job &_job;
		uint64_t const _outer_us;

	public:
		Deadline(Job &job, uint64_t until_us) : _job(job), _outer_us(job._limit_us)
		{
			job._limit_us = std::min(job._limit_us, until_us);
		}
		Deadline(Deadline const &) = delete;
		Deadline &operator=(Deadline const &) = delete;
		~Deadline() { _job._limit_us = _outer_us; }
	};

	/*
	 * Within this scope cancellation and outer deadlines are put off, so that a device can be
	 * brought to a defined state. The scope has a deadline of its own: cleaning up must end, too.
	 */
	class Shield
	{
	private:
		Job &_job;
		uint64_t const _outer_us;
		bool const _outer_shielded;

	public:
		Shield(Job &job, uint64_t until_us)
			: _job(job), _outer_us(job._limit_us), _outer_shielded(job._shielded)
		{
			job._limit_us = until_us;
			job._shielded = true;
		}
		Shield(Shield const &) = delete;
		Shield &operator=(Shield const &) = delete;
		~Shield()
		{
			_job._limit_us = _outer_us;
			_job._shielded = _outer_shielded;
		}
	};

	/*
	 * Stack of coroutine frames. Frames are released mostly, but not strictly, in reverse order:
	 * one that is released early is reclaimed together with those above it. Null if the arena is
	 * full.
	 */
	void *allocate_frame(size_t n)
	{
		size_t const size = _padded(n) + sizeof(Tag);
		if (size > _size - _used) return nullptr;
		std::byte *const frame = _base + _used;
		_used += size;
		_peak = std::max(_peak, _used);
		_tag(frame, n) = {this, size};
		return frame;
	}

	static void free_frame(void *frame, size_t n)
	{
		Tag &tag = _tag(static_cast<std::byte *>(frame), n);
		Job &job = *tag.job;
		tag.job = nullptr;
		while (job._used) {
			Tag const &top = *reinterpret_cast<Tag *>(job._base + job._used - sizeof(Tag));
			if (top.job) return;
			job._used -= top.size;
		}
	}
};

inline void Executor::_post(Job &job) { _ready.push_back(job); }

inline void Executor::_arm(Job &job)
{
	// Deadlines mostly come in the order of time, so the place is found fast from the end.
	Job *position = _timers.back();
	while (position && position->_wait_until_us > job._wait_until_us)
		position = _timers.previous(*position);
	_timers.insert_after(position, job);
}

inline bool Executor::run_one()
{
	Job *const job = _ready.pop_front();
	if (!job) return false;
	job->_resume.resume();
	if (_completed) {
		Completion &completion = *_completed;
		_completed = nullptr;
		completion.completed();
	}
	return true;
}

inline void Executor::expire()
{
	if (_timers.empty()) return;
	uint64_t const now_us = clock.now_us();
	while (Job *const job = _timers.front()) {
		if (job->_wait_until_us > now_us) return;
		job->_wake(Error::TIMEOUT);
	}
}

inline uint64_t Executor::next_deadline_us()
{
	Job *const job = _timers.front();
	return job ? job->_wait_until_us : NEVER_US;
}

/* A job with an arena of its own. */
template <size_t ARENA_BYTES>
class Job_with_arena : public Job
{
private:
	alignas(16) std::byte _arena[ARENA_BYTES];

public:
	explicit Job_with_arena(Executor &e) : Job(e, std::span(_arena, ARENA_BYTES)) {}
};

} // namespace bulkhead
