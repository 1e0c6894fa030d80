#include "component/qrexec/agent/worker.h"

#include "component/qrexec/host/log.h"
#include "platform/linux/signals.h"
#include "platform/linux/vchan/name_watch.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <sys/socket.h>

namespace bulkhead::qrexec {
namespace {

class Worker_process final : private Served_call::Ended
{
private:
	class Use_stdin final : public linux_host::Signals
	{
	private:
		Worker_process &_worker;

		void signalled(int) override
		{
			if (_worker._call) _worker._call->use_stdin_for_output();
		}

	public:
		explicit Use_stdin(Worker_process &worker) : _worker(worker) {}

		Attempt<void> start() { return Signals::start(_worker._loop, {SIGUSR1}); }
	};

	/* The agent has ended: a call whose caller hasn't come needn't wait for it. */
	class Agent_end final : public linux_host::Loop::Source
	{
	private:
		Worker_process &_worker;

		void ready(uint32_t) override
		{
			_worker._loop.remove(*this);
			if (!_worker._call->met()) _worker._over = true;
		}

	public:
		explicit Agent_end(Worker_process &worker) : _worker(worker) {}
	};

	int const _socket;
	Serving const &_serving;
	linux_host::Loop _loop{};
	Deadlines _deadlines{_loop, Served_call::CALLER_WITHIN_US};
	Use_stdin _use_stdin{*this};
	Agent_end _agent_end{*this};
	std::unique_ptr<Served_call> _call{};
	pid_t _left = -1;
	bool _over = false;
	std::array<char, Work::MAX_BYTES> _buffer;

	void ended(Served_call &call) override
	{
		_left = call.left_behind();
		_over = true;
	}

	void _serve(size_t size);

public:
	Worker_process(int socket, Serving const &serving) : _socket(socket), _serving(serving) {}

	int run();
};

void Worker_process::_serve(size_t size)
{
	Work::Head head;
	std::memcpy(&head, _buffer.data(), sizeof(head));
	auto request = std::make_unique<Service_request>();
	request->type = static_cast<Type>(head.type);
	request->params = head.params;
	request->line.assign(_buffer.data() + sizeof(head), size - sizeof(head));
	request->resolve(_serving.places, _serving.with_user);
	if (request->waits_for_session()) {
		std::string const trouble =
			wait_for_session(_serving.places, request->command, std::string(request->user()));
		// The call goes on: without a session it will say so itself.
		if (!trouble.empty()) log(request->name(), ": ", trouble);
	}
	// A signal that was meant for the call before is dropped.
	_loop.poll(0);
	_over = false;
	Ended &owner = *this;
	_call = std::make_unique<Served_call>(_loop, _serving, _deadlines, std::move(request), owner);
	_call->start();
	if (!_over && !_call->met()) static_cast<void>(_loop.add(_agent_end, _socket, EPOLLRDHUP));
	while (!_over) _loop.poll(NEVER_US);
	_loop.remove(_agent_end);
	_call.reset();
}

int Worker_process::run()
{
	if (!_loop.usable().ok() || !_use_stdin.start().ok()) {
		log("a worker can't start: too many open files");
		return EXIT_TROUBLE;
	}
	while (true) {
		ssize_t const size = recv(_socket, _buffer.data(), _buffer.size(), 0);
		if (size < 0 && errno == EINTR) continue;
		if (size < static_cast<ssize_t>(sizeof(Work::Head))) return 0;
		_serve(static_cast<size_t>(size));
		// Who has left a process behind leaves it to init, as nobody else waits for it.
		auto const report = _left < 0 ? Work::Report::DONE : Work::Report::LEAVING;
		if (send(_socket, &report, sizeof(report), MSG_NOSIGNAL) < 0) return 0;
		if (report == Work::Report::LEAVING) return 0;
	}
}

} // namespace

int serve_as_worker(int socket, Serving const &serving, bool keeps_watch)
{
	auto const names = keeps_watch ? linux_host::Name_watch::keep() : nullptr;
	auto const worker = std::make_unique<Worker_process>(socket, serving);
	return worker->run();
}

} // namespace bulkhead::qrexec
