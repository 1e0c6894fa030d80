#pragma once

// Finds and starts what a command line asks for: an executable, a unix socket, a TCP address, or a
// command for the user's shell.

#include "component/qrexec/host/relay.h"
#include "rpc/qrexec/command_line.h"
#include "rpc/qrexec/service_config.h"

#include <variant>

namespace bulkhead::qrexec {

/* Where services and their settings are. */
struct Places
{
	std::string services; // directories, separated by ":"
	std::string config; // directories, the same

	/*
	 * $QREXEC_SERVICE_PATH, else /run/qubes-rpc:/usr/local/etc/qubes-rpc:/etc/qubes-rpc;
	 * $QUBES_RPC_CONFIG_PATH, else /run/qubes/rpc-config:/usr/local/etc/qubes/rpc-config:
	 * /etc/qubes/rpc-config.
	 */
	static Places from_environment();
};

/* A service that was found. */
struct Found_service
{
	enum class Kind : uint8_t { EXECUTABLE, SOCKET, TCP };

	Kind kind = Kind::EXECUTABLE;
	std::string path{}; // of the file
	std::string host{}, port{}; // TCP
	Service_config config{};
};

/* Why there is none, with the exit code that the caller gets. */
struct Service_failure
{
	int exit_code; // EXIT_TROUBLE or EXIT_NO_SERVICE
	std::string message; // for the log, never for the caller
};

/*
 * `service+argument` before `service`, in each directory in order (facts, section 5). Blocks for
 * the file system only.
 */
std::variant<Found_service, Service_failure> find_service(Places const &, Command_line const &);

/* How a process is started; see each program for which it uses. */
struct Start_options
{
	std::string user{}; // who it is to run as; empty: as this process
	bool discard_streams = false; // JUST_EXEC: /dev/null
	bool own_errors = true; // a stream of errors; else ours
	pid_t agent = 0; // QREXEC_AGENT_PID; 0: this process
};

/*
 * Starts a service that was found, or a command. A socket is connected without blocking, as far as
 * its kind allows it (`Local_end::prefix` is the service descriptor).
 */
std::variant<Local_end, Service_failure> start_service(
	Found_service const &, Command_line const &, Start_options const &);
std::variant<Local_end, Service_failure> start_command(Command_line const &, Start_options const &);

} // namespace bulkhead::qrexec
