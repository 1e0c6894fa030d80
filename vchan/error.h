#pragma once

// What an end of a channel can answer. Everything from PEER_PRODUCED_TOO_MUCH on is the peer's
// doing and ends the channel: the reason stays and is what every later operation says. In words:
// explain/meaning.h.

#include "base/error.h"

#include <cstdint>

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
