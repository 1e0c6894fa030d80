#include "base/sync_wait.h"
#include "driver/spi/bus.h"
#include "platform/sim/test/fake_backend.h"
#include "platform/sim/tpm_wire.h"

#include <gtest/gtest.h>

namespace bulkhead::sim {
namespace {

using namespace ptp;
using spi::Segment;

struct Test_clock final : Clock
{
	uint64_t now = 1'000;

	uint64_t now_us() const override { return now; }
};

struct Tpm_wire_test : testing::Test, Registers_user
{
	Tpm_wire wire{};
	spi::Bus bus{wire};
	Test_clock clock{};
	Executor executor{clock};
	Job_with_arena<4096> job{executor};

	Tpm_wire_test() { wire.attach(0, chip); }

	/* What comes in while bytes go out under one chip select. */
	Bytes_vector exchange(Bytes_vector bytes, spi::Chip const &settings = {})
	{
		Segment const segment = Segment::in_place(bytes);
		spi::Device device{bus, settings};
		EXPECT_TRUE(sync_wait(job, device.transfer(job, {&segment, 1})).ok());
		return bytes;
	}
};

TEST_F(Tpm_wire_test, reads_a_register)
{
	EXPECT_EQ(exchange({0x83, 0xd4, 0x0f, 0x00, 0, 0, 0, 0}),
		(Bytes_vector{0, 0, 0, 1, 0x14, 0x10, 0x01, 0x00}));
	EXPECT_EQ(wire.selected(), -1);
}

TEST_F(Tpm_wire_test, writes_a_register_of_a_locality)
{
	EXPECT_EQ(
		exchange({0x00, 0xd4, 0x20, 0x00, ACCESS_REQUEST_USE}), (Bytes_vector{0, 0, 0, 1, 0}));
	EXPECT_EQ(chip.active_locality(), 2);
}

TEST_F(Tpm_wire_test, inserts_wait_states)
{
	chip.chip.wait_states = 3;
	EXPECT_EQ(
		exchange({0x80, 0xd4, 0x0f, 0x04, 0, 0, 0, 0}), (Bytes_vector{0, 0, 0, 0, 0, 0, 1, 0x01}));
	exchange({0x00, 0xd4, 0x00, 0x00, 0, 0, 0, ACCESS_REQUEST_USE});
	EXPECT_EQ(chip.active_locality(), 0);
}

TEST_F(Tpm_wire_test, waits_by_a_conditional_segment)
{
	chip.chip.wait_states = 5;
	uint8_t header[] = {0x81, 0xd4, 0x0f, 0x00};
	uint8_t header_in[4];
	uint8_t data[2];
	for (bool const native : {true, false}) {
		spi::Limits limits = Tpm_wire::everything();
		limits.conditional = native;
		Tpm_wire other{limits};
		other.attach(3, chip);
		spi::Bus other_bus{other};
		spi::Device device{other_bus, {.select = 3}};
		for (uint32_t const limit : {5u, 4u}) {
			Segment const segments[] = {Segment::exchange(header, std::span(header_in)),
				Segment::until(1, 1, limit), Segment::in(data)};
			auto const result = sync_wait(job, device.transfer(job, segments));
			EXPECT_EQ(result.ok(), limit == 5);
			if (!result.ok()) {
				EXPECT_EQ(result.error(), spi::Error::CONDITION_UNMET);
			}
			EXPECT_EQ(other.selected(), -1);
		}
		EXPECT_EQ(data[0], 0x14);
		EXPECT_EQ(data[1], 0x10);
	}
}

TEST_F(Tpm_wire_test, moves_a_command_of_64_bytes_in_a_frame)
{
	set_access(ACCESS_REQUEST_USE);
	set_status(STS_COMMAND_READY);
	Bytes_vector frame = {0x3f, 0xd4, 0x00, 0x24};
	auto const command = message(64);
	frame.insert(frame.end(), command.begin(), command.end());
	exchange(frame);
	set_status(STS_TPM_GO);
	EXPECT_EQ(backend.command, command);
	backend.answer(message(64));
	Bytes_vector in(68);
	in[0] = 0xbf;
	in[1] = 0xd4;
	in[3] = 0x80;
	in = exchange(in);
	EXPECT_EQ(Bytes_vector(in.begin() + 4, in.end()), message(64));
}

TEST_F(Tpm_wire_test, carries_a_frame_in_any_pieces)
{
	uint8_t bytes[] = {0x83, 0xd4, 0x0f, 0x00, 0xee, 0xee, 0xee, 0xee};
	std::vector<Segment> segments;
	for (uint8_t &byte : bytes) segments.push_back(Segment::in_place({&byte, 1}));
	spi::Device device{bus, {}};
	EXPECT_TRUE(sync_wait(job, device.transfer(job, segments)).ok());
	EXPECT_EQ(Bytes_vector(bytes + 4, bytes + 8), (Bytes_vector{0x14, 0x10, 0x01, 0x00}));
}

TEST_F(Tpm_wire_test, begins_a_frame_with_each_chip_select)
{
	uint8_t half[] = {0x83, 0xd4};
	uint8_t whole[] = {0x80, 0xd4, 0x0f, 0x04, 0};
	Segment const segments[] = {Segment::in_place(half).and_reselect(), Segment::in_place(whole)};
	spi::Device device{bus, {}};
	EXPECT_TRUE(sync_wait(job, device.transfer(job, segments)).ok());
	EXPECT_EQ(whole[4], 0x01);
}

TEST_F(Tpm_wire_test, continues_a_frame_while_the_chip_is_kept_selected)
{
	uint8_t header[] = {0x80, 0xd4, 0x0f, 0x04};
	uint8_t data[1];
	spi::Device device{bus, {}};
	ASSERT_TRUE(device.try_acquire().ok());
	Segment segment = Segment::out(header);
	EXPECT_TRUE(
		sync_wait(job, device.transfer(job, {&segment, 1}, spi::After::KEEP_SELECTED)).ok());
	EXPECT_EQ(wire.selected(), 0);
	segment = Segment::in(data);
	EXPECT_TRUE(sync_wait(job, device.transfer(job, {&segment, 1})).ok());
	EXPECT_EQ(data[0], 0x01);
	EXPECT_TRUE(device.release().ok());
}

TEST_F(Tpm_wire_test, ends_a_frame_with_the_bytes_that_its_header_announced)
{
	EXPECT_EQ(
		exchange({0x80, 0xd4, 0x0f, 0x04, 0, 0, 0}), (Bytes_vector{0, 0, 0, 1, 0x01, 0xff, 0xff}));
	exchange({0x00, 0xd4, 0x00, 0x08, 0, ACCESS_REQUEST_USE});
	EXPECT_EQ(chip.active_locality(), -1);
}

TEST_F(Tpm_wire_test, leaves_the_line_alone_where_no_chip_is_meant)
{
	Bytes_vector const frame = {0x80, 0xd4, 0x0f, 0x04, 0};
	Bytes_vector const nothing(5, 0xff);
	EXPECT_EQ(exchange(frame, {.select = 5}), nothing);
	EXPECT_EQ(exchange(frame, {.mode = spi::Mode::MODE_3}), nothing);
	EXPECT_EQ(exchange({0x80, 0xfe, 0x0f, 0x04, 0}), (Bytes_vector{0, 0, 0, 0xff, 0xff}));
}

TEST_F(Tpm_wire_test, does_not_write_beyond_a_register)
{
	// Five bytes at TPM_INT_VECTOR: the fifth would be TPM_INT_STATUS.
	set_access(ACCESS_REQUEST_USE);
	write32(TPM_INT_ENABLE, INT_GLOBAL_ENABLE | INT_COMMAND_READY);
	set_status(STS_COMMAND_READY);
	exchange({0x04, 0xd4, 0x00, 0x0c, 0, 0, 0, 0, 0xff});
	EXPECT_EQ(read8(TPM_INT_STATUS), INT_COMMAND_READY);
}

TEST_F(Tpm_wire_test, takes_the_time_of_the_bus_when_told_to)
{
	wire.timing.simulated = true;
	uint8_t bytes[] = {0x83, 0xd4, 0x0f, 0x00, 0, 0, 0, 0};
	Segment const segments[] = {Segment::in_place(bytes), Segment::delay_ns(5'000)};
	spi::Device device{bus, {.clock_hz = 1'000'000}};
	auto const jump = [&](uint64_t until_us) { clock.now = until_us; };
	EXPECT_TRUE(sync_wait(job, device.transfer(job, segments), jump).ok());
	EXPECT_EQ(clock.now, 1'000u + 64 + 5);
	EXPECT_EQ(bytes[4], 0x14);
}

TEST_F(Tpm_wire_test, is_idle_after_a_transfer_that_was_cancelled)
{
	Event gate;
	wire.timing.gate = &gate;
	uint8_t header[] = {0x80, 0xd4, 0x0f, 0x04};
	uint8_t data[1];
	Segment const segments[] = {Segment::out(header), Segment::in(data)};
	spi::Device device{bus, {}};
	unsigned polls = 0;
	auto const result = sync_wait(job, device.transfer(job, segments), [&](uint64_t) {
		if (polls++ == 0) {
			gate.raise();
			return;
		}
		EXPECT_EQ(wire.selected(), 0);
		job.cancel();
	});
	ASSERT_FALSE(result.ok());
	EXPECT_EQ(result.error(), spi::Error::CANCELLED);
	EXPECT_EQ(wire.selected(), -1);
}

} // namespace
} // namespace bulkhead::sim
