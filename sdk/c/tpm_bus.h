#pragma once

// The SPI bus that a TPM is on, for C programs and for libraries that bring a TPM driver of their
// own: wolftpm.h and tss2_spi_helper.h have the callbacks that those ask for. For a driver, too,
// see tpm.h. A bus is used by one thread at a time; different buses don't know of each other.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Bulkhead_tpm_bus Bulkhead_tpm_bus;

/* A sentence about what went wrong, cut if need be. */
typedef struct Bulkhead_message
{
	char text[256];
} Bulkhead_message;

/*
 * Opens a bus by its name and stores it in `*bus`, or null if it fails:
 *
 *	spidev:/dev/spidev0.1[,clock_hz=N]
 *	sim:SOCKET[,wait_states=N][,burst_count=N][,select=N]
 *		[,conditional=0][,keeps_selected=0]
 *
 * where SOCKET is that of a swtpm behind a simulated chip: a path or host:port. Returns 0 or a
 * negative errno: -EINVAL (the name, or null), -ENOENT, -EACCES, -EBUSY, -ENODEV (nobody answers),
 * -ETIMEDOUT, -EOPNOTSUPP (it is something else), -ENOMEM, -EIO. `why` may be null.
 */
int bulkhead_tpm_bus_open(char const *name, Bulkhead_tpm_bus **bus, Bulkhead_message *why);

/* Deselects the chip and closes the bus. Null is ignored. */
void bulkhead_tpm_bus_close(Bulkhead_tpm_bus *bus);

/* The negative errno of the latest callback that failed on this bus, 0 if none has. */
int bulkhead_tpm_bus_error(Bulkhead_tpm_bus const *bus);

/*
 * Whether a chip can be kept selected from one transfer to the next, which wait states need. True
 * of spidev, too, although not every controller's driver keeps what spidev promises.
 */
bool bulkhead_tpm_bus_keeps_selected(Bulkhead_tpm_bus const *bus);

typedef struct Bulkhead_tpm_bus_counters
{
	uint64_t frames; // times that the chip was selected
	uint64_t transfers; // exchanges with the controller, of which a frame has one or more
	uint64_t bytes; // sent or received, without those that only wait
} Bulkhead_tpm_bus_counters;

/* What went over the bus since it was opened. */
void bulkhead_tpm_bus_count(Bulkhead_tpm_bus const *bus, Bulkhead_tpm_bus_counters *counters);

#ifdef __cplusplus
}
#endif
