#pragma once

// A transfer is a list of segments that run, one after the other, while the chip is selected. It is
// data, not code: it can be checked, queued and sent over a wire to whoever drives the bus.

#include "base/bytes.h"

#include <cstdint>

namespace bulkhead::spi {

struct Segment
{
	enum class Kind : uint8_t {
		DATA, // send, receive, or both at once: what there is a buffer for
		DELAY, // let time pass with the chip selected
		UNTIL, // receive single bytes until one has the bits that are wanted
	};

	Kind kind = Kind::DATA;
	uint8_t mask = 0; // UNTIL: which bits count
	uint8_t value = 0; // UNTIL: and what they must be
	bool reselect = false; // deselect and select the chip again after this segment
	uint32_t limit = 0; // UNTIL: bytes at most; DELAY: nanoseconds
	uint8_t const *sent = nullptr; // DATA; null: zeros are sent
	uint8_t *received = nullptr; // DATA; null: what comes in is ignored
	size_t size = 0; // DATA: bytes of each buffer

	/* The buffers stay the caller's and must live until the transfer has ended. */
	static constexpr Segment out(Bytes bytes)
	{
		return {.sent = bytes.data(), .size = bytes.size()};
	}

	static constexpr Segment in(Mutable_bytes bytes)
	{
		return {.received = bytes.data(), .size = bytes.size()};
	}

	/* Sends `out` and receives as many bytes to `in`, which must not be shorter. */
	static constexpr Segment exchange(Bytes out, Mutable_bytes in)
	{
		BULKHEAD_ASSERT(in.size() >= out.size());
		return {.sent = out.data(), .received = in.data(), .size = out.size()};
	}

	/* Sends the bytes, and has them hold what came in. */
	static constexpr Segment in_place(Mutable_bytes bytes)
	{
		return {.sent = bytes.data(), .received = bytes.data(), .size = bytes.size()};
	}

	static constexpr Segment delay_ns(uint32_t ns) { return {.kind = Kind::DELAY, .limit = ns}; }

	/*
	 * Goes on once the last byte that was received has `(byte & mask) == value`; until then,
	 * receives one byte after the other, `limit` of them at most (then: CONDITION_UNMET). The last
	 * byte of the segments before that was received is looked at first, so that no byte is
	 * received when the condition holds already: this is how a TPM inserts wait states (TCG PC
	 * Client Platform TPM Profile 1.05, 7.4.5 "SPI bit protocol").
	 */
	static constexpr Segment until(uint8_t mask, uint8_t value, uint32_t limit)
	{
		return {.kind = Kind::UNTIL, .mask = mask, .value = value, .limit = limit};
	}

	/* The same segment with the chip deselected and selected again after it. */
	constexpr Segment and_reselect() const
	{
		Segment other = *this;
		other.reselect = true;
		return other;
	}
};

} // namespace bulkhead::spi
