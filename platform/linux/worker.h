#pragma once

// Threads for calls that block and can't be waited for otherwise: an ioctl of spidev, a file
// system. The job that asks waits in the loop meanwhile; nothing is allocated per call.
//
//	CO_TRY_ASSIGN(int const n, co_await pool.run(job, [&] { return ioctl(fd, …); }));

#include "base/task.h"
#include "platform/linux/loop.h"

#include <array>
#include <concepts>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <pthread.h>
#include <type_traits>

namespace bulkhead::linux_host {

class Worker_pool final : private Loop::Remote
{
public:
	static constexpr unsigned THREADS_MAX = 16;

private:
	/* A call, for as long as the coroutine of `run` exists. */
	class Work : public bulkhead::Link<Work>
	{
	private:
		friend class Worker_pool;

		enum class State : uint8_t { QUEUED, RUNNING, ENDED };

		Worker_pool &_pool;
		Job &_job;
		Loop::Expected const _expected;
		void (*const _function)(void *);
		void *const _context;
		State _state = State::QUEUED; // guarded by the pool's mutex
		bool _told = false; // the loop knows that it has ended
		bool _awaited = false;

	public:
		Work(Worker_pool &pool, Job &job, void (*function)(void *), void *context)
			: _pool(pool), _job(job), _expected(pool._loop), _function(function), _context(context)
		{}

		/* Withdraws the call or, if it has begun, waits for its end. */
		~Work()
		{
			if (!_told) _pool._forget(*this);
		}

		bool ended() const { return _told; }

		/* Awaitable: its end, or an error of the wait. */
		bool await_ready() const { return _told; }
		void await_suspend(std::coroutine_handle<> coroutine)
		{
			_awaited = true;
			_job.wait_in(nullptr, coroutine, NEVER_US);
		}
		Attempt<void> await_resume()
		{
			_awaited = false;
			if (_told) return Ok{};
			return _job.wait_result();
		}
	};

	Loop &_loop;
	unsigned const _threads_max;
	std::array<pthread_t, THREADS_MAX> _threads{};
	unsigned _threads_count = 0; // belongs to the loop

	std::mutex _mutex{};
	std::condition_variable _queued{}, _ended{};
	List<Work> _queue{}, _running{}, _done{};
	unsigned _idle = 0;
	bool _quit = false;

	void posted() override;
	void _run();
	Attempt<void> _start_thread();
	Attempt<void> _submit(Work &);
	bool _withdraw(Work &);
	void _forget(Work &);

public:
	/*
	 * Starts threads when they are needed, `threads_max` of them at most (1-16); they take no
	 * signals. The loop outlives the pool.
	 */
	Worker_pool(Loop &loop, unsigned threads_max);

	/* No call is left: all jobs that used the pool have ended. Waits for the threads to end. */
	~Worker_pool();

	/*
	 * Calls `fn` in one of the threads, in the order of asking, and yields what it returns.
	 * Errors: CANCELLED and TIMEOUT if the call had not begun by then, and never will;
	 * OUT_OF_MEMORY (no thread could be started). A call that has begun can't be interrupted: the
	 * job waits for its end, which counts, and notices a cancellation at its next wait. If the
	 * coroutine is destroyed while the call runs, its destructor blocks until the call has ended,
	 * so that `fn` may safely use what outlives the coroutine.
	 */
	template <std::invocable FN>
	Task<std::invoke_result_t<FN &>> run(Job &job, FN fn)
	{
		using Result = std::invoke_result_t<FN &>;
		using Kept = std::conditional_t<std::is_void_v<Result>, Ok, Result>;
		struct Call
		{
			FN &fn;
			std::optional<Kept> result;
		};
		Call call{fn, {}};
		auto const function = [](void *context) {
			Call &c = *static_cast<Call *>(context);
			if constexpr (std::is_void_v<Result>) {
				c.fn();
				c.result.emplace();
			} else {
				c.result.emplace(c.fn());
			}
		};
		if (job.cancelled()) co_return Error::CANCELLED;
		Work work{*this, job, function, &call};
		CO_TRY(_submit(work));
		Attempt<void> const waited = co_await work;
		if (!waited.ok() && !work.ended()) {
			if (_withdraw(work)) co_return waited.error();
			Job::Shield const shield{job, NEVER_US};
			while (!work.ended()) (void)co_await work;
		}
		co_return std::move(*call.result);
	}
};

} // namespace bulkhead::linux_host
