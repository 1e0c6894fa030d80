#include "base/event.h"
#include "base/job.h"
#include "base/task.h"
#include "base/test/support.h"

#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <string>

namespace bulkhead {
namespace {

using test::Probe;
using test::World;

// What happened, in order.
using Story = std::string;

Root wait_once(Job &job, Event &event, Story &story, char name, uint64_t until_us = NEVER_US)
{
	Probe const probe;
	auto const result = co_await event.wait(job, until_us);
	story += name;
	if (result.ok())
		story += "+ ";
	else
		story += result.error() == Error::TIMEOUT ? "t " : "c ";
}

Root sleep_once(Job &job, uint64_t until_us, Story &story, char name)
{
	Probe const probe;
	auto const result = co_await Sleep{job, until_us};
	story += name;
	if (result.ok())
		story += "+ ";
	else
		story += result.error() == Error::TIMEOUT ? "t " : "c ";
}

class Job_test : public testing::Test
{
protected:
	World world{};
	Executor &executor = world.executor;
	Event event{};
	Story story{};

	void SetUp() override { Probe::alive = 0; }

	void TearDown() override
	{
		EXPECT_EQ(Probe::alive, 0);
		EXPECT_EQ(executor.next_deadline_us(), NEVER_US);
		EXPECT_FALSE(executor.ready());
	}

