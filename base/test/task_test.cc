#include "base/event.h"
#include "base/task.h"
#include "base/test/support.h"

#include <algorithm>
#include <array>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

namespace bulkhead {
namespace {

using test::Probe;
using test::World;

Task<int> value(Job &, int n) { co_return n; }
Task<int> fail(Job &) { co_return Error::IO; }

template <typename FN>
auto run(FN &&fn)
{
	World world;
	auto result = sync_wait(world.a, fn(world.a));
	EXPECT_EQ(world.a.used(), 0U);
	EXPECT_EQ(Probe::alive, 0);
	return result;
}

class Task_test : public testing::Test
{
protected:
	void SetUp() override { Probe::alive = 0; }
};

TEST_F(Task_test, yields_what_the_coroutine_returns)
{
	EXPECT_EQ(run([](Job &job) { return value(job, 3); }).value(), 3);
	EXPECT_EQ(run([](Job &job) { return fail(job); }).error(), Error::IO);
}

TEST_F(Task_test, may_have_its_result_at_once_without_a_frame)
{
	World world;
	Task<int> done = 5;
	EXPECT_TRUE(done.ready());
	EXPECT_EQ(sync_wait(world.a, std::move(done)).value(), 5);
	EXPECT_EQ(world.a.peak(), 0U);
	Task<int> failed = Error::BUSY;
	EXPECT_EQ(failed.take().error(), Error::BUSY);
	Task<void> nothing = Ok{};
	EXPECT_TRUE(nothing.take().ok());
}

TEST_F(Task_test, gives_its_frame_back_if_it_is_never_awaited)
{
	World world;
	{
		auto const never = value(world.a, 1);
		EXPECT_GT(world.a.used(), 0U);
	}
	EXPECT_EQ(world.a.used(), 0U);
}

TEST_F(Task_test, gives_its_frame_back_as_soon_as_it_has_ended)
{
	auto const outer = [](Job &job) -> Task<bool> {
		size_t const before = job.used();
		Task<int> inner = value(job, 1);
		EXPECT_GT(job.used(), before);
		EXPECT_EQ((co_await inner).value(), 1);
		co_return job.used() == before;
	};
	EXPECT_TRUE(run(outer).value());
}

Task<int> conditions(Job &job)
{
	int sum = 0;
	if ((co_await value(job, 1)).value() && (co_await value(job, 0)).value() == 0) sum += 1;
	sum += (co_await value(job, 1)).ok() ? (co_await value(job, 10)).value()
										 : (co_await value(job, 1000)).value();
	while ((co_await value(job, sum)).value() < 15) ++sum;
	switch ((co_await value(job, 2)).value()) {
	case 2: sum += 100; break;
	default: sum += 7;
	}
	for (int i = 0; i < (co_await value(job, 3)).value(); ++i) {
		Probe const probe(i);
		sum += (co_await value(job, probe.value)).value();
	}
	do --sum;
	while ((co_await value(job, sum)).value() > 110);
	co_return sum;
}

TEST_F(Task_test, is_awaited_in_conditions_and_loops) { EXPECT_EQ(run(conditions).value(), 110); }

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ == 12
Task<int> without_variables(Job &job)
{
	if ((co_await value(job, 1)).ok()) co_return 1;
	co_return 2;
}

TEST_F(Task_test, a_frame_that_the_compiler_laid_out_wrongly_is_noticed)
{
	World world;
	EXPECT_DEATH(static_cast<void>(without_variables(world.a)), "");
}
#endif

TEST_F(Task_test, is_awaited_in_initialisers)
{
	struct Pair
	{
		int a, b;
	};
	auto const sum = [](Job &job) -> Task<int> {
		Pair const p{(co_await value(job, 40)).value(), (co_await value(job, 2)).value()};
		Pair const q{.a = (co_await value(job, 1)).value(), .b = 2};
		std::array<int, 2> const r{(co_await value(job, 3)).value(), q.a};
		co_return p.a + p.b + q.a - q.b + r[0] + r[1];
	};
	EXPECT_EQ(run(sum).value(), 45);
}

TEST_F(Task_test, is_awaited_as_a_variable_and_as_a_temporary)
{
	auto const sum = [](Job &job) -> Task<int> {
		Task<int> a = value(job, 1);
		Task<int> b = value(job, 2);
		Task<int> c = std::move(a);
		int const late = (co_await c).value();
		int const early = (co_await b).value();
		co_return late * 100 + early * 10 + (co_await value(job, 3)).value();
	};
	EXPECT_EQ(run(sum).value(), 123);
}

TEST_F(Task_test, frees_frames_in_any_order)
{
	World world;
	std::vector<size_t> order{0, 1, 2, 3};
	do {
		std::vector<std::unique_ptr<Task<int>>> tasks;
		for (int i = 0; i < 4; ++i) tasks.push_back(std::make_unique<Task<int>>(value(world.a, i)));
		size_t const full = world.a.used();
		for (size_t i = 0; i < 4; ++i) {
			tasks[order[i]].reset();
			EXPECT_LE(world.a.used(), full);
			// A frame on top must not be given away twice.
			auto const another = value(world.a, 9);
			for (auto const &task : tasks) EXPECT_TRUE(!task || !task->ready());
		}
		EXPECT_EQ(world.a.used(), 0U);
	} while (std::next_permutation(order.begin(), order.end()));
}

struct Device
{
	int base;

