#include "driver/tpm/test/rig.h"

namespace bulkhead::tpm {
namespace {

using sim::Fault;
using sim::Tpm_faults;
using Moment = Tpm_faults::Moment;
using State = sim::Tpm_registers::State;

struct Tpm_tis : testing::Test, Rig
{
	Tpm_tis() { EXPECT_TRUE(start().ok()); }
};

struct Tpm_tis_start : testing::Test, Rig
{
	Error start_error()
	{
		Attempt<void, Error> const started = start();
		return started.ok() ? Error{} : started.error();
	}

	void expect_started()
	{
		faults = {};
		EXPECT_EQ(start_error(), Error{});
		EXPECT_EQ(failure(), Error{});
		expect_free_bus();
	}
};

TEST_F(Tpm_tis_start, says_what_the_chip_is)
{
	chip.chip.vendor = 0x15d1;
	chip.chip.device = 0x001b;
	chip.chip.revision = 0x16;
	EXPECT_EQ(start_error(), Error{});
	EXPECT_EQ(tis.identity().vendor_id, 0x15d1);
	EXPECT_EQ(tis.identity().device_id, 0x001b);
	EXPECT_EQ(tis.identity().revision_id, 0x16);
	EXPECT_TRUE(tis.started());
}

TEST_F(Tpm_tis_start, executes_nothing_before_it)
{
	EXPECT_EQ(failure(), Error::NOT_STARTED);
	EXPECT_EQ(backend.submits, 0u);
	expect_started();
}

TEST_F(Tpm_tis_start, finds_no_chip_behind_a_line_that_stays_high)
{
	faults.line_high = Fault::always();
	EXPECT_EQ(start_error(), Error::NO_TPM);
	EXPECT_FALSE(tis.started());
	EXPECT_EQ(failure(), Error::NOT_STARTED);
	expect_started();
}

TEST_F(Tpm_tis_start, takes_a_line_that_stays_low_for_endless_wait_states)
{
	faults.line_low = Fault::always();
	EXPECT_EQ(start_error(), Error::BUS_TIMEOUT);
	expect_started();
}

TEST_F(Tpm_tis_start, finds_no_chip_behind_another_chip_select)
{
	EXPECT_TRUE(device.configure({.select = 1}).ok());
	EXPECT_EQ(start_error(), Error::NO_TPM);
}

TEST_F(Tpm_tis_start, refuses_vendors_that_nobody_is)
{
	for (uint16_t vendor : {0x0000, 0xffff}) {
		faults.vendor_wrong = Fault::once();
		faults.vendor = vendor;
		EXPECT_EQ(start_error(), Error::NO_TPM) << vendor;
	}
	expect_started();
}

TEST_F(Tpm_tis_start, refuses_an_interface_that_is_not_the_fifo)
{
	faults.interface_wrong = Fault::once();
	EXPECT_EQ(start_error(), Error::NOT_FIFO);
	expect_started();
}

TEST_F(Tpm_tis_start, takes_the_fifo_of_tis_1_3)
{
	faults.interface_wrong = Fault::once();
	faults.interface_type = 0xf;
	EXPECT_EQ(start_error(), Error{});
}

/* Changes what is read from a register. */
struct Twisted_access final : Register_access
{
	Register_access &inner;
	std::function<void(uint16_t, Mutable_bytes)> twist{};

	explicit Twisted_access(Register_access &access) : inner(access) {}

