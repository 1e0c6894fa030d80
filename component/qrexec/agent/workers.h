#pragma once

// The workers of an agent: forked when there is none to spare, kept for the next call.

#include "base/list.h"
#include "component/qrexec/agent/worker.h"

#include <deque>
#include <sys/resource.h>
#include <unordered_map>

namespace bulkhead::qrexec {

/* Belongs to the loop's thread, the only one of its process: workers are forked from it. */
class Workers final
{
public:
	static constexpr size_t WORKERS_MAX = 1024; // calls beyond it wait for a worker
	static constexpr size_t IDLE_MAX = 32; // of them kept

	/* So many of `most` a domain may have: what it does never stops the calls of others. */
	static constexpr size_t share(size_t most) { return most - most / 4; }

	class Events
	{
	protected:
		~Events() = default;

	public:
		virtual void call_ended(uint64_t token) = 0;
	};

private:
	/* A worker, as its agent sees it. */
	class Worker final : private linux_host::Loop::Source, public bulkhead::Link<Worker>
	{
	private:
		Workers &_workers;
		linux_host::Owned_fd _socket;
		uint64_t _token = 0;
		uint32_t _domain = 0; // its caller
		bool _busy = false;
		std::string _name{};

		void ready(uint32_t) override;

	public:
		Worker(Workers &workers, linux_host::Owned_fd socket)
			: _workers(workers), _socket(std::move(socket))
		{}
		~Worker() { _workers._loop.remove(*this); }

		Attempt<void> watch() { return _workers._loop.add(*this, _socket.value(), EPOLLIN); }

		/* False if it has died. */
		bool begin(Service_request const &request);

		bool busy() const { return _busy; }
		uint32_t domain() const { return _domain; }
		std::string const &name() const { return _name; }
		uint64_t finish()
		{
			_busy = false;
			return _token;
		}
	};

	linux_host::Loop &_loop;
	Serving const &_serving;
	Events &_events;
	rlimit const _files; // limits of the services
	size_t const _most;
	List<Worker> _idle{}; // last used first
	List<Worker> _busy{};
	size_t _count = 0, _idle_count = 0;
	std::unordered_map<uint32_t, size_t> _busy_for{}; // by calling domain
	std::deque<std::unique_ptr<Service_request>> _queue{};

	Worker *_spare();
	Worker *_fork();
	[[noreturn]] void _become_worker(int socket);
	bool _may_have_another(uint32_t domain) const;
	bool _hand_over(Service_request const &request);
	uint64_t _finish(Worker &worker);
	void _remove(Worker &worker);
	void _done(Worker &worker, bool leaving);
	void _died(Worker &worker);
	void _next();

public:
	/* `files` is the limit of open descriptors that services get, `most` that of workers. */
	Workers(linux_host::Loop &loop, Serving const &serving, Events &events, rlimit files,
		size_t most = WORKERS_MAX);
	~Workers();

	/* Forks one, while this process is small. */
	void prepare();

	/*
	 * Has a worker serve the call, now or when one has become free. False: there is none and can be
	 * none; the request is as it was.
	 */
	bool run(std::unique_ptr<Service_request> &request);

	size_t calls() const { return _count - _idle_count; } // that are served
	size_t waiting() const { return _queue.size(); } // calls, for a worker

	/* Leaves them to themselves: who has a call ends with it, the others at once. */
	void leave();
};

} // namespace bulkhead::qrexec
