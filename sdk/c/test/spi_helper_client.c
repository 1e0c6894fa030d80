// Drives a TPM as the spi-helper TCTI of tpm2-tss 4 does, through its platform callbacks: thirteen
// transactions for a command, each of header, wait states and data.

#include "sdk/c/test/clients.h"
#include "sdk/c/test/tis.h"
#include "sdk/c/tss2_spi_helper.h"

#include <string.h>

/* As tss2_tcti_spi_helper.h orders them. */
typedef struct Platform
{
	void *user_data;
	uint32_t (*sleep_ms)(void *user_data, int milliseconds);
	uint32_t (*start_timeout)(void *user_data, int milliseconds);
	uint32_t (*timeout_expired)(void *user_data, bool *result);
	uint32_t (*spi_acquire)(void *user_data);
	uint32_t (*spi_release)(void *user_data);
	uint32_t (*spi_transfer)(void *user_data, void const *data_out, void *data_in, size_t size);
	void (*finalize)(void *user_data);
} Platform;

static Platform platform_of(Bulkhead_tpm_bus *bus, bool hold)
{
	Platform platform = BULKHEAD_TSS2_SPI_HELPER_PLATFORM(bus);
	if (!hold) {
		platform.spi_acquire = NULL;
		platform.spi_release = NULL;
	}
	return platform;
}

static void write_header(uint8_t *to, bool is_read, uint32_t address, size_t size)
{
	to[0] = (uint8_t)((is_read ? 0x80 : 0) | (size - 1));
	to[1] = (uint8_t)(address >> 16);
	to[2] = (uint8_t)(address >> 8);
	to[3] = (uint8_t)address;
}

/* Sends the header and waits, byte by byte, until the TPM is ready for the data. */
static bool begin(Platform *platform, uint8_t const *header)
{
	uint8_t answer[4] = {0}, byte = 0, zero = 0;
	if (platform->spi_transfer(platform->user_data, header, answer, sizeof(answer)) != 0)
		return false;
	if (answer[3] & 1) return true;
	for (unsigned retries = 0; retries < 256; ++retries) {
		if (platform->spi_transfer(platform->user_data, &zero, &byte, 1) != 0) return false;
		if (byte & 1) return true;
		if (platform->sleep_ms(platform->user_data, 1) != 0) return false;
	}
	return false;
}

static bool transact(Platform *platform, bool is_read, uint32_t address, uint8_t *data, size_t size)
{
	uint8_t frame[4 + FRAME_DATA_MAX] = {0};
	write_header(frame, is_read, address, size);
	if (!platform->spi_acquire) {
		// Without a chip select that is held there are no wait states: one frame, in place.
		if (!is_read) memcpy(frame + 4, data, size);
		void *const in = is_read ? frame : NULL;
		if (platform->spi_transfer(platform->user_data, frame, in, 4 + size) != 0) return false;
		if (is_read) memcpy(data, frame + 4, size);
		return true;
	}
	if (platform->spi_acquire(platform->user_data) != 0) return false;
	bool done = begin(platform, frame);
	if (done)
		done = platform->spi_transfer(
				   platform->user_data, is_read ? NULL : data, is_read ? data : NULL, size) == 0;
	return platform->spi_release(platform->user_data) == 0 && done;
}

static uint32_t read_status(Platform *platform)
{
	uint8_t status[4] = {0};
	if (!transact(platform, true, TPM_STS, status, sizeof(status))) return 0;
	return (uint32_t)status[0] | (uint32_t)status[1] << 8 | (uint32_t)status[2] << 16;
}

static bool write_status(Platform *platform, uint8_t bits)
{
	uint8_t status[4] = {bits, 0, 0, 0};
	return transact(platform, false, TPM_STS, status, sizeof(status));
}

static bool await_status(Platform *platform, uint8_t bits, int timeout_ms)
{
	bool expired = false;
	if (platform->start_timeout(platform->user_data, timeout_ms) != 0) return false;
	while (!expired) {
		if ((read_status(platform) & bits) == bits) return true;
		if (platform->sleep_ms(platform->user_data, 8) != 0) return false;
		if (platform->timeout_expired(platform->user_data, &expired) != 0) return false;
	}
	return false;
}

int spi_helper_start(Bulkhead_tpm_bus *bus, bool hold)
{
	Platform platform = platform_of(bus, hold);
	uint8_t id[4] = {0}, access = ACCESS_REQUEST_USE;
	if (!transact(&platform, true, TPM_DID_VID, id, sizeof(id))) return 1;
	if (id[0] == 0xff && id[1] == 0xff) return 2;
	if (!transact(&platform, false, TPM_ACCESS, &access, 1)) return 3;
	if (!transact(&platform, true, TPM_ACCESS, &access, 1)) return 4;
	if ((access & ACCESS_ACTIVE) != ACCESS_ACTIVE) return 5;
	if (!write_status(&platform, STS_COMMAND_READY)) return 6;
	return await_status(&platform, STS_COMMAND_READY, 2000) ? 0 : 7;
}

static bool burst_reaches(Platform *platform, size_t size)
{
	return (read_status(platform) >> 8) >= size;
}

int spi_helper_get_random(Bulkhead_tpm_bus *bus, bool hold, uint8_t *random)
{
	Platform platform = platform_of(bus, hold);
	uint8_t response[RESPONSE_HEADER_BYTES + 2 + RANDOM_BYTES] = {0};
	uint8_t command[COMMAND_BYTES];
	uint8_t *const body = response + RESPONSE_HEADER_BYTES;
	size_t const last = sizeof(response) - 1;
	memcpy(command, get_random_command, sizeof(command));

	if (!write_status(&platform, STS_COMMAND_READY)) return 1;
	if (!burst_reaches(&platform, sizeof(command))) return 2;
	if (!transact(&platform, false, TPM_DATA_FIFO, command, sizeof(command))) return 3;
	if (!write_status(&platform, STS_GO)) return 4;
	if (!await_status(&platform, STS_DATA_AVAIL, 20000)) return 5;
	if (!burst_reaches(&platform, RESPONSE_HEADER_BYTES)) return 6;
	if (!transact(&platform, true, TPM_DATA_FIFO, response, RESPONSE_HEADER_BYTES)) return 7;
	if (response[5] != sizeof(response) || response[8] || response[9]) return 14;
	// All but the last byte, to see the status change with it.
	if (!burst_reaches(&platform, last - RESPONSE_HEADER_BYTES)) return 8;
	if (!transact(&platform, true, TPM_DATA_FIFO, body, last - RESPONSE_HEADER_BYTES)) return 9;
	if ((read_status(&platform) & STS_DATA_AVAIL) != STS_DATA_AVAIL) return 10;
	if (!transact(&platform, true, TPM_DATA_FIFO, response + last, 1)) return 11;
	if ((read_status(&platform) & STS_DATA_AVAIL) != STS_VALID) return 12;
	if (!write_status(&platform, STS_COMMAND_READY)) return 13;
	memcpy(random, body + 2, RANDOM_BYTES);
	return 0;
}

void spi_helper_end(Bulkhead_tpm_bus *bus)
{
	Platform const platform = BULKHEAD_TSS2_SPI_HELPER_PLATFORM(bus);
	platform.finalize(platform.user_data);
}
