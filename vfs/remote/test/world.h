#pragma once

// A tree that a server serves to a client over queues, all in one thread, for tests.

#include "base/sync_wait.h"
#include "platform/linux/clock.h"
#include "platform/linux/heap.h"
#include "vfs/fuse/test/mailbox.h"
#include "vfs/plugin/ram/ram.h"
#include "vfs/remote/client.h"
#include "vfs/remote/rules.h"
#include "vfs/remote/server.h"
#include "vfs/remote/test/queue_stream.h"
#include "vfs/tree.h"

namespace bulkhead::remote {

class Standing_calendar final : public vfs::Calendar
{
public:
	int64_t now_ns() const override { return 1'000'000'000; }
};

/* What is served: /ram is a file system in memory, /mailbox a device that has its readers wait. */
struct Served_tree
{
	linux_host::Monotonic_clock clock{};
	Executor own_executor{clock};
	Executor &executor;
	linux_host::Heap heap{};
	Standing_calendar calendar{};
	fuse::Mailbox mailbox{};
	vfs::Tree tree = vfs::Tree::create(heap, calendar).value();

	Served_tree() : Served_tree(own_executor) {}
	explicit Served_tree(Executor &e) : executor(e)
	{
		vfs::Ram_limits const limits{.bytes = 16 << 20, .nodes = 256};
		auto ram = vfs::create_ram(heap, calendar, limits, {.mode = 01777}).value();
		BULKHEAD_ASSERT(tree.attach("/ram", std::move(ram)).ok());
		BULKHEAD_ASSERT(tree.attach("/mailbox", Ref<vfs::Node>(mailbox)).ok());
	}

	Ref<vfs::Node> root() { return Ref<vfs::Node>(tree.root()); }
};

/* A job that runs one task and keeps its result. */
class Running
{
private:
	Job_with_arena<16 * 1024> _job;
	Root _root{};
	Attempt<void> _result = Error::BUSY;

	static Root _run(Job &, Task<void> task, Attempt<void> &result) { result = co_await task; }

public:
	explicit Running(Executor &executor) : _job(executor) {}

	Job &job() { return _job; }
	void start(Task<void> task)
	{
		_root = _run(_job, std::move(task), _result);
		BULKHEAD_ASSERT(_root.start(_job).ok());
	}
	void drop() { _root = Root(); }
	bool done() const { return _root.done(); }
	Attempt<void> result() const { return _result; }
};

/* A server and what carries its bytes. */
class Served
{
public:
	Connection_of_queues queues;
	Server server;
	Running serving;

	Served(Served_tree &tree, Ref<vfs::Node> root, size_t ring = 64 * 1024,
		fuse::Session::Limits limits = Server::LIMITS)
		: queues(ring),
		  server(tree.executor, std::move(root), "tester", limits),
		  serving(tree.executor)
	{
		serving.start(server.serve(serving.job(), queues.server));
	}
};

/* And a client. */
class Connected : public Served
{
public:
	Client client;
	Running answers;
	Job_with_arena<16 * 1024> job;

	explicit Connected(Served_tree &tree, size_t ring = 64 * 1024)
		: Connected(tree, tree.root(), ring)
	{}
	Connected(Served_tree &tree, Ref<vfs::Node> root, size_t ring = 64 * 1024)
		: Served(tree, std::move(root), ring),
		  client(tree.executor, queues.client),
		  answers(tree.executor),
		  job(tree.executor)
	{
		answers.start(client.run(answers.job()));
		BULKHEAD_ASSERT(wait(client.ready(job)).ok());
	}
	~Connected()
	{
		queues.end();
		while (!serving.done() || !answers.done()) BULKHEAD_ASSERT(job.executor.run_one());
	}

	template <typename T>
	Attempt<T> wait(Task<T> task)
	{
		return sync_wait(job, std::move(task));
	}
};

} // namespace bulkhead::remote
