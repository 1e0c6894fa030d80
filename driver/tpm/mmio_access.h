#pragma once

// TPM registers in memory, as a PC's chipset maps them at 0xFED4'0000.

#include "driver/tpm/register_access.h"

namespace bulkhead::tpm {

class Mmio_access final : public Register_access
{
private:
	uint8_t volatile *const _base;

public:
	/* `base` is where the five localities are mapped, uncached. */
	explicit Mmio_access(void volatile *base) : _base(static_cast<uint8_t volatile *>(base)) {}

	Task<void, Error> read(Job &job, uint16_t address, Mutable_bytes to) override;
	Task<void, Error> write(Job &job, uint16_t address, Bytes from) override;

	size_t size_max() const override { return SPI_FRAME_MAX_BYTES; }
};

} // namespace bulkhead::tpm
