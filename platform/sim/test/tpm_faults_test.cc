#include "base/sync_wait.h"
#include "driver/spi/bus.h"
#include "platform/sim/test/fake_backend.h"
#include "platform/sim/tpm_wire.h"

#include <gtest/gtest.h>

namespace bulkhead::sim {
namespace {

using namespace ptp;
using State = Tpm_registers::State;
using Moment = Tpm_faults::Moment;

struct Tpm_faults_test : testing::Test, Registers_user
{
	Tpm_faults &faults = chip.faults;

	Tpm_faults_test() { backend.at_once = message(20); }

	Bytes_vector transact()
	{
		set_status(STS_COMMAND_READY);
		bring_to(State::EXECUTION);
		return receive(20);
	}
};

TEST(Fault, strikes_the_occasions_that_it_is_aimed_at)
{
	Fault third = Fault::nth(3);
	std::vector<bool> struck;
	for (int i = 0; i < 5; ++i) struck.push_back(third.strike());
	EXPECT_EQ(struck, (std::vector<bool>{false, false, true, false, false}));
	EXPECT_EQ(third.hits, 1u);
	Fault later = Fault::from(2);
	EXPECT_FALSE(later.strike());
	EXPECT_TRUE(later.due());
	EXPECT_TRUE(later.strike());
	EXPECT_TRUE(later.strike());
	EXPECT_FALSE(Fault{}.strike());
}

TEST_F(Tpm_faults_test, hits_the_third_command)
{
	faults.response_dropped = Fault::nth(3);
	for (int i = 1; i <= 4; ++i) EXPECT_EQ(transact() == message(20), i != 3) << i;
	EXPECT_EQ(faults.response_dropped.hits, 1u);
}

TEST_F(Tpm_faults_test, drops_a_response_even_when_it_is_cancelled)
{
	faults.response_dropped = Fault::once();
	bring_to(State::EXECUTION);
	write32(TPM_STS, STS_COMMAND_CANCEL);
	EXPECT_FALSE(has(STS_DATA_AVAIL));
	EXPECT_EQ(transact(), message(20));
}

TEST_F(Tpm_faults_test, holds_a_response_until_the_command_is_cancelled)
{
	faults.response_until_cancel = Fault::once();
	bring_to(State::EXECUTION);
	EXPECT_FALSE(has(STS_DATA_AVAIL));
	write32(TPM_STS, STS_COMMAND_CANCEL);
	EXPECT_TRUE(has(STS_DATA_AVAIL));
	EXPECT_EQ(receive(10), message(10, 0x909)) << "TPM_RC_CANCELED";
}

TEST_F(Tpm_faults_test, gives_small_burst_counts)
{
	faults.burst_one = Fault::once();
	bring_to(State::READY);
	EXPECT_EQ(burst_count(), 1u);
	send(message(12));
	set_status(STS_TPM_GO);
	EXPECT_EQ(burst_count(), 1u);
	set_status(STS_COMMAND_READY);
	EXPECT_EQ(burst_count(), 64u);
	faults.burst_zero = Fault::once();
	faults.burst_zero_polls = 2;
	EXPECT_EQ(burst_count(), 0u);
	EXPECT_EQ(burst_count(), 0u);
	EXPECT_EQ(burst_count(), 64u);
	EXPECT_EQ(transact(), message(20));
	faults.burst_zero = Fault::once();
	faults.burst_zero_polls = Fault::FOREVER;
	bring_to(State::READY);
	set_status(STS_COMMAND_READY);
	for (int i = 0; i < 100; ++i) EXPECT_EQ(burst_count(), 0u);
	set_status(STS_COMMAND_READY);
	EXPECT_EQ(burst_count(), 64u) << "another command begins";
}

TEST_F(Tpm_faults_test, expects_too_little_or_too_much)
{
	faults.expect_low = Fault::once();
	bring_to(State::READY);
	send({0x80, 0x01});
	EXPECT_FALSE(has(STS_EXPECT));
	set_status(STS_COMMAND_READY);
	faults.expect_high = Fault::once();
	bring_to(State::RECEPTION);
	EXPECT_TRUE(has(STS_EXPECT));
	set_status(STS_TPM_GO);
	EXPECT_EQ(chip.state(), State::RECEPTION);
	EXPECT_EQ(transact(), message(20));
}

TEST_F(Tpm_faults_test, misses_a_byte_so_that_the_command_must_be_sent_again)
{
	faults.command_byte_lost = Fault::once();
	bring_to(State::RECEPTION);
	EXPECT_TRUE(has(STS_EXPECT));
	set_status(STS_TPM_GO);
	EXPECT_EQ(chip.state(), State::RECEPTION);
	set_status(STS_COMMAND_READY);
	EXPECT_EQ(transact(), message(20));
}

TEST_F(Tpm_faults_test, loses_a_byte_of_the_response_once)
{
	faults.response_byte_lost = Fault::once();
	bring_to(State::EXECUTION);
	auto short_one = message(20);
	short_one.erase(short_one.begin() + 10);
	EXPECT_EQ(burst_count(), 19u);
	EXPECT_EQ(receive(15), Bytes_vector(short_one.begin(), short_one.begin() + 15));
	EXPECT_TRUE(has(STS_DATA_AVAIL));
	receive(4);
	EXPECT_FALSE(has(STS_DATA_AVAIL));
	set_status(STS_RESPONSE_RETRY);
	EXPECT_EQ(receive(20), message(20));
}

TEST_F(Tpm_faults_test, lies_about_the_size_of_the_response)
{
	faults.response_size_wrong = Fault::once();
	faults.response_size = 5000;
	EXPECT_EQ(load_be<uint32_t>(Bytes{transact()}.subspan<2, 4>()), 5000u);
	EXPECT_EQ(transact(), message(20));
}

TEST_F(Tpm_faults_test, never_says_that_its_status_is_valid)
{
	faults.status_invalid = Fault::once();
	bring_to(State::READY);
	for (int i = 0; i < 10; ++i) EXPECT_FALSE(has(STS_VALID));
	set_status(STS_COMMAND_READY);
	EXPECT_TRUE(has(STS_VALID));
}

TEST_F(Tpm_faults_test, ignores_command_ready)
{
	faults.ready_ignored = Fault::once();
	bring_to(State::READY);
	EXPECT_FALSE(has(STS_COMMAND_READY));
	bring_to(State::READY);
	EXPECT_TRUE(has(STS_COMMAND_READY));
}

TEST_F(Tpm_faults_test, never_grants_a_locality)
{
	faults.locality_denied = Fault::once();
	set_access(ACCESS_REQUEST_USE);
	for (int i = 0; i < 10; ++i) EXPECT_FALSE(access() & ACCESS_ACTIVE_LOCALITY);
	set_access(ACCESS_REQUEST_USE);
	EXPECT_TRUE(access() & ACCESS_ACTIVE_LOCALITY);
}

TEST_F(Tpm_faults_test, has_its_locality_stolen_at_each_moment)
{
	for (bool const stays : {false, true}) {
		for (Moment const moment :
			{Moment::RECEPTION, Moment::EXECUTION, Moment::COMPLETION, Moment::READING}) {
			faults.locality_stolen = Fault::once();
			faults.stolen_at = moment;
			faults.thief_stays = stays;
			EXPECT_EQ(transact(), Bytes_vector(20, 0xff));
			EXPECT_EQ(faults.locality_stolen.hits, 1u);
			EXPECT_TRUE(access() & ACCESS_BEEN_SEIZED);
			set_access(ACCESS_BEEN_SEIZED);
			EXPECT_EQ(chip.active_locality(), stays ? 4 : -1);
			set_access(ACCESS_ACTIVE_LOCALITY, 4);
			EXPECT_EQ(transact(), message(20));
		}
	}
}

TEST_F(Tpm_faults_test, resets_itself_at_each_moment)
{
	for (Moment const moment :
		{Moment::RECEPTION, Moment::EXECUTION, Moment::COMPLETION, Moment::READING}) {
		faults.resets_itself = Fault::once();
		faults.reset_at = moment;
		EXPECT_EQ(transact(), Bytes_vector(20, 0xff));
		EXPECT_EQ(chip.active_locality(), -1);
		EXPECT_EQ(transact(), message(20));
	}
}

TEST_F(Tpm_faults_test, shows_a_wrong_identity)
{
	faults.vendor_wrong = Fault::once();
	EXPECT_EQ(read32(TPM_DID_VID), ~0u);
	EXPECT_EQ(read32(TPM_DID_VID), 0x00011014u);
	faults.vendor_wrong = Fault::once();
	faults.vendor = 0;
	EXPECT_EQ(read32(TPM_DID_VID), 0u);
	faults.interface_wrong = Fault::once();
	EXPECT_EQ(read32(TPM_INTERFACE_ID) & 0xf, 1u);
	EXPECT_EQ(read32(TPM_INTERFACE_ID) & 0xf, 0u);
}

struct No_time final : Clock
{
	uint64_t now_us() const override { return 0; }
};

struct Wire_faults_test : Tpm_faults_test
{
	Tpm_wire wire{};
	spi::Bus bus{wire};
	spi::Device device{bus, {}};
	No_time clock{};
	Executor executor{clock};
	Job_with_arena<4096> job{executor};

