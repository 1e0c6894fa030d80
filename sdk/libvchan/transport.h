#pragma once

// What carries a channel for the C interfaces: memory that both sides share (`shm`), a unix socket
// as vchan-socket has it (`socket`), and one day a device of a guest (`guest`). Everything above
// this line is the same for all.

#include "base/bytes.h"
#include "base/clock.h"
#include "vchan/endpoint.h"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <sys/types.h>

namespace bulkhead::sdk {

/* Which channel. Sizes as this side sees them, in bytes; rounded up to powers of two. */
struct Wanted
{
	bool server;
	int own; // domain ids
	int peer;
	int port;
	size_t read_bytes = 0; // of a server
	size_t write_bytes = 0;
	std::string directory{}; // where names are; empty: the transport's own default
	bool within_domain = false; // whether `own` may be `peer`, which libvchan refuses as Xen does
};

/*
 * One end. Belongs to one thread. Nothing blocks but `wait`. Errors are those of an Endpoint, and
 * mean the same.
 */
class Transport
{
public:
	virtual ~Transport() = default;

	/* Readable when `look` has something to do; the same for as long as this exists. */
	virtual int fd() const = 0;

	/*
	 * Takes in what has happened. Returns 0, or the errno of why the search for the peer has ended
	 * (`message` tells more); a channel's end is a matter of `state`.
	 */
	virtual int look() = 0;

	/*
	 * Blocks until there is something to look at, and looks; 0 also if the time has passed before
	 * (microseconds of CLOCK_MONOTONIC; EINTR if a signal came).
	 */
	virtual int wait(uint64_t until_us = NEVER_US) = 0;

	/* WAITING as well for a client whose server isn't there yet. */
	virtual vchan::State state() = 0;

	/*
	 * Whether the peer will send no more; what it has sent may still be there. Without a `finish`
	 * of our own the state says it.
	 */
	virtual bool peer_finished()
	{
		return state() != vchan::State::WAITING && state() != vchan::State::CONNECTED;
	}

	/*
	 * Whether the peer can read all that was written. If not, that takes more looks, of which `fd`
	 * says when, whatever is armed.
	 */
	virtual bool delivered() { return true; }

	/* The peer's user, as the kernel says; none if there is no way to know, or not yet. */
	virtual std::optional<uid_t> peer_user() const { return {}; }

	/* How often the peer was woken. */
	virtual uint64_t rings() const { return 0; }

	/* How often to look again before one sleeps: 0 where a look is a system call. */
	virtual unsigned spin() const { return 0; }

	/* Particulars of the last error. */
	virtual std::string const &message() const = 0;

	/* Sizes of the rings as this side sees them; 0 as long as a client doesn't know. */
	virtual size_t read_capacity() const = 0;
	virtual size_t write_capacity() const = 0;

	/* Bytes to read, room to write. */
	virtual Attempt<size_t, vchan::Error> readable() = 0;
	virtual Attempt<size_t, vchan::Error> writable() = 0;

	virtual Attempt<size_t, vchan::Error> try_write(std::span<Bytes const>) = 0;
	virtual Attempt<size_t, vchan::Error> try_send(std::span<Bytes const>) = 0;
	virtual Attempt<size_t, vchan::Error> try_read(std::span<Mutable_bytes const>) = 0;
	virtual Attempt<size_t, vchan::Error> try_receive(std::span<Mutable_bytes const>) = 0;

	virtual Attempt<vchan::Pieces<Mutable_bytes>, vchan::Error> reserve(size_t max) = 0;
	virtual void commit_written(size_t) = 0;
	virtual Attempt<vchan::Pieces<Bytes>, vchan::Error> peek(size_t max) = 0;
	virtual void commit_read(size_t) = 0;

	/* Has `fd` become readable when what is named (`vchan::sleep_for`) may have come. */
	virtual void arm(uint32_t reasons) = 0;

	/* Sends no more. */
	virtual void finish() = 0;

	/* What was sent before can still be read by the peer, even after the end of this object. */
	virtual void close() = 0;

	/*
	 * The same, where it doesn't matter any more what the peer can read: never waits for it.
	 */
	virtual void abandon() { close(); }
};

/* Begins to listen or to search; null and `why`, and its errno, if that can't be. */
std::unique_ptr<Transport> open_shm(Wanted const &, int &error, std::string &why);
std::unique_ptr<Transport> open_socket(Wanted const &, int &error, std::string &why);

} // namespace bulkhead::sdk
