#include "component/broker/log_writer/logs.h"

#include "component/broker/log_writer/log_pipes.h"
#include "component/broker/plan/options.h"

#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::broker {
namespace {

constexpr int PATIENCE_MS = 1000;

} // namespace

void Logs::start(uint64_t now_us)
{
	_back_off.started(now_us);
	std::string program = this_program();
	program.replace(program.rfind('/') + 1, program.npos, "bulkhead-log-writer");
	auto pair = linux_host::Gate::make_pair();
	_pid = pair.ok() ? fork() : -1;
	if (_pid == 0) {
		linux_host::Owned_fd const apart(
			fcntl(pair.value().second.value(), F_DUPFD_CLOEXEC, LOG_WRITER_SOCKET + 1));
		dup2(apart.value(), LOG_WRITER_SOCKET);
		sigset_t none;
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, nullptr);
		setsid();
		execl(program.c_str(), program.c_str(), nullptr);
		perror(("bulkhead-broker: error: " + program).c_str());
		_exit(1);
	}
	if (_pid > 0) _writer = {std::move(pair.value().first), linux_host::Gate_takes::NOTHING};
}

void Logs::end()
{
	_writer.close();
	if (_pid < 0) return;
	for (int waited_ms = 0; waitpid(_pid, nullptr, WNOHANG) == 0 && waited_ms < PATIENCE_MS;
		++waited_ms)
		poll(nullptr, 0, 1);
	_pid = -1;
}

void Logs::follow(int pipe, uint64_t bytes_max, std::string const &path)
{
	std::string const text = std::to_string(bytes_max) + " " + path;
	Bytes const message[] = {bytes_of(text)};
	int const descriptors[] = {pipe};
	pollfd writer{_writer.fd(), POLLOUT, 0};
	(void)poll(&writer, 1, PATIENCE_MS);
	(void)_writer.send(message, descriptors);
}

} // namespace bulkhead::broker
