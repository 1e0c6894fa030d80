#pragma once

// Cuts a stream of bytes into messages, for the control connection and the local sockets, whose
// messages are whole before they mean anything. (Data connections: data_reader.h.)

#include "rpc/qrexec/message.h"

namespace bulkhead::qrexec {

/* What was wrong with a stream. Ends it. */
enum class Stream_fault : uint8_t {
	NOT_PERMITTED = 1, // a type or size that this sender may not send (now)
	TOO_LONG, // permitted, but longer than the buffer
	NO_HELLO, // another message before HELLO
	SECOND_HELLO,
	OLD_VERSION, // HELLO of a version below the lowest accepted
};

std::string_view name_of(Stream_fault fault);

/*
 * Bytes in, messages out. The buffer (the longest body and a header) is the caller's and holds a
 * message until the next call.
 */
class Message_reader
{
private:
	std::span<uint8_t> _buffer;
	Direction const _direction;
	uint32_t const _own_version;
	uint32_t _version = 0; // 0: no HELLO yet
	size_t _filled = 0;
	bool _whole = false;
	std::optional<Stream_fault> _fault{};

	bool _fill(size_t wanted, std::span<uint8_t const> &from);
	std::optional<Stream_fault> _check(Header header) const;

public:
	struct Message
	{
		Type type;
		std::span<uint8_t const> body; // valid until the next call
	};

	/*
	 * `own_version`: what our own HELLO says. PROGRAM_TO_AGENT has no HELLO; its version is
	 * `own_version` from the beginning.
	 */
	Message_reader(std::span<uint8_t> buffer, Direction direction, uint32_t own_version);

	/*
	 * Takes bytes from the front of `from` (which is moved on) up to the end of one message.
	 * Nothing if more bytes are needed. HELLO is a message, too; its version counts from then on.
	 * A fault is final: each later call has it again.
	 */
	Attempt<std::optional<Message>, Stream_fault> read(std::span<uint8_t const> &from);

	/* Agreed version; 0 before the peer's HELLO. */
	uint32_t version() const { return _version; }

	/* Whether a message has begun and isn't whole. */
	bool within_message() const { return _filled != 0 && !_whole; }

	/* A new connection. */
	void reset();
};

} // namespace bulkhead::qrexec
