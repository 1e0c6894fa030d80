#pragma once

// How long a TPM may take: the time-outs of its interface, and the durations of its commands.

#include <cstdint>

namespace bulkhead::tpm {

/*
 * Time-outs of the interface in microseconds (PTP 6.5.1.3; TIMEOUT_C is that of TPM 2.0). The
 * driver has no use for TIMEOUT_D.
 */
struct Timeouts
{
	uint64_t a_us = 750'000; // locality, valid access register, burst count
	uint64_t b_us = 2'000'000; // command ready, command cancel
	uint64_t c_us = 200'000; // status valid, data available after it was promised
};

/*
 * The longest that a command may take, in microseconds. The PTP's classes (20, 750 and 2000 ms) are
 * those of a chip at rest; a TPM that makes a key, or first finishes its self-test, may take
 * minutes. The codes are TPM_CC of TPM 2.0 Part 2, 6.5.2.
 */
constexpr uint64_t duration_us(uint32_t command_code)
{
	constexpr uint64_t QUICK_US = 2'000'000;
	constexpr uint64_t USUAL_US = 120'000'000;
	constexpr uint64_t KEY_US = 300'000'000;

	switch (command_code) {
	case 0x131: // TPM2_CreatePrimary
	case 0x153: // TPM2_Create
	case 0x191: // TPM2_CreateLoaded
		return KEY_US;
	case 0x165: // TPM2_FlushContext
	case 0x173: // TPM2_ReadPublic
	case 0x17a: // TPM2_GetCapability
	case 0x17b: // TPM2_GetRandom
	case 0x17e: // TPM2_PCR_Read
	case 0x181: // TPM2_ReadClock
	case 0x182: // TPM2_PCR_Extend
		return QUICK_US;
	default: return USUAL_US;
	}
}

} // namespace bulkhead::tpm
