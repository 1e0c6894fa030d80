#pragma once

// What both clients know of a TPM: registers and bits (TCG PC Client Platform TPM Profile 1.05,
// 6.5), and one command.

#include <stdint.h>

enum {
	TPM_BASE = 0xd40000,
	TPM_ACCESS = TPM_BASE | 0x00,
	TPM_STS = TPM_BASE | 0x18,
	TPM_DATA_FIFO = TPM_BASE | 0x24,
	TPM_DID_VID = TPM_BASE | 0xf00,

	ACCESS_REQUEST_USE = 0x02,
	ACCESS_ACTIVE = 0xa0, // active locality and a valid register

	STS_COMMAND_READY = 0x40,
	STS_GO = 0x20,
	STS_DATA_AVAIL = 0x90, // and valid
	STS_EXPECT = 0x08,
	STS_VALID = 0x80,

	FRAME_DATA_MAX = 64,
	COMMAND_BYTES = 12,
	RESPONSE_HEADER_BYTES = 10,
	LOOKS_MAX = 1000,
};

/* TPM2_GetRandom of 16 bytes. */
static uint8_t const get_random_command[COMMAND_BYTES] = {
	0x80, 0x01, 0, 0, 0, COMMAND_BYTES, 0, 0, 0x01, 0x7b, 0, 16};
