#pragma once

// A backend that a test answers for, and software that accesses registers as the profile says.

#include "platform/sim/tpm_registers.h"

#include <vector>

namespace bulkhead::sim {

using Bytes_vector = std::vector<uint8_t>;

struct Fake_backend final : Tpm_backend
{
	Tpm_client *client = nullptr;
	Bytes_vector command{};
	Bytes_vector at_once{}; // answers so from within `submit`, unless it is empty
	uint8_t locality = 0xff;
	unsigned submits = 0;
	unsigned cancels = 0;

	void submit(Tpm_client &from, uint8_t where, Bytes bytes) override
	{
		client = &from;
		locality = where;
		command.assign(bytes.begin(), bytes.end());
		++submits;
		if (!at_once.empty()) answer(at_once);
	}

	void cancel() override { ++cancels; }

	void answer(Bytes_vector const &response)
	{
		std::exchange(client, nullptr)->response(response);
	}
};

/* A well-formed message of a size: as a command TPM2_GetRandom, as a response a success. */
inline Bytes_vector message(size_t size, uint32_t code = 0)
{
	Bytes_vector bytes(size);
	for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 7 + 1);
	Byte_writer writer{bytes};
	writer.u16_be(0x8001);
	writer.u32_be(static_cast<uint32_t>(size));
	writer.u32_be(code);
	return bytes;
}

/* A chip as software sees it in memory: locality 0 unless said otherwise. */
struct Registers_user
{
	Fake_backend backend{};
	Tpm_registers chip{backend};

	static uint16_t at(uint8_t locality, uint16_t offset)
	{
		return static_cast<uint16_t>(locality << 12 | offset);
	}

	Bytes_vector read(uint16_t address, size_t size)
	{
		Bytes_vector bytes(size);
		chip.read(address, bytes);
		return bytes;
	}

	uint8_t read8(uint16_t address) { return read(address, 1)[0]; }

	uint32_t read32(uint16_t address)
	{
		Bytes_vector const bytes = read(address, 4);
		return load_le<uint32_t>(Bytes{bytes}.first<4>());
	}

	void write(uint16_t address, Bytes_vector const &bytes) { chip.write(address, bytes); }

	void write32(uint16_t address, uint32_t value)
	{
		uint8_t bytes[4];
		store_le<uint32_t>(bytes, value);
		chip.write(address, bytes);
	}

	uint8_t access(uint8_t locality = 0) { return read8(at(locality, ptp::TPM_ACCESS)); }
	void set_access(uint8_t value, uint8_t locality = 0)
	{
		write(at(locality, ptp::TPM_ACCESS), {value});
	}

	uint32_t status() { return read32(ptp::TPM_STS); }
	unsigned burst_count() { return status() >> ptp::STS_BURST_COUNT_SHIFT & 0xffff; }
	void set_status(uint8_t value) { write(ptp::TPM_STS, {value}); }
	bool has(uint8_t bits) { return (status() & bits) == bits; }

	void send(Bytes_vector const &bytes) { write(ptp::TPM_DATA_FIFO, bytes); }
	Bytes_vector receive(size_t size) { return read(ptp::TPM_DATA_FIFO, size); }

	/* Brings the chip from wherever it is into a state. */
	void bring_to(Tpm_registers::State state)
	{
		using State = Tpm_registers::State;
		set_access(ptp::ACCESS_REQUEST_USE);
		if (state == State::IDLE) return;
		set_status(ptp::STS_COMMAND_READY);
		if (state == State::READY) return;
		send(message(12));
		if (state == State::RECEPTION) return;
		set_status(ptp::STS_TPM_GO);
		if (state == State::EXECUTION) return;
		backend.answer(message(20));
	}
};

} // namespace bulkhead::sim