	Root started(Root root, Job &job)
	{
		EXPECT_TRUE(root.start(job).ok());
		executor.run_ready();
		return root;
	}
};

using Event_test = Job_test;
using Sleep_test = Job_test;
using Cancel_test = Job_test;
using Deadline_test = Job_test;
using Shield_test = Job_test;
using Root_test = Job_test;
using Executor_test = Job_test;

TEST_F(Event_test, wakes_jobs_in_the_order_in_which_they_came)
{
	Root const a = started(wait_once(world.a, event, story, 'a'), world.a);
	Root const b = started(wait_once(world.b, event, story, 'b'), world.b);
	Root const c = started(wait_once(world.c, event, story, 'c'), world.c);
	event.raise();
	executor.run_ready();
	EXPECT_EQ(story, "a+ ");
	EXPECT_TRUE(event.awaited());
	event.raise_all();
	EXPECT_EQ(story, "a+ ") << "a raise never resumes";
	executor.run_ready();
	EXPECT_EQ(story, "a+ b+ c+ ");
	EXPECT_FALSE(event.awaited());
}

TEST_F(Event_test, does_not_remember_that_it_was_raised)
{
	event.raise();
	event.raise_all();
	{
		Root const a = started(wait_once(world.a, event, story, 'a'), world.a);
		EXPECT_FALSE(a.done());
	}
	EXPECT_EQ(story, "");
}

TEST_F(Event_test, a_raise_in_the_turn_of_the_deadline_wins_if_it_comes_first)
{
	Root const a = started(wait_once(world.a, event, story, 'a', 2000), world.a);
	world.clock.time_us = 2000;
	event.raise();
	executor.expire();
	executor.run_ready();
	EXPECT_EQ(story, "a+ ");
}

TEST_F(Event_test, a_raise_after_the_deadline_goes_to_the_next_job)
{
	Root const a = started(wait_once(world.a, event, story, 'a', 2000), world.a);
	Root const b = started(wait_once(world.b, event, story, 'b'), world.b);
	world.clock.time_us = 2000;
	executor.expire();
	event.raise();
	executor.run_ready();
	EXPECT_EQ(story, "at b+ ");
}

TEST_F(Event_test, a_raise_is_passed_on_by_a_job_that_is_destroyed_before_it_runs)
{
	auto a = std::make_unique<Root>(started(wait_once(world.a, event, story, 'a'), world.a));
	Root const b = started(wait_once(world.b, event, story, 'b'), world.b);
	event.raise();
	a.reset();
	executor.run_ready();
	EXPECT_EQ(story, "b+ ");
}

TEST_F(Event_test, a_job_destroyed_after_its_deadline_passes_nothing_on)
{
	auto a = std::make_unique<Root>(started(wait_once(world.a, event, story, 'a', 2000), world.a));
	Root b = started(wait_once(world.b, event, story, 'b'), world.b);
	world.clock.time_us = 2000;
	executor.expire();
	a.reset();
	executor.run_ready();
	EXPECT_EQ(story, "");
}

TEST_F(Event_test, raises_are_not_lost_while_others_come_and_go)
{
	Root const a = started(wait_once(world.a, event, story, 'a'), world.a);
	{
		Root const b = started(wait_once(world.b, event, story, 'b'), world.b);
	}
	Root const c = started(wait_once(world.c, event, story, 'c'), world.c);
	event.raise();
	event.raise();
	event.raise();
	executor.run_ready();
	EXPECT_EQ(story, "a+ c+ ");
}

TEST_F(Event_test, may_vanish_while_a_job_waits_with_a_deadline)
{
	auto vanishing = std::make_unique<Event>();
	Root const a = started(wait_once(world.a, *vanishing, story, 'a', 2000), world.a);
	vanishing.reset();
	world.pass_us(1000);
	EXPECT_EQ(story, "at ");
}

TEST_F(Sleep_test, ends_at_its_time_and_not_before)
{
	Root const a = started(sleep_once(world.a, 1500, story, 'a'), world.a);
	EXPECT_EQ(executor.next_deadline_us(), 1500U);
	world.pass_us(499);
	EXPECT_EQ(story, "");
	world.pass_us(1);
	EXPECT_EQ(story, "a+ ");
}

TEST_F(Sleep_test, does_not_suspend_for_a_time_that_has_passed)
{
	Root const a = started(sleep_once(world.a, 1000, story, 'a'), world.a);
	EXPECT_EQ(story, "a+ ");
}

TEST_F(Sleep_test, ends_in_the_order_of_time)
{
	Root const a = started(sleep_once(world.a, 3000, story, 'a'), world.a);
	Root const b = started(sleep_once(world.b, 2000, story, 'b'), world.b);
	Root const c = started(sleep_once(world.c, 2000, story, 'c'), world.c);
	EXPECT_EQ(executor.next_deadline_us(), 2000U);
	world.pass_us(5000);
	EXPECT_EQ(story, "b+ c+ a+ ");
}

TEST_F(Sleep_test, of_a_job_that_vanishes_leaves_no_timer)
{
	{
		Root const a = started(sleep_once(world.a, 3000, story, 'a'), world.a);
	}
	EXPECT_EQ(executor.next_deadline_us(), NEVER_US);
	world.pass_us(5000);
	EXPECT_EQ(story, "");
}

TEST_F(Sleep_test, is_cut_short_by_an_earlier_deadline)
{
	auto const nap = [](Job &job, Story &told) -> Root {
		Job::Deadline const deadline(job, 1200);
		auto const result = co_await Sleep{job, 3000};
		told += result.ok() ? "slept" : std::string(name_of(result.error()));
	};
	Root const a = started(nap(world.a, story), world.a);
	world.pass_us(200);
	EXPECT_EQ(story, "timed out");
}

TEST_F(Sleep_test, forever_is_ended_by_cancellation)
{
	Root const a = started(sleep_once(world.a, NEVER_US, story, 'a'), world.a);
	EXPECT_EQ(executor.next_deadline_us(), NEVER_US);
	world.a.cancel();
	executor.run_ready();
	EXPECT_EQ(story, "ac ");
}

TEST_F(Cancel_test, ends_the_pending_wait)
{
	Root const a = started(wait_once(world.a, event, story, 'a', 5000), world.a);
	world.a.cancel();
	EXPECT_FALSE(event.awaited());
	EXPECT_EQ(story, "") << "cancelling never resumes";
	executor.run_ready();
	EXPECT_EQ(story, "ac ");
}

TEST_F(Cancel_test, before_the_start_fails_the_first_wait)
{
	Root root = wait_once(world.a, event, story, 'a');
	world.a.cancel();
	Root const a = started(std::move(root), world.a);
	EXPECT_EQ(story, "ac ");
}

TEST_F(Cancel_test, does_not_take_back_what_was_fulfilled)
{
	Root const a = started(wait_once(world.a, event, story, 'a'), world.a);
	event.raise();
	world.a.cancel();
	executor.run_ready();
	EXPECT_EQ(story, "a+ ");
	EXPECT_TRUE(world.a.cancelled());
}

TEST_F(Cancel_test, does_not_take_back_a_deadline_that_has_passed)
{
	Root const a = started(wait_once(world.a, event, story, 'a', 2000), world.a);
	world.clock.time_us = 2000;
	executor.expire();
	world.a.cancel();
	world.a.cancel();
	executor.run_ready();
	EXPECT_EQ(story, "at ");
}

Task<void> three_waits(Job &job, Event &event, Story &story)
{
	CO_TRY(co_await event.wait(job));
	story += '1';
	CO_TRY(co_await sleep_us(job, 100));
	story += '2';
	co_await Yield{job};
	story += '3';
	CO_TRY(co_await event.wait(job, 5000));
	story += '4';
	co_return Ok{};
}

Root three_waits_root(Job &job, Event &event, Story &story)
{
	Probe const probe;
	auto const result = co_await three_waits(job, event, story);
	story += result.ok() ? "." : "!";
}

// Drives the coroutine above, and does something to it before a step.
Story driven(int at, std::function<void(Job &)> const &act)
{
	World world;
	Event event;
	Story story;
	Root root = three_waits_root(world.a, event, story);
	int step = 0;
	auto const maybe_act = [&] {
		if (step++ == at) act(world.a);
	};
	maybe_act();
	EXPECT_TRUE(root.start(world.a).ok());
	maybe_act();
	world.executor.run_one();
	maybe_act();
	event.raise();
	maybe_act();
	world.executor.run_one();
	maybe_act();
	world.clock.time_us += 100;
	world.executor.expire();
	maybe_act();
	world.executor.run_one();
	maybe_act();
	world.executor.run_one();
	maybe_act();
	event.raise();
	maybe_act();
	for (int i = 0; i < 4; ++i) world.executor.run_one();
	EXPECT_TRUE(root.done());
	return story;
}

TEST_F(Cancel_test, works_at_every_point)
{
	auto const cancel = [](Job &job) { job.cancel(); };
	// Yielding is not a wait: it can't fail.
	char const *const expected[] = {"!", "!", "!", "1!", "1!", "123!", "123!", "123!"};
	for (int at = 0; at < 8; ++at) {
		Story const told = driven(at, cancel);
		EXPECT_EQ(told.back(), '!') << at << ": " << told;
		EXPECT_EQ(told, expected[at]) << at;
		EXPECT_EQ(Probe::alive, 0);
	}
	EXPECT_EQ(driven(8, cancel), "1234.");
	EXPECT_EQ(driven(99, cancel), "1234.");
}

TEST_F(Root_test, is_destroyed_at_every_point)
{
	for (int stop = 0; stop < 10; ++stop) {
		story.clear();
		{
			Root root = three_waits_root(world.a, event, story);
			int step = 0;
			auto const go = [&] { return step++ < stop; };
			if (go()) static_cast<void>(root.start(world.a));
			if (go()) executor.run_one();
			if (go()) event.raise();
			if (go()) executor.run_one();
			if (go()) world.clock.time_us += 100, executor.expire();
			if (go()) executor.run_one();
			if (go()) executor.run_one();
			if (go()) event.raise();
			if (go()) executor.run_ready();
		}
		EXPECT_EQ(world.a.used(), 0U) << stop;
		EXPECT_EQ(Probe::alive, 0) << stop;
		EXPECT_FALSE(executor.ready()) << stop;
		EXPECT_FALSE(event.awaited()) << stop;
		EXPECT_EQ(executor.next_deadline_us(), NEVER_US) << stop;
		world.a.reset();
	}
	EXPECT_EQ(story, "1234.");
}

TEST_F(Root_test, unwinds_the_innermost_frame_first)
{
	struct Leaving
	{
		Story &story;
		char name;
		~Leaving() { story += name; }
	};
	auto const inner = [](Job &job, Event &ev, Story &told) -> Task<void> {
		Leaving const i{told, 'i'};
		co_return co_await ev.wait(job);
	};
	auto const outer = [&inner](Job &job, Event &ev, Story &told) -> Root {
		Leaving const o{told, 'o'};
		static_cast<void>(co_await inner(job, ev, told));
	};
	{
		Root const a = started(outer(world.a, event, story), world.a);
	}
	EXPECT_EQ(story, "io");
}

TEST_F(Root_test, is_replaced_by_another_one)
{
	Root root = started(wait_once(world.a, event, story, 'a'), world.a);
	root = started(wait_once(world.b, event, story, 'b'), world.b);
	EXPECT_EQ(world.a.used(), 0U);
	EXPECT_EQ(Probe::alive, 1);
	auto &same = root;
	root = std::move(same);
	event.raise();
	executor.run_ready();
	EXPECT_EQ(story, "b+ ");
	EXPECT_TRUE(root.done());
	root = Root();
	EXPECT_EQ(world.b.used(), 0U);
}

TEST_F(Root_test, without_room_says_so)
{
	Job job(executor, {});
	Root root = wait_once(job, event, story, 'a');
	EXPECT_TRUE(root.done());
	EXPECT_EQ(root.start(job).error(), Error::OUT_OF_FRAMES);
	EXPECT_EQ(Root().start(job).error(), Error::OUT_OF_FRAMES);
}

struct Server final : Completion
{
	World &world;
	std::unique_ptr<Job_with_arena<1024>> job;
	Root root{};
	int completions = 0;

