// A TPM's driver on a bus that answers whatever it likes: a healthy chip's bytes that are
// disturbed, or bytes made up altogether. The driver ends with a value or an error, within its
// time-outs, and leaves the bus free.

#include "base/sync_wait.h"
#include "driver/tpm/spi_access.h"
#include "driver/tpm/tis.h"
#include "platform/sim/tpm_wire.h"

#include <cstdlib>

namespace bulkhead::tpm {
namespace {

void demand(bool condition)
{
	if (!condition) abort();
}

struct Input
{
	Bytes bytes;

	uint8_t next(uint8_t at_end)
	{
		if (bytes.empty()) return at_end;
		uint8_t const byte = bytes.front();
		bytes = bytes.subspan(1);
		return byte;
	}
};

struct Fake_clock final : Clock
{
	uint64_t time_us = 0;

	uint64_t now_us() const override { return time_us; }
};

struct Echo final : sim::Tpm_backend
{
	void submit(sim::Tpm_client &client, uint8_t, Bytes command) override
	{
		client.response(command);
	}
	void cancel() override {}
};

/* Bytes of a chip, or none, changed by the input. */
class Hostile_bus final : public spi::Controller
{
private:
	Input &_input;
	bool const _chip; // there is one, whose bytes are disturbed
	sim::Tpm_wire _wire{};

	void _change(spi::Segment const &segment)
	{
		if (!segment.received) return;
		for (size_t i = 0; i < segment.size; ++i) {
			uint8_t &byte = segment.received[i];
			byte = _chip ? byte ^ _input.next(0) : _input.next(0xff);
		}
	}

	Attempt<void, spi::Error> _until(spi::Segment const &segment, uint8_t last)
	{
		for (uint32_t n = 0; (last & segment.mask) != segment.value; ++n) {
			if (n == segment.limit) return spi::Error::CONDITION_UNMET;
			last = _input.next(0xff);
		}
		return Ok{};
	}

public:
	bool selected = false;

	Hostile_bus(Input &input, bool chip, sim::Tpm_registers &registers) : _input(input), _chip(chip)
	{
		_wire.attach(0, registers);
	}

	spi::Limits const &limits() const override { return _wire.limits(); }

	Task<void, spi::Error> transfer(Job &job, spi::Chip const &chip,
		std::span<spi::Segment const> segments, spi::After after) override
	{
		selected = true;
		uint8_t last = 0;
		for (spi::Segment const &segment : segments) {
			if (segment.kind == spi::Segment::Kind::UNTIL) {
				auto const met = _until(segment, last);
				if (!met.ok()) return met.error();
				continue;
			}
			if (_chip) {
				Task<void, spi::Error> task =
					_wire.transfer(job, chip, {&segment, 1}, spi::After::KEEP_SELECTED);
				demand(task.ready() && task.take().ok());
			}
			_change(segment);
			if (segment.received && segment.size) last = segment.received[segment.size - 1];
		}
		if (after == spi::After::DESELECT) idle();
		return Ok{};
	}

	void idle() override
	{
		selected = false;
		_wire.idle();
	}
};

void run(Bytes bytes)
{
	constexpr uint64_t PATIENCE_US = 400'000'000; // the longest duration, and cleaning up
	constexpr unsigned POLLS_MAX = 500'000;
	Input input{bytes};
	uint8_t const options = input.next(0);
	size_t const sizes[] = {10, 12, 64, 65, 200, 4096};

	Fake_clock clock;
	Executor executor{clock};
	Job_with_arena<8192> job{executor};
	Echo echo;
	sim::Tpm_registers registers{echo};
	Hostile_bus controller{input, bool(options & 1), registers};
	spi::Bus bus{controller};
	spi::Device device{bus, {}};
	Spi_access access{device};
	Tis tis{access,
		{.locality = uint8_t(options % LOCALITIES),
			.seize = bool(options & 2),
			.keep_locality = bool(options & 4),
			.interrupts = bool(options & 8)}};
	unsigned polls = 0;
	auto const poll = [&](uint64_t until_us) {
		demand(until_us != NEVER_US && ++polls < POLLS_MAX);
		clock.time_us = std::max(clock.time_us, until_us);
	};
	auto const settled = [&] {
		demand(!bus.busy() && !controller.selected && job.used() == 0);
		demand(clock.time_us < PATIENCE_US);
		clock.time_us = polls = 0;
	};

	static uint8_t command[4096], response[4096];
	Byte_writer writer{command};
	writer.u16_be(0x8001);
	writer.u32_be(uint32_t(sizes[(options >> 4) % std::size(sizes)]));
	writer.u32_be(0x17b);
	for (unsigned round = 0; round < 2; ++round) {
		bool const started = sync_wait(job, tis.start(job), poll).ok();
		settled();
		for (unsigned i = 0; started && i < 2; ++i) {
			size_t const size = sizes[(options >> 4) % std::size(sizes)];
			Attempt<size_t, Error> const got =
				sync_wait(job, tis.execute(job, Bytes(command).first(size), response), poll);
			if (got.ok()) demand(got.value() >= HEADER_BYTES && got.value() <= sizeof(response));
			settled();
		}
	}
}

} // namespace
} // namespace bulkhead::tpm

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	bulkhead::tpm::run({data, size});
	return 0;
}
