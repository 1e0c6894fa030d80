#pragma once

// tpm2-tss 4's spi-helper TCTI on our bus: the platform callbacks that Tss2_Tcti_Spi_Helper_Init
// takes. They return a TSS2_RC, which is a uint32_t.
//
//	Bulkhead_tpm_bus *bus;
//	if (bulkhead_tpm_bus_open("spidev:/dev/spidev0.1", &bus, NULL) == 0) {
//		TSS2_TCTI_SPI_HELPER_PLATFORM platform = BULKHEAD_TSS2_SPI_HELPER_PLATFORM(bus);
//		rc = Tss2_Tcti_Spi_Helper_Init(tcti, &size, &platform);
//	}

#include "sdk/c/tpm_bus.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the callbacks return beside 0, by the names of tss2_common.h. */
enum {
	BULKHEAD_TSS2_TCTI_RC_BAD_REFERENCE = 0xa0005,
	BULKHEAD_TSS2_TCTI_RC_BAD_SEQUENCE = 0xa0007,
	BULKHEAD_TSS2_TCTI_RC_IO_ERROR = 0xa000a, // `bulkhead_tpm_bus_error` tells why
	BULKHEAD_TSS2_TCTI_RC_BAD_VALUE = 0xa000b,
};

/* `user_data` is the bus, everywhere. */

uint32_t bulkhead_tss2_sleep_ms(void *user_data, int milliseconds);

uint32_t bulkhead_tss2_start_timeout(void *user_data, int milliseconds);

/* Whether the time-out that was started last is over; true if none was. */
uint32_t bulkhead_tss2_timeout_expired(void *user_data, bool *result);

/*
 * Takes the bus; the chip stays selected from the first transfer on. BAD_SEQUENCE: it was taken
 * already.
 */
uint32_t bulkhead_tss2_spi_acquire(void *user_data);

/* Deselects the chip and gives the bus back. BAD_SEQUENCE: it wasn't taken. */
uint32_t bulkhead_tss2_spi_release(void *user_data);

/*
 * Sends and receives `size` bytes. Either buffer may be null: then zeros are sent, or what comes in
 * is dropped. Both may be the same. Without `spi_acquire` before it, it is a frame of its own.
 */
uint32_t bulkhead_tss2_spi_transfer(
	void *user_data, void const *data_out, void *data_in, size_t size);

/* Closes the bus. */
void bulkhead_tss2_finalize(void *user_data);

/*
 * Initialises a TSS2_TCTI_SPI_HELPER_PLATFORM. On a bus that can't keep the chip selected, acquire
 * and release are left out: the library then does without wait states.
 */
#define BULKHEAD_TSS2_SPI_HELPER_PLATFORM(bus) \
	{ \
		(bus), \
		bulkhead_tss2_sleep_ms, \
		bulkhead_tss2_start_timeout, \
		bulkhead_tss2_timeout_expired, \
		bulkhead_tpm_bus_keeps_selected(bus) ? bulkhead_tss2_spi_acquire : NULL, \
		bulkhead_tpm_bus_keeps_selected(bus) ? bulkhead_tss2_spi_release : NULL, \
		bulkhead_tss2_spi_transfer, \
		bulkhead_tss2_finalize, \
	}

#ifdef __cplusplus
}
#endif
