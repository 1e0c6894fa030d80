#pragma once

// A service of the host, for a domain that may call it: started here, and carried to the caller's
// connection. Of qrexec-client (`-d dom0 -c`), and of the daemon, in a process of its own.

#include "component/qrexec/host/relay.h"
#include "component/qrexec/host/service.h"
#include "rpc/qrexec/message.h"

#include <string>

namespace bulkhead::qrexec {

struct Host_service
{
	Exec_params caller; // where it listens
	std::string caller_name; // $QREXEC_REMOTE_DOMAIN
	std::string command; // "[nogui:]QUBESRPC …", or for the shell
	int timeout_s; // for the caller's connection; 0: none
};

/*
 * Runs it to its end; blocks. What it returned, or one of qrexec's exit codes, which the caller
 * has been sent as well if there was a connection. Errors were said.
 */
int run_host_service(Host_service const &);

/* Of commands that are no services. */
inline constexpr char HOST_SHELL[] = "/bin/bash";

/*
 * Starts a service or a command, without a connection; `options` are completed by its settings.
 */
std::variant<Local_end, Service_failure> start_on_host(
	std::string const &command, Relay_options &options);

} // namespace bulkhead::qrexec