	explicit Server(World &w) : world(w), job(std::make_unique<Job_with_arena<1024>>(w.executor)) {}

	void completed() override
	{
		++completions;
		EXPECT_TRUE(root.done());
		root = Root();
		job.reset();
	}
};

TEST_F(Root_test, tells_its_end_and_may_be_destroyed_then)
{
	Server server(world);
	server.root = wait_once(*server.job, event, story, 'a');
	ASSERT_TRUE(server.root.start(*server.job, &server).ok());
	executor.run_ready();
	EXPECT_EQ(server.completions, 0);
	event.raise();
	executor.run_ready();
	EXPECT_EQ(server.completions, 1);
	EXPECT_EQ(server.job, nullptr);
	EXPECT_EQ(story, "a+ ");
}

TEST_F(Root_test, of_another_job_is_destroyed_by_a_coroutine)
{
	auto b = std::make_unique<Root>(started(wait_once(world.b, event, story, 'b'), world.b));
	auto const killer = [](Job &job, Event &ev, std::unique_ptr<Root> &victim) -> Root {
		co_await Yield{job};
		ev.raise();
		victim.reset();
		co_await Yield{job};
	};
	Root const a = started(killer(world.a, event, b), world.a);
	executor.run_ready();
	EXPECT_TRUE(a.done());
	EXPECT_EQ(story, "");
}

TEST_F(Root_test, must_not_outlive_its_job)
{
	auto const outlive = [this] {
		auto job = std::make_unique<Job_with_arena<1024>>(executor);
		Root const root = wait_once(*job, event, story, 'a');
		job.reset();
	};
	EXPECT_DEATH(outlive(), "");
}

TEST_F(Executor_test, resumes_at_most_as_many_as_it_is_told)
{
	auto const yielding = [](Job &job, int &turns) -> Root {
		while (true) {
			++turns;
			co_await Yield{job};
		}
	};
	int turns = 0;
	Root a = yielding(world.a, turns);
	ASSERT_TRUE(a.start(world.a).ok());
	EXPECT_TRUE(executor.run_ready(10));
	EXPECT_EQ(turns, 10);
	EXPECT_TRUE(executor.ready());
	EXPECT_TRUE(executor.run_ready());
	EXPECT_EQ(turns, 10 + static_cast<int>(Executor::RUN_MAX));
	a = Root();
	EXPECT_FALSE(executor.run_ready());
}

TEST_F(Executor_test, lets_yielding_jobs_take_turns)
{
	auto const yielding = [](Job &job, Story &told, char name) -> Root {
		for (int i = 0; i < 3; ++i) {
			told += name;
			co_await Yield{job};
		}
	};
	Root a = yielding(world.a, story, 'a');
	Root b = yielding(world.b, story, 'b');
	ASSERT_TRUE(a.start(world.a).ok());
	ASSERT_TRUE(b.start(world.b).ok());
	executor.run_ready();
	EXPECT_EQ(story, "ababab");
}

TEST_F(Executor_test, uses_a_job_again_after_a_reset)
{
	Root root = started(wait_once(world.a, event, story, 'a'), world.a);
	world.a.cancel();
	executor.run_ready();
	root = Root();
	world.a.reset();
	EXPECT_FALSE(world.a.cancelled());
	root = started(wait_once(world.a, event, story, 'a'), world.a);
	event.raise();
	executor.run_ready();
	EXPECT_EQ(story, "ac a+ ");
}

TEST_F(Deadline_test, the_earliest_of_nested_deadlines_holds)
{
	auto const nested = [](Job &job, Event &ev, Story &told) -> Root {
		Job::Deadline const outer(job, 3000);
		{
			Job::Deadline const inner(job, 2000);
			Job::Deadline const late(job, 9000);
			EXPECT_EQ(job.limit_us(), 2000U);
			told += (co_await ev.wait(job, 8000)).ok() ? '+' : 't';
		}
		EXPECT_EQ(job.limit_us(), 3000U);
		told += (co_await ev.wait(job)).ok() ? '+' : 't';
	};
	Root const a = started(nested(world.a, event, story), world.a);
	EXPECT_EQ(executor.next_deadline_us(), 2000U);
	world.pass_us(1000);
	EXPECT_EQ(story, "t");
	EXPECT_EQ(executor.next_deadline_us(), 3000U);
	world.pass_us(1000);
	EXPECT_EQ(story, "tt");
	EXPECT_EQ(world.a.limit_us(), NEVER_US);
}

TEST_F(Deadline_test, is_restored_when_the_coroutine_is_destroyed)
{
	auto const limited = [](Job &job, Event &ev) -> Root {
		Job::Deadline const outer(job, 3000);
		Job::Shield const shield(job, 4000);
		static_cast<void>(co_await ev.wait(job));
	};
	{
		Root const a = started(limited(world.a, event), world.a);
		EXPECT_EQ(world.a.limit_us(), 4000U);
	}
	EXPECT_EQ(world.a.limit_us(), NEVER_US);
	world.a.cancel();
	EXPECT_TRUE(world.a.cancelled()) << "the shield is gone, too";
}

TEST_F(Deadline_test, that_has_passed_fails_the_next_wait)
{
	auto const late = [](Job &job, Event &ev, Story &told) -> Root {
		Job::Deadline const deadline(job, 500);
		auto const result = co_await ev.wait(job);
		told += name_of(result.error());
	};
	Root const a = started(late(world.a, event, story), world.a);
	world.pass_us(0);
	EXPECT_EQ(story, "timed out");
}

Root shielded(Job &job, Event &event, Story &story)
{
	{
		Job::Deadline const deadline(job, 1500);
		Job::Shield const outer(job, 5000);
		{
			Job::Shield const inner(job, 6000);
			EXPECT_FALSE(job.cancelled());
			story += (co_await event.wait(job)).ok() ? "i+ " : "i! ";
		}
		EXPECT_FALSE(job.cancelled()) << "still within the outer shield";
		auto const result = co_await event.wait(job);
		story += result.ok() ? "o+ " : "o! ";
	}
	auto const result = co_await event.wait(job);
	story += result.ok() ? "free" : std::string(name_of(result.error()));
}

TEST_F(Shield_test, puts_off_cancellation_and_outer_deadlines)
{
	Root const a = started(shielded(world.a, event, story), world.a);
	world.a.cancel();
	EXPECT_FALSE(executor.ready());
	world.pass_us(1000);
	EXPECT_EQ(story, "");
	event.raise();
	executor.run_ready();
	event.raise();
	executor.run_ready();
	EXPECT_EQ(story, "i+ o+ cancelled");
}

TEST_F(Shield_test, ends_at_its_own_deadline)
{
	Root const a = started(shielded(world.a, event, story), world.a);
	world.a.cancel();
	world.pass_us(4999);
	EXPECT_EQ(story, "");
	world.pass_us(1);
	EXPECT_EQ(story, "i! ");
	world.pass_us(0);
	EXPECT_EQ(story, "i! o! cancelled");
}

TEST_F(Shield_test, lets_a_sleep_end_although_the_job_is_cancelled)
{
	auto const cleaning = [](Job &job, Story &told) -> Root {
		Job::Shield const shield(job, 5000);
		told += (co_await sleep_us(job, 100)).ok() ? "slept" : "!";
	};
	world.a.cancel();
	Root const a = started(cleaning(world.a, story), world.a);
	EXPECT_EQ(story, "");
	world.pass_us(100);
	EXPECT_EQ(story, "slept");
}

} // namespace
} // namespace bulkhead
