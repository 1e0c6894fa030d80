#pragma once

// TPM registers behind an SPI bus, by the SPI bit protocol of the PTP (7.4.5): a header of four
// bytes (direction and size, 0xD4, address), wait states, then the data, all under one chip select.

#include "driver/spi/bus.h"
#include "driver/tpm/register_access.h"

namespace bulkhead::tpm {

class Spi_access final : public Register_access
{
private:
	spi::Device &_device;
	size_t const _size_max;

	// Of the access that goes on. There is one at a time, so its frame needn't hold them.
	uint8_t _header[4]{};
	uint8_t _header_in[4]{};
	spi::Segment _segments[3];

	Task<void, Error> _transfer(Job &, uint8_t direction_and_size, uint16_t address);

public:
	/*
	 * The device is the TPM's chip select, in mode 0. A TPM that inserts more than
	 * `wait_states_max` wait states, of a byte each, is taken for hung: BUS_TIMEOUT.
	 */
	explicit Spi_access(spi::Device &device, uint32_t wait_states_max = 1000);

	Task<void, Error> read(Job &job, uint16_t address, Mutable_bytes to) override;
	Task<void, Error> write(Job &job, uint16_t address, Bytes from) override;

	size_t size_max() const override { return _size_max; }
};

} // namespace bulkhead::tpm
