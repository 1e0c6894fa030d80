#pragma once

// Coroutines without heap, exceptions or operating system. `Task<T, E>` is a coroutine that yields
// an `Attempt<T, E>`; its frame comes from the arena of the job that it is given first. A Task may
// also hold a result at once, so that a function that needn't wait is a plain function:
//
//	Task<size_t> read(Job &job, std::span<uint8_t> to)
//	{
//		if (_ready) return take(to);   // no frame, no coroutine
//		return _read_later(job, to);   // a coroutine
//	}
//
// g++ 12 lays out a frame wrongly if a coroutine without any local variable awaits in a condition
// (`if (co_await …)`, while, switch): such a coroutine traps when it is called. Await into a
// variable, or with CO_TRY, and look at that.

#include "base/job.h"

#include <coroutine>
#include <utility>

namespace bulkhead {

#if defined(BULKHEAD_FRAME_MAX) && defined(__OPTIMIZE__)
// The call must vanish by constant folding: what is left of it is a coroutine frame that is too
// large. Clang overlooks a call that could throw.
[[gnu::error("a coroutine frame exceeds BULKHEAD_FRAME_MAX bytes")]] void
frame_too_large() noexcept;
#endif

/* Takes the frame of a coroutine from its job, which is the first parameter of function or method.
 */
struct Frame_of_job
{
private:
	static void *_take(size_t n, Job &job) noexcept
	{
#if defined(BULKHEAD_FRAME_MAX) && defined(__OPTIMIZE__)
		if (n > BULKHEAD_FRAME_MAX) frame_too_large();
#endif
		return job.allocate_frame(n);
	}

public:
	template <typename... ARGS>
	static void *operator new(size_t n, Job &job, ARGS &&...) noexcept
	{
		return _take(n, job);
	}

	template <typename OBJECT, typename... ARGS>
	static void *operator new(size_t n, OBJECT &&, Job &job, ARGS &&...) noexcept
	{
		return _take(n, job);
	}

	static void operator delete(void *frame, size_t n) noexcept { Job::free_frame(frame, n); }

	/* The handle of a coroutine by its promise, of which this is the base. */
	template <typename PROMISE>
	static std::coroutine_handle<PROMISE> handle_of(PROMISE &promise) noexcept
	{
		auto const handle = std::coroutine_handle<PROMISE>::from_promise(promise);
		// Frames start at this alignment; this one was laid out wrongly, see above.
		BULKHEAD_ASSERT(reinterpret_cast<uintptr_t>(handle.address()) % Job::FRAME_ALIGN == 0);
		return handle;
	}

	std::suspend_always initial_suspend() noexcept { return {}; }

	void unhandled_exception() noexcept { __builtin_trap(); }
};

/* An error enum that a coroutine can fail with has a value for a frame that found no room. */
template <typename E>
concept Task_error = requires { E::OUT_OF_FRAMES; };

template <typename T, Task_error E = Error>
class [[nodiscard]] Task
{
public:
	struct promise_type;
	using Result = Attempt<T, E>;
	using Handle = std::coroutine_handle<promise_type>;

	struct promise_type : Frame_of_job
	{
		std::coroutine_handle<> caller{};
		Task *task = nullptr;

		static Task get_return_object_on_allocation_failure() noexcept
		{
			return Task(Result(E::OUT_OF_FRAMES));
		}

		Task get_return_object() noexcept { return Task(handle_of(*this)); }

		struct Final
		{
			bool await_ready() noexcept { return false; }
			std::coroutine_handle<> await_suspend(Handle h) noexcept { return h.promise().caller; }
			void await_resume() noexcept {}
		};

		Final final_suspend() noexcept { return {}; }

		template <typename U>
			requires std::is_constructible_v<Result, U &&>
		void return_value(U &&value) noexcept
		{
			task->_result = Result(std::forward<U>(value));
		}
	};

private:
	template <typename>
	friend struct Otherwise_return;

	Handle _handle{};
	Result _result;

	explicit Task(Handle h) : _handle(h), _result(E::OUT_OF_FRAMES) {}

public:
	/* A task that is done already. */
	template <typename U>
		requires(std::is_constructible_v<Result, U &&> &&
			!std::is_same_v<std::remove_cvref_t<U>, Task> &&
			!std::is_same_v<std::remove_cvref_t<U>, Handle>)
	Task(U &&result) : _result(std::forward<U>(result))
	{}

