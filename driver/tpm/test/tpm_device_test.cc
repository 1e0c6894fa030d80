#include "driver/tpm/test/rig.h"
#include "driver/tpm/tpm_device.h"

#include <deque>
#include <map>

namespace bulkhead::tpm {
namespace {

using bulkhead::Error;
using sim::Fault;

constexpr Io BLOCKING{};
constexpr Io NONBLOCKING{.nonblocking = true};

struct Counting_watcher final : Watcher
{
	unsigned changes = 0;

	void changed() override { ++changes; }
};

template <typename T>
Error error_of(Attempt<T> const &attempt)
{
	return attempt.ok() ? Error{} : attempt.error();
}

struct Device_rig : Rig
{
	Tpm_device device;
	std::deque<Tpm_session> sessions{};

	explicit Device_rig(Sharing sharing, unsigned count = 3, uint64_t patience_us = 0)
		: device(tis, sharing)
	{
		EXPECT_TRUE(start().ok());
		for (unsigned i = 0; i < count; ++i)
			device.add(sessions.emplace_back(executor, tis, device.openers(), patience_us));
	}

	Attempt<Char_session *> try_open(bool nonblocking = false)
	{
		return run(device.open(job, {.nonblocking = nonblocking}));
	}

	Char_session &open()
	{
		Attempt<Char_session *> const session = try_open();
		EXPECT_TRUE(session.ok());
		return *session.value();
	}

	Error write(Char_session &session, Message const &bytes, Io io = BLOCKING)
	{
		Attempt<size_t> const size = run(session.write(job, bytes, io));
		if (size.ok()) {
			EXPECT_EQ(size.value(), bytes.size());
		}
		return error_of(size);
	}

	Message read(Char_session &session, size_t room = MESSAGE_MAX_BYTES, Io io = BLOCKING)
	{
		Message bytes(room);
		Attempt<size_t> const size = run(session.read(job, bytes, io));
		read_error = error_of(size);
		bytes.resize(size.ok() ? size.value() : 0);
		return bytes;
	}

	Error close(Char_session &session) { return error_of(run(session.close(job))); }

	/* Whatever is ready runs, without time passing. */
	void run_ready() { executor.run_ready(); }

	/* Time passes until nothing waits any more. */
	void run_out()
	{
		while (executor.run_ready(), executor.next_deadline_us() != NEVER_US) {
			poll(executor.next_deadline_us());
			executor.expire();
		}
	}

	uint64_t counter(std::string_view name)
	{
		struct Sink final : Info_sink
		{
			std::map<std::string, uint64_t, std::less<>> counters{};
			void info(std::string_view, std::string_view) override {}
			void counter(std::string_view key, uint64_t value) override
			{
				counters.emplace(key, value);
			}
		} sink;
		device.describe(sink);
		return sink.counters.find(name)->second;
	}

	Error read_error{};
};

struct Tpm_file : testing::Test, Device_rig
{
	Message const command = command_of(30, 1);
	Message const response = response_to(command_of(30, 1));
	Char_session &session = open();

