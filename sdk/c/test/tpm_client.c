// A C program that uses our driver.

#include "sdk/c/test/clients.h"
#include "sdk/c/test/tis.h"
#include "sdk/c/tpm.h"

#include <errno.h>
#include <string.h>

int tpm_get_random(char const *name, uint8_t *random, Bulkhead_message *why)
{
	Bulkhead_tpm *tpm = NULL;
	uint8_t response[BULKHEAD_TPM_MESSAGE_MAX];
	size_t const header = RESPONSE_HEADER_BYTES + 2;

	int const opened = bulkhead_tpm_open(name, &tpm, why);
	if (opened < 0) return opened;
	int const size = bulkhead_tpm_transact(
		tpm, get_random_command, sizeof(get_random_command), response, sizeof(response));
	if (size < 0) strncpy(why->text, bulkhead_tpm_reason(tpm), sizeof(why->text) - 1);
	bulkhead_tpm_close(tpm);
	if (size < 0) return size;
	if ((size_t)size != header + RANDOM_BYTES) return -EIO;
	memcpy(random, response + header, RANDOM_BYTES);
	return 0;
}
