// Drives a TPM as wolfTPM does, through its I/O callback: twelve register accesses for GetRandom.

#include "sdk/c/test/clients.h"
#include "sdk/c/test/tis.h"
#include "sdk/c/wolftpm.h"

#include <string.h>

typedef int (*Frame_callback)(struct TPM2_CTX *, uint8_t const *, uint8_t *, uint16_t, void *);
typedef int (*Advanced_callback)(struct TPM2_CTX *, int32_t, uint32_t, uint8_t *, uint16_t, void *);

static Frame_callback const frame_callback = bulkhead_wolftpm_io;
static Advanced_callback const advanced_callback = bulkhead_wolftpm_advanced_io;

static int access_register(Bulkhead_tpm_bus *bus, Wolftpm_build build, bool is_read,
	uint32_t address, uint8_t *data, uint16_t size)
{
	uint8_t sent[4 + FRAME_DATA_MAX] = {0}, received[4 + FRAME_DATA_MAX] = {0};
	if (build == ADVANCED) return advanced_callback(NULL, is_read, address, data, size, bus);
	sent[0] = (uint8_t)((is_read ? 0x80 : 0) | (size - 1));
	sent[1] = (uint8_t)(address >> 16);
	sent[2] = (uint8_t)(address >> 8);
	sent[3] = (uint8_t)address;
	if (!is_read) memcpy(sent + 4, data, size);
	int const result = frame_callback(NULL, sent, received, (uint16_t)(4 + size), bus);
	if (is_read) memcpy(data, received + 4, size);
	return result;
}

static int read_register(
	Bulkhead_tpm_bus *bus, Wolftpm_build build, uint32_t address, void *to, uint16_t size)
{
	return access_register(bus, build, true, address, to, size);
}

static int write_register(
	Bulkhead_tpm_bus *bus, Wolftpm_build build, uint32_t address, uint8_t value)
{
	return access_register(bus, build, false, address, &value, 1);
}

/* Looks until the bits are as they are wanted; usually once. */
static bool await(
	Bulkhead_tpm_bus *bus, Wolftpm_build build, uint32_t address, uint8_t mask, uint8_t wanted)
{
	for (unsigned looks = 0; looks < LOOKS_MAX; ++looks) {
		uint8_t value = 0;
		if (read_register(bus, build, address, &value, 1) != 0) return false;
		if ((value & mask) == wanted) return true;
	}
	return false;
}

static uint16_t burst_count(Bulkhead_tpm_bus *bus, Wolftpm_build build)
{
	uint8_t count[2] = {0};
	if (read_register(bus, build, TPM_STS + 1, count, sizeof(count)) != 0) return 0;
	return (uint16_t)(count[0] | count[1] << 8);
}

int wolftpm_start(Bulkhead_tpm_bus *bus, Wolftpm_build build)
{
	uint8_t id[4] = {0};
	if (!await(bus, build, TPM_ACCESS, 0x80, 0x80)) return 1;
	if (write_register(bus, build, TPM_ACCESS, ACCESS_REQUEST_USE) != 0) return 2;
	if (!await(bus, build, TPM_ACCESS, ACCESS_ACTIVE, ACCESS_ACTIVE)) return 3;
	if (read_register(bus, build, TPM_DID_VID, id, sizeof(id)) != 0) return 4;
	if (id[0] == 0xff && id[1] == 0xff) return 5;
	if (write_register(bus, build, TPM_STS, STS_COMMAND_READY) != 0) return 6;
	return await(bus, build, TPM_STS, STS_COMMAND_READY, STS_COMMAND_READY) ? 0 : 7;
}

int wolftpm_get_random(Bulkhead_tpm_bus *bus, Wolftpm_build build, uint8_t *random)
{
	uint8_t response[RESPONSE_HEADER_BYTES + 2 + RANDOM_BYTES] = {0};
	uint8_t command[COMMAND_BYTES];
	uint16_t const rest = 2 + RANDOM_BYTES;
	memcpy(command, get_random_command, sizeof(command));

	if (!await(bus, build, TPM_STS, STS_COMMAND_READY, STS_COMMAND_READY)) return 1;
	if (burst_count(bus, build) < sizeof(command)) return 2;
	if (access_register(bus, build, false, TPM_DATA_FIFO, command, sizeof(command)) != 0) return 3;
	if (!await(bus, build, TPM_STS, STS_EXPECT, 0)) return 4;
	if (write_register(bus, build, TPM_STS, STS_GO) != 0) return 5;
	if (!await(bus, build, TPM_STS, STS_DATA_AVAIL, STS_DATA_AVAIL)) return 6;
	if (burst_count(bus, build) < RESPONSE_HEADER_BYTES) return 7;
	if (read_register(bus, build, TPM_DATA_FIFO, response, RESPONSE_HEADER_BYTES) != 0) return 8;
	if (!await(bus, build, TPM_STS, STS_DATA_AVAIL, STS_DATA_AVAIL)) return 9;
	if (burst_count(bus, build) < rest) return 10;
	if (read_register(bus, build, TPM_DATA_FIFO, response + RESPONSE_HEADER_BYTES, rest) != 0)
		return 11;
	if (write_register(bus, build, TPM_STS, STS_COMMAND_READY) != 0) return 12;

	if (response[5] != sizeof(response) || response[8] || response[9]) return 13;
	memcpy(random, response + RESPONSE_HEADER_BYTES + 2, RANDOM_BYTES);
	return 0;
}
