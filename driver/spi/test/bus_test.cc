#include "base/sync_wait.h"
#include "driver/spi/bus.h"
#include "driver/spi/test/fake_controller.h"

#include <array>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <vector>

namespace bulkhead::spi {
namespace {

struct Test_clock final : Clock
{
	uint64_t us = 0;
	uint64_t now_us() const override { return us; }
};

struct Bus_test : testing::Test
{
	Test_clock clock;
	Executor executor{clock};
	Fake_controller controller;
	Bus bus{controller};
	Device device{bus, {.select = 0}};
	Device other{bus, {.select = 1}};
	Job_with_arena<4096> job{executor};
	std::array<uint8_t, 2> out{0x11, 0x22};
	std::array<uint8_t, 2> in{};
	std::array<uint8_t, 1> one{};

	Attempt<void, Error> transfer(
		Device &d, std::vector<Segment> const &segments, After after = After::DESELECT)
	{
		return sync_wait(job, d.transfer(job, segments, after), [&](uint64_t) {
			ASSERT_TRUE(controller.step.awaited());
			controller.step.raise();
		});
	}

	Attempt<void, Error> transfer(std::vector<Segment> const &segments)
	{
		return transfer(device, segments);
	}

	/* The state that every transfer has to leave behind. */
	void expect_at_rest()
	{
		EXPECT_FALSE(bus.busy());
		EXPECT_FALSE(controller.selected());
		EXPECT_FALSE(controller.running());
		controller.in_steps = false;
		controller.faults = 0;
		controller.take_wire();
		EXPECT_TRUE(transfer(other, {Segment::out(out)}).ok());
		EXPECT_EQ(controller.take_wire(), "1[1122]");
	}
};

// Segments.

TEST_F(Bus_test, sends_receives_exchanges_and_delays_under_one_select)
{
	for (bool const in_steps : {false, true}) {
		controller.in_steps = in_steps;
		controller.answers = {0, 0, 0xa1, 0xa2, 0xb1, 0xb2, 0xc1, 0xc2};
		std::array<uint8_t, 2> received{}, in_place{0x33, 0x44};
		EXPECT_TRUE(transfer({Segment::out(out), Segment::in(in), Segment::delay_ns(100),
								 Segment::exchange(out, received), Segment::in_place(in_place)})
				.ok());
		EXPECT_EQ(controller.take_wire(), "0[11220000.11223344]");
		EXPECT_EQ(in, (std::array<uint8_t, 2>{0xa1, 0xa2}));
		EXPECT_EQ(received, (std::array<uint8_t, 2>{0xb1, 0xb2}));
		EXPECT_EQ(in_place, (std::array<uint8_t, 2>{0xc1, 0xc2}));
	}
	EXPECT_EQ(controller.idles, 0u);
	expect_at_rest();
}

TEST_F(Bus_test, reselects_between_segments)
{
	EXPECT_TRUE(transfer({Segment::out(out).and_reselect(), Segment::in(in)}).ok());
	EXPECT_EQ(controller.take_wire(), "0[1122]0[0000]");
}

/* Conditions, by a controller that knows them and by one that needs help. */
struct Condition : Bus_test, testing::WithParamInterface<bool>
{
	void SetUp() override
	{
		controller.conditions.conditional = GetParam();
		controller.default_answer = 0xee;
	}
};

INSTANTIATE_TEST_SUITE_P(Native_or_emulated, Condition, testing::Bool(),
	[](auto const &which) { return which.param ? "native" : "emulated"; });

TEST_P(Condition, receives_nothing_when_the_byte_before_meets_it)
{
	controller.answers = {0, 1, 7, 8};
	EXPECT_TRUE(
		transfer({Segment::exchange(out, in), Segment::until(1, 1, 5), Segment::in(in)}).ok());
	EXPECT_EQ(controller.take_wire(), "0[11220000]");
	EXPECT_EQ(in, (std::array<uint8_t, 2>{7, 8}));
	expect_at_rest();
}

TEST_P(Condition, receives_single_bytes_until_it_is_met)
{
	for (bool const in_steps : {false, true}) {
		controller.in_steps = in_steps;
		controller.answers = {0, 0, 2, 4, 0x81, 7, 8};
		EXPECT_TRUE(
			transfer({Segment::exchange(out, in), Segment::until(1, 1, 3), Segment::in(in)}).ok());
		EXPECT_EQ(controller.take_wire(), "0[11220000000000]");
		EXPECT_EQ(in, (std::array<uint8_t, 2>{7, 8}));
	}
	expect_at_rest();
}

TEST_P(Condition, fails_at_its_limit)
{
	controller.answers = {0, 0, 0, 0, 0, 1};
	EXPECT_EQ(transfer({Segment::in(in), Segment::until(1, 1, 3), Segment::in(in)}).error(),
		Error::CONDITION_UNMET);
	EXPECT_EQ(controller.take_wire(), "0[0000000000]");
	EXPECT_EQ(controller.idles, 1u);
	expect_at_rest();
}

TEST_P(Condition, is_met_by_the_last_byte_that_the_limit_allows)
{
	controller.answers = {0, 0, 0, 0, 1};
	EXPECT_TRUE(transfer({Segment::in(in), Segment::until(1, 1, 3)}).ok());
	EXPECT_EQ(controller.take_wire(), "0[0000000000]");
	expect_at_rest();
}

TEST_P(Condition, follows_another_condition_and_a_delay)
{
	controller.answers = {0, 0, 1, 1, 2, 0xff};
	EXPECT_TRUE(transfer(
		{Segment::in(in), Segment::delay_ns(1), Segment::until(3, 1, 9), Segment::until(3, 1, 9),
			Segment::delay_ns(1), Segment::until(3, 2, 9), Segment::out(one)})
			.ok());
	EXPECT_EQ(controller.take_wire(), "0[0000.00.000000]");
	expect_at_rest();
}

TEST_P(Condition, looks_at_the_last_segment_that_received)
{
	controller.answers = {0, 1, 0xee, 0xee};
	EXPECT_TRUE(transfer({Segment::in(in), Segment::out(out), Segment::until(1, 1, 1)}).ok());
	EXPECT_EQ(controller.take_wire(), "0[00001122]");
}

TEST_P(Condition, ignores_bits_that_are_not_asked_for)
{
	controller.answers = {0, 0xf0, 0x5f, 0xa5};
	EXPECT_TRUE(transfer({Segment::in(in), Segment::until(0x0f, 0x05, 2)}).ok());
	EXPECT_EQ(controller.take_wire(), "0[00000000]");
}

TEST_P(Condition, keeps_the_chip_selected_at_the_end)
{
	ASSERT_TRUE(device.try_acquire().ok());
	controller.answers = {0, 0, 1};
	EXPECT_TRUE(
		transfer(device, {Segment::in(in), Segment::until(1, 1, 2)}, After::KEEP_SELECTED).ok());
	EXPECT_EQ(controller.take_wire(), "0[000000");
	EXPECT_TRUE(device.release().ok());
	EXPECT_EQ(controller.take_wire(), "]");
	expect_at_rest();
}

TEST_F(Bus_test, reselects_after_an_emulated_condition)
{
	controller.answers = {0, 0, 1};
	EXPECT_TRUE(
		transfer({Segment::in(in), Segment::until(1, 1, 2).and_reselect(), Segment::out(out)})
			.ok());
	EXPECT_EQ(controller.take_wire(), "0[000000]0[1122]");
}

// Checks.

struct Bad_segment
{
	char const *name;
	Segment segment;
};

TEST_F(Bus_test, refuses_segments_that_make_no_sense)
{
	using Kind = Segment::Kind;
	uint8_t const *const sent = out.data();
	uint8_t *const received = in.data();
	Bad_segment const table[] = {
		{"data without bytes", {.sent = sent, .received = received}},
		{"data without buffers", {.size = 2}},
		{"delay with bytes", {.kind = Kind::DELAY, .limit = 1, .sent = sent, .size = 2}},
		{"condition with bytes",
			{.kind = Kind::UNTIL, .limit = 1, .received = received, .size = 2}},
		{"condition without limit", Segment::until(1, 1, 0)},
		{"unknown kind", {.kind = static_cast<Kind>(99), .sent = sent, .size = 2}},
		{"unknown kind without bytes", {.kind = static_cast<Kind>(99)}},
	};
	for (Bad_segment const &bad : table)
		EXPECT_EQ(transfer({Segment::in(in), bad.segment}).error(), Error::INVALID) << bad.name;
	EXPECT_EQ(transfer({}).error(), Error::INVALID);
	EXPECT_EQ(transfer({Segment::out(out), Segment::until(1, 1, 1)}).error(), Error::INVALID)
		<< "nothing was received to look at";
	EXPECT_EQ(controller.take_wire(), "");
	expect_at_rest();
}

TEST_F(Bus_test, refuses_what_is_too_long)
{
	controller.conditions.sent_max = 4;
	controller.conditions.received_max = 3;
	controller.conditions.segments_max = 3;
	EXPECT_TRUE(transfer({Segment::out(out), Segment::out(out), Segment::in(in)}).ok());
	EXPECT_EQ(transfer({Segment::out(out), Segment::out(out), Segment::out(one)}).error(),
		Error::TOO_LONG);
	EXPECT_EQ(transfer({Segment::in(in), Segment::in(in)}).error(), Error::TOO_LONG);
	EXPECT_EQ(transfer(std::vector<Segment>(4, Segment::out(one))).error(), Error::TOO_LONG);
	Segment huge = Segment::out(out);
	huge.size = SIZE_MAX;
	EXPECT_EQ(transfer({Segment::out(out), huge}).error(), Error::TOO_LONG);
}

TEST_F(Bus_test, wants_whole_words)
{
	controller.conditions.bits_per_word = 1u << 7 | 1u << 11 | 1u << 31;
	ASSERT_TRUE(device.configure({.bits_per_word = 12}).ok());
	EXPECT_TRUE(transfer({Segment::out(out)}).ok());
	EXPECT_EQ(transfer({Segment::out(one)}).error(), Error::INVALID);
	EXPECT_EQ(transfer({Segment::in(in), Segment::until(1, 1, 1)}).error(), Error::INVALID);
	ASSERT_TRUE(device.configure({.bits_per_word = 32}).ok());
	EXPECT_EQ(transfer({Segment::out(out)}).error(), Error::INVALID);
}

TEST_F(Bus_test, refuses_settings_that_the_controller_lacks)
{
	controller.conditions.clock_min_hz = 1000;
	controller.conditions.modes = 1;
	EXPECT_EQ(device.configure({.select = 4}).error(), Error::CHIP_SELECT_FAULT);
	EXPECT_EQ(device.configure({.mode = Mode::MODE_1}).error(), Error::UNSUPPORTED);
	EXPECT_EQ(device.configure({.mode = static_cast<Mode>(32)}).error(), Error::UNSUPPORTED);
	EXPECT_EQ(device.configure({.bits_per_word = 0}).error(), Error::UNSUPPORTED);
	EXPECT_EQ(device.configure({.bits_per_word = 9}).error(), Error::UNSUPPORTED);
	EXPECT_EQ(device.configure({.bits_per_word = 33}).error(), Error::UNSUPPORTED);
	EXPECT_EQ(device.configure({.lsb_first = true}).error(), Error::UNSUPPORTED);
	EXPECT_EQ(device.configure({.select_active_high = true}).error(), Error::UNSUPPORTED);
	EXPECT_EQ(device.configure({.clock_hz = 0}).error(), Error::UNSUPPORTED);
	EXPECT_EQ(device.configure({.clock_hz = 999}).error(), Error::UNSUPPORTED);
	EXPECT_EQ(device.configure({.word_delay_ns = 1}).error(), Error::UNSUPPORTED);
	EXPECT_TRUE(device.configure({.clock_hz = 1000}).ok());
	EXPECT_EQ(device.chip().clock_hz, 1000u);

	Device nowhere{bus, {.select = 9}};
	EXPECT_EQ(transfer(nowhere, {Segment::out(out)}).error(), Error::CHIP_SELECT_FAULT);
}

TEST_F(Bus_test, keeps_a_device_within_its_rights)
{
	Device restricted{bus, {}, {.clock_max_hz = 2'000'000, .hold = false}};
	EXPECT_EQ(restricted.configure({.clock_hz = 2'000'001}).error(), Error::DENIED);
	EXPECT_TRUE(restricted.configure({.clock_hz = 2'000'000}).ok());
	EXPECT_EQ(restricted.try_acquire().error(), Error::DENIED);
	EXPECT_EQ(sync_wait(job, restricted.acquire(job)).error(), Error::DENIED);
	EXPECT_FALSE(bus.busy());
	Device made_too_fast{bus, {.clock_hz = 2}, {.clock_max_hz = 1}};
	EXPECT_EQ(transfer(made_too_fast, {Segment::out(out)}).error(), Error::DENIED);
}

TEST_F(Bus_test, needs_a_controller_that_keeps_the_chip_selected_for_what_depends_on_it)
{
	controller.conditions.keeps_selected = false;
	EXPECT_EQ(transfer({Segment::in(in), Segment::until(1, 1, 1)}).error(), Error::UNSUPPORTED);
	ASSERT_TRUE(device.try_acquire().ok());
	EXPECT_EQ(
		transfer(device, {Segment::in(in)}, After::KEEP_SELECTED).error(), Error::UNSUPPORTED);
	EXPECT_TRUE(device.release().ok());
	controller.conditions.conditional = true;
	controller.answers = {1, 1};
	EXPECT_TRUE(transfer({Segment::in(in), Segment::until(1, 1, 1)}).ok());
}

TEST_F(Bus_test, is_idle_after_a_fault_of_the_controller)
{
	for (bool const in_steps : {false, true}) {
		controller.in_steps = in_steps;
		for (unsigned fault = 1; fault <= 4; fault++) {
			controller.idles = 0;
			controller.faults = fault;
			EXPECT_EQ(
				transfer({Segment::in(in), Segment::until(1, 1, 9), Segment::out(out)}).error(),
				Error::CONTROLLER_FAULT);
			EXPECT_EQ(controller.idles, 1u);
			EXPECT_FALSE(controller.selected());
		}
	}
	expect_at_rest();
}

// Holding the bus.

TEST_F(Bus_test, keeps_selected_only_for_the_device_that_holds_the_bus)
{
	EXPECT_EQ(
		transfer(device, {Segment::out(out)}, After::KEEP_SELECTED).error(), Error::NOT_OWNER);
	ASSERT_TRUE(device.try_acquire().ok());
	EXPECT_EQ(transfer(other, {Segment::out(out)}, After::KEEP_SELECTED).error(), Error::NOT_OWNER);
	EXPECT_TRUE(transfer(device, {Segment::out(out)}, After::KEEP_SELECTED).ok());
	EXPECT_TRUE(transfer(device, {Segment::in(in)}).ok());
	EXPECT_EQ(controller.take_wire(), "0[11220000]");
	EXPECT_TRUE(device.release().ok());
	EXPECT_EQ(controller.idles, 0u);
	expect_at_rest();
}

TEST_F(Bus_test, is_released_by_its_holder_only)
{
	EXPECT_EQ(device.release().error(), Error::NOT_OWNER);
	ASSERT_TRUE(device.try_acquire().ok());
	EXPECT_TRUE(device.holds_bus());
	EXPECT_TRUE(bus.busy());
	EXPECT_EQ(other.release().error(), Error::NOT_OWNER);
	EXPECT_EQ(other.try_acquire().error(), Error::BUSY);
	EXPECT_EQ(device.try_acquire().error(), Error::INVALID);
	EXPECT_EQ(sync_wait(job, device.acquire(job)).error(), Error::INVALID);
	EXPECT_TRUE(device.release().ok());
	EXPECT_FALSE(device.holds_bus());
	EXPECT_TRUE(other.try_acquire().ok());
	EXPECT_TRUE(other.release().ok());
	expect_at_rest();
}

TEST_F(Bus_test, selects_anew_when_another_line_or_mode_is_asked_for)
{
	ASSERT_TRUE(device.try_acquire().ok());
	EXPECT_TRUE(transfer(device, {Segment::out(out)}, After::KEEP_SELECTED).ok());
	ASSERT_TRUE(device.configure({.clock_hz = 1}).ok());
	EXPECT_TRUE(transfer(device, {Segment::out(out)}, After::KEEP_SELECTED).ok());
	EXPECT_EQ(controller.take_wire(), "0[11221122");
	ASSERT_TRUE(device.configure({.mode = Mode::MODE_3}).ok());
	EXPECT_TRUE(transfer(device, {Segment::out(out)}, After::KEEP_SELECTED).ok());
	ASSERT_TRUE(device.configure({.select = 2, .mode = Mode::MODE_3}).ok());
	EXPECT_TRUE(transfer(device, {Segment::out(out)}, After::KEEP_SELECTED).ok());
	EXPECT_EQ(controller.take_wire(), "]0[1122]2[1122");
	EXPECT_TRUE(device.release().ok());
	expect_at_rest();
}

// Several jobs.

/* A job of its own that does one thing with a device. */
struct Client
{
	enum class What : uint8_t { TRANSFER, KEEP, CONDITION, ACQUIRE };