	Tpm_file() : Device_rig(Sharing::EXCLUSIVE) {}
};

TEST_F(Tpm_file, gives_the_response_to_the_command_that_was_written)
{
	EXPECT_EQ(write(session, command), Error{});
	EXPECT_EQ(read(session), response);
	EXPECT_EQ(read(session), Message{}) << "nothing is pending";
	EXPECT_EQ(read_error, Error{});
}

TEST_F(Tpm_file, gives_the_response_in_pieces)
{
	EXPECT_EQ(write(session, command), Error{});
	Message bytes = read(session, 10);
	EXPECT_EQ(bytes.size(), 10u);
	for (size_t piece : {1, 7, 100}) {
		Message const more = read(session, piece);
		bytes.insert(bytes.end(), more.begin(), more.end());
	}
	EXPECT_EQ(bytes, response);
	EXPECT_EQ(read(session), Message{});
}

TEST_F(Tpm_file, ignores_offsets)
{
	EXPECT_TRUE(run(session.write(job, command, {.offset = 4711})).ok());
	Message bytes(100);
	auto const size = run(session.read(job, bytes, {.offset = 815}));
	ASSERT_TRUE(size.ok());
	EXPECT_EQ(size.value(), response.size());
}

TEST_F(Tpm_file, reads_nothing_without_a_command)
{
	EXPECT_EQ(read(session), Message{});
	EXPECT_EQ(read(session, 10, NONBLOCKING), Message{});
	EXPECT_EQ(read_error, Error{});
}

TEST_F(Tpm_file, keeps_a_response_of_which_nothing_was_read)
{
	EXPECT_EQ(write(session, command), Error{});
	EXPECT_EQ(write(session, command_of(12)), Error::BUSY);
	EXPECT_EQ(read(session, 0), Message{});
	EXPECT_EQ(write(session, command_of(12)), Error::BUSY);
	EXPECT_EQ(read(session), response);
}

TEST_F(Tpm_file, drops_the_rest_of_a_response_for_the_next_command_as_linux_does)
{
	EXPECT_EQ(write(session, command), Error{});
	EXPECT_EQ(read(session, 10).size(), 10u);
	EXPECT_EQ(write(session, command_of(50, 2)), Error{});
	EXPECT_EQ(read(session), response_to(command_of(50, 2)));
}

TEST_F(Tpm_file, refuses_what_is_no_command)
{
	Message longer = command_of(20);
	longer.pop_back();
	Message tiny = command_of(12);
	tiny[5] = 9;
	EXPECT_EQ(write(session, Message(9, 0)), Error::INVALID);
	EXPECT_EQ(write(session, longer), Error::INVALID);
	EXPECT_EQ(write(session, tiny), Error::INVALID);
	EXPECT_EQ(write(session, command_of(4097)), Error::TOO_LONG);
	EXPECT_EQ(write(session, {}), Error::INVALID);
	EXPECT_EQ(backend.submits, 0u);
	EXPECT_EQ(read(session), Message{});
}

TEST_F(Tpm_file, ignores_what_is_written_behind_the_command)
{
	Message more = command;
	more.resize(100, 0xee);
	EXPECT_EQ(write(session, more), Error{});
	EXPECT_EQ(read(session), response);
}

TEST_F(Tpm_file, executes_while_a_nonblocking_writer_does_something_else)
{
	backend.held = true;
	EXPECT_EQ(session.readiness(), (Readiness{.writable = true}));
	Counting_watcher watcher;
	session.watch(watcher);

	EXPECT_EQ(write(session, command, NONBLOCKING), Error{});
	run_ready();
	EXPECT_EQ(session.readiness(), Readiness{});
	EXPECT_EQ(watcher.changes, 1u);
	EXPECT_EQ(read(session, 100, NONBLOCKING), Message{});
	EXPECT_EQ(read_error, Error::WOULD_BLOCK);
	EXPECT_EQ(write(session, command, NONBLOCKING), Error::BUSY);

	backend.answer(backend.pending);
	run_out();
	EXPECT_EQ(session.readiness(), (Readiness{.readable = true}));
	EXPECT_EQ(watcher.changes, 2u);
	EXPECT_EQ(write(session, command, NONBLOCKING), Error::BUSY);
	EXPECT_EQ(read(session, 10, NONBLOCKING).size(), 10u);
	EXPECT_EQ(session.readiness(), (Readiness{.readable = true}));
	EXPECT_EQ(read(session, 100, NONBLOCKING).size(), response.size() - 10);
	EXPECT_EQ(session.readiness(), (Readiness{.writable = true}));
	EXPECT_EQ(watcher.changes, 3u);
	EXPECT_EQ(read(session, 100, NONBLOCKING), Message{});
}

TEST_F(Tpm_file, lets_a_blocking_reader_wait_for_what_a_nonblocking_writer_began)
{
	backend.held = true;
	EXPECT_EQ(write(session, command, NONBLOCKING), Error{});
	on_poll = [&] {
		if (clock.time_us > 1'100'000 && backend.client) backend.answer(backend.pending);
	};
	EXPECT_EQ(read(session), response);
}

struct Patient_tpm_file : testing::Test, Device_rig
{
	static constexpr uint64_t PATIENCE_US = 1'000;

	Message const command = command_of(30, 1);
	Char_session &session = open();

