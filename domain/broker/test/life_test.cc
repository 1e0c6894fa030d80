#include "domain/broker/test/world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bulkhead::domain::test {
namespace {

using qrexec::Type;
using testing::HasSubstr;

constexpr std::string_view RULES = "* * @anyvm @anyvm allow\n";

Domain_plan plan(std::string name, std::vector<std::string> needs = {})
{
	return {.name = std::move(name),
		.component = "files",
		.services = {"*"},
		.needs = std::move(needs)};
}

Domain_plan on_call(std::string name, std::vector<std::string> needs = {})
{
	Domain_plan result = plan(std::move(name), std::move(needs));
	result.start = Start::ON_CALL;
	return result;
}

class Life : public testing::Test
{
protected:
	World world{};
	Party party = 0;

	void TearDown() override { world.check(); }

	void run(std::vector<Domain_plan> domains)
	{
		world.apply(std::move(domains), RULES);
		world.greet();
		party = world.join(1);
		world.take(party);
	}

	/* The answer to what the operator asked last, or -1. */
	int answer()
	{
		world.pass();
		auto const packets = world.take(party);
		if (packets.empty()) return -1;
		EXPECT_EQ(packets.size(), 1u);
		EXPECT_EQ(packets[0].type, static_cast<uint32_t>(Admin::DONE));
		return static_cast<int>(packets[0].number(0));
	}
};

TEST_F(Life, begins_with_those_that_others_need)
{
	world.apply({plan("tpm"), plan("vault", {"tpm"}), plan("work", {"vault", "tpm"})}, RULES);
	EXPECT_EQ(world.id("tpm"), 1u);
	EXPECT_EQ(world.id("work"), 3u);
	for (char const *name : {"tpm", "vault", "work"}) {
		world.pass();
		EXPECT_EQ(world.state(name), State::STARTING);
		EXPECT_EQ(world.last(name).kind(), Type::HELLO);
		EXPECT_EQ(world.last(name).number(0), qrexec::VERSION);
		world.hello(world.id(name));
		EXPECT_EQ(world.state(name), State::RUNNING);
	}
	EXPECT_EQ(world.host.starts, 3u);
}

TEST_F(Life, of_many_begins_a_few_at_a_time)
{
	std::vector<Domain_plan> plans;
	for (unsigned i = 0; i < 10; ++i) plans.push_back(plan("d" + std::to_string(i)));
	world.apply(plans, RULES);
	world.broker.tick(world.now_us);
	EXPECT_EQ(world.host.starts, STARTS_OF_TICK);
	EXPECT_EQ(world.broker.next_deadline_us(), 0u);
	world.pass();
	EXPECT_EQ(world.host.starts, 10u);
}

TEST_F(Life, begins_again_with_patience_that_grows_and_is_renewed)
{
	run({plan("work")});
	for (uint64_t wait_us = BACK_OFF_MIN_US; wait_us < 2 * BACK_OFF_MAX_US; wait_us *= 2) {
		world.die("work");
		world.pass(std::min(wait_us, BACK_OFF_MAX_US) - 1);
		EXPECT_EQ(world.state("work"), State::WAITING);
		world.pass(1);
		EXPECT_EQ(world.state("work"), State::STARTING);
		world.hello(world.id("work"));
	}
	world.pass(LONG_LIFE_US);
	world.die("work");
	world.pass(BACK_OFF_MIN_US);
	EXPECT_EQ(world.state("work"), State::STARTING);
	EXPECT_EQ(world.domain("work").last_end, "killed by signal 9");
}

TEST_F(Life, begins_again_as_the_plan_says)
{
	Domain_plan never = plan("never"), always = plan("always");
	never.restart = Restart::NEVER;
	always.restart = Restart::ALWAYS;
	run({never, always, plan("failing")});
	for (char const *name : {"never", "always", "failing"}) world.die(name, {"exit code 0", true});
	EXPECT_EQ(world.state("never"), State::STOPPED);
	EXPECT_EQ(world.state("always"), State::WAITING);
	EXPECT_EQ(world.state("failing"), State::STOPPED);
	world.send(party, Admin::START, "never");
	world.greet();
	world.die("never");
	EXPECT_EQ(world.state("never"), State::FAILED);
}

TEST_F(Life, that_does_not_say_hello_in_time_is_ended)
{
	world.apply({plan("work")}, RULES);
	world.pass(HELLO_US - 1);
	EXPECT_EQ(world.state("work"), State::STARTING);
	world.pass(1);
	EXPECT_EQ(world.state("work"), State::STOPPING);
	EXPECT_TRUE(world.host.processes.at(1));
	world.die("work");
	EXPECT_EQ(world.state("work"), State::WAITING);
	EXPECT_THAT(world.domain("work").last_end, HasSubstr("HELLO"));
}

TEST_F(Life, that_ends_before_its_hello_has_failed)
{
	world.apply({plan("work")}, RULES);
	world.pass();
	world.die("work", {"exit code 0", true});
	EXPECT_EQ(world.state("work"), State::WAITING);
}

TEST_F(Life, that_cannot_begin_waits_or_fails_for_good)
{
	world.host.bad_starts["work"] = {.text = "no program /x", .lasting = true};
	world.host.bad_starts["web"] = {.text = "no memory"};
	run({plan("work"), plan("web"), plan("late", {"work"})});
	EXPECT_EQ(world.state("work"), State::FAILED);
	EXPECT_EQ(world.state("web"), State::WAITING);
	EXPECT_EQ(world.state("late"), State::FAILED);
	// Mended: what needs it follows.
	world.host.bad_starts.clear();
	world.send(party, Admin::START, "late");
	world.greet();
	EXPECT_EQ(answer(), 0);
	EXPECT_EQ(world.state("work"), State::RUNNING);
	EXPECT_EQ(world.state("late"), State::RUNNING);
}

TEST_F(Life, that_closes_its_gate_is_killed_if_it_does_not_end)
{
	run({plan("work")});
	world.gate("work").open = false;
	world.broker.closed(world.id("work"));
	EXPECT_EQ(world.state("work"), State::STOPPING);
	world.pass(GRACE_US - 1);
	EXPECT_FALSE(world.host.processes.at(1));
	world.pass(1);
	EXPECT_TRUE(world.host.processes.at(1));
}

TEST_F(Life, stops_and_starts_as_the_operator_says)
{
	run({plan("work")});
	world.send(party, Admin::STOP, "work");
	EXPECT_EQ(answer(), -1);
	EXPECT_FALSE(world.gate("work").open);
	world.die("work", {"exit code 0", true});
	EXPECT_EQ(answer(), 0);
	EXPECT_EQ(world.state("work"), State::STOPPED);
	world.send(party, Admin::START, "work");
	EXPECT_EQ(answer(), -1);
	world.hello(1);
	EXPECT_EQ(answer(), 0);
	world.send(party, Admin::RESTART, "work");
	EXPECT_EQ(answer(), -1);
	world.die("work");
	EXPECT_EQ(answer(), -1);
	EXPECT_EQ(world.state("work"), State::STARTING);
	world.hello(1);
	EXPECT_EQ(answer(), 0);
	EXPECT_EQ(world.domain("work").failures, 0u);
	world.send(party, Admin::START, "nobody");
	EXPECT_EQ(answer(), 2);
}

TEST_F(Life, tells_the_operator_of_a_start_that_fails)
{
	run({plan("work")});
	world.send(party, Admin::RESTART, "work");
	world.die("work");
	world.host.bad_starts["work"] = {.text = "no memory"};
	world.pass();
	auto const packets = world.take(party);
	ASSERT_EQ(packets.size(), 1u);
	EXPECT_EQ(packets[0].body, std::string("\5\0\0\0no memory", 13));
}

TEST_F(Life, answers_the_operator_one_by_one)
{
	run({plan("work")});
	world.host.at_reload = [&] {
		world.apply({plan("work"), plan("web")}, RULES);
		return Answer{22, "line 3"};
	};
	world.send(party, Admin::RELOAD);
	auto const packets = world.take(party);
	ASSERT_EQ(packets.size(), 1u);
	EXPECT_EQ(packets[0].body, std::string("\26\0\0\0line 3", 10));
	world.send(party, Admin::STATUS);
	EXPECT_EQ(world.last(party).with, With::STATUS);
	world.take(party);
	world.host.no_descriptors = true;
	world.send(party, Admin::STATUS);
	EXPECT_EQ(world.last(party).number(0), 12u);
	world.send(party, Admin::STOP, "work");
	world.send(party, Admin::STATUS);
	EXPECT_FALSE(world.gate(party).open);
	EXPECT_NE(world.join(2), 0u);
}

TEST_F(Life, hears_operators_up_to_a_limit)
{
	run({plan("work")});
	std::vector<Party> parties;
	for (unsigned i = 2; i <= OPERATORS_MAX; ++i) parties.push_back(world.join(i));
	EXPECT_NE(parties.back(), 0u);
	EXPECT_EQ(world.join(1000), 0u);
	world.leave(parties.back());
	EXPECT_NE(world.join(1000), 0u);
}

TEST_F(Life, begins_with_a_call)
{
	run({on_call("tpm"), on_call("vault", {"tpm"}), plan("work")});
	EXPECT_EQ(world.state("vault"), State::STOPPED);
	world.take("work");
	world.call(world.id("work"), "vault", "a.B", "first");
	world.call(world.id("work"), "vault", "a.C", "second");
	world.check();
	EXPECT_TRUE(world.take("work").empty());
	world.greet();
	auto const answers = world.take("work");
	ASSERT_EQ(answers.size(), 2u);
	EXPECT_EQ(answers[0].kind(), Type::SERVICE_CONNECT);
	EXPECT_THAT(answers[0].body, HasSubstr("first"));
	EXPECT_THAT(answers[1].body, HasSubstr("second"));
	auto const calls = world.take("vault");
	ASSERT_EQ(calls.size(), 3u);
	EXPECT_EQ(calls[0].kind(), Type::HELLO);
	EXPECT_THAT(calls[1].body, HasSubstr("a.B work"));
	// It ends when it has nothing to do; the next call has it start again.
	world.die("vault", {"exit code 0", true});
	EXPECT_EQ(world.state("vault"), State::STOPPED);
	world.call(world.id("work"), "vault", "a.B");
	world.greet();
	EXPECT_EQ(world.last("work").kind(), Type::SERVICE_CONNECT);
}

TEST_F(Life, of_a_target_that_does_not_come_ends_calls)
{
	run({on_call("vault"), plan("work")});
	world.take("work");
	world.host.bad_starts["vault"] = {.text = "no memory"};
	world.call(world.id("work"), "vault", "a.B");
	world.pass(CALL_WAIT_US - 1);
	EXPECT_TRUE(world.take("work").empty());
	world.pass(1);
	EXPECT_EQ(world.last("work").kind(), Type::SERVICE_REFUSED);
	EXPECT_TRUE(world.broker.calls().empty());
	world.take("work");
	world.call(world.id("work"), "vault", "a.B");
	world.host.bad_starts["vault"].lasting = true;
	world.pass(BACK_OFF_MAX_US);
	EXPECT_EQ(world.last("work").kind(), Type::SERVICE_REFUSED);
	EXPECT_EQ(world.state("vault"), State::FAILED);
}

TEST_F(Life, of_a_target_may_be_awaited_by_few_calls)
{
	run({on_call("vault"), plan("work"), plan("web"), plan("other")});
	for (char const *name : {"work", "web", "other"}) world.take(name);
	for (char const *name : {"work", "web", "other"})
		for (unsigned i = 0; i < 40; ++i) world.call(world.id(name), "vault", "a.B");
	world.check();
	EXPECT_EQ(world.domain("vault").waiting.size(), WAITING_MAX);
	EXPECT_EQ(world.domain("work").made_live, 32u);
	EXPECT_EQ(world.domain("other").made_live, 0u);
	world.die("work");
	world.check();
	EXPECT_EQ(world.domain("vault").waiting.size(), 32u);
	world.greet();
	EXPECT_EQ(world.domain("vault").served_live, 32u);
}

TEST_F(Life, goes_on_over_a_reload_that_does_not_change_it)
{
	run({plan("vault"), plan("work"), plan("web"), plan("old")});
	Party const vault = world.id("vault"), work = world.id("work"), old = world.id("old");
	world.call(work, "vault", "a.B");
	world.call(old, "vault", "a.B");
	Domain_plan moved = plan("vault"), changed = plan("work");
	moved.at = {7, 1};
	changed.scratch_bytes = 4096;
	world.apply({plan("new"), moved, changed, plan("web")}, RULES);
	EXPECT_EQ(world.id("vault"), vault);
	EXPECT_EQ(world.id("work"), work);
	EXPECT_EQ(world.id("new"), 5u);
	EXPECT_EQ(world.id("old"), 0u);
	EXPECT_EQ(world.state("vault"), State::RUNNING);
	EXPECT_EQ(world.state("work"), State::STOPPING);
	EXPECT_EQ(world.domain("vault").served_live, 2u);
	world.check();
	world.die(work);
	world.die(old);
	EXPECT_EQ(world.broker.find(old), nullptr);
	world.greet();
	EXPECT_EQ(world.state("work"), State::RUNNING);
	EXPECT_EQ(world.state("new"), State::RUNNING);
	// It comes back before it is quite gone: as it was, but anew.
	world.apply({}, RULES);
	world.apply({plan("vault")}, RULES);
	EXPECT_EQ(world.id("vault"), vault);
	EXPECT_EQ(world.state("vault"), State::STOPPING);
	world.die(vault);
	world.greet();
	EXPECT_EQ(world.state("vault"), State::RUNNING);
}

TEST_F(Life, taken_over_goes_on_after_a_hello)
{
	world.apply({plan("vault"), plan("work"), plan("web")}, RULES);
	for (Party const id : {1u, 2u}) {
		world.host.processes[id] = false;
		world.host.gates[id].open = true;
		world.broker.adopt(id);
		EXPECT_EQ(world.last(id).kind(), Type::HELLO);
	}
	world.broker.rest(3);
	world.pass();
	EXPECT_EQ(world.host.starts, 0u);
	EXPECT_EQ(world.state("web"), State::STOPPED);
	// What was meant for the broker before is asked again.
	world.send(1, 0x213, std::string(165, 'x'));
	world.terminate(1, 2, 77);
	world.hello(1);
	world.terminate(1, 2, 77);
	world.hello(1);
	EXPECT_EQ(world.state("vault"), State::RUNNING);
	world.call("vault", "work", "a.B");
	world.hello(2);
	EXPECT_EQ(world.last("vault").kind(), Type::SERVICE_CONNECT);
}

TEST_F(Life, of_all_ends_in_the_order_in_which_they_need_each_other)
{
	run({plan("tpm"), plan("vault", {"tpm"}), plan("work", {"vault"}), on_call("idle")});
	world.host.bad_starts["web"] = {.text = "no memory"};
	world.send(party, Admin::SHUT_DOWN);
	for (char const *name : {"work", "vault", "tpm"}) {
		EXPECT_EQ(answer(), -1);
		EXPECT_EQ(world.state(name), State::STOPPING);
		EXPECT_FALSE(world.broker.finished());
		for (auto const &domain : world.broker.domains())
			EXPECT_TRUE(domain->name == name || domain->state != State::STOPPING);
		world.die(name, {"exit code 0", true});
	}
	EXPECT_FALSE(world.broker.finished());
	EXPECT_EQ(answer(), 0);
	EXPECT_TRUE(world.broker.finished());
}

TEST_F(Life, that_starts_is_ended_by_a_shut_down_and_killed_if_it_takes_long)
{
	world.apply({plan("tpm"), plan("vault", {"tpm"})}, RULES);
	world.pass();
	world.broker.shut_down();
	world.pass();
	EXPECT_EQ(world.state("tpm"), State::STOPPING);
	EXPECT_EQ(world.state("vault"), State::STOPPED);
	world.pass(GRACE_US);
	EXPECT_TRUE(world.host.processes.at(1));
	world.die("tpm");
	world.pass();
	EXPECT_TRUE(world.broker.finished());
}

} // namespace
} // namespace bulkhead::domain::test
