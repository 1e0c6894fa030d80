#pragma once

// The floor: a TPM command over the same wire by hand, blocking, without jobs, arbitration,
// time-outs or recovery. It accesses the registers in the very order in which `Tis` does.

#include "base/bytes.h"
#include "driver/spi/controller.h"
#include "driver/tpm/registers.h"

#include <cstdlib>

namespace bulkhead::tpm {

class By_hand
{
private:
	spi::Controller &_wire;
	Job &_job;
	spi::Chip _chip{};

	[[gnu::noinline]] void _frame(uint8_t direction, uint16_t address, spi::Segment const &data)
	{
		uint8_t header[4] = {
			uint8_t(direction | (data.size - 1)), 0xd4, uint8_t(address >> 8), uint8_t(address)};
		spi::Segment const segments[] = {
			spi::Segment::in_place(header), spi::Segment::until(1, 1, 1000), data};
		Task<void, spi::Error> task = _wire.transfer(_job, _chip, segments, spi::After::DESELECT);
		if (!task.ready() || !task.take().ok()) abort();
	}

	void _set(Register at, uint8_t value)
	{
		_frame(0, uint16_t(at), spi::Segment::out({&value, 1}));
	}

	/* The status when it has these bits. */
	uint32_t _await(uint32_t bits)
	{
		for (unsigned looks = 0; looks < 1000; ++looks) {
			uint8_t bytes[4];
			_frame(0x80, uint16_t(Register::TPM_STS), spi::Segment::in(bytes));
			uint32_t const status = load_le<uint32_t>(bytes);
			if ((status & bits) == bits) return status;
		}
		abort();
	}

public:
	By_hand(spi::Controller &wire, Job &job) : _wire(wire), _job(job)
	{
		_set(Register::TPM_ACCESS, access::REQUEST_USE);
		_set(Register::TPM_STS, sts::COMMAND_READY);
	}

	size_t execute(Bytes command, Mutable_bytes response)
	{
		uint16_t const fifo = uint16_t(Register::TPM_DATA_FIFO);
		uint32_t status = _await(sts::COMMAND_READY); // set at the end of the last command
		while (!command.empty()) {
			size_t n = std::min<size_t>(sts::burst_count(status), SPI_FRAME_MAX_BYTES);
			n = std::min(n, command.size());
			_frame(0, fifo, spi::Segment::out(command.first(n)));
			command = command.subspan(n);
			status = _await(sts::STS_VALID);
		}
		if (status & sts::EXPECT) abort();
		_set(Register::TPM_STS, sts::TPM_GO);
		status = _await(sts::STS_VALID | sts::DATA_AVAIL);
		_frame(0x80, fifo, spi::Segment::in(response.first(HEADER_BYTES)));
		size_t const size = load_be<uint32_t>(response.subspan<2, 4>());
		if (size > response.size()) abort();
		for (size_t at = HEADER_BYTES; at < size;) {
			size_t const n = std::min<size_t>(size - at, SPI_FRAME_MAX_BYTES);
			_frame(0x80, fifo, spi::Segment::in(response.subspan(at, n)));
			at += n;
		}
		status = _await(sts::STS_VALID);
		if (status & sts::DATA_AVAIL) abort();
		_set(Register::TPM_STS, sts::COMMAND_READY);
		return size;
	}
};

} // namespace bulkhead::tpm
