#pragma once

// The errors of a channel in words for people, and as what those see them who know no channel, such
// as a program that reads a file. Nothing in a channel depends on it.

#include "vchan/error.h"

#include <string_view>

namespace bulkhead::vchan {

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

} // namespace bulkhead::vchan
