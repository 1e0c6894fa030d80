// Jobs that do everything that can be done with waits, while others raise, cancel, destroy and let
// time pass at random.

#include "base/mutex.h"
#include "base/task.h"
#include "base/test/support.h"

#include <array>
#include <gtest/gtest.h>
#include <memory>
#include <random>

namespace bulkhead {
namespace {

using test::Manual_clock;
using test::Probe;

using Random = std::mt19937;

struct Shared
{
	Manual_clock clock{};
	Executor executor{clock};
	Random random;
	std::array<Event, 2> events{};
	std::array<Mutex, 2> mutexes{};
	std::array<Job const *, 2> inside{};
	unsigned completed_steps = 0;

	explicit Shared(unsigned seed) : random(seed) {}

	uint64_t soon_us() { return random() % 3 ? clock.time_us + random() % 200 : NEVER_US; }
};

// Notes that its job is the only one behind a mutex, however the scope ends.
struct Inside
{
	Job const *&who;

	Inside(Job const *&slot, Job const &job) : who(slot)
	{
		EXPECT_EQ(who, nullptr);
		who = &job;
	}
	Inside(Inside const &) = delete;
	~Inside() { who = nullptr; }
};

Task<void> clean_up(Job &job, Shared &shared)
{
	Probe const probe;
	Job::Shield const shield(job, shared.clock.time_us + shared.random() % 50);
	EXPECT_FALSE(job.cancelled());
	auto const result = co_await shared.events[0].wait(job);
	EXPECT_TRUE(result.ok() || result.error() == Error::TIMEOUT);
	co_return Ok{};
}

Task<void> step(Job &job, Shared &shared, unsigned depth)
{
	Probe const probe;
	size_t const which = shared.random() % 2;
	switch (shared.random() % 7) {
	case 0: co_return co_await shared.events[which].wait(job, shared.soon_us());
	case 1: co_return co_await sleep_us(job, shared.random() % 100);
	case 2: co_await Yield{job}; break;
	case 3: {
		if (which == 0 && shared.inside[0] == &job) break;
		if (shared.inside[1] == &job) break; // always in the same order
		auto const guard =
			co_await may(co_await shared.mutexes[which].acquire(job, shared.soon_us()));
		Inside const inside(shared.inside[which], job);
		if (depth < 3) CO_TRY(co_await step(job, shared, depth + 1));
		break;
	}
	case 4: {
		Job::Deadline const deadline(job, shared.soon_us());
		if (depth < 3) CO_TRY(co_await step(job, shared, depth + 1));
		break;
	}
	case 5: CO_TRY(co_await clean_up(job, shared)); break;
	default:
		Task<void> const never = clean_up(job, shared);
		Task<void> once = clean_up(job, shared);
		CO_TRY(co_await once);
	}
	co_return Ok{};
}

Root work(Job &job, Shared &shared)
{
	Probe const probe;
	while (!job.cancelled()) {
		static_cast<void>(co_await step(job, shared, 0));
		++shared.completed_steps;
		co_await Yield{job};
	}
}

struct Worker
{
	alignas(16) std::array<std::byte, 8192> arena{};
	std::unique_ptr<Job> job{};
	std::unique_ptr<Root> root{};

	void stop()
	{
		root.reset();
		EXPECT_TRUE(!job || job->used() == 0);
		job.reset();
	}

	// Arenas of all sizes: sometimes the work starts and finds no room later.
	void start(Shared &shared)
	{
		stop();
		size_t const size = 600 + shared.random() % (arena.size() - 600);
		job = std::make_unique<Job>(shared.executor, std::span(arena).first(size));
		root = std::make_unique<Root>(work(*job, shared));
		EXPECT_TRUE(root->start(*job).ok());
	}
};

void disturb(Shared &shared, Worker &worker)
{
	switch (shared.random() % 16) {
	case 0: worker.start(shared); break;
	case 1: worker.stop(); break;
	case 2:
		if (worker.job) worker.job->cancel();
		break;
	case 3: shared.events[shared.random() % 2].raise_all(); break;
	case 4:
	case 5: shared.events[shared.random() % 2].raise(); break;
	case 6:
	case 7:
		shared.clock.time_us += shared.random() % 60;
		shared.executor.expire();
		break;
	default: static_cast<void>(shared.executor.run_ready(1 + shared.random() % 4));
	}
}

class Stress : public testing::TestWithParam<unsigned>
{};

TEST_P(Stress, leaves_nothing_behind)
{
	Probe::alive = 0;
	Shared shared(GetParam());
	{
		std::array<Worker, 5> workers;
		for (auto &worker : workers) worker.start(shared);
		for (int i = 0; i < 40000; ++i) disturb(shared, workers[shared.random() % workers.size()]);
		for (auto &worker : workers) worker.stop();
	}
	EXPECT_GT(shared.completed_steps, 1000U);
	EXPECT_EQ(Probe::alive, 0);
	EXPECT_FALSE(shared.executor.ready());
	EXPECT_EQ(shared.executor.next_deadline_us(), NEVER_US);
	for (auto const &event : shared.events) EXPECT_FALSE(event.awaited());
	for (auto const &mutex : shared.mutexes) {
		EXPECT_FALSE(mutex.held());
		EXPECT_EQ(mutex.waiting(), 0U);
	}
}

INSTANTIATE_TEST_SUITE_P(Seeds, Stress, testing::Range(1U, 9U));

} // namespace
} // namespace bulkhead
