#pragma once

// The messages of qrexec, protocol version 4 (2 and 3 are accepted): types, layouts, limits, and
// who may send which. All numbers are little-endian; a message is a header and a body.

#include "base/bytes.h"
#include "base/fixed_string.h"

#include <cstdint>
#include <optional>

namespace bulkhead::qrexec {

inline constexpr uint32_t VERSION = 4; // of control and data connections
inline constexpr uint32_t VERSION_MIN = 2;
inline constexpr uint32_t LOCAL_VERSION = 3; // between a daemon and its clients on the same host

inline constexpr uint32_t CONTROL_PORT = 512;
inline constexpr uint32_t DATA_PORT_FIRST = 513;
inline constexpr size_t CONTROL_RING_BYTES = 4096;

enum class Type : uint32_t {
	// Data connections.
	DATA_STDIN = 0x190, // caller to service
	DATA_STDOUT = 0x191, // service to caller, as the next two
	DATA_STDERR = 0x192,
	DATA_EXIT_CODE = 0x193, // int32
	// Control: daemon to agent, and client to daemon.
	EXEC_CMDLINE = 0x200, // Exec_params, command line, NUL
	JUST_EXEC = 0x201,
	SERVICE_CONNECT = 0x202, // Exec_params, ident (2 to 32 bytes, the last of them NUL)
	SERVICE_REFUSED = 0x203, // ident (32 bytes)
	// Control: agent to daemon; and program to agent.
	TRIGGER_SERVICE = 0x210, // version 2
	CONNECTION_TERMINATED = 0x211, // Exec_params
	TRIGGER_SERVICE3 = 0x212,
	TRIGGER_SERVICE4 = 0x213,
	// The first message each way.
	HELLO = 0x300, // uint32 version
};

/* Who sends to whom. */
enum class Direction : uint8_t {
	DAEMON_TO_AGENT,
	AGENT_TO_DAEMON,
	CLIENT_TO_DAEMON, // local socket of the daemon
	DAEMON_TO_CLIENT,
	PROGRAM_TO_AGENT, // local socket of the agent
	CALLER_TO_SERVICE, // data connection
	SERVICE_TO_CALLER,
};

struct Header
{
	static constexpr size_t BYTES = 8;

	uint32_t type;
	uint32_t size; // of the body
};

/* EXEC_CMDLINE, JUST_EXEC, SERVICE_CONNECT, CONNECTION_TERMINATED begin with it. */
struct Exec_params
{
	static constexpr size_t BYTES = 8;

	uint32_t domain;
	uint32_t port; // 0: the daemon is to choose one

	bool operator==(Exec_params const &) const = default;
};

/* Which request of an agent a daemon answers: 32 bytes on the wire with their NUL. */
using Ident = Fixed_string<31>;

/* 64 bytes on the wire with their NUL. */
using Domain_name = Fixed_string<63>;

inline constexpr size_t IDENT_BYTES = 32;
inline constexpr size_t DOMAIN_NAME_BYTES = 64;
inline constexpr size_t TRIGGER2_BYTES = 128; // service[64], target[32], ident[32]
inline constexpr size_t TRIGGER3_BYTES = 96; // target[64], ident[32]; then the service and NUL
inline constexpr size_t TRIGGER4_BYTES = 160; // source[64], target[64], ident[32]; the same

inline constexpr size_t CHUNK_MAX_V2 = 4096; // of a data message's body
inline constexpr size_t CHUNK_MAX = 65536;
inline constexpr size_t COMMAND_MAX = 65535; // with its NUL
inline constexpr size_t SERVICE_MAX = 65000; // of the language; with its NUL

/*
 * The longest service name (with argument, without NUL) that a TRIGGER_SERVICE4 can carry through a
 * control ring. A longer one is refused before it is sent: nobody could ever take it.
 */
inline constexpr size_t SERVICE_NAME_MAX = CONTROL_RING_BYTES - Header::BYTES - TRIGGER4_BYTES - 1;

/* The longest command line (without NUL) that an EXEC_CMDLINE can carry through a control ring. */
inline constexpr size_t CONTROL_COMMAND_MAX =
	CONTROL_RING_BYTES - Header::BYTES - Exec_params::BYTES - 1;

/* What a call ends with when it isn't the service that ends it. */
inline constexpr int EXIT_TROUBLE = 125; // of qrexec
inline constexpr int EXIT_REFUSED = 126;
inline constexpr int EXIT_NO_SERVICE = 127;
inline constexpr int EXIT_DISCONNECTED = 255; // the other side has gone without an exit code

/*
 * Whether a message of this header may be sent in this direction after both sides have agreed on
 * `version`. HELLO is allowed in all that have one; that it comes first and only then is the
 * reader's business.
 */
bool permitted(Direction direction, uint32_t version, Header header);

/* The version that two sides speak; nothing if one of them is too old. */
std::optional<uint32_t> common_version(uint32_t ours, uint32_t theirs);

/* Wire forms. `decode_…` take at least as many bytes as the form has. */
void encode(Header header, std::span<uint8_t, Header::BYTES> to);
Header decode_header(std::span<uint8_t const> from);
void encode(Exec_params params, std::span<uint8_t, Exec_params::BYTES> to);
Exec_params decode_exec_params(std::span<uint8_t const> from);
void encode_number(uint32_t number, std::span<uint8_t, 4> to);
uint32_t decode_number(std::span<uint8_t const> from);

/*
 * A name in a field of fixed size that must hold its NUL: nothing if there is none. What is behind
 * the NUL doesn't count.
 */
std::optional<std::string_view> decode_name(std::span<uint8_t const> field);

/* Fills a field with a name and zeros. False if the name with its NUL doesn't fit. */
bool encode_name(std::string_view name, std::span<uint8_t> field);

/* A service call as an agent asks for it. Views of the message. */
struct Trigger
{
	std::string_view source{}; // of a RemoteVM that the agent's domain relays for, or empty
	std::string_view target{};
	std::string_view ident{};
	std::string_view service{}; // with its argument
};

/*
 * The body of a TRIGGER_SERVICE, 3 or 4, of a permitted size. Nothing if a field or the name has no
 * NUL, the name has one before its end, the ident has more than zeros behind it, or the service is
 * empty or nothing but an argument.
 */
std::optional<Trigger> decode_trigger(Type type, std::span<uint8_t const> body);

/*
 * The field of a TRIGGER_SERVICE's ident as it lies there: one that can't be decoded is refused by
 * what it was sent with, as upstream does.
 */
std::span<uint8_t const, IDENT_BYTES> trigger_ident(Type type, std::span<uint8_t const> body);

/*
 * Writes header and body of a TRIGGER_SERVICE4 (3 to a peer of version 3, 2 to one of version 2,
 * both without `source`); returns its size, 0 if a name doesn't fit or `to` is too small.
 */
size_t encode_trigger(uint32_t version, Trigger const &trigger, std::span<uint8_t> to);

} // namespace bulkhead::qrexec
