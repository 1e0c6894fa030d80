#include "platform/linux/vchan/hello.h"

#include <bit>
#include <cstring>
#include <limits>

namespace bulkhead::linux_host {

namespace {

constexpr uint32_t HELLO_MAGIC = 0x6f6c6c48; // "Hllo", least significant byte first
constexpr uint32_t WELCOME_MAGIC = 0x636c6557; // "Welc"
constexpr uint32_t GENERATION_MAX = (1U << 28) - 1;
constexpr uint32_t NUMBER_MAX = std::numeric_limits<int>::max();

/* The word at an index; the message is known to be long enough. Both ends are on one machine. */
uint32_t word(Bytes message, size_t index)
{
	uint32_t value;
	std::memcpy(&value, message.subspan(4 * index, 4).data(), 4);
	return value;
}

/* What every version of a message begins with, and the length that this version's has. */
Attempt<void, Connect_error> check(Bytes message, uint32_t magic, size_t size)
{
	if (message.size() < 8 || word(message, 0) != magic) return Connect_error::BAD_MESSAGE;
	if (word(message, 1) != HELLO_VERSION) return Connect_error::PEER_VERSION;
	if (message.size() != size) return Connect_error::BAD_MESSAGE;
	return Ok{};
}

} // namespace

std::array<uint8_t, HELLO_BYTES> encode(Hello const &hello)
{
	return std::bit_cast<std::array<uint8_t, HELLO_BYTES>>(
		std::array<uint32_t, 5>{HELLO_MAGIC, HELLO_VERSION, static_cast<uint32_t>(hello.server),
			static_cast<uint32_t>(hello.client), static_cast<uint32_t>(hello.port)});
}

std::array<uint8_t, WELCOME_BYTES> encode(Welcome const &welcome)
{
	return std::bit_cast<std::array<uint8_t, WELCOME_BYTES>>(std::array<uint32_t, 4>{
		WELCOME_MAGIC, HELLO_VERSION, static_cast<uint32_t>(welcome.status), welcome.generation});
}

Attempt<Hello, Connect_error> decode_hello(Bytes message)
{
	TRY(check(message, HELLO_MAGIC, HELLO_BYTES));
	for (size_t i = 2; i < 5; ++i)
		if (word(message, i) > NUMBER_MAX) return Connect_error::BAD_MESSAGE;
	return Hello{static_cast<int>(word(message, 2)), static_cast<int>(word(message, 3)),
		static_cast<int>(word(message, 4))};
}

Attempt<Welcome, Connect_error> decode_welcome(Bytes message)
{
	TRY(check(message, WELCOME_MAGIC, WELCOME_BYTES));
	uint32_t const status = word(message, 2);
	uint32_t const generation = word(message, 3);
	if (status > static_cast<uint32_t>(Welcome::Status::NONSENSE))
		return Connect_error::BAD_MESSAGE;
	bool const accepted = status == static_cast<uint32_t>(Welcome::Status::ACCEPTED);
	if (generation > (accepted ? GENERATION_MAX : 0)) return Connect_error::BAD_MESSAGE;
	return Welcome{static_cast<Welcome::Status>(status), generation};
}

std::optional<uint32_t> version_of(Bytes message)
{
	if (message.size() < 8) return std::nullopt;
	uint32_t const magic = word(message, 0);
	if (magic != HELLO_MAGIC && magic != WELCOME_MAGIC) return std::nullopt;
	return word(message, 1);
}

} // namespace bulkhead::linux_host
