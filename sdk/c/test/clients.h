#pragma once

// C programs that use the interface as its users do: a library that sits on the bus with a TIS
// driver of its own, through the callbacks of wolfTPM or of tpm2-tss' spi-helper, and a program
// that uses our driver. Neither library is packaged in Debian 12; what they do on the bus is.

#include "sdk/c/tpm_bus.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RANDOM_BYTES = 16 };

/* How wolfTPM was built. */
typedef enum { FRAMES, ADVANCED } Wolftpm_build;

/* All return 0, or the number of the step that failed. */
int wolftpm_start(Bulkhead_tpm_bus *bus, Wolftpm_build build);
int wolftpm_get_random(Bulkhead_tpm_bus *bus, Wolftpm_build build, uint8_t *random);

/* `hold`: whether the callbacks for acquire and release are there. */
int spi_helper_start(Bulkhead_tpm_bus *bus, bool hold);
int spi_helper_get_random(Bulkhead_tpm_bus *bus, bool hold, uint8_t *random);
void spi_helper_end(Bulkhead_tpm_bus *bus);

/* Opens, asks for random bytes and closes. Returns 0 or a negative errno. */
int tpm_get_random(char const *name, uint8_t *random, Bulkhead_message *why);

#ifdef __cplusplus
}
#endif