	Patient_tpm_file() : Device_rig(Sharing::EXCLUSIVE, 1, PATIENCE_US) {}
};

TEST_F(Patient_tpm_file, has_the_response_of_a_short_command_when_a_nonblocking_write_returns)
{
	EXPECT_EQ(write(session, command, NONBLOCKING), Error{});
	EXPECT_EQ(session.readiness(), (Readiness{.readable = true}));
	EXPECT_EQ(read(session, 100, NONBLOCKING), response_to(command));
}

TEST_F(Patient_tpm_file, loses_patience_with_a_long_command_and_lets_it_go_on)
{
	backend.held = true;
	uint64_t const begin_us = clock.time_us;
	EXPECT_EQ(write(session, command, NONBLOCKING), Error{});
	EXPECT_LE(clock.time_us - begin_us, PATIENCE_US);
	EXPECT_EQ(session.readiness(), Readiness{});

	backend.answer(backend.pending);
	run_out();
	EXPECT_EQ(read(session, 100, NONBLOCKING), response_to(command));
}

TEST_F(Tpm_file, tells_an_error_once)
{
	faults.response_size_wrong = Fault::always();
	EXPECT_EQ(write(session, command), Error::IO);
	EXPECT_EQ(read(session), Message{}) << "the writer was told";
	EXPECT_EQ(read_error, Error{});

	EXPECT_EQ(write(session, command, NONBLOCKING), Error{});
	run_out();
	EXPECT_EQ(session.readiness(), (Readiness{.readable = true}));
	EXPECT_EQ(write(session, command), Error::BUSY);
	(void)read(session);
	EXPECT_EQ(read_error, Error::IO);
	(void)read(session);
	EXPECT_EQ(read_error, Error{});
	faults = {};
	EXPECT_EQ(write(session, command), Error{});
	EXPECT_EQ(read(session), response);
}

TEST_F(Tpm_file, transacts)
{
	Message bytes(MESSAGE_MAX_BYTES);
	auto size = run(session.transact(job, command, bytes));
	ASSERT_TRUE(size.ok());
	bytes.resize(size.value());
	EXPECT_EQ(bytes, response);
	EXPECT_EQ(read(session), Message{});

	size = run(session.transact(job, command, std::span(bytes).first(response.size() - 1)));
	EXPECT_EQ(error_of(size), Error::TOO_LONG);
	EXPECT_EQ(read(session), Message{}) << "it is lost";
	EXPECT_EQ(write(session, command), Error{});
	EXPECT_EQ(error_of(run(session.transact(job, command, bytes))), Error::BUSY);
}

TEST_F(Tpm_file, cancels_a_command_on_request)
{
	backend.held = true;
	EXPECT_TRUE(run(session.act(job, Action::CANCEL)).ok()) << "nothing to cancel";
	EXPECT_EQ(write(session, command, NONBLOCKING), Error{});
	run_ready();
	EXPECT_TRUE(run(session.act(job, Action::CANCEL)).ok());
	EXPECT_EQ(read(session), CANCELED);
	EXPECT_EQ(error_of(run(session.act(job, Action::RESET))), Error::NOT_SUPPORTED);
}

TEST_F(Tpm_file, cancels_the_command_of_a_writer_that_is_cancelled)
{
	backend.held = true;
	on_poll = [&] { job.cancel(); };
	EXPECT_EQ(write(session, command), Error::CANCELLED);
	on_poll = nullptr;
	job.reset();
	backend.held = false;
	EXPECT_TRUE(idle());
	EXPECT_EQ(session.readiness(), (Readiness{.writable = true}));
	EXPECT_EQ(read(session), Message{});
	EXPECT_EQ(write(session, command), Error{});
	EXPECT_EQ(read(session), response);
}

TEST_F(Tpm_file, cancels_the_command_of_a_writer_that_vanishes)
{
	backend.held = true;
	for (bool transact : {false, true}) {
		Message in(MESSAGE_MAX_BYTES);
		{
			Task<size_t> task = transact ? session.transact(job, command, in)
										 : session.write(job, command, BLOCKING);
			Attempt<size_t> result{Error::OUT_OF_FRAMES};
			Root root = run_into(job, task, result);
			ASSERT_TRUE(root.start(job).ok());
			run_ready();
			EXPECT_EQ(session.readiness(), Readiness{});
		}
		job.reset();
		run_out();
		EXPECT_TRUE(idle());
		EXPECT_EQ(session.readiness(), (Readiness{.writable = true})) << transact;
	}
	backend.held = false;
	EXPECT_EQ(write(session, command), Error{});
}

// Two threads share an open file: when the response is there, the one that didn't write is first.
TEST_F(Tpm_file, does_not_take_the_next_command_of_another_job_for_its_own)
{
	for (bool const transacts : {false, true}) {
		SCOPED_TRACE(transacts);
		backend.held = true;
		Job_with_arena<4096> writer{executor};
		Message room(MESSAGE_MAX_BYTES);
		Task<size_t> task = transacts ? session.transact(writer, command, room)
									  : session.write(writer, command, BLOCKING);
		Attempt<size_t> result{Error::OUT_OF_FRAMES};
		{
			Root root = run_into(writer, task, result);
			ASSERT_TRUE(root.start(writer).ok());
			while (!session.readiness().readable) {
				if (executor.run_one()) continue;
				if (backend.client) backend.answer(backend.pending);
				clock.time_us = std::max(clock.time_us, executor.next_deadline_us());
				executor.expire();
			}
			EXPECT_EQ(read(session, 10).size(), 10u);
			ASSERT_TRUE(session.write(job, command_of(40, 2), NONBLOCKING).take().ok());
			run_ready();
			EXPECT_TRUE(root.done());
			EXPECT_EQ(error_of(result), transacts ? Error::BUSY : Error{});
		}
		backend.held = false;
		if (backend.client) backend.answer(backend.pending);
		run_out();
		EXPECT_EQ(read(session), response_to(command_of(40, 2)));
	}
}

TEST_F(Tpm_file, gives_up_a_command_for_which_a_writer_has_no_frames_to_wait)
{
	backend.held = true;
	for (size_t bytes = 0; bytes < 1024; bytes += 16) {
		alignas(16) std::byte arena[1024];
		Job small{executor, std::span(arena, bytes)};
		{
			Task<size_t> const task = session.write(small, command, BLOCKING);
			if (!task.ready()) break;
		}
		run_out();
		EXPECT_EQ(session.readiness(), (Readiness{.writable = true})) << bytes;
	}
}

TEST_F(Tpm_file, is_closed_in_each_state_with_an_idle_tpm_and_without_remains)
{
	enum { NOTHING, EXECUTING, RESPONSE, REST, FAILED, STATES };
	Char_session *last = &session;
	for (unsigned state = NOTHING; state < STATES; ++state)
		for (bool cancelled : {false, true}) {
			SCOPED_TRACE(state);
			backend.held = state == EXECUTING;
			if (state == FAILED) faults.response_size_wrong = Fault::once();
			if (state != NOTHING) {
				EXPECT_EQ(write(*last, command, NONBLOCKING), Error{});
			}
			state == EXECUTING ? run_ready() : run_out();
			if (state == REST) {
				EXPECT_EQ(read(*last, 10).size(), 10u);
			}
			if (cancelled) job.cancel();
			EXPECT_EQ(close(*last), Error{});
			job.reset();
			EXPECT_TRUE(idle());
			EXPECT_EQ(counter("open"), 0u);
			last = &open();
			EXPECT_EQ(read(*last), Message{}) << "nothing of the last opener";
			EXPECT_EQ(last->readiness(), (Readiness{.writable = true}));
		}
}

TEST_F(Tpm_file, is_closed_even_if_the_closer_has_no_frames_or_vanishes)
{
	backend.held = true;
	EXPECT_EQ(write(session, command, NONBLOCKING), Error{});
	run_ready();
	Job empty{executor, {}};
	EXPECT_EQ(
		error_of(sync_wait(empty, session.close(empty), [](uint64_t) {})), Error::OUT_OF_FRAMES);
	EXPECT_EQ(error_of(try_open()), Error::BUSY) << "the TPM is still at it";
	run_out();
	EXPECT_TRUE(idle());
	Char_session &next = open();
	{
		Task<void> const dropped = next.close(job);
	}
	run_out();
	EXPECT_EQ(counter("open"), 0u);
	open();
}

TEST(Tpm_file_sharing, exclusive_means_busy)
{
	Device_rig rig{Sharing::EXCLUSIVE};
	Char_session &first = rig.open();
	EXPECT_EQ(error_of(rig.try_open()), Error::BUSY);
	EXPECT_EQ(error_of(rig.try_open(true)), Error::BUSY);
	EXPECT_EQ(rig.counter("opens_refused"), 2u);
	EXPECT_EQ(rig.close(first), Error{});
	EXPECT_EQ(rig.close(rig.open()), Error{});
}

/* An opener with a job of its own. */
struct Opener_job
{
	Job_with_arena<4096> job;
	Task<Char_session *> task;
	Attempt<Char_session *> result{Error::OUT_OF_FRAMES};
	Root root{};

