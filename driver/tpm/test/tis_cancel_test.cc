// A command that is given up at each of its waits, in each way, and one that runs out of frames.

#include "driver/tpm/test/rig.h"

#include <optional>

namespace bulkhead::tpm {
namespace {

using sim::Fault;

/* A chip that is slow in everything, so that a command has every kind of wait. */
struct Slow_rig : Rig
{
	Message response = Message(MESSAGE_MAX_BYTES);
	Message const command = command_of(100);

	explicit Slow_rig(bool keep_locality, bool interrupts = false)
		: Rig(Tis_config{.keep_locality = keep_locality, .interrupts = interrupts})
	{
		EXPECT_TRUE(start().ok());
		chip.chip.burst_count = 40;
		chip.chip.ready_from_completion = false;
		chip.chip.grant_polls = chip.chip.ready_polls = 6;
		chip.chip.valid_polls = 1;
		chip.chip.execution_polls = 8;
		chip.chip.wait_states = 2;
		wire.timing.gate = &gate;
		polls = 0;
	}

	void let_go()
	{
		wire.timing.gate = nullptr;
		on_poll = nullptr;
		chip.chip = {};
	}

	/* Waits of a whole command that nobody disturbs. */
	static unsigned waits(bool keep_locality)
	{
		Slow_rig rig{keep_locality};
		EXPECT_EQ(rig.execute(rig.command), response_to(rig.command));
		return rig.polls;
	}
};

struct Tpm_tis_cancel : testing::TestWithParam<bool>
{
	unsigned const count = Slow_rig::waits(GetParam());

