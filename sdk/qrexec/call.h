#pragma once

// A call that this program makes, from the question whether it may to the exit code of the service.
// Nothing blocks. For C: <bulkhead/qrexec.h>; for coroutines: loop_call.h.

#include "sdk/qrexec/data_channel.h"
#include "sdk/qrexec/link.h"

namespace bulkhead::qrexec {

/* Which service, and by whose leave. */
struct Wanted_call
{
	enum class Way : uint8_t {
		AGENT, // within a domain: the policy decides
		DAEMON, // on the host, which may call whatever it likes
	};

	Way way = Way::AGENT;
	std::string socket{}; // AGENT: its path; DAEMON: the directory; empty: the usual one
	std::string target{}; // domain; AGENT: also a keyword, or empty for @default
	std::string service{}; // service+argument
	std::string source{}; // AGENT: a RemoteVM that this domain relays for, or empty
	std::string command{}; // DAEMON: the whole command line, "user:…", instead of a service
	std::string user{}; // DAEMON, with a service: who it runs as; empty: DEFAULT
	// Where the answer brings no channel along, as a broker's does:
	std::string transport{}; // "shm" or "socket"; empty: by the environment
	std::string directory{}; // where domains meet; empty: the transport's
	int own_domain = -1; // -1: $VCHAN_DOMAIN; DAEMON, if that isn't set either: 0
	uint64_t connect_timeout_us = 0; // how long the service's side may take to come; 0: for ever
	size_t ring_bytes = Data_channel::RING_BYTES;
};

/* Belongs to one thread. */
class Call
{
public:
	enum class State : uint8_t {
		IDLE,
		ASKING,
		CONNECTING, // allowed; the service's side is awaited
		OPEN,
		REFUSED, // by the policy, or since nobody could take it
		ENDED, // with an exit code
		FAILED, // see `message`; the exit code says which trouble
	};

private:
	struct Inside;
	std::unique_ptr<Inside> _inside;

public:
	Call();
	/* As `cancel`, if it hasn't ended. */
	~Call();
	Call(Call const &) = delete;
	Call &operator=(Call const &) = delete;

	/* Begins. Once. A failure ends up in the state, too: REFUSED, FAILED. */
	State start(Wanted_call wanted);

	/* Readable when `look` has something to do; the same as long as this exists. */
	int fd() const;
	State look();
	State state() const;

	/*
	 * The connection, while OPEN and until `release_channel`, to write to. Who reads, looks or arms
	 * does so by this object.
	 */
	Data_channel &channel();

	/*
	 * As `Data_channel`, see there. The exit code that comes by `peek` ends the call, as does the
	 * peer's end.
	 */
	Data_channel::Incoming peek();
	void consume(size_t bytes);
	void arm(bool to_read, bool to_write);

	/*
	 * Of the service, once ENDED; once REFUSED or FAILED: EXIT_REFUSED, EXIT_TROUBLE or
	 * EXIT_DISCONNECTED.
	 */
	int exit_code() const;

	/* What went wrong, in one line for people. */
	std::string const &message() const;

	/*
	 * The same as a number of <errno.h>; 0 unless REFUSED or FAILED. Those of
	 * `errno_of(Link_error)` for the question, ETIMEDOUT (the service's side hasn't come),
	 * ECONNRESET (it has gone), EPROTO (it has broken the protocol), ECANCELED, and those of
	 * `open_transport`.
	 */
	int error_number() const;

	/*
	 * Gives the connection away, once it is OPEN. What is left is the link to the daemon or agent,
	 * who take the call to last as long as this object.
	 */
	std::unique_ptr<Data_channel> release_channel();

	/* Ends it at once, without waiting for anybody; the service sees its caller gone. FAILED. */
	void cancel();
};

} // namespace bulkhead::qrexec
