#pragma once

// A TPM with its driver, in the process of a C program: no daemon, no kernel driver, no file. One
// thread at a time per TPM.

#include "sdk/c/tpm_bus.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Bulkhead_tpm Bulkhead_tpm;

enum { BULKHEAD_TPM_MESSAGE_MAX = 4096 }; // bytes of a command or response, at most

/*
 * Opens the bus by its name (see `bulkhead_tpm_bus_open`; the option locality=0…4 is for this
 * function) and starts the driver. Stores the TPM in `*tpm`, or null if it fails.
 *
 * Returns 0 or a negative errno: those of `bulkhead_tpm_bus_open`, and -ENODEV (no TPM answers),
 * -EOPNOTSUPP (a TPM 1.2, or one without a FIFO), -EBUSY (the locality wasn't granted). `why` may
 * be null. It takes less than a second, or a few when the chip doesn't obey.
 */
int bulkhead_tpm_open(char const *name, Bulkhead_tpm **tpm, Bulkhead_message *why);

/*
 * Has the TPM execute a command and waits for its response, which may be written over the command.
 * What the TPM refuses is a response, too.
 *
 * Returns the response's size or a negative errno: -EINVAL (not a command), -EMSGSIZE (the response
 * has more than `response_room` bytes; it is lost), -ENODEV (the chip stopped answering),
 * -ETIMEDOUT, -EBUSY (the locality was lost), -EIO. `bulkhead_tpm_reason` says more.
 */
int bulkhead_tpm_transact(Bulkhead_tpm *tpm, uint8_t const *command, size_t command_size,
	uint8_t *response, size_t response_room);

/* What the driver said when `bulkhead_tpm_transact` failed last; valid for ever. */
char const *bulkhead_tpm_reason(Bulkhead_tpm const *tpm);

/* Gives the locality back and closes the bus. Null is ignored. */
void bulkhead_tpm_close(Bulkhead_tpm *tpm);

#ifdef __cplusplus
}
#endif
