#pragma once

// Calls that programs of the domain make: the agent's socket of Qubes, so that programs that know
// it need no change. The answer brings the end of the channel along.

#include "component/qrexec/agent/programs.h"
#include "component/qrexec/host/unix_server.h"
#include "sdk/component/env.h"

namespace bulkhead::component {

/* Belongs to the loop's thread. */
class Callers final : private qrexec::Unix_server::Accepted, private qrexec::Programs::Events
{
public:
	/* Also reachable as /var/run/qubes/qrexec-agent, which programs are built with. */
	static constexpr char SOCKET[] = "/run/qubes/qrexec-agent";
	static constexpr size_t CALLERS_MAX = 512; // at once

private:
	Env &_env;
	qrexec::Programs _programs;
	qrexec::Unix_server _server;

	void accepted(qrexec::Unix_server &, linux_host::Owned_fd connection) override;
	void asked(uint64_t number) override;
	void program_ended(qrexec::Exec_params call, uint64_t) override;
	void _answered(uint64_t number, Env::Given_end given);

public:
	/* Both outlive it, and `env` calls nobody back any more after its end. */
	Callers(linux_host::Loop &loop, Env &env);

	/* Makes the socket's directory, too. Errors: those of `Unix_server::start`; `message`. */
	Attempt<void> start(std::string const &socket = SOCKET);
	std::string const &message() const { return _server.message(); }
};

} // namespace bulkhead::component