	Device &device;
	What const what;
	alignas(16) std::array<std::byte, 4096> arena{};
	Job job;
	std::array<uint8_t, 2> out{0xaa, 0xbb}, in{};
	std::vector<Segment> segments{Segment::out(out), Segment::in(in)};
	std::optional<Attempt<void, Error>> result{};
	std::function<void()> on_end{[] {}};
	bool started;
	Root root;

	Client(Executor &executor, Device &d, What w = What::TRANSFER, size_t arena_size = 4096,
		uint64_t until_us = NEVER_US)
		: device(d),
		  what(w),
		  job(executor, std::span(arena).first(arena_size)),
		  started(false),
		  root(run(job, *this, until_us))
	{
		if (w == What::CONDITION)
			segments.insert(segments.end(), {Segment::until(1, 1, 3), Segment::out(out)});
		started = root.start(job).ok();
	}

	static Root run(Job &job, Client &client, uint64_t until_us)
	{
		Job::Deadline const deadline{job, until_us};
		After const after = client.what == What::KEEP ? After::KEEP_SELECTED : After::DESELECT;
		if (client.what == What::ACQUIRE)
			client.result = co_await client.device.acquire(job);
		else
			client.result = co_await client.device.transfer(job, client.segments, after);
		client.on_end();
	}

