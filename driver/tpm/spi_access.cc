#include "driver/tpm/spi_access.h"

namespace bulkhead::tpm {

static constexpr uint8_t READ = 0x80;
static constexpr uint8_t READY = 0x01; // bit 0 of the byte that ends the wait states

/* A controller may move less at once than the PTP allows; where not even a register fits, it fails.
 */
static size_t most_at_once(spi::Limits const &limits)
{
	constexpr size_t FRAME_HEADER = 4, LEAST = FRAME_HEADER + sizeof(uint32_t);
	size_t const room = std::min(limits.sent_max, limits.received_max);
	return std::clamp(room, LEAST, FRAME_HEADER + SPI_FRAME_MAX_BYTES) - FRAME_HEADER;
}

Spi_access::Spi_access(spi::Device &device, uint32_t wait_states_max)
	: _device(device),
	  _size_max(most_at_once(device.limits())),
	  _segments{spi::Segment::exchange(_header, _header_in),
		  spi::Segment::until(READY, READY, wait_states_max), spi::Segment::in({})}
{}

static Task<void, Error> in_terms_of_tpm(Job &, Task<void, spi::Error> transfer)
{
	CO_TRY(co_await transfer);
	co_return Ok{};
}

inline Task<void, Error> Spi_access::_transfer(
	Job &job, uint8_t direction_and_size, uint16_t address)
{
	uint32_t const wire_address = SPI_BASE | address;
	_header[0] = direction_and_size;
	_header[1] = uint8_t(wire_address >> 16);
	_header[2] = uint8_t(wire_address >> 8);
	_header[3] = uint8_t(wire_address);

	Task<void, spi::Error> transfer = _device.transfer(job, _segments);
	if (!transfer.ready()) return in_terms_of_tpm(job, std::move(transfer));
	Attempt<void, spi::Error> const done = transfer.take();
	if (!done.ok()) return Failure{done.error()};
	return Ok{};
}

Task<void, Error> Spi_access::read(Job &job, uint16_t address, Mutable_bytes to)
{
	BULKHEAD_ASSERT(to.size() >= 1 && to.size() <= size_max());
	_segments[2] = spi::Segment::in(to);
	return _transfer(job, uint8_t(READ | (to.size() - 1)), address);
}

Task<void, Error> Spi_access::write(Job &job, uint16_t address, Bytes from)
{
	BULKHEAD_ASSERT(from.size() >= 1 && from.size() <= size_max());
	_segments[2] = spi::Segment::out(from);
	return _transfer(job, uint8_t(from.size() - 1), address);
}

} // namespace bulkhead::tpm
