#include "base/mutex.h"
#include "base/task.h"
#include "base/test/support.h"

#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>

namespace bulkhead {
namespace {

using test::World;

using Story = std::string;

// Acquires, waits for the event while it holds the lock, releases.
Root hold(
	Job &job, Mutex &mutex, Event &event, Story &story, char name, uint64_t until_us = NEVER_US)
{
	auto guard = co_await mutex.acquire(job, until_us);
	story += name;
	if (!guard.ok()) {
		story += guard.error() == Error::TIMEOUT ? "t " : "c ";
		co_return;
	}
	story += "+ ";
	static_cast<void>(co_await event.wait(job));
	story += name;
	story += "- ";
}

class Mutex_test : public testing::Test
{
protected:
	World world{};
	Executor &executor = world.executor;
	Event event{};
	Mutex mutex{};
	Story story{};

	std::unique_ptr<Root> started(Root root, Job &job)
	{
		EXPECT_TRUE(root.start(job).ok());
		executor.run_ready();
		return std::make_unique<Root>(std::move(root));
	}

	std::unique_ptr<Root> holding(Job &job, char name, uint64_t until_us = NEVER_US)
	{
		return started(hold(job, mutex, event, story, name, until_us), job);
	}

	void TearDown() override
	{
		EXPECT_FALSE(mutex.held());
		EXPECT_EQ(mutex.waiting(), 0U);
		EXPECT_EQ(executor.next_deadline_us(), NEVER_US);
	}

