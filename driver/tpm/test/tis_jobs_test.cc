// Several jobs on one TPM, several TPMs on one bus, and the same driver in the loop of Linux.

#include "driver/tpm/test/rig.h"
#include "platform/linux/loop.h"

#include <deque>

namespace bulkhead::tpm {
namespace {

/* A user of a TPM with a job of its own: gives commands one after the other, checks each answer. */
struct User final : private Completion
{
	Job_with_arena<8192> job;
	Tis &tis;
	unsigned const id;
	unsigned const rounds;
	std::function<void(User &)> ended;
	unsigned done = 0;
	unsigned failures = 0;
	std::vector<unsigned> *order = nullptr;
	Message response = Message(MESSAGE_MAX_BYTES);
	Root root{};

	User(Executor &executor, Tis &t, unsigned i, unsigned n, std::function<void(User &)> e = {})
		: job(executor), tis(t), id(i), rounds(n), ended(std::move(e))
	{}

	void start()
	{
		root = run(job);
		ASSERT_TRUE(root.start(job, this).ok());
	}

	Root run(Job &mine)
	{
		while (done < rounds) {
			Message const command = command_of(10 + (id * 97 + done * 31) % 300, id * 16 + done);
			Attempt<size_t, Error> const size = co_await tis.execute(mine, command, response);
			bool const right = size.ok() &&
				Message(response.begin(), response.begin() + ptrdiff_t(size.value())) ==
					response_to(command);
			if (!right) ++failures;
			++done;
			if (order) order->push_back(id);
		}
	}

	void completed() override
	{
		if (ended) ended(*this);
	}
};

TEST(Tpm_tis_jobs, take_turns_in_the_order_of_asking)
{
	Rig rig{};
	ASSERT_TRUE(rig.start().ok());
	rig.wire.timing.gate = &rig.gate;
	std::vector<unsigned> order;
	std::deque<User> users;
	for (unsigned i = 0; i < 5; ++i) {
		users.emplace_back(rig.executor, rig.tis, i, 3).order = &order;
		users.back().start();
	}
	auto const busy = [&] {
		return std::any_of(users.begin(), users.end(), [](User &u) { return !u.root.done(); });
	};
	while (rig.executor.run_ready(), busy()) {
		rig.poll(rig.executor.next_deadline_us());
		rig.executor.expire();
	}
	for (User const &user : users) EXPECT_EQ(user.failures, 0u) << user.id;
	EXPECT_EQ(order, (std::vector<unsigned>{0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4}));
	rig.wire.timing.gate = nullptr;
	rig.expect_recovery();
}

TEST(Tpm_tis_jobs, that_are_cancelled_in_the_queue_do_not_disturb_the_others)
{
	Rig rig{};
	ASSERT_TRUE(rig.start().ok());
	rig.wire.timing.gate = &rig.gate;
	std::deque<User> users;
	for (unsigned i = 0; i < 5; ++i) {
		users.emplace_back(rig.executor, rig.tis, i, 2);
		users.back().start();
	}
	rig.executor.run_ready();
	EXPECT_FALSE(rig.tis.cancel(users[2].job)) << "it waits for its turn";
	users[2].job.cancel();
	users[3].root = Root(); // unwound in the queue
	auto const busy = [&] {
		return std::any_of(users.begin(), users.end(), [](User &u) { return !u.root.done(); });
	};
	while (rig.executor.run_ready(), busy()) {
		rig.poll(rig.executor.next_deadline_us());
		rig.executor.expire();
	}
	EXPECT_EQ(users[2].failures, 2u);
	for (unsigned i : {0, 1, 4}) EXPECT_EQ(users[i].failures, 0u) << i;
	rig.wire.timing.gate = nullptr;
	rig.expect_recovery();
}

TEST(Tpm_tis_jobs, use_two_tpms_on_one_bus_at_once)
{
	Rig rig{};
	Chip_on_wire other{};
	rig.wire.attach(3, other.chip);
	spi::Device device{rig.bus, {.select = 3}};
	Spi_access access{device};
	Tis tis{access, {.keep_locality = false}};
	ASSERT_TRUE(rig.start().ok());
	ASSERT_TRUE(rig.run(tis.start(rig.job)).ok());
	other.chip.chip.burst_count = 16;
	other.chip.chip.wait_states = 3;
	other.chip.chip.execution_polls = 9;
	rig.wire.timing.simulated = true;

	std::deque<User> users;
	for (unsigned i = 0; i < 6; ++i) {
		users.emplace_back(rig.executor, i % 2 ? tis : rig.tis, i, 20);
		users.back().start();
	}
	auto const busy = [&] {
		return std::any_of(users.begin(), users.end(), [](User &u) { return !u.root.done(); });
	};
	while (rig.executor.run_ready(), busy()) {
		rig.poll(rig.executor.next_deadline_us());
		rig.executor.expire();
	}
	for (User const &user : users) EXPECT_EQ(user.failures, 0u) << user.id;
	EXPECT_EQ(rig.backend.submits, 60u);
	EXPECT_EQ(other.backend.submits, 60u);
	EXPECT_FALSE(rig.bus.busy());
	EXPECT_EQ(rig.wire.selected(), -1);
}

TEST(Tpm_tis_jobs, share_a_driver_in_the_loop_of_linux)
{
	linux_host::Loop loop;
	Chip_on_wire on_wire{};
	sim::Tpm_wire wire{};
	wire.attach(0, on_wire.chip);
	on_wire.chip.chip.execution_polls = 6;
	on_wire.chip.chip.wait_states = 1;
	spi::Bus bus{wire};
	spi::Device device{bus, {.clock_hz = 50'000'000}};
	Spi_access access{device};
	Tis tis{access};
	Job_with_arena<8192> job{loop.executor()};
	ASSERT_TRUE(sync_wait(job, tis.start(job), loop).ok());
	wire.timing.simulated = true;

	unsigned running = 4;
	std::deque<User> users;
	for (unsigned i = 0; i < 4; ++i) {
		users.emplace_back(loop.executor(), tis, i, 10, [&](User &) {
			if (--running == 0) loop.stop();
		});
		users.back().start();
	}
	loop.run();
	EXPECT_EQ(running, 0u);
	for (User const &user : users) EXPECT_EQ(user.failures, 0u) << user.id;
	EXPECT_EQ(on_wire.backend.submits, 40u);
	EXPECT_FALSE(bus.busy());
}

} // namespace
} // namespace bulkhead::tpm