	bool ended() const { return result.has_value(); }
	bool ok() const { return result && result->ok(); }
	Error error() const { return result ? result->error() : Error{}; }
};

using What = Client::What;

struct Clients : Bus_test
{
	std::vector<std::unique_ptr<Client>> clients;

	Clients() { controller.in_steps = true; }

	Client &client(
		Device &d, What what = What::TRANSFER, size_t arena = 4096, uint64_t until_us = NEVER_US)
	{
		clients.push_back(std::make_unique<Client>(executor, d, what, arena, until_us));
		return *clients.back();
	}

	/* One resumption, or else one step of the controller; false if there is nothing to do. */
	bool step()
	{
		if (executor.run_one()) return true;
		if (!controller.step.awaited()) return false;
		controller.step.raise();
		return true;
	}

	void run(unsigned steps = 10'000)
	{
		for (unsigned n = 0; n < steps && step(); n++) {}
	}
};

TEST_F(Clients, transfer_one_after_the_other_in_the_order_of_asking)
{
	std::vector<std::unique_ptr<Device>> devices;
	std::vector<int> order;
	for (int i = 0; i < 12; i++) {
		if (i < 4) devices.push_back(std::make_unique<Device>(bus, Chip{.select = uint8_t(i)}));
		client(*devices[i % 4]).on_end = [&order, i] { order.push_back(i); };
	}
	run();
	EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
	for (auto const &c : clients) EXPECT_TRUE(c->ok());
	EXPECT_EQ(controller.take_wire().substr(0, 22), "0[aabb0000]1[aabb0000]");
	expect_at_rest();
}

TEST_F(Clients, wait_while_another_device_holds_the_bus)
{
	ASSERT_TRUE(device.try_acquire().ok());
	Client &waiting = client(other), &holder = client(device);
	run();
	EXPECT_TRUE(holder.ok());
	EXPECT_FALSE(waiting.ended());
	EXPECT_TRUE(device.release().ok());
	run();
	EXPECT_TRUE(waiting.ok());
	expect_at_rest();
}

TEST_F(Clients, acquire_in_the_order_of_asking)
{
	Device third{bus, {.select = 2}};
	Client &transferring = client(third), &first = client(device, What::ACQUIRE);
	Client &second = client(other, What::ACQUIRE);
	run();
	EXPECT_TRUE(transferring.ok() && first.ok() && device.holds_bus());
	EXPECT_FALSE(second.ended());
	EXPECT_TRUE(device.release().ok());
	run();
	EXPECT_TRUE(second.ok() && other.holds_bus());
	EXPECT_TRUE(other.release().ok());
	expect_at_rest();
}

TEST_F(Clients, of_one_device_acquire_only_once)
{
	Client &transferring = client(other), &first = client(device, What::ACQUIRE);
	Client &second = client(device, What::ACQUIRE);
	run();
	EXPECT_TRUE(transferring.ok() && first.ok());
	EXPECT_EQ(second.error(), Error::INVALID);
	EXPECT_TRUE(device.release().ok());
	expect_at_rest();
}

TEST_F(Clients, are_served_when_a_device_ends_that_held_the_bus_with_its_chip_selected)
{
	auto dying = std::make_unique<Device>(bus, Chip{.select = 3});
	ASSERT_TRUE(dying->try_acquire().ok());
	Client &keeping = client(*dying, What::KEEP);
	run();
	ASSERT_TRUE(keeping.ok());
	EXPECT_TRUE(controller.selected());
	Client &waiting = client(other);
	run();
	EXPECT_FALSE(waiting.ended());
	dying.reset();
	EXPECT_FALSE(controller.selected());
	run();
	EXPECT_TRUE(waiting.ok());
	expect_at_rest();
}

TEST_F(Clients, keep_nothing_selected_when_the_bus_is_released_during_their_transfer)
{
	ASSERT_TRUE(device.try_acquire().ok());
	Client &before = client(device, What::KEEP);
	run();
	ASSERT_TRUE(before.ok());
	Client &keeping = client(device, What::KEEP), &waiting = client(other);
	run(3);
	ASSERT_TRUE(controller.running());
	EXPECT_TRUE(device.release().ok());
	EXPECT_EQ(controller.idles, 0u);
	run();
	EXPECT_TRUE(keeping.ok());
	EXPECT_TRUE(waiting.ok());
	EXPECT_EQ(controller.take_wire(), "0[aabb0000aabb0000]1[aabb0000]");
	expect_at_rest();
}

TEST_F(Clients, do_not_keep_selected_when_the_hold_has_ended_before_their_turn)
{
	ASSERT_TRUE(device.try_acquire().ok());
	client(device);
	Client &late = client(device, What::KEEP);
	run(3);
	EXPECT_TRUE(device.release().ok());
	run();
	EXPECT_EQ(late.error(), Error::NOT_OWNER);
	expect_at_rest();
}

TEST_F(Clients, are_checked_by_the_settings_of_their_turn)
{
	controller.conditions.bits_per_word = 1u << 7 | 1u << 31;
	client(other);
	Client &halves = client(device);
	run(3);
	ASSERT_FALSE(halves.ended());
	ASSERT_TRUE(device.configure({.bits_per_word = 32}).ok());
	run();
	EXPECT_EQ(halves.error(), Error::INVALID) << "two bytes are no word";
	ASSERT_TRUE(device.configure({}).ok());
	expect_at_rest();
}

TEST_F(Clients, see_their_settings_unchanged_during_a_transfer)
{
	controller.conditions.keeps_selected = true;
	Client &conditional = client(device, What::CONDITION);
	run(4);
	ASSERT_TRUE(controller.running());
	ASSERT_TRUE(device.configure({.select = 3}).ok());
	controller.answers = {0, 0, 0, 1};
	run();
	EXPECT_TRUE(conditional.ok());
	EXPECT_EQ(controller.take_wire().substr(0, 2), "0[");
	expect_at_rest();
}

/*
 * A client is disturbed after each possible number of steps, while one is before it and one behind.
 * All others must be served, and the bus be at rest.
 */
struct Disturbance
{
	char const *name;
	What what;
	bool conditional; // the controller knows conditions
	bool in_steps;
	bool held; // the bus is held by the disturbed client's device
};

struct Disturbed : Clients, testing::WithParamInterface<Disturbance>
{
	unsigned disturbed = 0; // how often there was something to disturb