	void raise()
	{
		event.raise();
		executor.run_ready();
	}
};

TEST_F(Mutex_test, is_handed_over_in_the_order_of_asking)
{
	auto const a = holding(world.a, 'a');
	auto const b = holding(world.b, 'b');
	auto const c = holding(world.c, 'c');
	EXPECT_TRUE(mutex.held_by(world.a));
	EXPECT_EQ(mutex.waiting(), 2U);
	raise();
	EXPECT_TRUE(mutex.held_by(world.b));
	raise();
	raise();
	EXPECT_EQ(story, "a+ a- b+ b- c+ c- ");
}

TEST_F(Mutex_test, nobody_barges_in_between_hand_over_and_resumption)
{
	ASSERT_TRUE(mutex.try_acquire(world.a));
	auto const b = holding(world.b, 'b');
	mutex.release(world.a);
	EXPECT_TRUE(mutex.held_by(world.b)) << "although it hasn't run yet";
	EXPECT_FALSE(mutex.try_acquire(world.a));
	auto const c = holding(world.c, 'c');
	EXPECT_EQ(story, "b+ ");
	raise();
	raise();
	EXPECT_EQ(story, "b+ b- c+ c- ");
}

TEST_F(Mutex_test, a_waiting_job_gives_up_at_its_deadline)
{
	auto const a = holding(world.a, 'a');
	auto const b = holding(world.b, 'b', 2000);
	auto const c = holding(world.c, 'c');
	world.pass_us(1000);
	EXPECT_EQ(story, "a+ bt ");
	raise();
	raise();
	EXPECT_EQ(story, "a+ bt a- c+ c- ");
}

TEST_F(Mutex_test, a_waiting_job_gives_up_when_it_is_cancelled)
{
	auto const a = holding(world.a, 'a');
	auto const b = holding(world.b, 'b');
	world.b.cancel();
	executor.run_ready();
	EXPECT_EQ(story, "a+ bc ");
	raise();
}

TEST_F(Mutex_test, what_was_handed_over_is_kept_by_a_job_that_is_cancelled_then)
{
	ASSERT_TRUE(mutex.try_acquire(world.a));
	auto const b = holding(world.b, 'b', 2000);
	mutex.release(world.a);
	world.clock.time_us = 3000;
	executor.expire();
	world.b.cancel();
	executor.run_ready();
	EXPECT_EQ(story, "b+ b- ") << "the lock is taken, the next wait fails";
}

TEST_F(Mutex_test, a_cancelled_job_gets_neither_a_free_nor_a_held_lock)
{
	world.a.cancel();
	auto const a = holding(world.a, 'a');
	EXPECT_FALSE(mutex.held());
	auto const b = holding(world.b, 'b');
	world.c.cancel();
	auto const c = holding(world.c, 'c');
	EXPECT_EQ(story, "ac b+ cc ");
	raise();
}

TEST_F(Mutex_test, a_job_that_vanishes_while_it_waits_leaves_the_queue)
{
	auto const a = holding(world.a, 'a');
	auto b = holding(world.b, 'b');
	auto const c = holding(world.c, 'c');
	b.reset();
	EXPECT_EQ(mutex.waiting(), 1U);
	raise();
	raise();
	EXPECT_EQ(story, "a+ a- c+ c- ");
}

TEST_F(Mutex_test, a_job_that_vanishes_after_the_hand_over_passes_the_lock_on)
{
	ASSERT_TRUE(mutex.try_acquire(world.a));
	auto b = holding(world.b, 'b');
	auto const c = holding(world.c, 'c');
	mutex.release(world.a);
	EXPECT_TRUE(mutex.held_by(world.b));
	b.reset();
	EXPECT_TRUE(mutex.held_by(world.c));
	executor.run_ready();
	raise();
	EXPECT_EQ(story, "c+ c- ");
}

TEST_F(Mutex_test, a_job_that_vanishes_while_it_holds_the_lock_passes_it_on)
{
	auto a = holding(world.a, 'a');
	auto const b = holding(world.b, 'b');
	a.reset();
	executor.run_ready();
	EXPECT_EQ(story, "a+ b+ ");
	raise();
}

TEST_F(Mutex_test, all_vanish_after_the_hand_over)
{
	ASSERT_TRUE(mutex.try_acquire(world.a));
	auto b = holding(world.b, 'b');
	auto c = holding(world.c, 'c');
	mutex.release(world.a);
	b.reset();
	c.reset();
	EXPECT_FALSE(mutex.held());
	EXPECT_FALSE(executor.ready());
}

TEST_F(Mutex_test, a_guard_moves_and_releases_once)
{
	{
		ASSERT_TRUE(mutex.try_acquire(world.a));
		Mutex::Guard guard(mutex, world.a);
		Mutex::Guard moved(std::move(guard));
		EXPECT_TRUE(mutex.held());
		std::optional<Mutex::Guard> kept(std::move(moved));
		Mutex other;
		ASSERT_TRUE(other.try_acquire(world.a));
		*kept = Mutex::Guard(other, world.a);
		EXPECT_FALSE(mutex.held()) << "assigning releases what was held";
		EXPECT_TRUE(other.held());
		auto &same = *kept;
		*kept = std::move(same);
		EXPECT_TRUE(other.held());
		kept->release();
		kept->release();
		EXPECT_FALSE(other.held());
	}
}

TEST_F(Mutex_test, a_guard_is_carried_out_by_the_macros)
{
	auto const twice = [](Job &job, Mutex &m) -> Task<bool> {
		{
			CO_TRY_ASSIGN(auto guard, co_await m.acquire(job));
			if (!m.held_by(job)) co_return false;
		}
		if (m.held()) co_return false;
		auto const guard = co_await may(co_await m.acquire(job));
		co_return m.held_by(job);
	};
	EXPECT_TRUE(sync_wait(world.a, twice(world.a, mutex)).value());
}

TEST_F(Mutex_test, is_not_acquired_by_its_holder_nor_released_by_another_job)
{
	ASSERT_TRUE(mutex.try_acquire(world.a));
	EXPECT_DEATH(static_cast<void>(mutex.try_acquire(world.a)), "");
	EXPECT_DEATH(mutex.release(world.b), "");
	auto const again = [this] { holding(world.a, 'a'); };
	EXPECT_DEATH(again(), "");
	world.a.cancel();
	EXPECT_DEATH(again(), "");
	mutex.release(world.a);
	EXPECT_DEATH(mutex.release(world.a), "");
}

TEST_F(Mutex_test, is_waited_for_no_longer_than_the_job_may)
{
	ASSERT_TRUE(mutex.try_acquire(world.a));
	auto const limited = [](Job &job, Mutex &m, Story &told) -> Root {
		Job::Deadline const deadline(job, 1100);
		auto const guard = co_await m.acquire(job, 5000);
		told += guard.ok() ? "+" : name_of(guard.error());
	};
	auto const b = started(limited(world.b, mutex, story), world.b);
	world.pass_us(100);
	EXPECT_EQ(story, "timed out");
	mutex.release(world.a);
}

} // namespace
} // namespace bulkhead
