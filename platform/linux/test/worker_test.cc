#include "base/sync_wait.h"
#include "platform/linux/worker.h"

#include <array>
#include <gtest/gtest.h>
#include <latch>
#include <optional>
#include <semaphore>
#include <thread>
#include <vector>

namespace bulkhead::linux_host {
namespace {

using Job_1k = Job_with_arena<1024>;

Task<int> add(Job &job, Worker_pool &pool, int a, int b)
{
	return pool.run(job, [=] { return a + b; });
}

TEST(Worker_pool, yields_what_the_function_returns)
{
	Loop loop;
	Worker_pool pool{loop, 2};
	Job_1k job{loop.executor()};
	EXPECT_EQ(sync_wait(job, add(job, pool, 2, 3), loop).value(), 5);
}

TEST(Worker_pool, runs_functions_without_a_result_in_another_thread)
{
	Loop loop;
	Worker_pool pool{loop, 1};
	Job_1k job{loop.executor()};
	std::thread::id id;
	auto const note = [&] { id = std::this_thread::get_id(); };
	EXPECT_TRUE(sync_wait(job, pool.run(job, note), loop).ok());
	EXPECT_NE(id, std::this_thread::get_id());
	EXPECT_NE(id, std::thread::id{});
}

TEST(Worker_pool, says_when_the_arena_is_too_small)
{
	Loop loop;
	Worker_pool pool{loop, 1};
	Job_with_arena<64> job{loop.executor()};
	bool called = false;
	EXPECT_EQ(
		sync_wait(job, pool.run(job, [&] { called = true; }), loop).error(), Error::OUT_OF_FRAMES);
	EXPECT_FALSE(called);
}

/* Calls that run until they are let go. */
struct Held
{
	std::binary_semaphore begun{0}, let_go{0};

	void call()
	{
		begun.release();
		let_go.acquire();
	}
};

Root run_held(Job &job, Worker_pool &pool, Held &held, std::optional<Attempt<int>> &result)
{
	result = co_await pool.run(job, [&held] {
		held.call();
		return 1;
	});
}

struct Fixture : testing::Test
{
	Loop loop;
	Worker_pool pool{loop, 1};
	Held first_call, second_call;
	Job_1k first{loop.executor()}, second{loop.executor()};
	std::optional<Attempt<int>> first_result, second_result;
	Root first_root = run_held(first, pool, first_call, first_result);
	Root second_root = run_held(second, pool, second_call, second_result);

	/* The first call runs, the second is queued behind it. */
	void SetUp() override
	{
		ASSERT_TRUE(first_root.start(first).ok());
		ASSERT_TRUE(second_root.start(second).ok());
		loop.executor().run_ready();
		first_call.begun.acquire();
	}

