#include "component/qrexec/agent/workers.h"

#include "component/qrexec/host/log.h"
#include "component/qrexec/host/process.h"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

namespace bulkhead::qrexec {

using linux_host::Owned_fd;

Workers::Workers(
	linux_host::Loop &loop, Serving const &serving, Events &events, rlimit files, size_t most)
	: _loop(loop), _serving(serving), _events(events), _files(files), _most(most)
{}

Workers::~Workers() { leave(); }

void Workers::leave()
{
	_queue.clear();
	_idle.for_each([](Worker &worker) { delete &worker; });
	_busy.for_each([](Worker &worker) { delete &worker; });
	_count = _idle_count = 0;
	_busy_for.clear();
}

void Workers::prepare()
{
	if (Worker *const worker = _fork()) {
		_idle.push_front(*worker);
		++_idle_count;
	}
}

bool Workers::Worker::begin(Service_request const &request)
{
	Work::Head head{static_cast<uint32_t>(request.type), request.params};
	std::array<iovec, 2> pieces{};
	pieces[0] = {&head, sizeof(head)};
	pieces[1] = {const_cast<char *>(request.line.data()), request.line.size()};
	msghdr message{};
	message.msg_iov = pieces.data();
	message.msg_iovlen = pieces.size();
	if (sendmsg(_socket.value(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) return false;
	_token = request.token;
	_domain = request.params.domain;
	_name = request.name();
	_busy = true;
	return true;
}

void Workers::Worker::ready(uint32_t)
{
	Work::Report report{};
	ssize_t const size = recv(_socket.value(), &report, sizeof(report), MSG_DONTWAIT);
	if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
	if (size == sizeof(report) && _busy)
		_workers._done(*this, report == Work::Report::LEAVING);
	else
		_workers._died(*this);
}

void Workers::_remove(Worker &worker)
{
	--_count;
	delete &worker;
}

uint64_t Workers::_finish(Worker &worker)
{
	auto const busy = _busy_for.find(worker.domain());
	if (worker.busy() && --busy->second == 0) _busy_for.erase(busy);
	return worker.finish();
}

void Workers::_done(Worker &worker, bool leaving)
{
	uint64_t const token = _finish(worker);
	worker.bulkhead::Link<Worker>::unlink();
	if (leaving || _idle_count >= IDLE_MAX) {
		_remove(worker);
	} else {
		_idle.push_front(worker);
		++_idle_count;
	}
	_next();
	_events.call_ended(token);
}

void Workers::_died(Worker &worker)
{
	bool const busy = worker.busy();
	if (!busy) --_idle_count;
	if (busy) log(worker.name(), ": its worker has died, and so has the call");
	uint64_t const token = _finish(worker);
	_remove(worker);
	_next();
	if (busy) _events.call_ended(token);
}

void Workers::_next()
{
	for (auto request = _queue.begin(); request != _queue.end();) {
		if (!_may_have_another((*request)->params.domain))
			++request;
		else if (_hand_over(**request))
			request = _queue.erase(request);
		else
			return;
	}
}

// The host may always.
bool Workers::_may_have_another(uint32_t domain) const
{
	auto const busy = _busy_for.find(domain);
	return domain == 0 || busy == _busy_for.end() || busy->second < share(_most);
}

bool Workers::run(std::unique_ptr<Service_request> &request)
{
	// As long as there is a worker to spare, the queue has only those who have had their share.
	if (_may_have_another(request->params.domain) && _hand_over(*request)) return true;
	// Without a busy one nobody would ever look at the queue again.
	if (_busy.empty()) return false;
	_queue.push_back(std::move(request));
	return true;
}

bool Workers::_hand_over(Service_request const &request)
{
	while (Worker *const worker = _spare()) {
		if (worker->begin(request)) {
			_busy.push_back(*worker);
			++_busy_for[request.params.domain];
			return true;
		}
		_remove(*worker);
	}
	return false;
}

// One that is in no list.
Workers::Worker *Workers::_spare()
{
	if (_idle.empty()) return _count < _most ? _fork() : nullptr;
	--_idle_count;
	return _idle.pop_front();
}

// Who waits for an agent's children to end doesn't wait for workers: they are init's.
Workers::Worker *Workers::_fork()
{
	std::array<int, 2> ends{};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
		log("no new worker: ", errno_text(errno));
		return nullptr;
	}
	Owned_fd ours(ends[0]);
	Owned_fd const theirs(ends[1]);
	pid_t const between = fork();
	if (between == 0) {
		pid_t const child = fork();
		if (child == 0) _become_worker(theirs.value());
		_exit(child < 0);
	}
	int status = 1;
	if (between < 0 || waitpid(between, &status, 0) != between || status != 0) {
		log("no new worker: ", errno_text(between < 0 ? errno : EAGAIN));
		return nullptr;
	}
	auto worker = std::make_unique<Worker>(*this, std::move(ours));
	if (!worker->watch().ok()) return nullptr;
	++_count;
	return worker.release();
}

void Workers::_become_worker(int socket)
{
	constexpr int ONLY = STDERR_FILENO + 1;
	if (socket != ONLY) dup3(socket, ONLY, O_CLOEXEC);
	close_range(ONLY + 1, ~0U, 0);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, nullptr);
	setrlimit(RLIMIT_NOFILE, &_files);
	_exit(serve_as_worker(ONLY, _serving, _count < IDLE_MAX));
}

} // namespace bulkhead::qrexec
