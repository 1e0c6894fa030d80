// What waiting costs: a task that is ready, a coroutine, a wait, a lock that changes hands.

#include "base/mutex.h"
#include "base/ring.h"
#include "base/sync_wait.h"

#include <benchmark/benchmark.h>

namespace {

using namespace bulkhead;

class Still_clock final : public Clock
{
public:
	uint64_t now_us() const override { return 0; }
};

// Through pointers that the compiler can't follow, as behind an interface.
[[gnu::noinline]] Task<int> ready_task(Job &, int n) { return n; }
[[gnu::noinline]] Task<int> coroutine_task(Job &, int n) { co_return n; }
[[gnu::noinline]] Task<int> nested_task(Job &job, int n)
{
	CO_TRY_ASSIGN(int const below, co_await coroutine_task(job, n));
	co_return below + 1;
}

using Function = Task<int> (*)(Job &, int);

Task<int> await_many(Job &job, Function function, benchmark::State &state)
{
	int sum = 0;
	for (auto _ : state) sum += co_await may(co_await function(job, 1));
	co_return sum;
}

void await_task(benchmark::State &state, Function function)
{
	Still_clock clock;
	Executor executor(clock);
	Job_with_arena<4096> job(executor);
	benchmark::DoNotOptimize(sync_wait(job, await_many(job, function, state)).ok());
	state.SetItemsProcessed(state.iterations());
	state.counters["arena"] = static_cast<double>(job.peak());
}

BENCHMARK_CAPTURE(await_task, ready, ready_task);
BENCHMARK_CAPTURE(await_task, coroutine, coroutine_task);
BENCHMARK_CAPTURE(await_task, coroutine_in_coroutine, nested_task);

Root wait_again_and_again(Job &job, Event &event)
{
	for (Attempt<void> result = Ok{}; result.ok();) result = co_await event.wait(job);
}

void raise_event(benchmark::State &state)
{
	Still_clock clock;
	Executor executor(clock);
	Event event;
	Job_with_arena<4096> job(executor);
	Root root = wait_again_and_again(job, event);
	static_cast<void>(root.start(job).ok());
	executor.run_ready();
	for (auto _ : state) {
		event.raise();
		executor.run_ready();
	}
	state.SetItemsProcessed(state.iterations());
}
BENCHMARK(raise_event);

Task<int> lock_many(Job &job, Mutex &mutex, benchmark::State &state)
{
	for (auto _ : state) CO_TRY(co_await mutex.acquire(job));
	co_return 0;
}

void lock_free_mutex(benchmark::State &state)
{
	Still_clock clock;
	Executor executor(clock);
	Mutex mutex;
	Job_with_arena<4096> job(executor);
	benchmark::DoNotOptimize(sync_wait(job, lock_many(job, mutex, state)).ok());
	state.SetItemsProcessed(state.iterations());
}
BENCHMARK(lock_free_mutex);

// Each holds the lock while the other asks for it: every release is a hand-over.
Root lock_in_turn(Job &job, Mutex &mutex, uint64_t &count)
{
	while (true) {
		auto const guard = co_await mutex.acquire(job);
		if (!guard.ok()) co_return;
		++count;
		co_await Yield{job};
	}
}

void hand_over_mutex(benchmark::State &state)
{
	Still_clock clock;
	Executor executor(clock);
	Mutex mutex;
	uint64_t count = 0;
	Job_with_arena<4096> a(executor);
	Job_with_arena<4096> b(executor);
	Root first = lock_in_turn(a, mutex, count);
	Root second = lock_in_turn(b, mutex, count);
	static_cast<void>(first.start(a).ok());
	static_cast<void>(second.start(b).ok());
	for (auto _ : state) executor.run_one();
	state.SetItemsProcessed(static_cast<int64_t>(count));
}
BENCHMARK(hand_over_mutex);

void push_and_pop(benchmark::State &state)
{
	static Ring<uint64_t, 256> ring;
	uint64_t n = 0;
	for (auto _ : state) {
		benchmark::DoNotOptimize(ring.push(n++));
		benchmark::DoNotOptimize(ring.pop());
	}
	state.SetItemsProcessed(state.iterations());
}
BENCHMARK(push_and_pop);

} // namespace
