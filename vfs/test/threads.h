#pragma once

// Calls that block, on threads, for tests: an Offload, and a world whose waits let it deliver.

#include "base/offload.h"
#include "vfs/test/world.h"

#include <condition_variable>
#include <mutex>
#include <thread>

namespace bulkhead::vfs {

class Threads final : public Offload
{
private:
	std::mutex _mutex{};
	std::condition_variable _changed{};
	List<Work> _queue{};
	List<Work> _done{};
	unsigned _under_way = 0; // submitted and not delivered
	bool _quit = false;
	std::vector<std::thread> _threads{};

	void _run()
	{
		std::unique_lock lock(_mutex);
		while (!_quit) {
			Work *const work = _queue.pop_front();
			if (!work) {
				_changed.wait(lock);
				continue;
			}
			lock.unlock();
			work->run();
			lock.lock();
			_done.push_back(*work);
			_changed.notify_all();
		}
	}

public:
	bool hold = false; // what has ended isn't told

	Threads()
	{
		for (int i = 0; i < 2; ++i) _threads.emplace_back([this] { _run(); });
	}
	~Threads()
	{
		deliver_all();
		{
			std::scoped_lock const lock(_mutex);
			_quit = true;
		}
		_changed.notify_all();
		for (std::thread &thread : _threads) thread.join();
	}

	Attempt<void> submit(Work &work) override
	{
		std::scoped_lock const lock(_mutex);
		++_under_way;
		_queue.push_back(work);
		_changed.notify_all();
		return Ok{};
	}

	bool withdraw(Work &) override { return false; }

	/* Waits for one call to end and tells its caller; false if there is none. */
	bool deliver()
	{
		std::unique_lock lock(_mutex);
		if (_under_way == 0 || hold) return false;
		while (_done.empty()) _changed.wait(lock);
		Work &work = *_done.pop_front();
		--_under_way;
		lock.unlock();
		work.done();
		return true;
	}
	void deliver_all()
	{
		while (deliver()) {}
	}
};

/* A world whose waits let calls end. */
struct Threaded_world : World
{
	Threads &threads;

	explicit Threaded_world(Threads &t) : threads(t)
	{
		poll = [this] { threads.deliver(); };
	}
	~Threaded_world()
	{
		tree = Tree::create(heap, calendar).value();
		threads.deliver_all();
	}
};

} // namespace bulkhead::vfs
