#pragma once

// The worker pool as an Offload: what the VFS' `host` plugin runs its system calls on.

#include "base/offload.h"
#include "platform/linux/worker.h"

namespace bulkhead::linux_host {

class Pool_offload final : public Offload
{
private:
	/* A job that waits for one piece of work at a time. */
	class Slot final : public Completion, public Link<Slot>
	{
	private:
		Pool_offload &_owner;
		Job_with_arena<2048> _job;
		Root _root{};
		Work *_work = nullptr;

		static Root _run(Job &job, Worker_pool &pool, Work &work)
		{
			bool ran = false;
			static_cast<void>(co_await pool.run(job, [&] {
				work.run();
				ran = true;
			}));
			// No thread could be started: better slow than never.
			if (!ran) work.run();
		}

		void completed() override
		{
			Work &work = *std::exchange(_work, nullptr);
			_root = Root();
			_owner._free.push_back(*this);
			--_owner._running;
			_owner._start_next();
			work.done();
		}

	public:
		explicit Slot(Pool_offload &owner) : _owner(owner), _job(owner._executor) {}

		void start(Work &work)
		{
			_work = &work;
			_job.reset();
			_root = _run(_job, _owner._pool, work);
			bool const started = _root.start(_job, this).ok();
			BULKHEAD_ASSERT(started); // the arena is made for this one coroutine
		}
	};

	template <size_t... I>
	Pool_offload(Worker_pool &pool, Executor &executor, std::index_sequence<I...>)
		: _pool(pool), _executor(executor), _slots{((void)I, Slot(*this))...}
	{
		for (Slot &slot : _slots) _free.push_back(slot);
	}

	Worker_pool &_pool;
	Executor &_executor;
	List<Work> _queue{};
	List<Slot> _free{};
	unsigned _running = 0;
	Slot _slots[Worker_pool::THREADS_MAX];

	void _start_next()
	{
		if (_queue.empty() || _free.empty()) return;
		Work &work = *_queue.pop_front();
		++_running;
		_free.pop_front()->start(work);
	}

public:
	/*
	 * The executor is that of the pool's loop; both outlive the offload. No work is under way when
	 * it ends.
	 */
	Pool_offload(Worker_pool &pool, Executor &executor)
		: Pool_offload(pool, executor, std::make_index_sequence<Worker_pool::THREADS_MAX>())
	{}

	/* Whether work is under way or waits: not the moment to end. */
	bool busy() const { return _running != 0 || !_queue.empty(); }

	Attempt<void> submit(Work &work) override
	{
		_queue.push_back(work);
		_start_next();
		return Ok{};
	}

	bool withdraw(Work &work) override
	{
		bool const waits = work.linked();
		work.unlink();
		return waits;
	}
};

} // namespace bulkhead::linux_host