	Tpm_tis_cancel() { EXPECT_GT(count, 50u); }
};

INSTANTIATE_TEST_SUITE_P(Locality, Tpm_tis_cancel, testing::Bool(),
	[](auto const &test) { return test.param ? "kept" : "requested_each_time"; });

TEST_P(Tpm_tis_cancel, leaves_an_idle_tpm_and_a_free_bus_at_every_wait_of_the_job)
{
	for (unsigned n = 1; n <= count; ++n) {
		SCOPED_TRACE(n);
		Slow_rig rig{GetParam()};
		rig.on_poll = [&] {
			if (rig.polls == n) rig.job.cancel();
		};
		Message const response = rig.execute(rig.command);
		// What comes too late to be cancelled succeeds.
		if (rig.error == Error{})
			EXPECT_EQ(response, response_to(rig.command));
		else
			EXPECT_EQ(rig.error, Error::CANCELLED);
		EXPECT_TRUE(rig.idle());
		EXPECT_LE(rig.duration_us, 100'000u) << "a TPM that obeys lets go at once";
		rig.let_go();
		rig.job.reset();
		rig.expect_recovery();
	}
}

TEST_P(Tpm_tis_cancel, leaves_an_idle_tpm_and_a_free_bus_when_the_deadline_passes_at_any_wait)
{
	for (unsigned n = 1; n <= count; ++n) {
		SCOPED_TRACE(n);
		Slow_rig rig{GetParam()};
		rig.on_poll = [&] {
			if (rig.polls != n) return;
			rig.clock.time_us += 50'000;
			rig.executor.expire();
		};
		{
			Job::Deadline const deadline{rig.job, rig.clock.time_us + 40'000};
			Message const response = rig.execute(rig.command);
			if (rig.error == Error{})
				EXPECT_EQ(response, response_to(rig.command));
			else
				EXPECT_EQ(rig.error, Error::TIMEOUT);
		}
		EXPECT_TRUE(rig.idle());
		rig.let_go();
		rig.expect_recovery();
	}
}

TEST_P(Tpm_tis_cancel, is_answered_by_the_tpm_at_every_wait_of_the_driver)
{
	for (unsigned n = 1; n <= count; ++n) {
		SCOPED_TRACE(n);
		Slow_rig rig{GetParam()};
		rig.backend.held = true;
		rig.on_poll = [&] {
			if (rig.polls == n) {
				EXPECT_TRUE(rig.tis.cancel(rig.job));
			}
			if (rig.polls >= 3 * n && rig.backend.client) rig.backend.answer(rig.backend.pending);
		};
		Message const response = rig.execute(rig.command);
		EXPECT_TRUE(response == CANCELED || response == response_to(rig.command)) << rig.error;
		EXPECT_TRUE(rig.idle());
		rig.let_go();
		rig.expect_recovery();
	}
}

TEST_P(Tpm_tis_cancel, does_not_matter_to_the_next_command_when_the_coroutine_is_destroyed)
{
	for (unsigned n = 1; n <= count; ++n) {
		SCOPED_TRACE(n);
		Slow_rig rig{GetParam()};
		{
			Task<size_t, Error> task = rig.tis.execute(rig.job, rig.command, rig.response);
			Attempt<size_t, Error> result{Error::OUT_OF_FRAMES};
			Root root = run_into(rig.job, task, result);
			ASSERT_TRUE(root.start(rig.job).ok());
			while (rig.executor.run_ready(), rig.polls < n && !root.done()) {
				rig.poll(rig.executor.next_deadline_us());
				rig.executor.expire();
			}
		}
		rig.let_go();
		rig.job.reset();
		rig.expect_recovery();
	}
}

TEST_P(Tpm_tis_cancel, waits_no_longer_than_time_out_b_for_a_tpm_that_does_not_obey)
{
	Slow_rig rig{GetParam()};
	rig.faults.response_dropped = Fault::once();
	rig.on_poll = [&] {
		if (rig.chip.state() == sim::Tpm_registers::State::EXECUTION) rig.job.cancel();
	};
	(void)rig.execute(rig.command);
	EXPECT_EQ(rig.error, Error::CANCELLED);
	EXPECT_LE(rig.duration_us, rig.tis.config().timeouts.b_us + 100'000);
	EXPECT_TRUE(rig.idle());
	rig.let_go();
	rig.job.reset();
	rig.expect_recovery();
}

TEST(Tpm_tis_start_cancel, leaves_a_free_bus_and_locality_at_every_wait)
{
	for (unsigned n = 1;; ++n) {
		SCOPED_TRACE(n);
		Rig rig{};
		rig.wire.timing.gate = &rig.gate;
		rig.chip.chip.grant_polls = rig.chip.chip.ready_polls = 6;
		rig.on_poll = [&] {
			if (rig.polls == n) rig.job.cancel();
		};
		Attempt<void, Error> const started = rig.start();
		if (rig.polls < n) break;
		if (!started.ok()) {
			EXPECT_EQ(started.error(), Error::CANCELLED);
			EXPECT_EQ(rig.chip.active_locality(), -1);
		}
		rig.wire.timing.gate = nullptr;
		rig.on_poll = nullptr;
		rig.job.reset();
		ASSERT_TRUE(rig.start().ok());
		rig.expect_recovery();
	}
}

/* A job with so little room for frames, next to one that has enough. */
TEST(Tpm_tis_frames, run_out_cleanly_at_every_size)
{
	bool enough = false;
	for (size_t bytes = 0; !enough; bytes += 16) {
		SCOPED_TRACE(bytes);
		ASSERT_LT(bytes, 16384u);
		Slow_rig rig{false};
		alignas(16) std::byte arena[16384];
		Job small{rig.executor, std::span(arena, bytes)};
		unsigned const submits = rig.backend.submits;
		Attempt<size_t, Error> const size =
			sync_wait(small, rig.tis.execute(small, rig.command, rig.response),
				[&](uint64_t until_us) { rig.poll(until_us); });
		EXPECT_EQ(small.used(), 0u);
		enough = size.ok();
		if (!enough) {
			EXPECT_EQ(size.error(), Error::OUT_OF_FRAMES);
		}
		EXPECT_LE(rig.backend.submits, submits + 1);
		rig.let_go();
		rig.expect_recovery();
	}
	RecordProperty("ok", enough);
}

} // namespace
} // namespace bulkhead::tpm
