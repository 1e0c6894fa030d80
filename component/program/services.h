#pragma once

// The services that the manifest gives commands for: a process per call, with standard input,
// output and errors as in Qubes.

#include "component/program/reaper.h"
#include "component/qrexec/agent/served_call.h"
#include "domain/manifest/program_config.h"
#include "sdk/component/env.h"

#include <unordered_map>

namespace bulkhead::component {

/* Belongs to the loop's thread. */
class Services final : private qrexec::Served_call::Ended
{
private:
	/* What the broker is told once the call has ended. */
	struct Running
	{
		std::unique_ptr<qrexec::Served_call> call{};
		uint32_t domain = 0;
		uint32_t port = 0;
		pid_t process = -1;
	};

	linux_host::Loop &_loop;
	Env &_env;
	Reaper &_reaper;
	std::vector<domain::Service_command> const &_commands;
	qrexec::Serving const _serving{.places = {}, .with_user = false};
	qrexec::Deadlines _deadlines;
	std::unordered_map<qrexec::Served_call *, Running> _running{};

	void _take(Env::Given_call call);
	domain::Service_command const *_command_for(std::string_view service) const;
	std::unique_ptr<qrexec::Service_request> _request(Env::Given_call const &call) const;

	void started(qrexec::Served_call &call, pid_t process) override;
	void reaped(qrexec::Served_call &call, pid_t process) override;
	void ended(qrexec::Served_call &call) override;

public:
	/* All outlive it. */
	Services(linux_host::Loop &loop, Env &env, Reaper &reaper,
		std::vector<domain::Service_command> const &commands);
	~Services();

	/* Offers the services, before `Env::run`. */
	void offer();

	size_t running() const { return _running.size(); }
};

} // namespace bulkhead::component
