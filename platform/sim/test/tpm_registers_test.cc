#include "platform/sim/test/fake_backend.h"

#include <gtest/gtest.h>

namespace bulkhead::sim {
namespace {

using namespace ptp;
using State = Tpm_registers::State;

struct Tpm_registers_test : testing::Test, Registers_user
{};

TEST_F(Tpm_registers_test, tells_what_it_is)
{
	EXPECT_EQ(read32(TPM_DID_VID), 0x00011014u);
	EXPECT_EQ(read8(TPM_RID), 0x01);
	EXPECT_EQ(read32(TPM_INTERFACE_ID), 0x00003900u);
	EXPECT_EQ(read32(TPM_INTF_CAPABILITY), 0x30000697u);
	EXPECT_EQ(read32(at(4, TPM_DID_VID)), 0x00011014u);
}

TEST_F(Tpm_registers_test, reads_parts_of_a_register)
{
	EXPECT_EQ(read8(TPM_DID_VID + 1), 0x10);
	EXPECT_EQ(read(TPM_DID_VID + 1, 2), (Bytes_vector{0x10, 0x01}));
}

TEST_F(Tpm_registers_test, answers_with_ones_where_nothing_is)
{
	EXPECT_EQ(read32(0x040), ~0u);
	EXPECT_EQ(read32(at(5, TPM_DID_VID)), ~0u);
	EXPECT_EQ(read8(0xfff), 0xff);
}

TEST_F(Tpm_registers_test, grants_the_first_locality_that_asks)
{
	EXPECT_EQ(access(), ACCESS_TPM_REG_VALID_STS | ACCESS_TPM_ESTABLISHMENT);
	set_access(ACCESS_REQUEST_USE);
	EXPECT_EQ(
		access(), ACCESS_TPM_REG_VALID_STS | ACCESS_ACTIVE_LOCALITY | ACCESS_TPM_ESTABLISHMENT);
}

TEST_F(Tpm_registers_test, makes_the_second_locality_wait_until_the_first_lets_go)
{
	set_access(ACCESS_REQUEST_USE);
	set_access(ACCESS_REQUEST_USE, 2);
	EXPECT_TRUE(access() & ACCESS_PENDING_REQUEST);
	EXPECT_TRUE(access(2) & ACCESS_REQUEST_USE);
	EXPECT_FALSE(access(2) & ACCESS_PENDING_REQUEST);
	EXPECT_EQ(chip.active_locality(), 0);
	set_access(ACCESS_ACTIVE_LOCALITY);
	EXPECT_EQ(chip.active_locality(), 2);
	EXPECT_FALSE(access(2) & ACCESS_REQUEST_USE);
}

TEST_F(Tpm_registers_test, prefers_the_highest_locality_that_waits)
{
	set_access(ACCESS_REQUEST_USE, 4);
	set_access(ACCESS_REQUEST_USE, 1);
	set_access(ACCESS_REQUEST_USE, 3);
	set_access(ACCESS_ACTIVE_LOCALITY, 4);
	EXPECT_EQ(chip.active_locality(), 3);
}

TEST_F(Tpm_registers_test, forgets_a_request_that_is_withdrawn)
{
	set_access(ACCESS_REQUEST_USE);
	set_access(ACCESS_REQUEST_USE, 2);
	set_access(ACCESS_ACTIVE_LOCALITY, 2);
	EXPECT_FALSE(access() & ACCESS_PENDING_REQUEST);
	set_access(ACCESS_ACTIVE_LOCALITY);
	EXPECT_EQ(chip.active_locality(), -1);
}

TEST_F(Tpm_registers_test, lets_a_higher_locality_seize_and_tells_the_loser)
{
	set_access(ACCESS_REQUEST_USE, 1);
	set_access(ACCESS_SEIZE, 3);
	EXPECT_EQ(chip.active_locality(), 3);
	EXPECT_TRUE(access(1) & ACCESS_BEEN_SEIZED);
	set_access(ACCESS_BEEN_SEIZED, 1);
	EXPECT_FALSE(access(1) & ACCESS_BEEN_SEIZED);
}

TEST_F(Tpm_registers_test, lets_no_lower_locality_seize)
{
	set_access(ACCESS_REQUEST_USE, 3);
	set_access(ACCESS_SEIZE, 3);
	set_access(ACCESS_SEIZE, 1);
	EXPECT_EQ(chip.active_locality(), 3);
	EXPECT_FALSE(access(3) & ACCESS_BEEN_SEIZED);
}

TEST_F(Tpm_registers_test, ignores_a_write_with_several_requests)
{
	set_access(ACCESS_REQUEST_USE | ACCESS_SEIZE);
	EXPECT_EQ(chip.active_locality(), -1);
}

TEST_F(Tpm_registers_test, takes_its_time_to_grant_a_locality)
{
	chip.chip.grant_polls = 2;
	set_access(ACCESS_REQUEST_USE);
	EXPECT_FALSE(access() & ACCESS_ACTIVE_LOCALITY);
	EXPECT_FALSE(access() & ACCESS_ACTIVE_LOCALITY);
	EXPECT_TRUE(access() & ACCESS_ACTIVE_LOCALITY);
}

TEST_F(Tpm_registers_test, shows_and_resets_the_establishment_bit)
{
	chip.establish();
	EXPECT_FALSE(access() & ACCESS_TPM_ESTABLISHMENT);
	set_access(ACCESS_REQUEST_USE, 0);
	write32(TPM_STS, STS_RESET_ESTABLISHMENT);
	EXPECT_FALSE(access() & ACCESS_TPM_ESTABLISHMENT) << "locality 0 may not";
	set_access(ACCESS_SEIZE, 3);
	write32(at(3, TPM_STS), STS_RESET_ESTABLISHMENT);
	EXPECT_TRUE(access() & ACCESS_TPM_ESTABLISHMENT);
}

TEST_F(Tpm_registers_test, shows_status_and_data_to_the_active_locality_only)
{
	bring_to(State::COMPLETION);
	EXPECT_EQ(read32(at(1, TPM_STS)), ~0u);
	EXPECT_EQ(read8(at(1, TPM_DATA_FIFO)), 0xff);
	write(at(1, TPM_STS), {STS_COMMAND_READY});
	EXPECT_EQ(chip.state(), State::COMPLETION);
	EXPECT_EQ(receive(20), message(20));
}

TEST_F(Tpm_registers_test, executes_a_command)
{
	bring_to(State::IDLE);
	EXPECT_FALSE(has(STS_COMMAND_READY));
	EXPECT_EQ(burst_count(), 0u);
	set_status(STS_COMMAND_READY);
	EXPECT_TRUE(has(STS_COMMAND_READY | STS_VALID));
	EXPECT_EQ(status() >> 26 & 3, 1u) << "tpmFamily: TPM 2.0";
	EXPECT_EQ(burst_count(), 64u);
	auto const command = message(100, 0x17b);
	send({command.begin(), command.begin() + 64});
	EXPECT_TRUE(has(STS_EXPECT));
	EXPECT_FALSE(has(STS_COMMAND_READY));
	send({command.begin() + 64, command.end()});
	EXPECT_FALSE(has(STS_EXPECT));
	set_status(STS_TPM_GO);
	EXPECT_EQ(backend.command, command);
	EXPECT_EQ(backend.locality, 0);
	EXPECT_FALSE(has(STS_DATA_AVAIL));
	EXPECT_EQ(burst_count(), 0u);
	backend.answer(message(90));
	EXPECT_TRUE(has(STS_DATA_AVAIL | STS_VALID));
	EXPECT_EQ(receive(80).size(), 80u);
	EXPECT_EQ(burst_count(), 10u);
	receive(10);
	EXPECT_FALSE(has(STS_DATA_AVAIL));
	EXPECT_EQ(receive(2), (Bytes_vector{0xff, 0xff}));
	set_status(STS_COMMAND_READY);
	EXPECT_EQ(chip.state(), State::READY);
}

TEST_F(Tpm_registers_test, takes_a_command_byte_by_byte_through_either_fifo)
{
	bring_to(State::READY);
	auto const command = message(12);
	for (size_t i = 0; i < command.size(); ++i) {
		EXPECT_EQ(has(STS_EXPECT), i != 0);
		write(i % 2 ? TPM_DATA_FIFO + 1 : TPM_XDATA_FIFO, {command[i]});
	}
	EXPECT_FALSE(has(STS_EXPECT));
	set_status(STS_TPM_GO);
	EXPECT_EQ(backend.command, command);
}

TEST_F(Tpm_registers_test, drops_bytes_beyond_the_commands_end)
{
	bring_to(State::READY);
	auto command = message(12);
	command.resize(20);
	send(command);
	send({1, 2, 3});
	set_status(STS_TPM_GO);
	EXPECT_EQ(backend.command, message(12));
}

TEST_F(Tpm_registers_test, takes_the_largest_command_and_refuses_a_larger_one)
{
	backend.at_once = message(10);
	bring_to(State::READY);
	send(message(4096));
	set_status(STS_TPM_GO);
	EXPECT_EQ(backend.submits, 1u);
	set_status(STS_COMMAND_READY);
	for (size_t const size : {size_t{4097}, size_t{9}}) {
		auto header = message(10);
		header[4] = static_cast<uint8_t>(size >> 8);
		header[5] = static_cast<uint8_t>(size);
		send(header);
		EXPECT_FALSE(has(STS_EXPECT));
		set_status(STS_TPM_GO);
		EXPECT_EQ(receive(10), message(10, 0x142)) << "TPM_RC_COMMAND_SIZE";
		set_status(STS_COMMAND_READY);
	}
	EXPECT_EQ(backend.submits, 1u);
}

TEST_F(Tpm_registers_test, ignores_what_its_state_does_not_allow)
{
	bring_to(State::IDLE);
	send(message(12));
	set_status(STS_TPM_GO);
	set_status(STS_RESPONSE_RETRY);
	EXPECT_EQ(chip.state(), State::IDLE);
	EXPECT_EQ(receive(1)[0], 0xff);
	bring_to(State::READY);
	set_status(STS_TPM_GO);
	set_status(STS_RESPONSE_RETRY);
	EXPECT_EQ(chip.state(), State::READY);
	send({0x80});
	set_status(STS_TPM_GO);
	set_status(STS_RESPONSE_RETRY);
	EXPECT_EQ(chip.state(), State::RECEPTION);
	send(message(12)); // 0x80 and what follows now announce a size that no command has
	set_status(STS_COMMAND_READY);
	bring_to(State::EXECUTION);
	send(message(12));
	set_status(STS_TPM_GO);
	EXPECT_EQ(chip.state(), State::EXECUTION);
	EXPECT_EQ(receive(1)[0], 0xff);
	backend.answer(message(20));
	send(message(12));
	set_status(STS_TPM_GO);
	EXPECT_EQ(receive(20), message(20));
}

TEST_F(Tpm_registers_test, gives_the_largest_response_and_cuts_a_larger_one)
{
	for (size_t const size : {size_t{4096}, size_t{5000}}) {
		bring_to(State::EXECUTION);
		backend.answer(message(size));
		auto expected = message(size);
		expected.resize(4096);
		EXPECT_EQ(receive(4096), expected);
		EXPECT_FALSE(has(STS_DATA_AVAIL));
		EXPECT_EQ(receive(1)[0], 0xff);
		set_status(STS_COMMAND_READY);
	}
}

TEST_F(Tpm_registers_test, gives_a_response_again)
{
	bring_to(State::COMPLETION);
	receive(15);
	set_status(STS_RESPONSE_RETRY);
	EXPECT_EQ(receive(20), message(20));
	set_status(STS_RESPONSE_RETRY);
	EXPECT_TRUE(has(STS_DATA_AVAIL));
	EXPECT_EQ(receive(20), message(20));
}

TEST_F(Tpm_registers_test, is_ready_after_an_abort)
{
	for (State const state : {State::RECEPTION, State::COMPLETION}) {
		bring_to(state);
		set_status(STS_COMMAND_READY);
		EXPECT_EQ(chip.state(), State::READY);
		backend.at_once = message(11);
		bring_to(State::RECEPTION);
		set_status(STS_TPM_GO);
		EXPECT_EQ(receive(11), message(11));
		backend.at_once.clear();
		set_status(STS_COMMAND_READY);
	}
}

TEST_F(Tpm_registers_test, may_go_to_idle_first)
{
	chip.chip.ready_from_completion = false;
	bring_to(State::COMPLETION);
	set_status(STS_COMMAND_READY);
	EXPECT_EQ(chip.state(), State::IDLE);
	set_status(STS_COMMAND_READY);
	EXPECT_EQ(chip.state(), State::READY);
}

TEST_F(Tpm_registers_test, aborts_an_execution_and_drops_its_late_response)
{
	bring_to(State::EXECUTION);
	set_status(STS_COMMAND_READY);
	EXPECT_EQ(backend.cancels, 1u);
	EXPECT_FALSE(has(STS_COMMAND_READY));
	backend.answer(message(20));
	EXPECT_TRUE(has(STS_COMMAND_READY));
	EXPECT_FALSE(has(STS_DATA_AVAIL));
	EXPECT_EQ(receive(1)[0], 0xff);
	bring_to(State::COMPLETION);
	EXPECT_EQ(receive(20), message(20));
}

TEST_F(Tpm_registers_test, cancels_an_execution_only)
{
	bring_to(State::RECEPTION);
	write32(TPM_STS, STS_COMMAND_CANCEL);
	EXPECT_EQ(backend.cancels, 0u);
	set_status(STS_TPM_GO);
	write32(TPM_STS, STS_COMMAND_CANCEL);
	EXPECT_EQ(backend.cancels, 1u);
	EXPECT_EQ(chip.state(), State::EXECUTION);
	backend.answer(message(10, 0x909));
	EXPECT_EQ(receive(10), message(10, 0x909));
}

TEST_F(Tpm_registers_test, ends_the_command_of_a_locality_that_leaves_or_loses)
{
	bring_to(State::RECEPTION);
	set_access(ACCESS_ACTIVE_LOCALITY);
	EXPECT_EQ(chip.state(), State::IDLE);
	bring_to(State::EXECUTION);
	set_access(ACCESS_SEIZE, 1);
	EXPECT_EQ(backend.cancels, 1u);
	EXPECT_EQ(status(), ~0u);
	backend.answer(message(20));
	EXPECT_FALSE(read32(at(1, TPM_STS)) & STS_DATA_AVAIL);
}

TEST_F(Tpm_registers_test, says_when_its_status_is_valid)
{
	chip.chip.valid_polls = 2;
	bring_to(State::RECEPTION);
	EXPECT_TRUE(has(STS_EXPECT)) << "which is no good yet";
	EXPECT_FALSE(has(STS_VALID));
	EXPECT_TRUE(has(STS_VALID));
	EXPECT_FALSE(has(STS_EXPECT));
}

TEST_F(Tpm_registers_test, takes_its_time_when_told_to)
{
	chip.chip.ready_polls = 2;
	chip.chip.execution_polls = 1;
	bring_to(State::IDLE);
	set_status(STS_COMMAND_READY);
	EXPECT_FALSE(has(STS_COMMAND_READY));
	EXPECT_FALSE(has(STS_COMMAND_READY));
	EXPECT_TRUE(has(STS_COMMAND_READY));
	send(message(12));
	set_status(STS_TPM_GO);
	backend.answer(message(20));
	EXPECT_FALSE(has(STS_DATA_AVAIL));
	EXPECT_TRUE(has(STS_DATA_AVAIL));
}

TEST_F(Tpm_registers_test, is_dead_when_its_backend_fails)
{
	bring_to(State::EXECUTION);
	backend.client->failed();
	EXPECT_TRUE(chip.dead());
	EXPECT_EQ(status(), ~0u);
	EXPECT_EQ(read32(TPM_DID_VID), ~0u);
}

TEST_F(Tpm_registers_test, forgets_everything_at_a_reset)
{
	bring_to(State::COMPLETION);
	set_access(ACCESS_REQUEST_USE, 2);
	chip.reset();
	EXPECT_EQ(access(), ACCESS_TPM_REG_VALID_STS | ACCESS_TPM_ESTABLISHMENT);
	EXPECT_EQ(access(2), ACCESS_TPM_REG_VALID_STS | ACCESS_TPM_ESTABLISHMENT);
	bring_to(State::COMPLETION);
	EXPECT_EQ(receive(20), message(20));
}

struct Counting_interrupt final : Interrupt
{
	unsigned count = 0;