	Task<int> read(Job &, int offset) { co_return base + offset; }
	Task<int> twice(Job &job, int offset)
	{
		CO_TRY_ASSIGN(int const a, co_await read(job, offset));
		CO_TRY_ASSIGN(int const b, co_await read(job, offset));
		co_return a + b;
	}
	Task<int> constant(Job &, int offset) const { co_return base - offset; }
};

template <typename DEVICE>
Task<int> generic(Job &job, DEVICE &device)
{
	co_return co_await device.twice(job, 1);
}

TEST_F(Task_test, is_a_method_a_template_or_a_lambda)
{
	Device device{20};
	EXPECT_EQ(run([&](Job &job) { return generic(job, device); }).value(), 42);
	EXPECT_EQ(run([&](Job &job) { return device.constant(job, 1); }).value(), 19);
	auto const capturing = [&device](
							   Job &job) -> Task<int> { co_return co_await device.read(job, 22); };
	EXPECT_EQ(run(capturing).value(), 42);
	auto const plain = [](Job &job) -> Task<int> { co_return co_await value(job, 4); };
	EXPECT_EQ(run(plain).value(), 4);
}

struct Terminal
{
	virtual Task<int> read(Job &job, int n) = 0;

protected:
	~Terminal() = default;
};

struct Immediate final : Terminal
{
	Task<int> read(Job &, int n) override { return n; }
};

struct Large final : Terminal
{
	Task<int> read(Job &job, int n) override
	{
		std::array<char, 200> pad{};
		pad[static_cast<size_t>(n)] = 1;
		CO_TRY_ASSIGN(int sum, co_await value(job, n));
		for (char const c : pad) sum += c;
		co_return sum;
	}
};

TEST_F(Task_test, hides_behind_a_virtual_function)
{
	Immediate immediate;
	Large large;
	for (auto [terminal, expected] : {std::pair<Terminal *, int>{&immediate, 20}, {&large, 21}})
		EXPECT_EQ(run([&](Job &job) { return terminal->read(job, 20); }).value(), expected);
}

Task<int> by_value(Job &, Probe probe) { co_return probe.value; }
Task<int> by_reference(Job &, Probe const &probe) { co_return probe.value; }

TEST_F(Task_test, destroys_its_parameters_once)
{
	auto const sum = [](Job &job) -> Task<int> {
		CO_TRY_ASSIGN(int const a, co_await by_value(job, Probe(40)));
		CO_TRY_ASSIGN(int const b, co_await by_reference(job, Probe(2)));
		EXPECT_EQ(Probe::alive, 0);
		co_return a + b;
	};
	EXPECT_EQ(run(sum).value(), 42);
}

TEST_F(Task_test, yields_what_can_not_be_copied)
{
	auto const make = [](Job &job) -> Task<std::unique_ptr<int>> {
		CO_TRY_ASSIGN(int const n, co_await value(job, 6));
		co_return std::make_unique<int>(n);
	};
	auto const outer = [&](Job &job) -> Task<std::unique_ptr<int>> {
		CO_TRY_ASSIGN(std::unique_ptr<int> made, co_await make(job));
		*made += co_await may(co_await value(job, 1));
		co_return made;
	};
	EXPECT_EQ(*run(outer).value(), 7);
}

TEST_F(Task_test, yields_a_reference_to_the_object_itself)
{
	static Probe *object = nullptr;
	auto const find = [](Job &) -> Task<Probe &> { co_return *object; };
	auto const outer = [&](Job &job) -> Task<bool> {
		CO_TRY_ASSIGN(Probe & a, co_await find(job));
		Probe &b = co_await may(co_await find(job));
		co_return &a == object && &b == object;
	};
	World world;
	Probe probe(1);
	object = &probe;
	EXPECT_TRUE(sync_wait(world.a, outer(world.a)).value());
	EXPECT_EQ(Probe::alive, 1);
}

TEST_F(Task_test, may_have_no_value)
{
	auto const nothing = [](Job &) -> Task<void> { co_return Ok{}; };
	auto const outer = [&](Job &job) -> Task<void> {
		CO_TRY(co_await nothing(job));
		co_await may(co_await nothing(job));
		CO_TRY(co_await fail(job));
		co_return Ok{};
	};
	EXPECT_EQ(run(outer).error(), Error::IO);
}

enum class Chip_error : uint8_t { OUT_OF_FRAMES = 1, STUCK };

constexpr Error convert_error(Chip_error error, Into<Error>)
{
	return error == Chip_error::STUCK ? Error::IO : Error::OUT_OF_FRAMES;
}

Task<int, Chip_error> stuck(Job &) { co_return Chip_error::STUCK; }

TEST_F(Task_test, converts_the_error_of_another_module)
{
	auto const by_macro = [](Job &job) -> Task<int> {
		CO_TRY_ASSIGN(int const n, co_await stuck(job));
		co_return n;
	};
	auto const by_may = [](Job &job) -> Task<int> { co_return co_await may(co_await stuck(job)); };
	auto const by_hand = [](Job &job) -> Task<int> {
		auto const result = co_await stuck(job);
		if (!result.ok()) co_return Failure{result.error()};
		co_return 1;
	};
	EXPECT_EQ(run(by_macro).error(), Error::IO);
	EXPECT_EQ(run(by_may).error(), Error::IO);
	EXPECT_EQ(run(by_hand).error(), Error::IO);
}

Task<int> sum_with_may(Job &job)
{
	co_return co_await may(co_await value(job, 40)) + co_await may(co_await value(job, 2));
}
Task<int> fail_with_may(Job &job)
{
	Probe const probe(1);
	int const n = co_await may(co_await fail(job));
	co_return n + probe.value;
}
Task<int> nested_with_may(Job &job)
{
	Probe const probe(5);
	co_return probe.value +
		co_await may(co_await value(job, co_await may(co_await fail_with_may(job))));
}

TEST_F(Task_test, may_ends_the_coroutine_and_leaves_its_scopes)
{
	EXPECT_EQ(run(sum_with_may).value(), 42);
	EXPECT_EQ(run(fail_with_may).error(), Error::IO);
	EXPECT_EQ(run(nested_with_may).error(), Error::IO);
}

TEST_F(Task_test, leaves_its_scopes_before_the_caller_sees_the_error)
{
	auto const watching = [](Job &job) -> Task<int> {
		auto const result = co_await fail_with_may(job);
		EXPECT_EQ(Probe::alive, 0);
		Task<int> variable = fail_with_may(job);
		auto const again = co_await variable;
		EXPECT_EQ(Probe::alive, 0);
		EXPECT_TRUE(variable.ready());
		co_return result.error() == again.error() ? 1 : 0;
	};
	EXPECT_EQ(run(watching).value(), 1);
}

TEST_F(Task_test, macros_return_the_error_and_leave_the_scopes)
{
	auto const assign = [](Job &job) -> Task<int> {
		Probe const probe(1);
		CO_TRY_ASSIGN(int const a, co_await value(job, 40));
		CO_TRY_ASSIGN(auto const b, co_await fail(job));
		co_return a + b + probe.value;
	};
	EXPECT_EQ(run(assign).error(), Error::IO);
}

TEST_F(Task_test, is_awaited_by_a_hundred_thousand_turns_on_a_constant_stack)
{
	static uintptr_t deepest = 0;
	auto const leaf = [](Job &) -> Task<int> {
		char here = 0;
		auto const address = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
		deepest = deepest ? std::min(deepest, address) : address;
		co_return here;
	};
	auto const middle = [&](Job &job) -> Task<int> { co_return co_await leaf(job); };
	auto const measure = [&](int turns) {
		deepest = 0;
		auto const loop = [&](Job &job) -> Task<int> {
			int sum = 0;
			for (int i = 0; i < turns; ++i) sum += co_await may(co_await middle(job));
			co_return sum;
		};
		EXPECT_TRUE(run(loop).ok());
		return deepest;
	};
	uintptr_t const few = measure(10);
	uintptr_t const many = measure(100000);
	EXPECT_LT(std::max(few, many) - std::min(few, many), 4096U);
}

Task<int> deep(Job &job, int depth)
{
	Probe const probe(1);
	if (depth == 0) co_return 0;
	CO_TRY_ASSIGN(int const below, co_await deep(job, depth - 1));
	co_return below + probe.value;
}

TEST_F(Task_test, every_arena_is_enough_or_cleanly_too_small)
{
	constexpr int DEPTH = 4;
	test::Manual_clock clock;
	Executor executor(clock);
	alignas(16) static std::byte memory[8192];
	bool enough = false;
	for (size_t size = 0; size <= sizeof(memory); ++size) {
		Job job(executor, {memory, size});
		auto const result = sync_wait(job, deep(job, DEPTH));
		if (enough) {
			ASSERT_TRUE(result.ok()) << size;
		}
		enough = result.ok();
		if (enough) {
			ASSERT_EQ(result.value(), DEPTH) << size;
		} else {
			ASSERT_EQ(result.error(), Error::OUT_OF_FRAMES) << size;
		}
		ASSERT_EQ(job.used(), 0U) << size;
		ASSERT_LE(job.peak(), size);
		ASSERT_EQ(Probe::alive, 0) << size;
		ASSERT_FALSE(executor.ready());
	}
	EXPECT_TRUE(enough);
}

TEST_F(Task_test, an_arena_of_nothing_needs_no_memory)
{
	test::Manual_clock clock;
	Executor executor(clock);
	Job job(executor, {});
	EXPECT_EQ(sync_wait(job, value(job, 1)).error(), Error::OUT_OF_FRAMES);
	EXPECT_EQ(sync_wait(job, Task<int>(1)).value(), 1);
}

TEST_F(Task_test, parameters_are_destroyed_when_there_is_no_frame)
{
	test::Manual_clock clock;
	Executor executor(clock);
	Job job(executor, {});
	EXPECT_EQ(sync_wait(job, by_value(job, Probe(3))).error(), Error::OUT_OF_FRAMES);
	EXPECT_EQ(Probe::alive, 0);
}

TEST_F(Task_test, other_jobs_go_on_while_one_is_waited_for)
{
	World world;
	Event event;
	auto const waiter = [&](Job &job) -> Task<int> {
		CO_TRY(co_await event.wait(job));
		co_return 1;
	};
	int turns = 0;
	auto const poll = [&](uint64_t until_us) {
		EXPECT_EQ(until_us, NEVER_US);
		if (++turns == 3) event.raise();
	};
	EXPECT_EQ(sync_wait(world.a, waiter(world.a), poll).value(), 1);
	EXPECT_EQ(turns, 3);
}

Root yield_until(Job &job, bool const &stop)
{
	while (!stop) co_await Yield{job};
}

TEST_F(Task_test, jobs_that_only_yield_do_not_stop_time_and_polling)
{
	World world;
	bool stop = false;
	Root busy = yield_until(world.b, stop);
	ASSERT_TRUE(busy.start(world.b).ok());
	auto const sleeper = [&](Job &job) -> Task<int> {
		CO_TRY(co_await sleep_us(job, 100));
		co_return 1;
	};
	auto const poll = [&](uint64_t until_us) {
		EXPECT_EQ(until_us, 0U);
		world.clock.time_us += 10;
	};
	EXPECT_EQ(sync_wait(world.a, sleeper(world.a), poll).value(), 1);
	stop = true;
	world.executor.run_ready();
	EXPECT_TRUE(busy.done());
}

TEST_F(Task_test, a_wait_that_nobody_can_end_is_a_mistake)
{
	auto const forever = [] {
		World world;
		Event event;
		auto const wait = [&](Job &job) -> Task<int> {
			CO_TRY(co_await event.wait(job));
			co_return 1;
		};
		static_cast<void>(sync_wait(world.a, wait(world.a)));
	};
	EXPECT_DEATH(forever(), "");
}

TEST_F(Task_test, a_loop_inside_a_loop_finds_its_way_back)
{
	World world;
	auto const inner = [](Job &job) -> Task<int> {
		co_await Yield{job};
		co_return 2;
	};
	auto const outer = [&](Job &job) -> Task<int> {
		co_await Yield{job};
		// Plain code below a coroutine that can't await, e.g. the callback of a C library.
		auto const nested = sync_wait(world.b, inner(world.b));
		co_return nested.value() + 1;
	};
	EXPECT_EQ(sync_wait(world.a, outer(world.a)).value(), 3);
}

} // namespace
} // namespace bulkhead
