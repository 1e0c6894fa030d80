#include "component/broker/keeper.h"

#include "component/broker/back_off.h"
#include "component/broker/notify.h"
#include "component/broker/plan/options.h"
#include "component/broker/systemd/notify_socket.h"
#include "platform/linux/clock.h"
#include "platform/linux/gate.h"
#include "platform/linux/signals.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace bulkhead::broker {
namespace {

using linux_host::Gate;
using linux_host::Owned_fd;

constexpr uint64_t BACK_OFF_MAX_US = 1'000'000;
constexpr size_t MESSAGE_MAX = 4096;

class Keeper
{
private:
	char **_arguments;
	// By its name, so that a newer one takes over from an older one.
	std::string _program = this_program();
	int _ready_fd;
	Owned_fd _systemd = notify_socket();
	linux_host::Monotonic_clock _clock{};
	Owned_fd _signals{};
	Descriptors _kept{};
	Gate _broker{};
	pid_t _pid = -1;
	int _status = 0;
	uint64_t _heard_us = 0;
	Back_off _back_off{BACK_OFF_MAX_US};
	bool _ready = false; // at least once
	bool _stopping = false;

	[[noreturn]] void _become_broker(pid_t keeper, Owned_fd socket);
	bool _start();
	bool _take_message();
	void _take_signal();
	void _wait(uint64_t until_us);
	int _end(int exit_code);

public:
	Keeper(char **arguments, int ready_fd);

	int run();
};

Keeper::Keeper(char **arguments, int ready_fd) : _arguments(arguments), _ready_fd(ready_fd)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	// The broker's, too: it is to find what has come before it looks.
	_signals = linux_host::take_signals({SIGTERM, SIGINT, SIGHUP, KEEPER_ENDED, SIGCHLD});
}

void Keeper::_become_broker(pid_t keeper, Owned_fd socket)
{
	prctl(PR_SET_PDEATHSIG, KEEPER_ENDED, 0, 0, 0);
	if (getppid() != keeper) _exit(FAILED);
	_kept[KEEPER] = std::move(socket);
	for (auto const &[name, descriptor] : _kept) {
		fcntl(descriptor.value(), F_SETFD, 0);
		std::string const number = std::to_string(descriptor.value());
		setenv(std::string(KEPT).append(number).c_str(), name.c_str(), 1);
	}
	execv(_program.c_str(), _arguments);
	fprintf(stderr, "bulkhead-broker: %s: %s\n", _program.c_str(), strerror(errno));
	_exit(FAILED);
}

bool Keeper::_start()
{
	auto pair = Gate::make_pair();
	_heard_us = _clock.now_us();
	_back_off.started(_heard_us);
	pid_t const keeper = getpid();
	_pid = pair.ok() ? fork() : -1;
	if (_pid == 0) _become_broker(keeper, std::move(pair.value().second));
	if (_pid < 0) return false;
	if (_stopping) kill(_pid, SIGTERM);
	_broker = Gate(std::move(pair.value().first), linux_host::Gate_takes::DESCRIPTORS);
	// Whoever waits for it sees the end of a broker that never gets ready; the next tell nobody.
	if (_ready_fd >= 0) dup2(Owned_fd(open("/dev/null", O_RDWR | O_CLOEXEC)).value(), _ready_fd);
	return true;
}

/* False: there is none now. */
bool Keeper::_take_message()
{
	std::array<uint8_t, MESSAGE_MAX> message;
	std::array<Owned_fd, 1> descriptor;
	auto const received = _broker.receive(message, descriptor);
	if (!received.ok()) return received.error() != Error::WOULD_BLOCK;
	if (received.value().bytes == 0) {
		_broker.close();
		return false;
	}
	_heard_us = _clock.now_us();
	std::string const text(text_of({message.data(), received.value().bytes}));
	if (descriptor[0]) {
		_kept[text] = std::move(descriptor[0]);
	} else if (text.starts_with(FORGET)) {
		_kept.erase(text.substr(FORGET.size()));
	} else {
		_ready |= text == "READY=1";
		if (_systemd) (void)send(_systemd.value(), text.data(), text.size(), MSG_NOSIGNAL);
	}
	return true;
}

void Keeper::_take_signal()
{
	int const number = linux_host::next_signal(_signals.value());
	if (!number) return;
	if (number != SIGCHLD) {
		_stopping |= number != SIGHUP;
		if (_pid > 0) kill(_pid, number);
		return;
	}
	// Domains of a broker that was killed are our children, too.
	int status = 0;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		if (pid != _pid) continue;
		_pid = -1;
		_status = status;
	}
}

void Keeper::_wait(uint64_t until_us)
{
	uint64_t const now_us = _clock.now_us();
	uint64_t const left_ms = until_us > now_us ? (until_us - now_us) / 1000 + 1 : 0;
	pollfd waiting[] = {{_signals.value(), POLLIN, 0}, {_broker.fd(), POLLIN, 0}};
	(void)poll(waiting, 2, static_cast<int>(left_ms));
	if (waiting[1].revents) (void)_take_message();
	if (waiting[0].revents) _take_signal();
}

/* Of what a broker has left. */
int Keeper::_end(int exit_code)
{
	for (auto const &[name, descriptor] : _kept)
		if (name.ends_with(".process"))
			syscall(SYS_pidfd_send_signal, descriptor.value(), SIGKILL, nullptr, 0);
	return exit_code;
}

int Keeper::run()
{
	while (true) {
		// One that was killed while it ended is followed by one that ends the rest.
		bool const last = _stopping;
		if (!_start()) {
			perror("bulkhead-broker: the keeper can't start the broker");
			if (!_ready) return FAILED;
		}
		while (_pid > 0) {
			_wait(_heard_us + SILENCE_US);
			if (_clock.now_us() > _heard_us + SILENCE_US && _pid > 0) kill(_pid, SIGKILL);
		}
		while (_broker.fd() >= 0 && _take_message()) {}
		bool const exited = WIFEXITED(_status);
		if (exited && (WEXITSTATUS(_status) == 0 || !_ready)) return _end(WEXITSTATUS(_status));
		if (last) return _end(FAILED);
		fprintf(stderr, "bulkhead-broker: warning: the broker has ended (%s %d); starts again\n",
			exited ? "exit code" : "signal", exited ? WEXITSTATUS(_status) : WTERMSIG(_status));
		while (_clock.now_us() < _back_off.due_us() && !_stopping) _wait(_back_off.due_us());
	}
}

} // namespace

int keep(char **arguments, int ready_fd) { return Keeper(arguments, ready_fd).run(); }

} // namespace bulkhead::broker
