#pragma once

// What an end of a channel can answer. Everything from PEER_PRODUCED_TOO_MUCH on is the peer's
// doing and ends the channel: the reason stays and is what every later operation says.

#include "base/error.h"

#include <cstdint>
#include <string_view>

namespace bulkhead::vchan {

enum class Error : uint8_t {
	// Of every wait and every coroutine.
	CANCELLED = 1,
	TIMEOUT,
	OUT_OF_FRAMES,

	// Of a channel that is in order.
	WOULD_BLOCK, // no byte to read, or not enough room or bytes, as yet
	TOO_LONG, // a message that the ring could never hold
	CLOSED, // this side has finished or closed
	ONE_WAY, // this channel has no ring in that direction
	PEER_CLOSED, // the peer reads no more, or has ended before a message was complete
	PEER_DEAD, // the host says that the peer is gone

	// Of a region that can't be used.
	BAD_SIZE, // a ring of more than `RING_MAX` bytes or that is no power of two; both of 0 bytes
	REGION_TOO_SMALL,
	MISALIGNED, // the region doesn't start at a cache line
	BAD_MAGIC, // never formatted, or not ours
	BAD_VERSION,
	BAD_GENERATION, // formatted for another connection than this one

	// Of a peer that breaks the protocol.
	PEER_PRODUCED_TOO_MUCH, // more bytes than there was room for, or bytes taken back
	PEER_CONSUMED_TOO_MUCH, // more bytes than there were, or bytes read a second time
	PEER_BAD_LIFE, // a state that doesn't exist or goes back
	PEER_STALE, // the peer belongs to another generation
};

/* The error in words, and what the outside sees. */
struct Meaning
{
	std::string_view words;
	bulkhead::Error outside;
};

constexpr Meaning meaning_of(Error error)
{
	using Outside = bulkhead::Error;
	switch (error) {
	case Error::CANCELLED: return {"cancelled", Outside::CANCELLED};
	case Error::TIMEOUT: return {"timed out", Outside::TIMEOUT};
	case Error::OUT_OF_FRAMES: return {"out of coroutine frames", Outside::OUT_OF_FRAMES};
	case Error::WOULD_BLOCK: return {"would block", Outside::WOULD_BLOCK};
	case Error::TOO_LONG: return {"message longer than the ring", Outside::TOO_LONG};
	case Error::CLOSED: return {"this end is closed", Outside::BROKEN_PIPE};
	case Error::ONE_WAY: return {"this channel carries nothing that way", Outside::NOT_SUPPORTED};
	case Error::PEER_CLOSED: return {"other end closed", Outside::BROKEN_PIPE};
	case Error::PEER_DEAD: return {"other end died", Outside::GONE};
	case Error::BAD_SIZE: return {"ring size out of range", Outside::INVALID};
	case Error::REGION_TOO_SMALL:
		return {"shared region too small for its rings", Outside::INVALID};
	case Error::MISALIGNED: return {"shared region not aligned to a cache line", Outside::INVALID};
	case Error::BAD_MAGIC: return {"shared region is not a vchan", Outside::IO};
	case Error::BAD_VERSION: return {"shared region of another version", Outside::NOT_SUPPORTED};
	case Error::BAD_GENERATION: return {"shared region of another connection", Outside::GONE};
	case Error::PEER_PRODUCED_TOO_MUCH:
		return {"other end claims bytes that the ring can't hold", Outside::IO};
	case Error::PEER_CONSUMED_TOO_MUCH:
		return {"other end claims to have read what wasn't there", Outside::IO};
	case Error::PEER_BAD_LIFE: return {"other end is in an impossible state", Outside::IO};
	case Error::PEER_STALE: return {"other end belongs to another connection", Outside::IO};
	}
	return {"unknown error", Outside::IO};
}

constexpr std::string_view name_of(Error error) { return meaning_of(error).words; }

constexpr bulkhead::Error convert_error(Error error, Into<bulkhead::Error>)
{
	return meaning_of(error).outside;
}

/* What a wait of base reports. */
constexpr Error convert_error(bulkhead::Error error, Into<Error>)
{
	switch (error) {
	case bulkhead::Error::TIMEOUT: return Error::TIMEOUT;
	case bulkhead::Error::OUT_OF_FRAMES: return Error::OUT_OF_FRAMES;
	default: return Error::CANCELLED; // a wait has no other error
	}
}

} // namespace bulkhead::vchan
