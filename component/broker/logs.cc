#include "component/broker/logs.h"

#include "component/broker/log_writer/log_pipes.h"

#include <array>
#include <climits>
#include <csignal>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::broker {
namespace {

constexpr int PATIENCE_MS = 1000;
constexpr uint64_t SHORT_LIFE_US = 1'000'000;

} // namespace

bool Logs::start()
{
	uint64_t const now_us = _clock.now_us();
	if (now_us < _since_us + SHORT_LIFE_US && _since_us) return false;
	std::array<char, PATH_MAX> self;
	ssize_t const size = readlink("/proc/self/exe", self.data(), self.size());
	std::string program(self.data(), size > 0 ? static_cast<size_t>(size) : 0);
	program.replace(program.rfind('/') + 1, program.npos, "bulkhead-log-writer");
	auto pair = linux_host::Gate::make_pair();
	if (!pair.ok()) return false;
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
	int const failed =
		posix_spawn(&_pid, program.c_str(), &actions, &attributes, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	if (failed) return false;
	_since_us = now_us;
	_writer = {std::move(pair.value().first), linux_host::Gate_takes::NOTHING};
	return true;
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
