#include "driver/tpm/mmio_access.h"

namespace bulkhead::tpm {

static bool fifo(uint16_t address)
{
	return (address & (LOCALITY_BYTES - 1)) == uint16_t(Register::TPM_DATA_FIFO);
}

/* Registers of four bytes are accessed as a whole, so that none changes in the middle of it. */
static bool whole_register(uint16_t address, size_t size)
{
	return size == sizeof(uint32_t) && address % sizeof(uint32_t) == 0 && !fifo(address);
}

Task<void, Error> Mmio_access::read(Job &job, uint16_t address, Mutable_bytes to)
{
	if (job.cancelled()) return Error::CANCELLED;
	uint8_t volatile *const at = _base + address;
	if (whole_register(address, to.size())) {
		store_le<uint32_t>(to.first<4>(), *reinterpret_cast<uint32_t volatile *>(at));
		return Ok{};
	}
	bool const same = fifo(address);
	for (size_t i = 0; i < to.size(); i++) to[i] = at[same ? 0 : i];
	return Ok{};
}

Task<void, Error> Mmio_access::write(Job &job, uint16_t address, Bytes from)
{
	if (job.cancelled()) return Error::CANCELLED;
	uint8_t volatile *const at = _base + address;
	if (whole_register(address, from.size())) {
		*reinterpret_cast<uint32_t volatile *>(at) = load_le<uint32_t>(from.first<4>());
		return Ok{};
	}
	bool const same = fifo(address);
	for (size_t i = 0; i < from.size(); i++) at[same ? 0 : i] = from[i];
	return Ok{};
}

} // namespace bulkhead::tpm
