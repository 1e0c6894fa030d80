#pragma once

// An SPI controller for tests: writes down what happens on the wire, at once or step by step.

#include "base/event.h"
#include "driver/spi/controller.h"

#include <cstdio>
#include <deque>
#include <gtest/gtest.h>
#include <optional>
#include <string>

namespace bulkhead::spi {

class Fake_controller final : public Controller
{
private:
	int _running = 0; // controllers run one transfer at a time
	std::optional<uint8_t> _selected{};

	struct Running
	{
		int &count;

		explicit Running(int &n) : count(n) { EXPECT_EQ(++count, 1); }
		Running(Running const &) = delete;
		Running &operator=(Running const &) = delete;
		~Running() { --count; }
	};

	void _select(Chip const &chip)
	{
		if (_selected == chip.select) return;
		EXPECT_FALSE(_selected) << "another chip is still selected";
		_selected = chip.select;
		wire += std::to_string(chip.select) + "[";
	}

	void _deselect()
	{
		if (_selected) wire += "]";
		_selected.reset();
	}

	uint8_t _exchange(uint8_t sent)
	{
		char hex[3];
		snprintf(hex, sizeof(hex), "%02x", sent);
		wire += hex;
		if (answers.empty()) return default_answer;
		uint8_t const answer = answers.front();
		answers.pop_front();
		return answer;
	}

	uint8_t _last = 0;

	Attempt<void, Error> _perform(Segment const &segment)
	{
		if (faults && --faults == 0) return Error::CONTROLLER_FAULT;
		if (segment.kind == Segment::Kind::DELAY) wire += ".";
		for (size_t i = 0; i < segment.size; i++) {
			uint8_t const answer = _exchange(segment.sent ? segment.sent[i] : 0);
			if (segment.received) segment.received[i] = _last = answer;
		}
		if (segment.kind == Segment::Kind::UNTIL) {
			EXPECT_TRUE(conditions.conditional) << "UNTIL for a controller that doesn't know it";
			for (uint32_t n = 0; (_last & segment.mask) != segment.value; n++) {
				if (n == segment.limit) return Error::CONDITION_UNMET;
				_last = _exchange(0);
			}
		}
		return Ok{};
	}

	void _between(Chip const &chip, bool reselect)
	{
		if (!reselect) return;
		_deselect();
		_select(chip);
	}

	Attempt<void, Error> _run_at_once(
		Chip const &chip, std::span<Segment const> segments, After after)
	{
		Running const running{_running};
		_select(chip);
		for (Segment const &segment : segments) {
			TRY(_perform(segment));
			_between(chip, segment.reselect && &segment != &segments.back());
		}
		if (after == After::DESELECT) _deselect();
		return Ok{};
	}

	Task<void, Error> _run_in_steps(
		Job &job, Chip const &chip, std::span<Segment const> segments, After after)
	{
		Running const running{_running};
		_select(chip);
		for (Segment const &segment : segments) {
			CO_TRY(co_await step.wait(job));
			CO_TRY(_perform(segment));
			_between(chip, segment.reselect && &segment != &segments.back());
		}
		CO_TRY(co_await step.wait(job));
		if (after == After::DESELECT) _deselect();
		co_return Ok{};
	}

public:
	Limits conditions{.chip_selects = 4, .keeps_selected = true};
	std::string wire{}; // "2[" selects chip 2, "]" deselects; sent bytes in hexadecimal; "." delays
	std::deque<uint8_t> answers{};
	uint8_t default_answer = 0;
	unsigned faults = 0; // n: the n-th segment from now fails
	bool in_steps = false; // waits for `step` before each segment and at the end
	Event step{};
	unsigned idles = 0;

	Limits const &limits() const override { return conditions; }
	bool selected() const { return _selected.has_value(); }
	bool running() const { return _running; }

	Task<void, Error> transfer(
		Job &job, Chip const &chip, std::span<Segment const> segments, After after) override
	{
		if (in_steps) return _run_in_steps(job, chip, segments, after);
		return _run_at_once(chip, segments, after);
	}

	void idle() override
	{
		EXPECT_EQ(_running, 0) << "idle while a transfer goes on";
		++idles;
		_deselect();
	}

	std::string take_wire() { return std::exchange(wire, {}); }
};

} // namespace bulkhead::spi
