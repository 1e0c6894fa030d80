#include "component/broker/log_writer/logs.h"

#include "component/broker/log_writer/log_pipes.h"
#include "component/broker/plan/options.h"

#include <csignal>
#include <poll.h>
#include <spawn.h>
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
	if (!pair.ok()) return;
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pair.value().second.value(), LOG_WRITER_SOCKET);
	posix_spawnattr_t attributes;
	posix_spawnattr_init(&attributes);
	sigset_t none;
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
	char *arguments[] = {program.data(), nullptr};
	// Returns once nothing of ours is open there any more, the system's lock above all.
	int const failed =
		posix_spawn(&_pid, program.c_str(), &actions, &attributes, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	if (!failed) _writer = {std::move(pair.value().first), linux_host::Gate_takes::NOTHING};
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
