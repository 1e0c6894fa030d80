#pragma once

// A domain of programs that know nothing of Bulkhead: what pid 1 of it does.

#include "component/program/callers.h"
#include "component/program/mounts.h"
#include "component/program/services.h"

namespace bulkhead::component {

/*
 * Belongs to the loop's thread. The domain's program is started when the broker has greeted; when
 * it ends, the domain does, with its exit code. Where there are services, too, and the code is 0,
 * it goes on: then the program has only prepared what they need.
 */
class Host final : private Reaper::Events
{
public:
	/* How long processes have to end by themselves, when the domain does. */
	static constexpr uint64_t STOP_WITHIN_US = 2'000'000;

private:
	linux_host::Loop &_loop;
	Env &_env;
	domain::Program_config const _config;
	Reaper _reaper;
	Services _services;
	Callers _callers;
	Mounts _mounts;
	pid_t _program = -1;
	linux_host::Owned_fd _log{};

	void ended(pid_t process, int exit_code) override;
	bool _set_environment() const;
	int _open_log();
	bool _start_program();

public:
	/* Both outlive it. */
	Host(linux_host::Loop &loop, Env &env, domain::Program_config config);

	/* Starts all, before `Env::run`; `socket`: where programs ask for calls. False: it has said
	 * why. */
	bool start(std::string const &socket = Callers::SOCKET);

	/*
	 * After it, as pid 1: asks all processes of the domain to end, and waits for that a moment.
	 * What is left then ends with this process.
	 */
	void stop();
};

} // namespace bulkhead::component
