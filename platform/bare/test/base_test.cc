#include "base/event.h"
#include "base/fixed_string.h"
#include "base/mutex.h"
#include "base/sync_wait.h"
#include "base/task.h"
#include "platform/bare/check.h"
#include "platform/bare/clock.h"

#include <cstdint>

// Jobs and tasks of base on a bare machine: frames come from an arena, time from the machine's
// clock, and waiting stops the processor.

namespace {

using namespace bulkhead;
using bare::Check_run;

constexpr std::size_t ARENA_BYTES = 4096;
constexpr std::uint64_t NAP_US = 3000;

Task<std::uint64_t> nap(Job &job, unsigned times)
{
	std::uint64_t const start_us = job.executor.clock.now_us();
	for (unsigned time = 0; time < times; time++) {
		auto const slept = co_await sleep_us(job, NAP_US);
		co_await may(slept);
	}
	co_return job.executor.clock.now_us() - start_us;
}

// Takes the lock, holds it over a nap, and writes down who it was.
Task<void> take_turn(Job &job, Mutex &mutex, char name, Fixed_string<8> &turns)
{
	auto acquired = co_await mutex.acquire(job);
	Mutex::Guard const guard = co_await may(std::move(acquired));
	auto const slept = co_await sleep_us(job, NAP_US);
	co_await may(slept);
	co_return turns.append(name);
}

Root take_turn_alone(Job &job, Mutex &mutex, char name, Fixed_string<8> &turns)
{
	auto const taken = co_await take_turn(job, mutex, name, turns);
	if (!taken.ok()) static_cast<void>(turns.append('!'));
}

Task<void> wait_for(Job &job, Event &event)
{
	Job::Deadline const deadline(job, job.executor.clock.now_us() + NAP_US);
	co_return co_await event.wait(job);
}

Task<unsigned> descend(Job &job, unsigned depth)
{
	auto const below = co_await descend(job, depth + 1);
	co_return co_await may(below);
}

struct Machine
{
	bare::Monotonic_clock clock{};
	Executor executor{clock};
	Job_with_arena<ARENA_BYTES> job{executor};
};

void sleeps(Check_run &run)
{
	Machine machine;
	unsigned polls = 0;
	auto const idle = [&polls](std::uint64_t until_us) {
		polls++;
		bare::idle_until_us(until_us);
	};
	auto const slept_us = sync_wait(machine.job, nap(machine.job, 5), idle);
	if (CHECK(run, slept_us.ok())) CHECK(run, slept_us.value() >= 5 * NAP_US);
	// Idle means idle: as many polls as naps.
	CHECK(run, polls == 5);
	CHECK(run, machine.job.used() == 0 && machine.job.peak() != 0);
}

void hands_over(Check_run &run)
{
	Machine machine;
	Mutex mutex;
	Fixed_string<8> turns;
	Job_with_arena<ARENA_BYTES> second{machine.executor}, third{machine.executor};
	Root b = take_turn_alone(second, mutex, 'b', turns);
	Root c = take_turn_alone(third, mutex, 'c', turns);
	CHECK(run, b.start(second).ok() && c.start(third).ok());
	auto const taken = sync_wait(machine.job, take_turn(machine.job, mutex, 'a', turns),
		[](std::uint64_t until_us) { bare::idle_until_us(until_us); });
	CHECK(run, taken.ok());
	// As the others were started first, they come first.
	CHECK(run, turns == std::string_view("bca"));
	CHECK(run, b.done() && c.done() && !mutex.held());
}

void gives_up(Check_run &run)
{
	Machine machine;
	Event event;
	auto const waited = sync_wait(machine.job, wait_for(machine.job, event),
		[](std::uint64_t until_us) { bare::idle_until_us(until_us); });
	CHECK(run, !waited.ok() && waited.error() == Error::TIMEOUT);
}

void runs_out_of_frames(Check_run &run)
{
	Machine machine;
	auto const descended = sync_wait(machine.job, descend(machine.job, 0));
	CHECK(run, !descended.ok() && descended.error() == Error::OUT_OF_FRAMES);
	CHECK(run, machine.job.used() == 0);
}

} // namespace

int bare_main()
{
	Check_run run;
	run.test("a task sleeps while the processor idles", sleeps);
	run.test("a mutex is handed over in order", hands_over);
	run.test("a wait ends by its deadline", gives_up);
	run.test("running out of frames is an error", runs_out_of_frames);
	return run.result();
}
