#pragma once

// An SPI bus with TPMs on it: what the pins of a controller would carry, byte by byte, by the SPI
// bit protocol of the TCG PC Client Platform TPM Profile (PTP) 1.05, 7.4.5.

#include "base/event.h"
#include "driver/spi/controller.h"
#include "platform/sim/tpm_registers.h"

#include <array>

namespace bulkhead::sim {

struct Wire_timing
{
	bool simulated = false; // transfers take their time on the bus, by the executor's clock
	Event *gate = nullptr; // each segment first waits until this is raised: for tests of waits
};

/* Of one thread. */
class Tpm_wire final : public spi::Controller
{
public:
	static constexpr size_t CHIP_SELECTS = 8;

	/* A controller that does everything itself, for all chip selects. */
	static constexpr spi::Limits everything()
	{
		spi::Limits limits;
		limits.chip_selects = CHIP_SELECTS;
		limits.conditional = true;
		limits.keeps_selected = true;
		return limits;
	}

private:
	static constexpr uint8_t NONE = 0xff;

	/* The frame that goes on since the chip was selected. */
	struct Frame
	{
		enum class Phase : uint8_t { HEADER, WAIT, DATA, OVER };

		Phase phase = Phase::HEADER;
		bool reading = false;
		bool addressed = false; // to the TPM's address range
		bool faulty = false; // its bytes don't arrive as they were sent
		bool low = false; // the chip's output is stuck
		bool high = false;
		uint8_t header_bytes = 0;
		uint8_t left = 0; // bytes of data to come
		uint16_t address = 0;
		uint32_t waits = 0; // wait states to come
	};

	spi::Limits _limits;
	std::array<Tpm_registers *, CHIP_SELECTS> _chips{};
	Frame _frame{};
	uint8_t _selected = NONE;

	void _select(spi::Chip const &chip);
	void _deselect();
	uint8_t _header_byte(Tpm_registers &chip, uint8_t sent);
	uint8_t _wait_byte();
	size_t _data(Tpm_registers &chip, uint8_t const *sent, uint8_t *received, size_t size);
	void _begin_frame();
	void _exchange(uint8_t const *sent, uint8_t *received, size_t size);
	void _exchange_faulty(uint8_t const *sent, uint8_t *received, size_t size);
	Attempt<void, spi::Error> _until(spi::Segment const &segment, uint8_t last, size_t &bytes);
	Attempt<void, spi::Error> _run(
		spi::Chip const &chip, spi::Segment const &segment, uint8_t &last, size_t &bytes);
	Task<void, spi::Error> _transfer_later(
		Job &job, spi::Chip const &chip, std::span<spi::Segment const> segments, spi::After after);

public:
	/* May be changed between transfers. */
	Wire_timing timing{};

	explicit Tpm_wire(spi::Limits const &limits = everything()) : _limits(limits) {}
	Tpm_wire(Tpm_wire const &) = delete;
	Tpm_wire &operator=(Tpm_wire const &) = delete;

	/* Puts a chip, which outlives the wire, behind a chip select (0-7). */
	void attach(uint8_t select, Tpm_registers &chip)
	{
		BULKHEAD_ASSERT(select < CHIP_SELECTS);
		_chips[select] = &chip;
	}

	spi::Limits const &limits() const override { return _limits; }

	/*
	 * Ready at once, unless `timing` says otherwise. A chip that isn't there, and one that is
	 * addressed in another mode than 0 or with other words than bytes, leaves the line at 0xFF.
	 */
	Task<void, spi::Error> transfer(Job &job, spi::Chip const &chip,
		std::span<spi::Segment const> segments, spi::After after) override;

	void idle() override { _deselect(); }

	/* The chip select that is active, or -1. */
	int selected() const { return _selected == NONE ? -1 : _selected; }
};

} // namespace bulkhead::sim
