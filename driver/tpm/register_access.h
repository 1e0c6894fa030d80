#pragma once

// How a TPM driver reaches the chip's registers: through SPI frames or in memory. The driver is the
// same for both.

#include "base/bytes.h"
#include "base/task.h"
#include "driver/tpm/error.h"
#include "driver/tpm/registers.h"

namespace bulkhead::tpm {

/*
 * One access at a time. The address is `locality * LOCALITY_BYTES + register`; several bytes at the
 * FIFO all go to or come from it, several bytes elsewhere are consecutive registers.
 */
class Register_access
{
protected:
	~Register_access() = default;

public:
	/* Errors: CANCELLED, TIMEOUT, OUT_OF_FRAMES, BUS_TIMEOUT, BUS_FAULT, BUS_DENIED, GONE. */
	virtual Task<void, Error> read(Job &job, uint16_t address, Mutable_bytes to) = 0;
	virtual Task<void, Error> write(Job &job, uint16_t address, Bytes from) = 0;

	/* The most bytes of one access; at least 4, as registers have. */
	virtual size_t size_max() const = 0;
};

} // namespace bulkhead::tpm
