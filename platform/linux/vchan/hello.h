#pragma once

// What two processes say to each other before they have a channel, one message each over the
// server's socket (doc/vchan.md, "Meeting without a broker"). No input or output here: bytes that
// anybody may have sent are decoded, and nothing else.

#include "base/attempt.h"
#include "base/bytes.h"
#include "platform/linux/vchan/connect_error.h"

#include <array>
#include <cstdint>
#include <optional>

namespace bulkhead::linux_host {

inline constexpr uint32_t HELLO_VERSION = 1;
inline constexpr size_t HELLO_BYTES = 20;
inline constexpr size_t WELCOME_BYTES = 16;

/* Client to server: which channel it wants. All from 0. */
struct Hello
{
	int server;
	int client;
	int port;

	bool operator==(Hello const &) const = default;
};

/* Server to client. Two descriptors come with ACCEPTED: the memory, and the client's bell. */
struct Welcome
{
	enum class Status : uint32_t {
		ACCEPTED = 0,
		VERSION = 1, // the server doesn't speak the client's
		NOT_ALLOWED = 2, // the client's user isn't that domain
		NONSENSE = 3, // no Hello, or one for another channel
	};

	Status status;
	uint32_t generation = 0; // 28 bits; 0 unless ACCEPTED

	bool operator==(Welcome const &) const = default;
};

std::array<uint8_t, HELLO_BYTES> encode(Hello const &);
std::array<uint8_t, WELCOME_BYTES> encode(Welcome const &);

/* Errors: PEER_VERSION (of any length, see `version_of`), BAD_MESSAGE. */
Attempt<Hello, Connect_error> decode_hello(Bytes);
Attempt<Welcome, Connect_error> decode_welcome(Bytes);

/*
 * The version that the sender of a Hello or Welcome speaks; none if it is neither. In every version
 * the message begins with the same magic and the version.
 */
std::optional<uint32_t> version_of(Bytes);

} // namespace bulkhead::linux_host
