#pragma once

// What a platform implements to offer an SPI bus: it moves the segments of one transfer.
// Arbitration, checks and conditional segments that the hardware lacks are done once for all, in
// `Bus`.

#include "base/task.h"
#include "driver/spi/error.h"
#include "driver/spi/segment.h"

#include <span>

namespace bulkhead::spi {

/* Clock polarity and phase, numbered as usual: mode = 2 * CPOL + CPHA. */
enum class Mode : uint8_t { MODE_0, MODE_1, MODE_2, MODE_3 };

/* How one chip wants to be talked to. */
struct Chip
{
	uint8_t select = 0; // number of the chip-select line
	Mode mode = Mode::MODE_0;
	uint8_t bits_per_word = 8;
	bool lsb_first = false;
	bool select_active_high = false;
	uint32_t clock_hz = 1'000'000; // at most; the controller takes the next lower one it has
	uint32_t word_delay_ns = 0; // between two words
};

/* What a controller can do. Transmit and receive are limited apart, as they are in Linux' spidev.
 */
struct Limits
{
	size_t sent_max = SIZE_MAX; // bytes sent in one transfer
	size_t received_max = SIZE_MAX; // bytes received in one transfer
	size_t segments_max = SIZE_MAX; // segments in one transfer
	uint32_t clock_min_hz = 0;
	uint32_t clock_max_hz = UINT32_MAX;
	uint32_t bits_per_word = 1u << (8 - 1); // bit n-1: words of n bits
	uint8_t modes = 0x0f; // bit n: mode n
	uint8_t chip_selects = 1; // how many lines there are
	bool conditional = false; // runs `Segment::until` itself
	bool keeps_selected = false; // can leave the chip selected after a transfer
	bool lsb_first = false;
	bool select_active_high = false;
	bool word_delay = false;
};

/* What becomes of the chip select after a transfer. */
enum class After : uint8_t { DESELECT, KEEP_SELECTED };

class Controller
{
protected:
	~Controller() = default;

public:
	/* The same object while the controller exists, constant from the first transfer on. */
	virtual Limits const &limits() const = 0;

	/*
	 * Selects the chip unless it still is, runs the segments in order, and deselects it or keeps it
	 * selected. Called by `Bus` only, for one transfer at a time, within the limits above. The chip
	 * and the segments live until the task has ended.
	 *
	 * Waits honour the job (cancellation and deadline). After an error the bus calls `idle`, as it
	 * does when the task is destroyed before it has ended: the transfer need not clean up.
	 */
	virtual Task<void, Error> transfer(
		Job &job, Chip const &chip, std::span<Segment const> segments, After after) = 0;

	/* Brings the bus to its defined state at once, without waiting: chips deselected, nothing runs.
	 */
	virtual void idle() = 0;
};

} // namespace bulkhead::spi
