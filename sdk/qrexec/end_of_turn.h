#pragma once

// Something that is to be done once the job that runs now has suspended, and those that are ready
// have run: what has come together by then goes out at once.

#include "base/task.h"

namespace bulkhead::qrexec {

/* Belongs to the executor's thread. */
class End_of_turn
{
private:
	/* A coroutine that parks at its beginning, whose handle can be posted again and again. */
	struct Turns
	{
		struct promise_type : Frame_of_job
		{
			static Turns get_return_object_on_allocation_failure() noexcept { return {}; }
			Turns get_return_object() noexcept { return {handle_of(*this)}; }
			std::suspend_always final_suspend() noexcept { return {}; }
			void return_void() noexcept {}
		};

		std::coroutine_handle<promise_type> handle{};
	};

	Job_with_arena<512> _job;
	Turns _turns;
	bool _wanted = false;

	Turns _run(Job &)
	{
		while (true) {
			_wanted = false;
			turn_ended();
			co_await std::suspend_always();
		}
	}

protected:
	explicit End_of_turn(Executor &executor) : _job(executor), _turns(_run(_job)) {}
	~End_of_turn()
	{
		_job.abandon();
		if (_turns.handle) _turns.handle.destroy();
	}

	virtual void turn_ended() = 0;

	/* Has `turn_ended` called, once. */
	void at_end_of_turn()
	{
		if (std::exchange(_wanted, true)) return;
		_job.start(_turns.handle);
	}

	/* What was to be done has been done. */
	void no_end_of_turn()
	{
		if (std::exchange(_wanted, false)) _job.abandon();
	}

public:
	End_of_turn(End_of_turn const &) = delete;
	End_of_turn &operator=(End_of_turn const &) = delete;
};

} // namespace bulkhead::qrexec
