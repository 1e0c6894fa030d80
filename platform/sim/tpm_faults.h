#pragma once

// What can be wrong with a simulated TPM or its wire. Every fault can be switched at any time and
// be aimed at certain occasions: `faults.response_dropped = Fault::nth(3)` is the third command.

#include <cstdint>
#include <limits>

namespace bulkhead::sim {

/* Which occasions a fault hits. What an occasion is stands beside each fault. */
struct Fault
{
	static constexpr uint32_t FOREVER = std::numeric_limits<uint32_t>::max();

	uint32_t pass = 0; // so many occasions go well first
	uint32_t times = 0; // so many are hit then; 0: none, the fault is off
	uint32_t hits = 0; // so many were hit

	static constexpr Fault always() { return {.times = FOREVER}; }
	static constexpr Fault once() { return {.times = 1}; }
	static constexpr Fault nth(uint32_t n) { return {.pass = n - 1, .times = 1}; }
	static constexpr Fault from(uint32_t n) { return {.pass = n - 1, .times = FOREVER}; }

	/* Whether the next occasion will go wrong. */
	constexpr bool due() const { return times != 0 && pass == 0; }

	/* An occasion: whether it goes wrong. */
	constexpr bool strike()
	{
		if (times == 0) return false;
		if (pass) {
			--pass;
			return false;
		}
		if (times != FOREVER) --times;
		++hits;
		return true;
	}
};

struct Tpm_faults
{
	/* A point in the course of a command. */
	enum class Moment : uint8_t {
		RECEPTION, // the first byte arrives
		EXECUTION, // tpmGo
		COMPLETION, // the response is there
		READING, // the first byte of the response is read
	};

	// The wire; an occasion is a frame, from chip select to deselect.
	Fault line_low{}; // the chip's output stays 0x00
	Fault line_high{}; // it stays 0xFF, as of a chip without power
	Fault endless_wait{}; // wait states do not end
	Fault more_wait_states{}; // `wait_states` are inserted, beside those of `Tpm_chip`
	uint32_t wait_states = 1;

	// Bits that flip on the line, one in so many bytes on average; 0: none.
	uint32_t flip_received_1_in = 0; // from the chip
	uint32_t flip_sent_1_in = 0; // to the chip
	uint64_t seed = 1;
	uint64_t flips = 0; // so many were flipped

	// Identity; an occasion is an access to the register.
	Fault vendor_wrong{}; // TPM_DID_VID reads `vendor`, with the device id of the same bits
	uint16_t vendor = 0xffff;
	Fault interface_wrong{}; // TPM_INTERFACE_ID.InterfaceType reads `interface_type`
	uint8_t interface_type = 0x1; // CRB

	// Localities.
	Fault locality_denied{}; // a request, which is never granted
	Fault locality_stolen{}; // a command that reaches `stolen_at`: locality 4 seizes a lower one's
	Moment stolen_at = Moment::EXECUTION;
	bool thief_stays = false; // else locality 4 lets go at once

	// What an occasion is: a write of commandReady that would be followed.
	Fault ready_ignored{};

	// An occasion is a command: its first byte, or the look at a Ready chip that shows the fault.
	// They last until the command ends.
	Fault burst_one{}; // burstCount is 1 at most
	Fault burst_zero{}; // burstCount is 0 for `burst_zero_polls` looks at it
	uint32_t burst_zero_polls = Fault::FOREVER;
	Fault expect_low{}; // Expect is never set
	Fault expect_high{}; // Expect stays set
	Fault status_invalid{}; // stsValid is never set
	Fault command_byte_lost{}; // the chip misses the last byte: the command must be sent again
	Fault response_dropped{}; // dataAvail is never set, not even after commandCancel
	Fault response_until_cancel{}; // TPM_RC_CANCELED appears, but only after commandCancel

	// An occasion is a response, and each responseRetry.
	Fault response_byte_lost{}; // byte `lost_at` is missing; responseRetry helps
	uint32_t lost_at = 10;

	// An occasion is a response.
	Fault response_size_wrong{}; // the header's size field is `response_size`
	uint32_t response_size = 0;

	// An occasion is a command that reaches `reset_at`: the chip is as after a reset.
	Fault resets_itself{};
	Moment reset_at = Moment::EXECUTION;

	/* A random number; the sequence is the seed's. */
	constexpr uint64_t random()
	{
		seed += 0x9e3779b97f4a7c15;
		uint64_t mixed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9;
		mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
		return mixed ^ (mixed >> 31);
	}

	/* The byte, or one with a bit flipped. */
	constexpr uint8_t flip(uint8_t byte, uint32_t one_in)
	{
		if (one_in == 0 || random() % one_in != 0) return byte;
		++flips;
		return static_cast<uint8_t>(byte ^ 1u << (random() % 8));
	}
};

} // namespace bulkhead::sim
