#pragma once

// TPM 2.0 commands as bytes, as far as this project itself gives commands to a TPM: the header that
// each has, and a few whole ones. What a caller's command means is the caller's business; drivers
// pass it on.

#include "base/bytes.h"
#include "driver/tpm/registers.h"

namespace bulkhead::tpm {

/* TPM_ST, TPM 2.0 Part 2, 6.9. */
inline constexpr uint16_t TPM_ST_NO_SESSIONS = 0x8001;
inline constexpr uint16_t TPM_ST_SESSIONS = 0x8002;

/* TPM_CC, TPM 2.0 Part 2, 6.5.2. */
enum class Command_code : uint32_t {
	SELF_TEST = 0x143,
	STARTUP = 0x144,
	SHUTDOWN = 0x145,
	FLUSH_CONTEXT = 0x165,
	GET_CAPABILITY = 0x17a,
	GET_RANDOM = 0x17b,
};

/* TPM_RC, TPM 2.0 Part 2, 6.6.3: those after which one knows what to do. */
enum class Response_code : uint32_t {
	SUCCESS = 0x000,
	INITIALIZE = 0x100, // TPM2_Startup is needed, or was done already
	FAILURE = 0x101, // the TPM is in failure mode
	YIELDED = 0x908, // the command was not executed, it can be sent again
	CANCELED = 0x909,
	TESTING = 0x90a, // not tested yet, the command can be sent again
	RETRY = 0x922, // the TPM was not able to start the command, it can be sent again
};

/* Whether the very same command may succeed a little later. */
constexpr bool worth_repeating(Response_code code)
{
	return code == Response_code::YIELDED || code == Response_code::TESTING ||
		code == Response_code::RETRY;
}

/* What commands and responses begin with (TPM 2.0 Part 1, 18); the code is a TPM_CC or a TPM_RC. */
struct Header
{
	uint16_t tag;
	uint32_t size; // of the whole message in bytes
	uint32_t code;
};

/* The header of a message. Error: INVALID (shorter than a header). */
constexpr Attempt<Header> parse_header(Bytes message)
{
	Byte_reader reader{message};
	Header const header{.tag = reader.u16_be(), .size = reader.u32_be(), .code = reader.u32_be()};
	if (!reader.ok()) return bulkhead::Error::INVALID;
	return header;
}

/*
 * Writes a command without sessions: header, then what `parameters(Byte_writer &)` writes. Returns
 * the command. Error: TOO_LONG (it doesn't fit).
 */
template <typename PARAMETERS>
constexpr Attempt<Bytes> write_command(Mutable_bytes to, Command_code code, PARAMETERS parameters)
{
	Byte_writer writer{to};
	writer.u16_be(TPM_ST_NO_SESSIONS);
	writer.u32_be(0);
	writer.u32_be(static_cast<uint32_t>(code));
	parameters(writer);
	writer.be_at<uint32_t>(2, static_cast<uint32_t>(writer.size()));
	Bytes const command = TRY(writer.finish());
	return command;
}

enum class Startup_type : uint16_t { CLEAR = 0, STATE = 1 };

/* TPM2_Startup (TPM 2.0 Part 3, 9.3), 12 bytes. Error: TOO_LONG. */
constexpr Attempt<Bytes> write_startup(Mutable_bytes to, Startup_type type = Startup_type::CLEAR)
{
	return write_command(to, Command_code::STARTUP,
		[type](Byte_writer &writer) { writer.u16_be(static_cast<uint16_t>(type)); });
}

/*
 * TPM2_GetRandom (TPM 2.0 Part 3, 16.1), 12 bytes. A TPM returns at most as many bytes as its
 * largest digest has, whatever was asked for. Error: TOO_LONG.
 */
constexpr Attempt<Bytes> write_get_random(Mutable_bytes to, uint16_t bytes)
{
	return write_command(
		to, Command_code::GET_RANDOM, [bytes](Byte_writer &writer) { writer.u16_be(bytes); });
}

struct Response
{
	Response_code code; // not SUCCESS: the TPM has refused, there are no parameters
	Bytes parameters; // of a command without sessions; points into the response
};

/*
 * Takes the response to a command without sessions apart. Error: INVALID (too short, the size in
 * the header is another one, or the tag doesn't belong to it).
 */
constexpr Attempt<Response> parse_response(Bytes message)
{
	Header const header = TRY(parse_header(message));
	if (header.size != message.size() || header.tag != TPM_ST_NO_SESSIONS)
		return bulkhead::Error::INVALID;
	return Response{
		.code = Response_code{header.code}, .parameters = message.subspan(HEADER_BYTES)};
}

/* The random bytes of a successful response to TPM2_GetRandom. Error: INVALID. */
constexpr Attempt<Bytes> parse_random(Bytes parameters)
{
	Byte_reader reader{parameters};
	Bytes const random = reader.bytes(reader.u16_be());
	if (!reader.complete()) return bulkhead::Error::INVALID;
	return random;
}

} // namespace bulkhead::tpm
