#include "component/broker/keeper.h"

#include "component/broker/notify.h"
#include "component/broker/plan/options.h"
#include "platform/linux/clock.h"
#include "platform/linux/gate.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <list>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace bulkhead::broker {
namespace {

using linux_host::Gate;
using linux_host::Owned_fd;

constexpr uint64_t SILENCE_US = 30'000'000; // after which a broker hangs
constexpr uint64_t LONG_LIFE_US = 2'000'000;
constexpr uint64_t BACK_OFF_MIN_US = 50'000;
constexpr uint64_t BACK_OFF_MAX_US = 1'000'000;
constexpr size_t MESSAGE_MAX = 4096;

using Stored = std::pair<std::string, Owned_fd>;

class Keeper
{
private:
	char **_arguments;
	std::string _program;
	int _ready_fd;
	Notify _systemd = Notify::of_systemd();
	linux_host::Monotonic_clock _clock{};
	Owned_fd _signals{};
	sigset_t _before{};
	std::list<Stored> _stored{};
	Gate _broker{};
	pid_t _pid = -1;
	int _status = 0;
	uint64_t _since_us = 0;
	uint64_t _heard_us = 0;
	uint64_t _back_off_us = BACK_OFF_MIN_US;
	bool _ready = false; // at least once
	bool _stopping = false;

	[[noreturn]] void _become_broker(int socket);
	bool _start();
	void _heard(std::string_view text, Owned_fd descriptor);
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
	// By its name, so that a newer one takes over from an older one.
	std::array<char, 4096> path;
	ssize_t const size = readlink("/proc/self/exe", path.data(), path.size());
	_program = size > 0 ? std::string(path.data(), static_cast<size_t>(size)) : arguments[0];
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	sigset_t mine;
	sigemptyset(&mine);
	for (int const number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&mine, number);
	sigprocmask(SIG_BLOCK, &mine, &_before);
	_signals.reset(signalfd(-1, &mine, SFD_CLOEXEC | SFD_NONBLOCK));
}

/* In the child: descriptors go where sd_listen_fds(3) looks for them. */
void Keeper::_become_broker(int socket)
{
	constexpr int FIRST = 3;
	int const end = FIRST + static_cast<int>(_stored.size());
	std::string names;
	for (Stored &each : _stored) {
		// First out of the way of each other.
		each.second.reset(fcntl(each.second.value(), F_DUPFD_CLOEXEC, end));
		names.append(names.empty() ? "" : ":").append(each.first);
	}
	std::string const kept = std::to_string(fcntl(socket, F_DUPFD, end));
	int next = FIRST;
	for (Stored const &each : _stored) dup2(each.second.value(), next++);
	setenv(KEEPER_VARIABLE, kept.c_str(), 1);
	setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
	setenv("LISTEN_FDS", std::to_string(_stored.size()).c_str(), 1);
	setenv("LISTEN_FDNAMES", names.c_str(), 1);
	setenv("WATCHDOG_USEC", std::to_string(SILENCE_US).c_str(), 0);
	unsetenv("WATCHDOG_PID");
	sigprocmask(SIG_SETMASK, &_before, nullptr);
	execv(_program.c_str(), _arguments);
	fprintf(stderr, "bulkhead-broker: %s: %s\n", _program.c_str(), strerror(errno));
	_exit(FAILED);
}

bool Keeper::_start()
{
	auto pair = Gate::make_pair();
	_since_us = _heard_us = _clock.now_us();
	_pid = pair.ok() ? fork() : -1;
	if (_pid == 0) _become_broker(pair.value().second.value());
	if (_pid < 0) return false;
	_broker = Gate(std::move(pair.value().first), linux_host::Gate_takes::DESCRIPTORS);
	// Whoever waits for it sees the end of a broker that never gets ready.
	if (_ready_fd >= 0) close(std::exchange(_ready_fd, -1));
	return true;
}

void Keeper::_heard(std::string_view text, Owned_fd descriptor)
{
	bool store = false, remove = false;
	std::string_view name;
	std::string forwarded;
	while (!text.empty()) {
		std::string_view const line = text.substr(0, text.find('\n'));
		text.remove_prefix(std::min(line.size() + 1, text.size()));
		if (line == "FDSTORE=1")
			store = true;
		else if (line == "FDSTOREREMOVE=1")
			remove = true;
		else if (line.starts_with("FDNAME="))
			name = line.substr(7);
		else
			forwarded.append(line).append("\n");
		if (line == "READY=1") _ready = true;
		if (line == "STOPPING=1") _stopping = true;
	}
	if (remove)
		std::erase_if(_stored, [&](Stored const &each) { return each.first == name; });
	else if (store && descriptor)
		_stored.push_back({std::string(name), std::move(descriptor)});
	else
		_systemd.tell(forwarded);
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
	_heard(text_of({message.data(), received.value().bytes}), std::move(descriptor[0]));
	return true;
}

void Keeper::_take_signal()
{
	signalfd_siginfo signal{};
	if (read(_signals.value(), &signal, sizeof(signal)) != sizeof(signal)) return;
	if (signal.ssi_signo != SIGCHLD) {
		if (signal.ssi_signo != SIGHUP) _stopping = true;
		if (_pid > 0) kill(_pid, static_cast<int>(signal.ssi_signo));
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
	for (Stored const &each : _stored)
		if (each.first.ends_with(".process"))
			syscall(SYS_pidfd_send_signal, each.second.value(), SIGKILL, nullptr, 0);
	return exit_code;
}

int Keeper::run()
{
	while (true) {
		if (!_start()) {
			perror("bulkhead-broker: the keeper can't start the broker");
			if (!_ready) return _end(FAILED);
		}
		while (_pid > 0) {
			_wait(_heard_us + SILENCE_US);
			if (_clock.now_us() > _heard_us + SILENCE_US && _pid > 0) kill(_pid, SIGKILL);
		}
		while (_broker.fd() >= 0 && _take_message()) {}
		bool const exited = WIFEXITED(_status);
		if (exited && (WEXITSTATUS(_status) == 0 || !_ready)) return _end(WEXITSTATUS(_status));
		if (_stopping) return _end(FAILED);
		fprintf(stderr, "bulkhead-broker: warning: the broker has ended (%s %d); starts again\n",
			exited ? "exit code" : "signal", exited ? WEXITSTATUS(_status) : WTERMSIG(_status));
		bool const long_life = _clock.now_us() - _since_us > LONG_LIFE_US;
		_back_off_us = long_life ? BACK_OFF_MIN_US : std::min(2 * _back_off_us, BACK_OFF_MAX_US);
		uint64_t const until_us = _clock.now_us() + _back_off_us;
		while (_clock.now_us() < until_us && !_stopping) _wait(until_us);
		if (_stopping) return _end(FAILED);
	}
}

} // namespace

int keep(char **arguments, int ready_fd) { return Keeper(arguments, ready_fd).run(); }

} // namespace bulkhead::broker
