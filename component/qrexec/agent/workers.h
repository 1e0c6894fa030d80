#pragma once

// The workers of an agent: forked when there is none to spare, kept for the next call.

#include "base/list.h"
#include "component/qrexec/agent/worker.h"

#include <deque>
#include <sys/resource.h>

namespace bulkhead::qrexec {

/* Belongs to the loop's thread, the only one of its process: workers are forked from it. */
class Workers final
{
public:
	static constexpr size_t WORKERS_MAX = 1024; // calls beyond it wait for a worker
	static constexpr size_t IDLE_MAX = 32; // of them kept

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
	List<Worker> _idle{}; // last used first
	List<Worker> _busy{};
	size_t _count = 0, _idle_count = 0;
	std::deque<std::unique_ptr<Service_request>> _queue{};

	Worker *_spare();
	Worker *_fork();
	[[noreturn]] void _become_worker(int socket);
	bool _hand_over(Service_request const &request);
	void _remove(Worker &worker);
	void _done(Worker &worker, bool leaving);
	void _died(Worker &worker);
	void _next();

public:
	/* `files` is the limit of open descriptors that services get. */
	Workers(linux_host::Loop &loop, Serving const &serving, Events &events, rlimit files);
	~Workers();

	/* Forks one, while this process is small. */
	void prepare();

	/*
	 * Has a worker serve the call, now or when one has become free. False: there is none and can be
	 * none; the request is as it was.
	 */
	bool run(std::unique_ptr<Service_request> &request);

	/* Leaves them to themselves: who has a call ends with it, the others at once. */
	void leave();
};

} // namespace bulkhead::qrexec
