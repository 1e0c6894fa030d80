#pragma once

// The memory that the two ends of a channel share: where each word lies and which side writes it.
// One control page, then the bytes of the ring to the client, then those of the ring to the server;
// doc/vchan.md explains it. Nothing here is trusted: `attach` checks what it copies, once.

#include "base/attempt.h"
#include "vchan/error.h"

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace bulkhead::vchan {

inline constexpr uint32_t MAGIC = 0x6e684356; // "VChn", least significant byte first
inline constexpr uint32_t VERSION = 1;
inline constexpr size_t CACHE_LINE = 64;
inline constexpr size_t PAGE = 4096;
inline constexpr uint32_t RING_MAX = 64U << 20;

/* Of a ring: a power of two, or none. */
constexpr bool valid_size(size_t bytes)
{
	return bytes == 0 || (std::has_single_bit(bytes) && bytes <= RING_MAX);
}

/* A word that both sides see; only lock-free atomics work across address spaces. */
using Word = std::atomic<uint32_t>;
static_assert(Word::is_always_lock_free && sizeof(Word) == 4);

/* Written by the server before the region is shared, constant from then on. */
struct Header
{
	Word magic;
	Word version;
	Word to_client_bytes;
	Word to_server_bytes;
	Word generation;
};

/*
 * What one side writes and the other reads. Words that change with every byte are kept away from
 * each other and from those that hardly change, which the peer looks at after every commit.
 */
struct Side
{
	alignas(CACHE_LINE) Word produced; // bytes ever put into the ring to the peer
	alignas(CACHE_LINE) Word consumed; // bytes ever taken from the ring to this side
	alignas(CACHE_LINE) Word sleep; // see Sleep
	Word life; // see Life
};

struct Control
{
	alignas(CACHE_LINE) Header header;
	alignas(CACHE_LINE) Side server;
	alignas(CACHE_LINE) Side client;
};
static_assert(sizeof(Side) == 192 && sizeof(Control) == 448);

/* Bits 0..2 of the word `sleep`: what a side sleeps for. Bits 3..31: the ticket of this sleep. */
namespace sleep_for {
inline constexpr uint32_t DATA = 1; // bytes to read
inline constexpr uint32_t ROOM = 2; // room to write
inline constexpr uint32_t PEER = 4; // a change of the peer's life
inline constexpr uint32_t ANY = DATA | ROOM | PEER;
} // namespace sleep_for
inline constexpr unsigned TICKET_SHIFT = 3;

/* Bits 0..3 of the word `life`, which only grows. Bits 4..31: the generation. */
enum class Life : uint8_t {
	ABSENT, // the whole word is 0
	OPEN,
	FINISHED, // produces no more, still consumes
	CLOSED, // neither produces nor consumes
};
inline constexpr unsigned GENERATION_SHIFT = 4;
inline constexpr uint32_t GENERATION_MAX = UINT32_MAX >> GENERATION_SHIFT;

/* The bytes of the two rings. A channel that goes one way has 0 in the other. */
struct Sizes
{
	uint32_t to_client;
	uint32_t to_server;

	bool operator==(Sizes const &) const = default;
};

/*
 * Both sizes rounded up to powers of two; 0 stays. Error: BAD_SIZE (above `RING_MAX`, or both 0).
 */
Attempt<Sizes, Error> rounded(Sizes);

/* Bytes of the region for sizes that are rounded: a control page, and each ring in pages. */
size_t region_bytes(Sizes);

/*
 * The server's first step, before anybody else has the region, all of whose bytes are 0: the words
 * that go to its start, of sizes that are rounded. The generation tells this connection from
 * earlier ones in the same place. Error: BAD_GENERATION (above GENERATION_MAX).
 */
Attempt<void, Error> format(Control &, Sizes, uint32_t generation);

enum class Role : uint8_t { SERVER, CLIENT };

/* One side's view of a region. The region is mapped as long as somebody uses this. */
struct Attachment
{
	Side *own;
	Side *peer;
	std::span<uint8_t> out; // the ring to the peer; empty: there is none
	std::span<uint8_t> in;
	uint32_t generation;
};

/*
 * The client's first step, and the server's once the region is formatted, perhaps by somebody else.
 * Everything that was written there is read once and checked against the true size of the region
 * and the generation that the broker told. Errors: BAD_MAGIC, BAD_VERSION,
 * BAD_SIZE, BAD_GENERATION, REGION_TOO_SMALL, MISALIGNED.
 */
Attempt<Attachment, Error> attach(
	std::span<std::byte> region, uint32_t generation, Role role = Role::CLIENT);

} // namespace bulkhead::vchan
