#pragma once

// Moves bytes between a call's data connection and descriptors: those of a service that has been
// started, or standard input and output of a program that calls. Never blocks, and never holds
// more than a chunk: who is slow stops only this call.

#include "component/qrexec/host/local_end.h"
#include "platform/linux/loop.h"
#include "sdk/qrexec/data_channel.h"

#include <memory>
#include <optional>
#include <string>

namespace bulkhead::qrexec {

struct Relay_options
{
	bool replace_characters = false; // of what goes to `to`: bytes outside of printable ASCII
	bool replace_error_characters = false;
	bool exit_on_client_eof = false; // of a socket service (rpc-config)
	bool exit_on_service_eof = false;
	bool tells_of_errors = true; // of a service: false on a host, whose services' errors stay there
	int errors_to = -1; // of a caller: where the service's errors go; not the relay's
	bool ends_without_reader = false; // of a caller: as soon as nobody takes what `to` is to get

	// SERVICE, instead of relaying: the ends of both streams and this exit code.
	std::optional<int> exit_code{};
	// SERVICE, JUST_EXEC: sends the exit code alone (0 if none is given) as soon as the prefix is
	// written. The process stays the caller's, who reaps it.
	bool just_exec = false;
};

/* How a call has ended. */
struct Ending
{
	int exit_code = 0; // 0 to 255: what the program that called, or the service, returns
	bool disconnected = false; // the peer went without an exit code
	std::string message{}; // one line for people if something was wrong, else empty
	int unwritten = 0; // errno: why some of what `to` was to get is lost
};

/*
 * Belongs to the loop's thread. SERVICE: ends when both output streams have ended and the process
 * has exited (or the socket has), after the exit code was sent. CALLER: ends with the exit code
 * from the service, and its local process; the code is the service's unless that is 0. Standard
 * output that can't be written is trouble, and the end of its reader (EPIPE) none.
 *
 * If the peer goes away, the local end gets its streams closed, and a process is waited for, but
 * not killed. Data for a process that doesn't read any more is thrown away.
 *
 * SIGPIPE is ignored in processes that use it (process.h).
 */
class Relay
{
public:
	class Finished
	{
	protected:
		~Finished() = default;

	public:
		/* The process has ended and was waited for; its number may be another's from now on. */
		virtual void reaped(pid_t) {}

		/* The relay may be destroyed here. */
		virtual void finished(Relay &relay, Ending const &ending) = 0;
	};

private:
	class Inside;
	std::unique_ptr<Inside> _inside;

public:
	/* The loop and `finished` outlive it. */
	Relay(linux_host::Loop &loop, std::unique_ptr<Data_channel> channel, Side side, Local_end local,
		Relay_options options, Finished &finished);
	~Relay();
	Relay(Relay const &) = delete;
	Relay &operator=(Relay const &) = delete;

	/* Begins, once. Errors: those of `Loop::add`. `finished` is called later, never from in here.
	 */
	Attempt<void> start();

	/*
	 * SIGUSR1 of upstream: the process reads and writes on its standard input, a socket. What it
	 * had written to its standard output before still comes first. Without effect if standard input
	 * is no socket, or the end of the output was sent.
	 */
	void use_stdin_for_output();
};

} // namespace bulkhead::qrexec