	void run_until_both_have_ended()
	{
		while (!first_root.done() || !second_root.done()) {
			if (loop.executor().run_ready()) continue;
			loop.poll(loop.executor().next_deadline_us());
			loop.executor().expire();
		}
	}
};

TEST_F(Fixture, serves_in_order)
{
	first_call.let_go.release();
	second_call.let_go.release();
	run_until_both_have_ended();
	EXPECT_EQ(first_result->value(), 1);
	EXPECT_EQ(second_result->value(), 1);
}

TEST_F(Fixture, withdraws_a_cancelled_call_that_has_not_begun)
{
	second.cancel();
	loop.executor().run_ready();
	ASSERT_TRUE(second_result);
	EXPECT_EQ(second_result->error(), Error::CANCELLED);
	first_call.let_go.release();
	run_until_both_have_ended();
	EXPECT_FALSE(second_call.begun.try_acquire());
}

TEST_F(Fixture, waits_for_the_end_of_a_cancelled_call_that_has_begun)
{
	first.cancel();
	loop.executor().run_ready();
	EXPECT_FALSE(first_result);
	first_call.let_go.release();
	second_call.let_go.release();
	run_until_both_have_ended();
	EXPECT_EQ(first_result->value(), 1);
	EXPECT_TRUE(first.cancelled());
}

TEST_F(Fixture, forgets_a_queued_call_whose_coroutine_is_destroyed)
{
	second_root = Root{};
	first_call.let_go.release();
	run_until_both_have_ended();
	EXPECT_FALSE(second_call.begun.try_acquire());
	EXPECT_FALSE(second_result);
}

TEST_F(Fixture, destroys_a_coroutine_once_its_call_has_ended)
{
	std::thread thread([&] { first_call.let_go.release(); });
	first_root = Root{};
	thread.join();
	EXPECT_FALSE(first_result);
	second_call.let_go.release();
	run_until_both_have_ended();
	EXPECT_EQ(second_result->value(), 1);
}

TEST_F(Fixture, destroys_a_coroutine_that_was_about_to_learn_of_the_end)
{
	first_call.let_go.release();
	second_call.begun.acquire();
	loop.poll(NEVER_US);
	first_root = Root{};
	EXPECT_FALSE(first_result);
	second_call.let_go.release();
	run_until_both_have_ended();
	EXPECT_EQ(second_result->value(), 1);
}

Root run_until(Job &job, Worker_pool &pool, uint64_t until_us, std::optional<Attempt<int>> &result)
{
	Job::Deadline const deadline{job, until_us};
	result = co_await pool.run(job, [] { return 1; });
}

TEST_F(Fixture, withdraws_a_call_whose_deadline_passes_before_it_begins)
{
	Job_1k late{loop.executor()};
	std::optional<Attempt<int>> result;
	Root root = run_until(late, pool, loop.clock().now_us() + 200, result);
	ASSERT_TRUE(root.start(late).ok());
	while (!root.done()) {
		loop.executor().run_ready();
		loop.poll(loop.executor().next_deadline_us());
		loop.executor().expire();
		loop.executor().run_ready();
	}
	EXPECT_EQ(result->error(), Error::TIMEOUT);
	first_call.let_go.release();
	second_call.let_go.release();
	run_until_both_have_ended();
}

TEST(Worker_pool, runs_as_many_calls_at_once_as_it_may)
{
	constexpr unsigned THREADS = 4;
	Loop loop;
	Worker_pool pool{loop, THREADS};
	std::latch all_run{THREADS};
	std::vector<std::unique_ptr<Job_1k>> jobs;
	std::vector<Root> roots;
	struct Calls
	{
		static Root meet(Job &job, Worker_pool &pool, std::latch &latch)
		{
			(void)co_await pool.run(job, [&latch] { latch.arrive_and_wait(); });
		}
	};
	for (unsigned i = 0; i < THREADS; i++) {
		jobs.push_back(std::make_unique<Job_1k>(loop.executor()));
		roots.push_back(Calls::meet(*jobs[i], pool, all_run));
		ASSERT_TRUE(roots[i].start(*jobs[i]).ok());
	}
	auto const done = [&] { return std::ranges::all_of(roots, &Root::done); };
	while (!done())
		if (!loop.executor().run_ready()) loop.poll(NEVER_US);
}

struct Counter
{
	std::atomic<unsigned> calls{0};
	unsigned jobs_left;
	Loop &loop;
};

Root call_often(Job &job, Worker_pool &pool, Counter &counter)
{
	for (unsigned n = 0; n < 300; n++) {
		Attempt<unsigned> const result =
			co_await pool.run(job, [&counter] { return ++counter.calls; });
		EXPECT_TRUE(result.ok());
	}
	if (--counter.jobs_left == 0) counter.loop.stop();
}

TEST(Worker_pool, serves_many_jobs_with_few_threads)
{
	constexpr unsigned JOBS = 20;
	Loop loop;
	Worker_pool pool{loop, 3};
	Counter counter{.jobs_left = JOBS, .loop = loop};
	std::vector<std::unique_ptr<Job_1k>> jobs;
	std::vector<Root> roots;
	for (unsigned i = 0; i < JOBS; i++) {
		jobs.push_back(std::make_unique<Job_1k>(loop.executor()));
		roots.push_back(call_often(*jobs[i], pool, counter));
		ASSERT_TRUE(roots[i].start(*jobs[i]).ok());
	}
	loop.run();
	EXPECT_EQ(counter.calls, JOBS * 300);
}

} // namespace
} // namespace bulkhead::linux_host
