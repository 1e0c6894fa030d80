#include "component/program/host.h"

#include "component/qrexec/host/log.h"
#include "component/qrexec/host/spawn.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::component {

using qrexec::log;

Host::Host(linux_host::Loop &loop, Env &env, domain::Program_config config)
	: _loop(loop),
	  _env(env),
	  _config(std::move(config)),
	  _reaper(loop, *this),
	  _services(loop, env, _reaper, _config.commands),
	  _callers(loop, env),
	  _mounts(env)
{}

// Ours is what all programs get.
bool Host::_set_environment() const
{
	for (std::string const &variable : _config.environment) {
		size_t const equals = variable.find('=');
		std::string const name = variable.substr(0, equals);
		if (::setenv(name.c_str(), variable.c_str() + equals + 1, 1) != 0) {
			log("the environment can't have ", variable);
			return false;
		}
	}
	for (char const *const ours : {"LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"}) ::unsetenv(ours);
	if (!::getenv("PATH")) (void)::setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
	return true;
}

/*
 * The domain's log for programs. We never wait for it, they do, so they have it as another open
 * file.
 */
int Host::_open_log()
{
	_log.reset(::open("/proc/self/fd/2", O_WRONLY | O_CLOEXEC));
	return _log ? _log.value() : STDERR_FILENO;
}

bool Host::_start_program()
{
	if (_config.program.empty()) return true;
	qrexec::Program program;
	program.out = program.errors = _open_log();
	program.path = _config.program.front();
	program.arguments = _config.program;
	for (char **entry = environ; entry && *entry; ++entry) program.environment.emplace_back(*entry);
	auto const started = qrexec::spawn(program);
	if (auto const *const failure = std::get_if<qrexec::Service_failure>(&started)) {
		log(failure->message);
		return false;
	}
	_program = std::get<pid_t>(started);
	_log.reset();
	return true;
}

bool Host::start(std::string const &socket)
{
	if (!_set_environment()) return false;
	if (Attempt<void> const reaping = _reaper.start(); !reaping.ok()) {
		log("signals can't be taken: ", name_of(reaping.error()));
		return false;
	}
	if (Attempt<void> const listening = _callers.start(socket); !listening.ok()) {
		log(_callers.message());
		return false;
	}
	if (!_mounts.start(_config.mounts).ok()) {
		log("a mount has no descriptor: the broker and this program don't fit together");
		return false;
	}
	_services.offer();
	_env.when_ready([this] {
		if (!_start_program()) _env.stop(1);
	});
	return true;
}

void Host::ended(pid_t process, int exit_code)
{
	if (process != _program) return;
	_program = -1;
	if (exit_code == 0 && !_config.commands.empty()) return;
	_env.stop(exit_code);
}

void Host::stop()
{
	// As another one this would reach all processes of its user.
	if (::getpid() != 1) return;
	(void)::kill(-1, SIGTERM);
	uint64_t const until_us = deadline_after_us(_loop.clock().now_us(), STOP_WITHIN_US);
	while (_loop.clock().now_us() < until_us) {
		siginfo_t info{};
		bool const alone = ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0;
		if (alone) return;
		_loop.poll(until_us);
	}
}

} // namespace bulkhead::component
