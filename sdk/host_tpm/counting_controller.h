#pragma once

// Counts what goes over an SPI bus, without changing it.

#include "driver/spi/controller.h"

#include <utility>

namespace bulkhead::sdk {

struct Wire_counters
{
	uint64_t frames = 0; // times that the chip was selected
	uint64_t transfers = 0; // calls of the controller
	uint64_t bytes = 0; // of all segments; those of conditional ones aren't counted
};

class Counting_controller final : public spi::Controller
{
private:
	spi::Controller &_controller;
	Wire_counters _counters{};
	bool _selected = false;

public:
	/* The controller outlives this. */
	explicit Counting_controller(spi::Controller &controller) : _controller(controller) {}

	Wire_counters const &counters() const { return _counters; }

	spi::Limits const &limits() const override { return _controller.limits(); }

	Task<void, spi::Error> transfer(Job &job, spi::Chip const &chip,
		std::span<spi::Segment const> segments, spi::After after) override
	{
		++_counters.transfers;
		for (spi::Segment const &segment : segments) {
			if (!std::exchange(_selected, !segment.reselect)) ++_counters.frames;
			_counters.bytes += segment.size;
		}
		_selected = after == spi::After::KEEP_SELECTED;
		return _controller.transfer(job, chip, segments, after);
	}

	void idle() override
	{
		_selected = false;
		_controller.idle();
	}
};

} // namespace bulkhead::sdk