	explicit Opener_job(Device_rig &rig) : job(rig.executor), task(rig.device.open(job, {}))
	{
		root = run_into(job, task, result);
		EXPECT_TRUE(root.start(job).ok());
		rig.run_ready();
	}
};

TEST(Tpm_file_sharing, queued_means_in_order)
{
	Device_rig rig{Sharing::QUEUED, 5};
	Char_session &first = rig.open();
	EXPECT_EQ(error_of(rig.try_open(true)), Error::BUSY) << "does not want to wait";
	std::deque<Opener_job> waiting;
	for (unsigned i = 0; i < 4; ++i) waiting.emplace_back(rig);
	EXPECT_EQ(error_of(rig.try_open()), Error::BUSY) << "no session is left to wait with";
	waiting[1].job.cancel();
	rig.run_ready();
	EXPECT_EQ(error_of(waiting[1].result), Error::CANCELLED);
	waiting[2].root = Root(); // the opener vanishes
	EXPECT_FALSE(waiting[0].root.done());

	EXPECT_EQ(rig.close(first), Error{});
	rig.run_ready();
	ASSERT_TRUE(waiting[0].result.ok());
	EXPECT_FALSE(waiting[3].root.done());
	EXPECT_EQ(rig.close(*waiting[0].result.value()), Error{});
	rig.run_ready();
	ASSERT_TRUE(waiting[3].result.ok());
	EXPECT_EQ(rig.close(*waiting[3].result.value()), Error{});
	EXPECT_EQ(rig.counter("open"), 0u);
	for (unsigned i = 0; i < 6; ++i) EXPECT_EQ(rig.close(rig.open()), Error{});
}

TEST(Tpm_file_sharing, queued_openers_without_frames_or_patience_leave_their_session)
{
	Device_rig rig{Sharing::QUEUED, 2};
	Char_session &first = rig.open();
	for (unsigned i = 0; i < 5; ++i) {
		Job empty{rig.executor, {}};
		Task<Char_session *> task = rig.device.open(empty, {});
		ASSERT_TRUE(task.ready());
		EXPECT_EQ(error_of(task.take()), Error::OUT_OF_FRAMES);
		Task<Char_session *> const never_awaited = rig.device.open(rig.job, {});
	}
	Opener_job last{rig};
	EXPECT_EQ(rig.close(first), Error{});
	rig.run_ready();
	EXPECT_TRUE(last.result.ok());
}

TEST(Tpm_file_sharing, shared_means_at_once_and_nothing_is_mixed_up)
{
	Device_rig rig{Sharing::SHARED};
	Char_session *users[] = {&rig.open(), &rig.open(), &rig.open()};
	EXPECT_EQ(error_of(rig.try_open()), Error::BUSY) << "no more sessions";
	rig.wire.timing.gate = &rig.gate;
	for (unsigned round = 0; round < 5; ++round) {
		for (unsigned i = 0; i < 3; ++i)
			EXPECT_EQ(rig.write(*users[i], command_of(40 + i, i + round), NONBLOCKING), Error{});
		for (unsigned i : {2, 0, 1})
			EXPECT_EQ(rig.read(*users[i]), response_to(command_of(40 + i, i + round)));
	}
	for (Char_session *user : users) EXPECT_EQ(rig.close(*user), Error{});
	EXPECT_EQ(rig.counter("open"), 0u);
}

TEST(Tpm_file_sharing, a_user_that_closes_does_not_disturb_the_others)
{
	Device_rig rig{Sharing::SHARED};
	Char_session &one = rig.open();
	Char_session &other = rig.open();
	rig.backend.held = true;
	EXPECT_EQ(rig.write(one, command_of(40, 1), NONBLOCKING), Error{});
	EXPECT_EQ(rig.write(other, command_of(41, 2), NONBLOCKING), Error{});
	rig.run_ready();
	EXPECT_EQ(rig.close(one), Error{});
	rig.run_ready();
	rig.backend.answer(rig.backend.pending);
	EXPECT_EQ(rig.read(other), response_to(command_of(41, 2)));
}

TEST(Tpm_file_describes, what_it_is_and_has_done)
{
	Device_rig rig{Sharing::QUEUED};
	Char_session &session = rig.open();
	for (unsigned i = 0; i < 3; ++i) {
		EXPECT_EQ(rig.write(session, command_of(12)), Error{});
		(void)rig.read(session);
	}
	EXPECT_EQ(rig.device.kind(), "tpm");
	EXPECT_EQ(rig.counter("commands"), 3u);
	EXPECT_EQ(rig.counter("opens"), 1u);
	EXPECT_EQ(rig.counter("open"), 1u);
}

} // namespace
} // namespace bulkhead::tpm