	Task<void, Error> read(Job &job, uint16_t address, Mutable_bytes to) override
	{
		Task<void, Error> task = inner.read(job, address, to);
		if (task.ready() && twist) twist(address, to);
		return task;
	}
	Task<void, Error> write(Job &job, uint16_t address, Bytes from) override
	{
		return inner.write(job, address, from);
	}
	size_t size_max() const override { return inner.size_max(); }
};

TEST_F(Tpm_tis_start, refuses_a_tpm_1_2_and_lets_go_of_it)
{
	Twisted_access twisted{access};
	twisted.twist = [](uint16_t address, Mutable_bytes to) {
		if (address == uint16_t(Register::TPM_STS)) to[3] = 0;
	};
	Tis old{twisted};
	Attempt<void, Error> const started = run(old.start(job));
	ASSERT_FALSE(started.ok());
	EXPECT_EQ(started.error(), Error::NOT_TPM2);
	EXPECT_EQ(chip.active_locality(), -1);
}

TEST_F(Tpm_tis_start, gives_up_on_a_chip_that_never_gets_ready)
{
	faults.ready_ignored = Fault::always();
	EXPECT_EQ(start_error(), Error::NOT_READY);
	EXPECT_EQ(chip.active_locality(), -1) << "others may want it";
	expect_started();
}

TEST_F(Tpm_tis_start, gives_up_on_a_locality_that_is_denied)
{
	faults.locality_denied = Fault::always();
	EXPECT_EQ(start_error(), Error::LOCALITY_DENIED);
	expect_started();
}

TEST_F(Tpm_tis, passes_commands_and_responses_of_every_size)
{
	for (size_t size : {10, 11, 12, 63, 64, 65, 127, 128, 129, 1000, 4095, 4096}) {
		EXPECT_EQ(execute(command_of(size)), response_to(command_of(size))) << size;
		backend.response_size = 4106 - size;
		EXPECT_EQ(execute(command_of(size)), response_to(command_of(size), 4106 - size)) << size;
		backend.response_size = 0;
	}
	EXPECT_EQ(tis.counters().commands, 24u);
	EXPECT_EQ(tis.counters().failures, 0u);
	EXPECT_EQ(tis.counters().command_retries, 0u);
	EXPECT_EQ(tis.counters().response_retries, 0u);
}

TEST_F(Tpm_tis, refuses_what_is_no_command)
{
	for (size_t size : {0, 9, 4097}) {
		Message const bytes(size, 0x80);
		(void)execute(bytes);
		EXPECT_EQ(error, Error::COMMAND_SIZE) << size;
	}
	Message lie = command_of(20);
	lie.pop_back();
	(void)execute(lie);
	EXPECT_EQ(error, Error::COMMAND_SIZE);
	EXPECT_EQ(backend.submits, 0u);
	expect_recovery();
}

TEST_F(Tpm_tis, needs_room_for_the_response)
{
	(void)execute(command_of(12), 9);
	EXPECT_EQ(error, Error::BUFFER_TOO_SMALL);
	EXPECT_EQ(backend.submits, 0u);
	(void)execute(command_of(12), 11);
	EXPECT_EQ(error, Error::BUFFER_TOO_SMALL);
	EXPECT_EQ(backend.submits, 1u);
	expect_recovery();
}

TEST_F(Tpm_tis, follows_chips_of_every_pace)
{
	for (uint16_t burst : {1, 2, 7, 32, 64, 1000, 65535})
		for (uint32_t looks : {0, 1, 7})
			for (bool at_once : {true, false}) {
				chip.chip.burst_count = burst;
				chip.chip.burst_count_static = burst == 7;
				chip.chip.ready_from_completion = at_once;
				chip.chip.ready_polls = chip.chip.valid_polls = chip.chip.execution_polls = looks;
				chip.chip.wait_states = looks;
				EXPECT_EQ(failure(150), Error{}) << burst << " " << looks << " " << at_once;
			}
	EXPECT_EQ(tis.counters().command_retries, 0u);
	EXPECT_EQ(tis.counters().response_retries, 0u);
}

TEST_F(Tpm_tis, reads_a_response_over_the_command)
{
	Message buffer = command_of(100, 9);
	buffer.resize(MESSAGE_MAX_BYTES);
	Attempt<size_t, Error> const size =
		run(tis.execute(job, std::span(buffer).first(100), std::span(buffer)));
	ASSERT_TRUE(size.ok());
	buffer.resize(size.value());
	EXPECT_EQ(buffer, response_to(command_of(100, 9)));
}

TEST_F(Tpm_tis, tells_a_line_that_gets_stuck_in_mid_command)
{
	for (uint32_t frame = 1; frame <= 8; ++frame) {
		SCOPED_TRACE(frame);
		faults.line_low = Fault::from(frame);
		(void)failure(100);
		EXPECT_EQ(error, faults.line_low.hits ? Error::BUS_TIMEOUT : Error{});
		expect_recovery();

		faults.line_high = Fault::from(frame);
		(void)failure(100);
		// The burst that is sent last is not answered by any register.
		if (faults.line_high.hits > 1) {
			EXPECT_EQ(error, Error::GONE);
		}
		expect_recovery();
	}
}

TEST_F(Tpm_tis, gives_up_on_endless_wait_states)
{
	for (uint32_t frame = 1; frame <= 8; ++frame) {
		SCOPED_TRACE(frame);
		faults.endless_wait = Fault::nth(frame);
		if (faults.endless_wait.strike(); faults.endless_wait.times == 0) continue;
		faults.endless_wait = Fault::from(frame);
		EXPECT_EQ(failure(100), Error::BUS_TIMEOUT);
		EXPECT_EQ(duration_us, 0u) << "bounded by bytes, not by time";
		expect_recovery();
	}
}

TEST_F(Tpm_tis, bears_many_wait_states)
{
	faults.more_wait_states = Fault::always();
	faults.wait_states = 900;
	EXPECT_EQ(failure(), Error{});
}

TEST_F(Tpm_tis, follows_a_burst_count_of_one)
{
	faults.burst_one = Fault::always();
	EXPECT_EQ(failure(300), Error{});
}

TEST_F(Tpm_tis, waits_while_the_burst_count_is_zero)
{
	faults.burst_zero = Fault::once();
	faults.burst_zero_polls = 20;
	EXPECT_EQ(failure(), Error{});
	EXPECT_GT(duration_us, 1'000u);
	EXPECT_EQ(tis.counters().command_retries, 0u);
}

TEST_F(Tpm_tis, sends_a_command_again_when_the_burst_count_stays_zero)
{
	faults.burst_zero = Fault::once();
	EXPECT_EQ(failure(), Error{});
	EXPECT_EQ(tis.counters().command_retries, 1u);

	faults.burst_zero = Fault::always();
	EXPECT_EQ(failure(), Error::NO_BURST);
	EXPECT_EQ(backend.submits, 1u);
	EXPECT_LE(duration_us, 3 * (tis.config().timeouts.a_us + 10'000));
	expect_recovery();
}

TEST_F(Tpm_tis, sends_a_command_again_that_was_cut)
{
	faults.expect_low = Fault::once();
	EXPECT_EQ(failure(100), Error{});
	EXPECT_EQ(tis.counters().command_retries, 1u);
	faults.expect_low = Fault::always();
	EXPECT_EQ(failure(100), Error::COMMAND_CUT);
	expect_recovery();
}

TEST_F(Tpm_tis, sends_a_command_again_of_which_a_byte_was_lost)
{
	for (size_t size : {12, 64, 65, 4096}) {
		faults.command_byte_lost = Fault::once();
		EXPECT_EQ(failure(size), Error{}) << size;
	}
	EXPECT_EQ(tis.counters().command_retries, 4u);
	faults.expect_high = Fault::always();
	EXPECT_EQ(failure(), Error::COMMAND_LONG);
	EXPECT_EQ(backend.submits, 4u);
	expect_recovery();
}

TEST_F(Tpm_tis, sends_a_command_again_when_the_status_is_never_valid)
{
	faults.status_invalid = Fault::once();
	EXPECT_EQ(failure(), Error{});
	faults.status_invalid = Fault::always();
	EXPECT_EQ(failure(), Error::STATUS_INVALID);
	EXPECT_EQ(backend.submits, 1u);
	expect_recovery();
}

TEST_F(Tpm_tis, gives_up_on_a_chip_that_never_gets_ready)
{
	// The chip is taken out of Ready, and does not come back.
	chip.chip.ready_from_completion = false;
	EXPECT_EQ(failure(), Error{});
	faults.ready_ignored = Fault::always();
	EXPECT_EQ(failure(), Error::NOT_READY);
	EXPECT_LE(duration_us, tis.config().timeouts.b_us + 10'000);
	expect_recovery();
}

TEST_F(Tpm_tis, insists_on_a_chip_that_gets_ready_on_the_third_request)
{
	chip.chip.ready_from_completion = false;
	EXPECT_EQ(failure(), Error{});
	faults.ready_ignored = {.times = 2};
	EXPECT_EQ(failure(), Error{});
	EXPECT_LT(duration_us, 50'000u);
}

TEST_F(Tpm_tis, cancels_a_command_whose_response_was_dropped)
{
	faults.response_dropped = Fault::once();
	EXPECT_EQ(failure(), Error::HUNG);
	EXPECT_GE(duration_us, bulkhead::tpm::duration_us(GET_RANDOM));
	EXPECT_LE(
		duration_us, bulkhead::tpm::duration_us(GET_RANDOM) + tis.config().timeouts.b_us + 10'000);
	EXPECT_EQ(tis.counters().cancels, 1u);
	EXPECT_EQ(backend.submits, 1u) << "never sent twice";
	expect_recovery();
}

TEST_F(Tpm_tis, cancels_a_command_that_takes_too_long)
{
	faults.response_until_cancel = Fault::once();
	EXPECT_EQ(failure(), Error::DURATION_EXCEEDED);
	EXPECT_GE(duration_us, bulkhead::tpm::duration_us(GET_RANDOM));
	EXPECT_EQ(tis.counters().cancels, 1u);
	EXPECT_EQ(tis.counters().failures, 1u);
	EXPECT_TRUE(idle());
	expect_recovery();
}

TEST_F(Tpm_tis, has_patience_with_commands_that_make_keys)
{
	backend.held = true;
	uint64_t const begin_us = clock.time_us;
	on_poll = [&] {
		if (clock.time_us > begin_us + 200'000'000 && backend.client)
			backend.answer(backend.pending);
	};
	EXPECT_EQ(execute(command_of(12, 0, CREATE_PRIMARY)), response_to(command_of(12)));
	EXPECT_LT(polls, 50'000u) << "a long wait costs few looks";
}

TEST_F(Tpm_tis, ends_a_command_that_is_cancelled_with_the_response_to_that)
{
	backend.held = true;
	on_poll = [&] { EXPECT_TRUE(tis.cancel(job)); };
	EXPECT_EQ(execute(command_of(12)), CANCELED);
	EXPECT_EQ(tis.counters().cancels, 1u);
	on_poll = nullptr;
	EXPECT_FALSE(tis.cancel(job)) << "nothing is executed";
	expect_recovery();
}

TEST_F(Tpm_tis, tells_a_cancelled_command_that_gets_no_response)
{
	faults.response_dropped = Fault::once();
	on_poll = [&] {
		if (tis.counters().cancels == 0) tis.cancel(job);
	};
	EXPECT_EQ(failure(), Error::COMMAND_CANCELLED);
	on_poll = nullptr;
	expect_recovery();
}

TEST_F(Tpm_tis, reads_a_response_again_of_which_a_byte_was_lost)
{
	for (uint32_t at : {0, 3, 9, 10, 11, 63, 64, 99}) {
		faults.lost_at = at;
		faults.response_byte_lost = Fault::once();
		EXPECT_EQ(failure(100), Error{}) << at;
		EXPECT_LT(duration_us, 1'000u) << at << ": no time-out is needed to notice";
	}
	EXPECT_EQ(tis.counters().response_retries, 8u);
	EXPECT_EQ(tis.counters().command_retries, 0u);

	faults.lost_at = 20;
	faults.response_byte_lost = Fault::always();
	unsigned const submits = backend.submits;
	EXPECT_EQ(failure(100), Error::RESPONSE_CUT);
	EXPECT_EQ(backend.submits, submits + 1) << "never sent twice";
	expect_recovery();
}

TEST_F(Tpm_tis, does_not_believe_a_response_that_lies_about_its_size)
{
	struct
	{
		uint32_t size;
		Error error;
	} const lies[] = {
		{0, Error::RESPONSE_MALFORMED},
		{9, Error::RESPONSE_MALFORMED},
		{4097, Error::RESPONSE_MALFORMED},
		{0xffff'ffff, Error::RESPONSE_MALFORMED},
		{99, Error::RESPONSE_LONG},
		{10, Error::RESPONSE_LONG},
		{101, Error::RESPONSE_CUT},
		{4096, Error::RESPONSE_CUT},
	};
	for (auto const &lie : lies) {
		faults.response_size = lie.size;
		faults.response_size_wrong = Fault::once();
		EXPECT_EQ(failure(100), lie.error) << lie.size;
		EXPECT_LT(duration_us, 1'000u);
		expect_recovery();
	}
}

TEST_F(Tpm_tis, sends_a_command_again_when_the_locality_was_lost_before_it_began)
{
	faults.stolen_at = Moment::RECEPTION;
	for (size_t size : {12, 100, 4096}) {
		faults.locality_stolen = Fault::once();
		EXPECT_EQ(failure(size), Error{}) << size;
	}
	EXPECT_EQ(tis.counters().command_retries, 3u);
	EXPECT_EQ(tis.counters().localities_lost, 3u);
	EXPECT_EQ(backend.submits, 3u);
}

TEST_F(Tpm_tis, does_not_send_a_command_again_that_the_tpm_may_have_executed)
{
	for (Moment moment : {Moment::EXECUTION, Moment::COMPLETION, Moment::READING}) {
		unsigned const submits = backend.submits;
		faults.stolen_at = moment;
		faults.locality_stolen = Fault::once();
		EXPECT_EQ(failure(), Error::LOCALITY_LOST) << unsigned(moment);
		EXPECT_EQ(backend.submits, submits + 1);
		expect_recovery();
	}
	EXPECT_EQ(tis.counters().localities_lost, 3u);
}

TEST_F(Tpm_tis, waits_for_a_thief_that_stays_no_longer_than_time_out_a)
{
	faults.stolen_at = Moment::RECEPTION;
	faults.locality_stolen = Fault::once();
	faults.thief_stays = true;
	EXPECT_EQ(failure(), Error::LOCALITY_DENIED);
	EXPECT_EQ(chip.active_locality(), 4);
	uint8_t const leave = sim::ptp::ACCESS_ACTIVE_LOCALITY;
	chip.write(0x4000, {&leave, 1});
	EXPECT_EQ(chip.active_locality(), -1) << "the request was withdrawn";
	expect_recovery();
}

TEST_F(Tpm_tis, survives_a_chip_that_resets_in_mid_command)
{
	for (Moment moment :
		{Moment::RECEPTION, Moment::EXECUTION, Moment::COMPLETION, Moment::READING}) {
		unsigned const submits = backend.submits;
		faults.reset_at = moment;
		faults.resets_itself = Fault::once();
		bool const before = moment == Moment::RECEPTION;
		EXPECT_EQ(failure(100), before ? Error{} : Error::LOCALITY_LOST) << unsigned(moment);
		EXPECT_EQ(backend.submits, submits + 1);
		expect_recovery();
	}
}

TEST_F(Tpm_tis, tells_a_chip_that_is_gone)
{
	backend.held = true;
	on_poll = [&] {
		if (!backend.client) return;
		backend.client = nullptr;
		faults.line_high = Fault::always();
	};
	EXPECT_EQ(failure(), Error::GONE);
	EXPECT_EQ(failure(), Error::GONE);
}

TEST_F(Tpm_tis, ends_within_its_time_outs_whatever_bits_flip)
{
	unsigned failures = 0;
	for (unsigned round = 0; round < 300; ++round) {
		faults.seed = round + 1;
		faults.flip_received_1_in = round % 2 ? 50 : 0;
		faults.flip_sent_1_in = round % 2 ? 0 : 50;
		Message const response = execute(command_of(100, round));
		failures += error != Error{};
		ASSERT_LT(duration_us, 20'000'000u) << error;
		ASSERT_LE(response.size(), MESSAGE_MAX_BYTES);
		expect_free_bus();
	}
	EXPECT_GT(failures, 0u);
	expect_recovery();
}

struct Config_case
{
	bool keep_locality;
	bool seize;
	bool interrupts;
	uint8_t locality;
};

/* Chips raise the interrupt; whether and when the driver hears of it differs. */
struct Line final : sim::Interrupt
{
	Tis &tis;
	bool lost = false;
	unsigned asserts = 0;

	explicit Line(Tis &t) : tis(t) {}

	void asserted() override
	{
		++asserts;
		if (!lost) tis.interrupt();
	}
};

TEST(Tpm_tis_config, works_in_every_configuration)
{
	for (unsigned bits = 0; bits < 8; ++bits)
		for (uint8_t locality = 0; locality < LOCALITIES; ++locality) {
			Rig rig{{.locality = locality,
				.seize = bool(bits & 1),
				.keep_locality = bool(bits & 2),
				.interrupts = bool(bits & 4)}};
			Line line{rig.tis};
			rig.chip.connect(&line);
			ASSERT_TRUE(rig.start().ok());
			for (size_t size : {10, 65, 4096}) EXPECT_EQ(rig.failure(size), Error{});
			EXPECT_EQ(rig.chip.active_locality(), bits & 2 ? locality : -1);
			EXPECT_TRUE(rig.run(rig.tis.relinquish(rig.job)).ok());
			EXPECT_EQ(rig.chip.active_locality(), -1);
			EXPECT_FALSE(rig.chip.interrupt_asserted());
			rig.expect_recovery();
		}
}

TEST(Tpm_tis_config, waits_for_a_locality_until_it_is_free)
{
	Rig rig{};
	ASSERT_TRUE(rig.start().ok());
	uint8_t const request = sim::ptp::ACCESS_REQUEST_USE, leave = sim::ptp::ACCESS_ACTIVE_LOCALITY;
	ASSERT_TRUE(rig.run(rig.tis.relinquish(rig.job)).ok());
	rig.chip.write(0x1000, {&request, 1});
	ASSERT_EQ(rig.chip.active_locality(), 1);
	rig.on_poll = [&] {
		if (rig.polls == 10) rig.chip.write(0x1000, {&leave, 1});
	};
	EXPECT_EQ(rig.failure(), Error{});
	EXPECT_EQ(rig.chip.active_locality(), 0);
}

TEST(Tpm_tis_config, seizes_a_locality_from_a_lower_one_only)
{
	uint8_t const request = sim::ptp::ACCESS_REQUEST_USE, leave = sim::ptp::ACCESS_ACTIVE_LOCALITY;
	Rig rig{{.locality = 2, .seize = true}};
	rig.chip.write(0x1000, {&request, 1});
	ASSERT_EQ(rig.chip.active_locality(), 1);
	ASSERT_TRUE(rig.start().ok());
	EXPECT_EQ(rig.chip.active_locality(), 2);
	ASSERT_TRUE(rig.run(rig.tis.relinquish(rig.job)).ok());
	EXPECT_EQ(rig.chip.active_locality(), -1);

	rig.chip.write(0x3000, {&request, 1});
	EXPECT_EQ(rig.failure(), Error::LOCALITY_DENIED);
	EXPECT_EQ(rig.chip.active_locality(), 3);
	rig.chip.write(0x3000, {&leave, 1});
	EXPECT_EQ(rig.chip.active_locality(), -1) << "nothing is requested any more";
	EXPECT_EQ(rig.failure(), Error{});
}

TEST(Tpm_tis_interrupt, spares_looks)
{
	Rig rig{{.interrupts = true}};
	Line line{rig.tis};
	rig.chip.connect(&line);
	ASSERT_TRUE(rig.start().ok());
	rig.backend.held = true;
	for (unsigned i = 0; i < 5; ++i) {
		unsigned const before = rig.polls;
		uint64_t const answer_us = rig.clock.time_us + 1'000;
		rig.on_poll = [&] {
			// The chip answers while the driver sleeps.
			if (!rig.backend.client) return;
			rig.clock.time_us = answer_us;
			rig.backend.answer(rig.backend.pending);
			uint8_t status[4];
			rig.chip.read(sim::ptp::TPM_STS, status);
		};
		EXPECT_EQ(rig.failure(), Error{});
		EXPECT_EQ(rig.duration_us, 1'000u) << "as soon as the interrupt came";
		EXPECT_LE(rig.polls - before, 2u);
		EXPECT_FALSE(rig.chip.interrupt_asserted());
	}
	EXPECT_EQ(line.asserts, 5u);
}

TEST(Tpm_tis_interrupt, is_not_missed_while_the_status_is_read)
{
	for (unsigned n = 0; n < 40; ++n) {
		Rig rig{{.interrupts = true}};
		Line line{rig.tis};
		rig.chip.connect(&line);
		rig.wire.timing.simulated = true;
		ASSERT_TRUE(rig.start().ok());
		rig.backend.held = true;
		unsigned waits = 0;
		rig.on_poll = [&] {
			// After some waits for the bus, or when the driver sleeps.
			if (!rig.backend.client || (rig.bus.busy() && waits++ < n)) return;
			rig.backend.answer(rig.backend.pending);
		};
		EXPECT_EQ(rig.failure(), Error{});
		EXPECT_LT(rig.duration_us, 50'000u) << n;
	}
}

TEST(Tpm_tis_interrupt, is_not_relied_upon)
{
	Rig rig{{.interrupts = true}};
	Line line{rig.tis};
	line.lost = true;
	rig.chip.connect(&line);
	rig.chip.chip.execution_polls = 3;
	ASSERT_TRUE(rig.start().ok());
	EXPECT_EQ(rig.failure(), Error{});
	EXPECT_EQ(rig.duration_us, 300'000u);
	EXPECT_FALSE(rig.chip.interrupt_asserted()) << "acknowledged nevertheless";
	line.lost = false;
	rig.expect_recovery();
}

TEST(Tpm_tis_interrupt, may_be_spurious)
{
	Rig rig{{.interrupts = true}};
	rig.chip.chip.execution_polls = 50;
	ASSERT_TRUE(rig.start().ok());
	rig.on_poll = [&] { rig.tis.interrupt(); };
	EXPECT_EQ(rig.failure(), Error{});
	rig.on_poll = nullptr;
	rig.chip.chip.execution_polls = 0;
	rig.tis.interrupt();
	rig.expect_recovery();
}

TEST(Tpm_tis_bus, keeps_to_what_the_controller_can_move)
{
	spi::Limits limits = sim::Tpm_wire::everything();
	limits.sent_max = limits.received_max = 20;
	sim::Tpm_wire wire{limits};
	Rig rig{};
	wire.attach(0, rig.chip);
	spi::Bus bus{wire};
	spi::Device device{bus, {}};
	Spi_access access{device};
	Tis tis{access};
	ASSERT_EQ(access.size_max(), 16u);
	ASSERT_TRUE(rig.run(tis.start(rig.job)).ok());
	Message response(MESSAGE_MAX_BYTES);
	Message const command = command_of(1000);
	auto const size = rig.run(tis.execute(rig.job, command, response));
	ASSERT_TRUE(size.ok());
	response.resize(size.value());
	EXPECT_EQ(response, response_to(command));
}

TEST(Tpm_tis_bus, fails_where_the_controller_cannot_move_a_register)
{
	for (size_t most : {size_t(1), size_t(4), size_t(7)}) {
		spi::Limits limits = sim::Tpm_wire::everything();
		limits.sent_max = limits.received_max = most;
		sim::Tpm_wire wire{limits};
		Rig rig{};
		wire.attach(0, rig.chip);
		spi::Bus bus{wire};
		spi::Device device{bus, {}};
		Spi_access access{device};
		Tis tis{access};
		auto const started = rig.run(tis.start(rig.job));
		ASSERT_FALSE(started.ok());
		EXPECT_EQ(started.error(), Error::BUS_FAULT);
	}
}

TEST(Tpm_tis_bus, works_where_the_controller_knows_no_conditions)
{
	spi::Limits limits = sim::Tpm_wire::everything();
	limits.conditional = false;
	sim::Tpm_wire wire{limits};
	Rig rig{};
	wire.attach(0, rig.chip);
	rig.chip.chip.wait_states = 5;
	spi::Bus bus{wire};
	spi::Device device{bus, {}};
	Spi_access access{device};
	Tis tis{access};
	ASSERT_TRUE(rig.run(tis.start(rig.job)).ok());
	Message response(MESSAGE_MAX_BYTES);
	Message const command = command_of(100);
	EXPECT_TRUE(rig.run(tis.execute(rig.job, command, response)).ok());
	EXPECT_EQ(wire.selected(), -1);
	rig.faults.endless_wait = Fault::always();
	auto const size = rig.run(tis.execute(rig.job, command, response));
	ASSERT_FALSE(size.ok());
	EXPECT_EQ(size.error(), Error::BUS_TIMEOUT);
	EXPECT_EQ(wire.selected(), -1);
	EXPECT_FALSE(bus.busy());
}

} // namespace
} // namespace bulkhead::tpm
