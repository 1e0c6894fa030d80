#pragma once

// What a broker needs of the system that it runs on. The broker never waits: it is told of what has
// happened (broker.h) and acts through this. Nothing here calls back into the broker, `reload`
// excepted.

#include "base/bytes.h"
#include "base/log.h"
#include "domain/manifest/manifest.h"

#include <string>

namespace bulkhead::domain {

/*
 * Who is at the other end of a gate: a domain, by its id (from 1 on), or a connection of the
 * operator's, by a number of the host's choice with this bit, used once at a time.
 */
using Party = uint32_t;
inline constexpr Party OPERATORS = 0x8000'0000;
constexpr bool operators(Party party) { return party & OPERATORS; }

/* What goes along with a message. */
enum class With : uint8_t {
	NOTHING,
	CLIENT_END, // of the channel that was made last
	SERVER_END,
	STATUS, // a memfd with what `write_status` writes (shown/status.h)
};

enum class Sent : uint8_t {
	OK, // or the other side has closed, which is told next
	FULL, // the other side doesn't read
	FAILED, // something is lacking here, as descriptors; a message without them may do
};

/* How a domain that couldn't be started, or has ended, did so. */
struct End
{
	std::string
		text{}; // for people: "exit code 1", "killed by signal 9", "no program /usr/bin/x …"
	bool clean = false; // exit code 0
	bool lasting = false; // to start it again would be in vain
};

/* The answer to an operator's request. */
struct Answer
{
	int error = 0; // errno
	std::string text{};
};

class Host
{
protected:
	~Host() = default;

public:
	/*
	 * Starts a domain's process with its gate. True once it runs its program (HELLO comes from the
	 * broker, through `send`); else `end` says why, and nothing is left behind. May take some
	 * milliseconds. The plan is valid during the call.
	 */
	virtual bool start(Party domain, Domain_plan const &plan, End &end) = 0;

	/*
	 * Closes a gate; to a domain it says: end yourself. What has arrived there counts no more, and
	 * its closing isn't told.
	 */
	virtual void close(Party party) = 0;

	/* Ends all processes of a domain at once; its end is told by `Broker::ended`, later. */
	virtual void kill(Party domain) = 0;

	/* Whether a gate takes a packet now (poll says POLLOUT). */
	virtual bool room(Party) { return true; }

	/* Sends a packet, whole or not at all. */
	virtual Sent send(Party to, Bytes packet, With with) = 0;

	/*
	 * Makes a channel; its ends are there to be sent until `drop_channel`, which is called before
	 * the next is made. False: memory or descriptors are lacking. `port` is its generation.
	 */
	virtual bool make_channel(uint32_t port, uint32_t ring_bytes) = 0;
	virtual void drop_channel() = 0;

	/*
	 * A domain is at rest (STOPPED, FAILED) now, or isn't any more: for `Broker::rest` of the
	 * broker that takes over.
	 */
	virtual void down(Party, bool) {}

	/* A line for the broker's log. */
	virtual void log(Level level, std::string_view line) = 0;

	/* Reads manifest and policy again and hands them to `Broker::apply`, if they have no faults. */
	virtual Answer reload() = 0;
};

} // namespace bulkhead::domain
