#pragma once

// Bytes for people: time of day, direction, offset, the bytes, and the characters among them.
//
//	12:00:00.000001 < 00000010  68 65 6c 6c 6f 0a                                 |hello.|

#include <cstdint>
#include <span>
#include <string>

namespace bulkhead::tool {

/* One direction of a channel. */
class Hex_dump
{
private:
	char _direction;
	uint64_t _offset = 0;

public:
	static constexpr size_t LINE_BYTES = 16;
	static constexpr size_t LINE_CHARACTERS_MAX = 128;

	/* '<' for what comes, '>' for what goes. */
	explicit Hex_dump(char direction) : _direction(direction) {}

	/* Adds lines with the next bytes of the stream, at this time of day. */
	void add(std::span<uint8_t const> bytes, int64_t now_us, std::string &to);
};

/* Microseconds since 1970. */
int64_t time_of_day_us();

} // namespace bulkhead::tool
