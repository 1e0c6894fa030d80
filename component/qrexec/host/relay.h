#pragma once

// Moves bytes between a call's data connection and descriptors: those of a service that has been
// started, or standard input and output of a program that calls. Never blocks, and never holds
// more than a chunk: who is slow stops only this call.

#include "platform/linux/descriptor.h"
#include "platform/linux/loop.h"
#include "sdk/qrexec/data_channel.h"

#include <optional>
#include <string>

namespace bulkhead::qrexec {

/* What a call's local end consists of. Descriptors are non-blocking, and the relay's from now on.
 */
struct Local_end
{
	linux_host::Owned_fd to{}; // bytes from the peer are written here
	linux_host::Owned_fd from{}; // and its are read here; the same descriptor twice: a socket
	linux_host::Owned_fd errors{}; // and here, of a service; may be none
	bool socket = false; // `to` and `from` are one socket: ends are shut down, not closed
	pid_t process = -1; // whose exit code counts; -1: none
	std::string prefix{}; // written to `to` before anything else
};

struct Relay_options
{
	bool replace_characters = false; // of what goes to `to`: bytes outside of printable ASCII
	bool replace_error_characters = false;
	bool exit_on_client_eof = false; // of a socket service (rpc-config)
	bool exit_on_service_eof = false;
	int errors_to = -1; // of a caller: where the service's errors go; not the relay's
};

/* How a call has ended. */
struct Ending
{
	int exit_code = 0; // what the program that called, or the service, returns
	bool disconnected = false; // the peer went without an exit code
	std::string message{}; // if something was wrong
};

/*
 * Belongs to the loop's thread. SERVICE: ends when both output streams have ended and the process
 * has exited (or the socket has), after the exit code was sent. CALLER: ends with the exit code
 * from the service, and its local process.
 */
class Relay
{
public:
	class Finished
	{
	protected:
		~Finished() = default;

	public:
		/* The relay may be destroyed here. */
		virtual void finished(Relay &relay, Ending const &ending) = 0;
	};

private:
	struct Inside;
	std::unique_ptr<Inside> _inside;

public:
	Relay(linux_host::Loop &loop, std::unique_ptr<Data_channel> channel, Side side, Local_end local,
		Relay_options options, Finished &finished);
	~Relay();

	/* Begins. Errors: those of `Loop::add`. `finished` is called later, never from in here. */
	Attempt<void> start();

	/* SIGUSR1 of upstream: the process reads and writes on its standard input, a socket. */
	void use_stdin_for_output();
};

} // namespace bulkhead::qrexec