	void asserted() override { ++count; }
};

struct Tpm_interrupts_test : Tpm_registers_test
{
	Counting_interrupt pin{};

	void enable(uint8_t interrupts)
	{
		chip.connect(&pin);
		set_access(ACCESS_REQUEST_USE);
		write32(TPM_INT_ENABLE, INT_GLOBAL_ENABLE | interrupts);
	}

	uint8_t take()
	{
		uint8_t const occurred = read8(TPM_INT_STATUS);
		write(TPM_INT_STATUS, {occurred});
		return occurred;
	}
};

TEST_F(Tpm_interrupts_test, asserts_its_pin_for_what_is_enabled)
{
	enable(INT_COMMAND_READY | INT_DATA_AVAIL);
	EXPECT_EQ(read32(TPM_INT_ENABLE),
		INT_GLOBAL_ENABLE | INT_LOW_LEVEL | INT_COMMAND_READY | INT_DATA_AVAIL);
	bring_to(State::READY);
	EXPECT_EQ(pin.count, 1u);
	EXPECT_EQ(take(), INT_COMMAND_READY);
	EXPECT_FALSE(chip.interrupt_asserted());
	bring_to(State::COMPLETION);
	EXPECT_EQ(pin.count, 2u);
	EXPECT_EQ(take(), INT_DATA_AVAIL);
}

TEST_F(Tpm_interrupts_test, stays_asserted_until_all_is_acknowledged)
{
	enable(INT_COMMAND_READY | INT_DATA_AVAIL);
	bring_to(State::COMPLETION);
	EXPECT_EQ(pin.count, 1u);
	EXPECT_EQ(read8(TPM_INT_STATUS), INT_COMMAND_READY | INT_DATA_AVAIL);
	write(TPM_INT_STATUS, {INT_COMMAND_READY});
	EXPECT_TRUE(chip.interrupt_asserted());
	write(TPM_INT_STATUS, {INT_DATA_AVAIL});
	EXPECT_FALSE(chip.interrupt_asserted());
}

TEST_F(Tpm_interrupts_test, is_silent_without_the_global_bit)
{
	enable(0);
	write32(TPM_INT_ENABLE, INT_COMMAND_READY | INT_DATA_AVAIL | INT_STS_VALID);
	bring_to(State::COMPLETION);
	EXPECT_EQ(pin.count, 0u);
	EXPECT_EQ(read8(TPM_INT_STATUS), 0);
}

TEST_F(Tpm_interrupts_test, tells_when_a_locality_that_waited_is_granted)
{
	enable(INT_LOCALITY_CHANGE);
	EXPECT_EQ(pin.count, 0u);
	set_access(ACCESS_REQUEST_USE, 1);
	EXPECT_EQ(pin.count, 0u);
	set_access(ACCESS_ACTIVE_LOCALITY);
	EXPECT_EQ(pin.count, 1u);
	write(at(1, TPM_INT_STATUS), {INT_LOCALITY_CHANGE});
	set_access(ACCESS_SEIZE, 2);
	EXPECT_EQ(pin.count, 2u);
}

TEST_F(Tpm_interrupts_test, tells_when_the_status_gets_valid)
{
	chip.chip.valid_polls = 1;
	enable(INT_STS_VALID);
	bring_to(State::READY);
	EXPECT_EQ(pin.count, 0u);
	status();
	status();
	EXPECT_EQ(pin.count, 1u);
}

} // namespace
} // namespace bulkhead::sim