	void for_each_step(
		size_t arena, uint64_t until_us, std::function<void(Client &)> const &disturb)
	{
		Disturbance const how = GetParam();
		for (unsigned steps = 0; steps < 60; steps++) {
			controller.conditions.conditional = how.conditional;
			controller.in_steps = how.in_steps;
			controller.default_answer = 1;
			// The bus is busy: with a transfer, or because the device holds it.
			if (how.held) {
				ASSERT_TRUE(device.try_acquire().ok());
			}
			Client &before = client(how.held ? device : other);
			Client &victim = client(device, how.what, arena, until_us);
			Client &behind = client(other), &last = client(device);
			controller.answers = {0, 0, 0, 0, 0, 0, 0};
			run(steps);
			bool const ended = victim.ended();
			disturb(victim);
			run();
			if (how.held) {
				EXPECT_TRUE(device.holds_bus());
			}
			if (device.holds_bus()) {
				EXPECT_TRUE(device.release().ok());
			}
			run();
			EXPECT_TRUE(before.ok() && behind.ok() && last.ok()) << "after " << steps << " steps";
			clients.clear();
			expect_at_rest();
			if (ended) return;
			++disturbed;
		}
	}
};

INSTANTIATE_TEST_SUITE_P(Ways, Disturbed,
	testing::Values(Disturbance{"transfer", What::TRANSFER, true, true, false},
		Disturbance{"transfer_at_once", What::TRANSFER, true, false, false},
		Disturbance{"condition", What::CONDITION, true, true, false},
		Disturbance{"emulated_condition", What::CONDITION, false, true, false},
		Disturbance{"emulated_condition_at_once", What::CONDITION, false, false, false},
		Disturbance{"acquire", What::ACQUIRE, true, true, false},
		Disturbance{"held_transfer", What::TRANSFER, true, true, true},
		Disturbance{"kept_transfer", What::KEEP, true, true, true}),
	[](auto const &which) { return which.param.name; });

TEST_P(Disturbed, by_the_destruction_of_the_coroutine)
{
	for_each_step(4096, NEVER_US, [](Client &victim) { victim.root = Root{}; });
	EXPECT_GE(disturbed, 2u);
}

TEST_P(Disturbed, by_cancellation)
{
	for_each_step(4096, NEVER_US, [&](Client &victim) {
		if (victim.ended()) return;
		victim.job.cancel();
		run();
		ASSERT_TRUE(victim.ended());
		if (!victim.ok()) {
			EXPECT_EQ(victim.error(), Error::CANCELLED);
		}
	});
	EXPECT_GE(disturbed, 2u);
}

TEST_P(Disturbed, by_a_deadline)
{
	clock.us = 0;
	for_each_step(4096, 10, [&](Client &victim) {
		bool const was_ended = victim.ended();
		clock.us = 10;
		executor.expire();
		run();
		if (!was_ended && victim.ended() && !victim.ok()) {
			EXPECT_EQ(victim.error(), Error::TIMEOUT);
		}
		clock.us = 0;
	});
	EXPECT_GE(disturbed, 2u);
}

TEST_P(Disturbed, by_an_arena_that_is_too_small)
{
	bool enough = false;
	for (size_t arena = 0; arena <= 4096 && !enough; arena += 16) {
		for_each_step(arena, NEVER_US, [&](Client &victim) {
			run();
			if (!victim.started) return;
			ASSERT_TRUE(victim.ended());
			enough = victim.ok();
			if (!enough) {
				EXPECT_EQ(victim.error(), Error::OUT_OF_FRAMES);
			}
		});
	}
	EXPECT_TRUE(enough);
}

TEST_F(Bus_test, fails_for_a_job_that_was_cancelled_before)
{
	job.cancel();
	EXPECT_EQ(transfer({Segment::out(out)}).error(), Error::CANCELLED);
	EXPECT_EQ(sync_wait(job, device.acquire(job)).error(), Error::CANCELLED);
	EXPECT_EQ(controller.take_wire(), "");
	EXPECT_FALSE(bus.busy());
}

TEST_F(Bus_test, needs_no_frame_when_nobody_waits)
{
	Job_with_arena<16> tiny{executor};
	Segment const segments[] = {Segment::out(out), Segment::in(in)};
	Task<void, Error> task = device.transfer(tiny, segments);
	ASSERT_TRUE(task.ready());
	EXPECT_TRUE(task.take().ok());
	EXPECT_EQ(tiny.peak(), 0u);
	EXPECT_TRUE(device.acquire(tiny).take().ok());
	EXPECT_TRUE(device.release().ok());
}

TEST(Spi_error, keeps_causes_apart_at_the_edge)
{
	EXPECT_EQ(outer_error(Error::CANCELLED), bulkhead::Error::CANCELLED);
	EXPECT_EQ(outer_error(Error::TIMEOUT), bulkhead::Error::TIMEOUT);
	EXPECT_EQ(outer_error(Error::TOO_LONG), bulkhead::Error::TOO_LONG);
	EXPECT_EQ(outer_error(Error::UNSUPPORTED), bulkhead::Error::NOT_SUPPORTED);
	EXPECT_EQ(outer_error(Error::DENIED), bulkhead::Error::DENIED);
	EXPECT_EQ(outer_error(Error::GONE), bulkhead::Error::GONE);
	EXPECT_EQ(outer_error(Error::CONTROLLER_FAULT), bulkhead::Error::IO);
	EXPECT_TRUE(worth_retrying(Error::BUSY));
	EXPECT_FALSE(worth_retrying(Error::GONE));
}

} // namespace
} // namespace bulkhead::spi
