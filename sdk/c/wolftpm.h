#pragma once

// wolfTPM on our bus: the I/O callbacks that TPM2_Init and wolfTPM2_Init take.
//
//	Bulkhead_tpm_bus *bus;
//	if (bulkhead_tpm_bus_open("spidev:/dev/spidev0.1", &bus, NULL) == 0)
//		rc = wolfTPM2_Init(&device, bulkhead_wolftpm_io, bus);
//
// wolfTPM has no error codes for a bus: a callback returns 0 or TPM_RC_FAILURE, and
// `bulkhead_tpm_bus_error` tells why.

#include "sdk/c/tpm_bus.h"

#ifdef __cplusplus
extern "C" {
#endif

struct TPM2_CTX; // wolfTPM's, unused here

/*
 * The callback of a wolfTPM that was built without WOLFTPM_ADV_IO. `user` is the bus; `sent` and
 * `received` have `size` bytes: a header of four and 1 to 64 of data, all under one chip select.
 *
 * Wait states are waited for between header and data, as WOLFTPM_CHECK_WAIT_STATE has it, whether
 * wolfTPM was built with it or not; their bytes don't appear in `received`. On a bus that can't
 * keep the chip selected, a chip that inserts wait states is an error.
 */
int bulkhead_wolftpm_io(
	struct TPM2_CTX *context, uint8_t const *sent, uint8_t *received, uint16_t size, void *user);

/*
 * The callback of a wolfTPM that was built with WOLFTPM_ADV_IO: 1 to 64 bytes at a register, whose
 * address may begin with 0xD40000, 0xFED40000 or nothing.
 */
int bulkhead_wolftpm_advanced_io(struct TPM2_CTX *context, int32_t is_read, uint32_t address,
	uint8_t *buffer, uint16_t size, void *user);

#ifdef __cplusplus
}
#endif
