#include "base/task.h"
#include "driver/arbiter.h"

#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

namespace bulkhead {
namespace {

struct Test_clock final : Clock
{
	uint64_t us = 0;
	uint64_t now_us() const override { return us; }
};

/* A job that takes a turn, keeps it until `go`, and writes down what happens. */
struct User
{
	Arbiter &arbiter;
	Arbiter::Client &client;
	std::string &log;
	char const name;
	Job_with_arena<1024> job;
	Event go{};
	Root root;

	User(Executor &executor, Arbiter &a, Arbiter::Client &c, std::string &l, char n,
		uint64_t until_us = NEVER_US)
		: arbiter(a), client(c), log(l), name(n), job(executor), root(run(job, *this, until_us))
	{
		EXPECT_TRUE(root.start(job).ok());
	}

	static Root run(Job &job, User &user, uint64_t until_us)
	{
		Attempt<Arbiter::Turn> const turn = co_await user.arbiter.turn(job, user.client, until_us);
		if (!turn.ok()) {
			user.log += turn.error() == Error::CANCELLED ? '!' : '?';
			user.log += user.name;
			co_return;
		}
		user.log += user.name;
		(void)co_await user.go.wait(job);
	}
};

struct Arbiter_test : testing::Test
{
	Test_clock clock;
	Executor executor{clock};
	Arbiter arbiter;
	Arbiter::Client first{arbiter}, second{arbiter};
	std::string log;
	std::vector<std::unique_ptr<User>> users;

	User &user(char name, Arbiter::Client &client, uint64_t until_us = NEVER_US)
	{
		users.push_back(std::make_unique<User>(executor, arbiter, client, log, name, until_us));
		executor.run_ready();
		return *users.back();
	}

	void end(User &user)
	{
		user.go.raise();
		executor.run_ready();
	}
};

TEST_F(Arbiter_test, serves_in_the_order_of_asking)
{
	User &a = user('a', first), &b = user('b', second), &c = user('c', first);
	EXPECT_EQ(log, "a");
	end(a);
	EXPECT_EQ(log, "ab");
	end(b);
	end(c);
	EXPECT_EQ(log, "abc");
	EXPECT_FALSE(arbiter.busy());
}

TEST_F(Arbiter_test, lets_nobody_in_before_those_who_wait)
{
	User &a = user('a', first);
	user('b', second);
	// The turn is handed over, though b has not run yet.
	a.go.raise();
	ASSERT_TRUE(executor.run_one());
	EXPECT_FALSE(arbiter.try_begin(first));
	EXPECT_TRUE(arbiter.in_turn(second));
}

TEST_F(Arbiter_test, lets_only_the_holder_in)
{
	ASSERT_TRUE(arbiter.try_begin(first));
	arbiter.hold(first);
	arbiter.end(first);
	user('b', second);
	User &a = user('a', first);
	EXPECT_EQ(log, "a");
	end(a);
	EXPECT_EQ(log, "a");
	EXPECT_FALSE(arbiter.release(second));
	EXPECT_TRUE(arbiter.release(first));
	executor.run_ready();
	EXPECT_EQ(log, "ab");
}

TEST_F(Arbiter_test, serves_the_holders_next_job_before_others_that_asked_earlier)
{
	ASSERT_TRUE(arbiter.try_begin(first));
	arbiter.hold(first);
	user('b', second);
	User &a = user('a', first);
	arbiter.end(first);
	executor.run_ready();
	EXPECT_EQ(log, "a");
	EXPECT_TRUE(arbiter.release(first));
	executor.run_ready();
	EXPECT_EQ(log, "a");
	end(a);
	EXPECT_EQ(log, "ab");
}

TEST_F(Arbiter_test, releases_what_a_client_holds_at_its_end)
{
	auto third = std::make_unique<Arbiter::Client>(arbiter);
	ASSERT_TRUE(arbiter.try_begin(*third));
	arbiter.hold(*third);
	arbiter.end(*third);
	user('a', first);
	third.reset();
	executor.run_ready();
	EXPECT_EQ(log, "a");
}

TEST_F(Arbiter_test, fails_a_wait_that_is_cancelled_or_late_and_serves_the_next)
{
	User &a = user('a', first);
	User &b = user('b', second);
	user('c', first, 10);
	User &d = user('d', second);
	b.job.cancel();
	executor.run_ready();
	clock.us = 10;
	executor.expire();
	executor.run_ready();
	EXPECT_EQ(log, "a!b?c");
	end(a);
	EXPECT_EQ(log, "a!b?cd");
	end(d);
	EXPECT_FALSE(arbiter.busy());
}

TEST_F(Arbiter_test, fails_at_once_for_a_cancelled_job)
{
	Job_with_arena<1024> job{executor};
	job.cancel();
	Arbiter::Wait wait = arbiter.turn(job, first);
	ASSERT_TRUE(wait.await_ready());
	EXPECT_EQ(wait.await_resume().error(), Error::CANCELLED);
	EXPECT_FALSE(arbiter.busy());
}

TEST_F(Arbiter_test, passes_over_a_job_that_was_cancelled_before_the_bus_became_free)
{
	User &a = user('a', first), &b = user('b', second), &c = user('c', first);
	b.job.cancel();
	a.root = Root{};
	executor.run_ready();
	EXPECT_EQ(log, "a!bc");
	end(c);
	EXPECT_FALSE(arbiter.busy());
}

TEST_F(Arbiter_test, keeps_a_turn_that_was_granted_before_the_cancellation)
{
	User &a = user('a', first), &b = user('b', second);
	a.root = Root{};
	b.job.cancel();
	executor.run_ready();
	// b has its turn; its next wait fails, so it has ended since.
	EXPECT_EQ(log, "ab");
	EXPECT_FALSE(arbiter.busy());
}

TEST_F(Arbiter_test, hands_on_a_turn_whose_job_is_destroyed_before_it_runs)
{
	User &a = user('a', first), &b = user('b', second);
	user('c', first);
	a.root = Root{};
	b.root = Root{};
	executor.run_ready();
	EXPECT_EQ(log, "ac");
}

TEST_F(Arbiter_test, forgets_a_waiting_job_that_is_destroyed)
{
	User &a = user('a', first), &b = user('b', second);
	user('c', first);
	b.root = Root{};
	end(a);
	EXPECT_EQ(log, "ac");
}

} // namespace
} // namespace bulkhead
