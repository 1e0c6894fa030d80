#include "platform/linux/worker.h"

#include <algorithm>
#include <csignal>

namespace bulkhead::linux_host {

Worker_pool::Worker_pool(Loop &loop, unsigned threads_max)
	: Loop::Remote(loop), _loop(loop), _threads_max(std::clamp(threads_max, 1U, THREADS_MAX))
{}

Worker_pool::~Worker_pool()
{
	{
		std::lock_guard const lock{_mutex};
		BULKHEAD_ASSERT(_queue.empty() && _running.empty() && _done.empty());
		_quit = true;
	}
	_queued.notify_all();
	for (unsigned i = 0; i < _threads_count; i++) pthread_join(_threads[i], nullptr);
}

void Worker_pool::_run()
{
	std::unique_lock lock{_mutex};
	while (true) {
		++_idle;
		_queued.wait(lock, [this] { return _quit || !_queue.empty(); });
		--_idle;
		Work *const work = _queue.pop_front();
		if (!work) return;
		work->_state = Work::State::RUNNING;
		_running.push_back(*work);
		lock.unlock();
		work->_function(work->_context);
		lock.lock();
		// From here on the work may vanish whenever the lock is free.
		work->unlink();
		work->_state = Work::State::ENDED;
		_done.push_back(*work);
		_ended.notify_all();
		post();
	}
}

Attempt<void> Worker_pool::_start_thread()
{
	auto const run = [](void *pool) -> void * {
		static_cast<Worker_pool *>(pool)->_run();
		return nullptr;
	};
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	bool const started = pthread_create(&_threads[_threads_count], nullptr, run, this) == 0;
	pthread_sigmask(SIG_SETMASK, &before, nullptr);
	if (!started) return Error::OUT_OF_MEMORY;
	++_threads_count;
	return Ok{};
}

Attempt<void> Worker_pool::_submit(Work &work)
{
	size_t unserved = 0;
	{
		std::lock_guard const lock{_mutex};
		_queue.push_back(work);
		_queue.for_each([&](Work &) { ++unserved; });
		unserved -= std::min<size_t>(unserved, _idle);
	}
	_queued.notify_one();
	if (!unserved || _threads_count == _threads_max) return Ok{};
	// If there is one thread, its turn will come.
	Attempt<void> const started = _start_thread();
	if (started.ok() || _threads_count) return Ok{};
	return started;
}

/* Whether the call had not begun. */
bool Worker_pool::_withdraw(Work &work)
{
	std::lock_guard const lock{_mutex};
	if (work._state != Work::State::QUEUED) return false;
	work.unlink();
	work._told = true;
	return true;
}

void Worker_pool::_forget(Work &work)
{
	std::unique_lock lock{_mutex};
	_ended.wait(lock, [&] { return work._state != Work::State::RUNNING; });
	work.unlink();
}

void Worker_pool::posted()
{
	std::lock_guard const lock{_mutex};
	while (Work *const work = _done.pop_front()) {
		work->_told = true;
		if (work->_awaited && work->_job.waiting()) work->_job.fulfil();
	}
}

} // namespace bulkhead::linux_host