	Wire_faults_test() { wire.attach(0, chip); }

	Bytes_vector frame(Bytes_vector bytes)
	{
		spi::Segment const segment = spi::Segment::in_place(bytes);
		EXPECT_TRUE(sync_wait(job, device.transfer(job, {&segment, 1})).ok());
		return bytes;
	}
};

TEST_F(Wire_faults_test, is_stuck)
{
	faults.line_low = Fault::once();
	EXPECT_EQ(frame({0x80, 0xd4, 0x0f, 0x04, 0}), Bytes_vector(5, 0x00));
	faults.line_high = Fault::once();
	EXPECT_EQ(frame({0x80, 0xd4, 0x0f, 0x04, 0}), Bytes_vector(5, 0xff));
	EXPECT_EQ(frame({0x80, 0xd4, 0x0f, 0x04, 0})[4], 0x01);
}

TEST_F(Wire_faults_test, waits_more_or_without_end)
{
	faults.more_wait_states = Fault::once();
	faults.wait_states = 2;
	EXPECT_EQ(frame({0x80, 0xd4, 0x0f, 0x04, 0, 0, 0}), (Bytes_vector{0, 0, 0, 0, 0, 1, 0x01}));
	faults.endless_wait = Fault::once();
	Bytes_vector header = {0x80, 0xd4, 0x0f, 0x04};
	uint8_t data[1];
	spi::Segment const segments[] = {
		spi::Segment::in_place(header), spi::Segment::until(1, 1, 1000), spi::Segment::in(data)};
	auto const result = sync_wait(job, device.transfer(job, segments));
	ASSERT_FALSE(result.ok());
	EXPECT_EQ(result.error(), spi::Error::CONDITION_UNMET);
	EXPECT_EQ(frame({0x80, 0xd4, 0x0f, 0x04, 0})[4], 0x01);
}

TEST_F(Wire_faults_test, flips_the_same_bits_for_the_same_seed)
{
	faults.flip_received_1_in = 4;
	std::vector<Bytes_vector> first, second;
	faults.seed = 42;
	for (int i = 0; i < 20; ++i) first.push_back(frame({0x83, 0xd4, 0x0f, 0x00, 0, 0, 0, 0}));
	EXPECT_GT(faults.flips, 0u);
	faults.seed = 42;
	for (int i = 0; i < 20; ++i) second.push_back(frame({0x83, 0xd4, 0x0f, 0x00, 0, 0, 0, 0}));
	EXPECT_EQ(first, second);
}

TEST_F(Wire_faults_test, survives_any_bits_that_are_sent)
{
	faults.flip_sent_1_in = 3;
	faults.flip_received_1_in = 50;
	set_access(ACCESS_REQUEST_USE);
	for (int i = 0; i < 20'000; ++i) {
		auto const kind = faults.random() % 4;
		Bytes_vector bytes = {0x0b, 0xd4, 0x00, 0x24};
		if (kind == 0) bytes = {0x00, 0xd4, 0x00, 0x18, STS_COMMAND_READY};
		if (kind == 1) bytes = {0x00, 0xd4, 0x00, 0x18, STS_TPM_GO};
		if (kind == 2) bytes = {0xbf, 0xd4, 0x00, 0x24};
		if (kind == 3) {
			auto const command = message(12);
			bytes.insert(bytes.end(), command.begin(), command.end());
		}
		bytes.resize(68);
		frame(bytes);
	}
	EXPECT_GT(backend.submits, 0u);
}

} // namespace
} // namespace bulkhead::sim
