#pragma once

// One direction of a data connection, taken apart as its bytes come: a chunk needn't be whole
// before the first of it is used, and is never copied here.

#include "rpc/qrexec/message_reader.h"

namespace bulkhead::qrexec {

enum class Stream : uint8_t { IN, OUT, ERR }; // standard input, output, error of the service

class Data_reader
{
public:
	enum class Kind : uint8_t {
		MORE, // nothing, all was used up
		HELLO,
		BYTES, // of `stream`
		END, // of `stream`; no bytes of it come any more
		EXIT_CODE, // nothing comes after it
	};

	struct Event
	{
		Kind kind = Kind::MORE;
		Stream stream = Stream::IN;
		size_t bytes = 0; // BYTES: so many at the front of `from`; the caller takes some or all
		int32_t exit_code = 0;
	};

private:
	Direction const _direction;
	uint32_t _version = 0;
	uint8_t _header[Header::BYTES + 4]{};
	uint8_t _filled = 0; // of it
	uint32_t _left = 0; // of the body of a chunk
	Stream _stream = Stream::IN;
	uint8_t _ended = 0; // a bit for each stream
	uint8_t _ended_again = 0;
	bool _exited = false;
	std::optional<Stream_fault> _fault{};

	bool _fill(size_t wanted, std::span<uint8_t const> &from);
	std::optional<Stream_fault> _check(Header header) const;
	Attempt<Event, Stream_fault> _number(Type type);

public:
	/* CALLER_TO_SERVICE or SERVICE_TO_CALLER. */
	explicit Data_reader(Direction direction) : _direction(direction) {}

	/* Ends of streams that have ended: more would keep whoever reads busy for ever. */
	static constexpr uint8_t ENDS_AGAIN_MAX = 16;

	/*
	 * Looks at the bytes that come next. Headers and what belongs to them are taken off the front
	 * of `from`; the bytes of a chunk stay there until `take`. A fault is final: bytes of a stream
	 * after its end, anything after the exit code, ends without end (all NOT_PERMITTED), what
	 * Stream_fault names. A second end of a stream is skipped.
	 */
	Attempt<Event, Stream_fault> next(std::span<uint8_t const> &from);

	/* The caller has used so many of the chunk's bytes, and takes them off its input itself. */
	void take(size_t bytes);

	/* Agreed version; 0 before the peer's HELLO. */
	uint32_t version() const { return _version; }
	/* The longest chunk that the peer may be sent. */
	size_t chunk_max() const { return _version == 2 ? CHUNK_MAX_V2 : CHUNK_MAX; }
	bool exited() const { return _exited; }
	bool ended(Stream stream) const { return _ended >> unsigned(stream) & 1; }
};

} // namespace bulkhead::qrexec