	/* Movable until it is awaited. */
	Task(Task &&other) noexcept
		: _handle(std::exchange(other._handle, {})), _result(std::move(other._result))
	{}
	Task &operator=(Task &&) = delete;

	~Task()
	{
		if (_handle) _handle.destroy();
	}

	/* Whether the result is there without waiting. */
	bool ready() const { return !_handle; }

	/* The result of a task that is ready. */
	Result take()
	{
		BULKHEAD_ASSERT(ready());
		return std::move(_result);
	}

	/*
	 * Awaiting a task runs it, once; control comes back by symmetric transfer. Its frame is free
	 * again as soon as the result is there.
	 */
	bool await_ready() const noexcept { return ready(); }

	std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept
	{
		_handle.promise().caller = caller;
		_handle.promise().task = this;
		return _handle;
	}

	Result await_resume() noexcept
	{
		if (_handle) std::exchange(_handle, {}).destroy();
		return std::move(_result);
	}
};

/*
 * `co_await may(attempt)` yields the value, or ends the coroutine with the error. The scopes of the
 * coroutine are unwound before its caller sees the error.
 */
template <typename ATTEMPT>
struct Otherwise_return
{
	ATTEMPT attempt;

	bool await_ready() const noexcept { return attempt.ok(); }

	template <typename PROMISE>
	std::coroutine_handle<> await_suspend(std::coroutine_handle<PROMISE> h) noexcept
	{
		auto const caller = h.promise().caller;
		auto &task = *h.promise().task;
		task._result = Failure{attempt.error()};
		task._handle = {};
		h.destroy(); // including this awaitable
		return caller;
	}

	// By value, as the awaitable is gone at the end of the expression.
	typename ATTEMPT::Value await_resume() noexcept { return std::move(attempt).value(); }
};

template <typename T, typename E>
Otherwise_return<Attempt<T, E>> may(Attempt<T, E> attempt)
{
	return {std::move(attempt)};
}

/* The outermost coroutine of a job. It has no result; whoever starts it may be told of its end. */
class [[nodiscard]] Root
{
public:
	struct promise_type : Frame_of_job
	{
		Executor *executor = nullptr;
		Completion *completion = nullptr;

		static Root get_return_object_on_allocation_failure() noexcept { return Root(); }

		Root get_return_object() noexcept { return Root(handle_of(*this)); }

		struct Final
		{
			bool await_ready() noexcept { return false; }
			void await_suspend(std::coroutine_handle<promise_type> h) noexcept
			{
				promise_type &promise = h.promise();
				if (promise.completion) promise.executor->complete(*promise.completion);
			}
			void await_resume() noexcept {}
		};

		Final final_suspend() noexcept { return {}; }

		void return_void() noexcept {}
	};

private:
	std::coroutine_handle<promise_type> _handle;
	Job *_job = nullptr;

	explicit Root(std::coroutine_handle<promise_type> h) noexcept : _handle(h) {}

public:
	/* A root that runs nothing. */
	Root() noexcept : _handle({}) {}

	Root(Root &&other) noexcept
		: _handle(std::exchange(other._handle, {})), _job(std::exchange(other._job, nullptr))
	{}

	Root &operator=(Root &&other) noexcept
	{
		std::swap(_handle, other._handle);
		std::swap(_job, other._job);
		return *this;
	}

	/* Unwinds the coroutine wherever it waits: innermost frame first, every scope is left. */
	~Root()
	{
		if (_job) _job->abandon();
		if (_handle) _handle.destroy();
	}

	/* Whether the coroutine has ended, was never started or found no room for its frame. */
	bool done() const { return !_handle || _handle.done(); }

	/* Has the executor run it. Error: OUT_OF_FRAMES. The job must be the one it was made with. */
	Attempt<void> start(Job &job, Completion *completion = nullptr)
	{
		if (!_handle) return Error::OUT_OF_FRAMES;
		BULKHEAD_ASSERT(!_job);
		_job = &job;
		_handle.promise().executor = &job.executor;
		_handle.promise().completion = completion;
		job.start(_handle);
		return Ok{};
	}
};

} // namespace bulkhead
