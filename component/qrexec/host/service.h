#pragma once

// Finds and starts what a command line asks for: an executable, a unix socket, a TCP address, or a
// command for the user's shell.

#include "component/qrexec/host/local_end.h"
#include "component/qrexec/host/spawn.h"
#include "rpc/qrexec/command_line.h"
#include "rpc/qrexec/service_config.h"

#include <string>
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
	std::vector<std::string> arguments{}; // of an executable, before that of the call
	std::string host{}, port{}; // TCP: numbers, IPv6 without brackets
	Service_config config{};
};

/*
 * `service+argument` before `service`, in each directory in order (facts, section 5); without an
 * argument as with an empty one. The first that is there counts, even if it is broken (exit code
 * 125); a link to /dev/tcp is a TCP address. Blocks for the file system only.
 */
std::variant<Found_service, Service_failure> find_service(Places const &, Command_line const &);

/* How a process is started; see each program for which it uses. */
struct Start_options
{
	std::string user{}; // who it is to run as, unless the settings say another; empty: as this
	bool discard_streams = false; // JUST_EXEC: /dev/null
	bool own_errors = true; // a stream of errors; else ours
	pid_t agent = 0; // QREXEC_AGENT_PID; 0: this process
	std::string shell = "/bin/sh"; // of commands, without `log_in`
	Log_in *log_in = nullptr; // starts it as `user` (session.h); null: `user` doesn't matter
};

/*
 * Starts a service that was found. Executables: with the argument, if it isn't empty, as their own,
 * and the environment that qrexec defines; failures are EXIT_TROUBLE, EXIT_NO_SERVICE if the file
 * has vanished. A socket is connected without blocking: `Local_end::connecting` if that takes
 * longer; `prefix` is the service descriptor unless the settings say to skip it. Blocks until an
 * executable runs (`Log_in`: until there is a session).
 *
 * With `discard_streams` a process gets /dev/null and is only named by `Local_end::process`.
 */
std::variant<Local_end, Service_failure> start_service(
	Found_service const &, Command_line const &, Start_options const &);

/* The same for a command, which the shell gets as it is. */
std::variant<Local_end, Service_failure> start_command(Command_line const &, Start_options const &);

/*
 * A program with arguments (`arguments[0]` is its path, and its last part the name that it sees),
 * its standard input and output the call: for callers. Errors go where ours go; QREXEC_AGENT_PID is
 * set. Beside that it has our environment and `more`.
 */
std::variant<Local_end, Service_failure> start_local_program(
	std::vector<std::string> const &arguments, std::vector<std::string> const &more = {});

/* Whether the service may start only after the user's session has (`wait_for_session`). */
bool needs_session(Found_service const &, Command_line const &);

/*
 * Runs the service qubes.WaitForSession, which gets the user's name as a line and ends when there
 * is a session: its process, to be waited for; its exit code doesn't matter. A failure: there is
 * nothing to wait for, the call goes on. Doesn't block.
 */
std::variant<pid_t, Service_failure> start_wait_for_session(
	Places const &, Command_line const &, std::string const &user);

/* The same, and blocks until it has ended; what is to be logged, or empty. */
std::string wait_for_session(Places const &, Command_line const &, std::string const &user);

} // namespace bulkhead::qrexec
