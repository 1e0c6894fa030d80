#include "domain/broker/shown/status.h"
#include "domain/broker/test/world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bulkhead::domain::test {
namespace {

using qrexec::Type;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view RULES = "a.Sign  *   work  vault  allow\n"
								   "a.Sign  *   @anyvm web   allow\n"
								   "a.Ask   *   @anyvm @anyvm ask\n"
								   "a.Self  *   @anyvm @anyvm allow\n"
								   "a.Turn  *   @anyvm @default allow target=vault\n"
								   "a.Still *   @anyvm @anyvm allow autostart=no\n"
								   "a.None  *   @anyvm @anyvm allow\n"
								   "a.Admin *   @anyvm @adminvm allow\n"
								   "a.Arg   +x  @anyvm vault  allow\n";

Domain_plan plan(std::string name)
{
	return {.name = std::move(name),
		.component = "files",
		.services = {"a.Sign", "a.Ask", "a.Self", "a.Turn", "a.Still", "a.Admin", "a.Arg"}};
}

/* work, web and vault run. */
class Calls : public testing::Test
{
protected:
	World world{};

	Calls()
	{
		world.apply({plan("vault"), plan("work"), plan("web")}, RULES);
		world.greet();
		for (auto const &domain : world.broker.domains()) world.take(domain->id);
	}
	~Calls() override { world.check(); }

	void expect_refused(std::string_view caller, std::string_view ident, std::string_view reason)
	{
		auto const packets = world.take(caller);
		ASSERT_EQ(packets.size(), 1u);
		EXPECT_EQ(packets[0].kind(), Type::SERVICE_REFUSED);
		std::string body(ident);
		body.resize(qrexec::IDENT_BYTES);
		EXPECT_EQ(packets[0].body, body);
		EXPECT_EQ(packets[0].with, With::NOTHING);
		ASSERT_FALSE(world.broker.refusals().empty());
		EXPECT_THAT(world.broker.refusals().back().reason, HasSubstr(reason));
	}
};

TEST_F(Calls, gives_both_sides_of_an_allowed_call_its_ends)
{
	world.call("work", "vault", "a.Sign+key", "one");
	Packet const exec = world.last("vault"), connect = world.last("work");
	EXPECT_EQ(exec.kind(), Type::EXEC_CMDLINE);
	EXPECT_EQ(exec.with, With::CLIENT_END);
	EXPECT_EQ(exec.domain(), world.id("work"));
	EXPECT_EQ(exec.body.substr(8), std::string("DEFAULT:QUBESRPC a.Sign+key work\0", 33));
	EXPECT_EQ(connect.kind(), Type::SERVICE_CONNECT);
	EXPECT_EQ(connect.with, With::SERVER_END);
	EXPECT_EQ(connect.domain(), world.id("vault"));
	EXPECT_EQ(connect.port(), exec.port());
	EXPECT_EQ(connect.body.substr(8), std::string("one").append(29, '\0'));
	EXPECT_EQ(world.host.channels, 1u);
}

TEST_F(Calls, go_where_the_policy_sends_them)
{
	world.call("web", "", "a.Turn");
	EXPECT_EQ(world.last("vault").kind(), Type::EXEC_CMDLINE);
	world.call("web", "vault", "a.Arg+x");
	EXPECT_EQ(world.last("web").kind(), Type::SERVICE_CONNECT);
	EXPECT_EQ(world.take("vault").size(), 2u);
}

TEST_F(Calls, are_refused_with_a_reason_that_only_the_operator_sees)
{
	world.call("web", "vault", "a.Sign", "x");
	expect_refused("web", "x", "no rule matches");
	world.call("web", "vault", "a.Arg+y", "x");
	expect_refused("web", "x", "no rule matches");
	world.call("work", "vault", "a.Ask", "x y");
	expect_refused("work", "x y", "nobody can be asked");
	world.call("work", "work", "a.Self");
	expect_refused("work", "i", "source and target are the same");
	world.call("work", "vault", "a.None");
	expect_refused("work", "i", "doesn't offer");
	world.call("work", "nobody", "a.Self");
	expect_refused("work", "i", "neither the caller nor the rule");
	world.call("work", "dom0", "a.Admin");
	expect_refused("work", "i", "of this system");
	world.call("work", "vault", "a.Self/x");
	expect_refused("work", "i", "the name of its target or service is malformed");
	world.call(world.id("work"), "vault", "a.Self", "i", "web");
	expect_refused("work", "i", "is no RemoteVM");
	EXPECT_EQ(world.domain("work").calls_refused, 7u);
	EXPECT_EQ(world.host.channels, 0u);
}

TEST_F(Calls, say_which_rule_has_refused_them)
{
	world.apply({plan("vault"), plan("work"), plan("web")}, "# none\n* * @anyvm @anyvm deny\n");
	world.call("work", "vault", "a.Sign");
	expect_refused("work", "i", "(30.policy:2)");
}

TEST_F(Calls, are_live_until_each_side_is_through)
{
	world.call("work", "vault", "a.Sign");
	uint32_t const port = world.last("work").port();
	EXPECT_EQ(world.domain("work").made_live, 1u);
	EXPECT_EQ(world.domain("vault").served_live, 1u);
	// Neither another's, nor an unknown one.
	world.terminate(world.id("web"), world.id("vault"), port);
	world.terminate(world.id("work"), world.id("web"), port);
	world.terminate(world.id("work"), world.id("vault"), port + 1);
	world.terminate(world.id("work"), 0, 0);
	EXPECT_EQ(world.domain("work").made_live, 1u);
	world.terminate(world.id("work"), world.id("vault"), port);
	world.terminate(world.id("work"), world.id("vault"), port);
	EXPECT_EQ(world.domain("work").made_live, 0u);
	EXPECT_EQ(world.domain("vault").served_live, 1u);
	world.check();
	world.terminate(world.id("vault"), world.id("work"), port);
	EXPECT_TRUE(world.broker.calls().empty());
}

TEST_F(Calls, end_with_who_dies)
{
	for (unsigned i = 0; i < 3; ++i) world.call("work", "vault", "a.Sign");
	world.die("work");
	world.check();
	EXPECT_EQ(world.domain("vault").served_live, 3u);
	world.die("vault");
	EXPECT_TRUE(world.broker.calls().empty());
}

TEST_F(Calls, of_one_caller_take_at_most_half_of_a_target)
{
	unsigned made = 0;
	for (unsigned i = 0; i < 200; ++i) {
		world.call("work", "vault", "a.Self");
		made += world.last("work").kind() == Type::SERVICE_CONNECT;
	}
	EXPECT_EQ(made, 128u);
	EXPECT_THAT(world.broker.refusals().back().reason, HasSubstr("half"));
	world.call("web", "vault", "a.Self");
	EXPECT_EQ(world.last("web").kind(), Type::SERVICE_CONNECT);
	// The target gives a place back, not the caller.
	uint32_t const port = world.gate("work").packets.front().port();
	world.terminate(world.id("work"), world.id("vault"), port);
	world.call("work", "vault", "a.Self");
	EXPECT_EQ(world.last("work").kind(), Type::SERVICE_REFUSED);
	world.terminate(world.id("vault"), world.id("work"), port);
	world.call("work", "vault", "a.Self");
	EXPECT_EQ(world.last("work").kind(), Type::SERVICE_CONNECT);
}

TEST_F(Calls, of_one_caller_are_limited)
{
	for (unsigned i = 0; i < 257; ++i) world.call("work", i % 2 ? "vault" : "web", "a.Self");
	EXPECT_EQ(world.domain("work").made_live, 256u);
	EXPECT_THAT(world.broker.refusals().back().reason, HasSubstr("of its caller"));
}

TEST_F(Calls, to_who_does_not_read_are_refused)
{
	world.gate("vault").full = true;
	world.call("work", "vault", "a.Sign");
	expect_refused("work", "i", "its target doesn't read");
	EXPECT_TRUE(world.broker.calls().empty());
	EXPECT_EQ(world.state("vault"), State::RUNNING);
}

TEST_F(Calls, of_who_does_not_read_end_it)
{
	world.gate("work").full = true;
	world.call("work", "vault", "a.Sign");
	EXPECT_EQ(world.state("work"), State::STOPPING);
	EXPECT_TRUE(world.logged("doesn't read"));
	EXPECT_EQ(world.domain("vault").served_live, 0u);
	world.die("work");
	EXPECT_EQ(world.state("work"), State::WAITING);
}

TEST_F(Calls, are_refused_if_memory_or_descriptors_are_lacking)
{
	world.host.no_channels = true;
	world.call("work", "vault", "a.Sign");
	expect_refused("work", "i", "lacking");
	world.host.no_channels = false;
	world.host.no_descriptors = true;
	world.call("work", "vault", "a.Sign");
	expect_refused("work", "i", "lacking");
	EXPECT_TRUE(world.broker.calls().empty());
}

TEST_F(Calls, of_the_operator_need_no_policy_but_a_service)
{
	Party const party = world.join(7);
	world.take(party);
	world.call(party, "vault", "a.Sign");
	EXPECT_EQ(world.last(party).kind(), Type::SERVICE_CONNECT);
	EXPECT_EQ(world.last("vault").domain(), 0u);
	EXPECT_THAT(world.last("vault").body, HasSubstr("a.Sign dom0"));
	uint32_t const port = world.last(party).port();
	world.call(party, "vault", "a.None");
	EXPECT_EQ(world.last(party).kind(), Type::SERVICE_REFUSED);
	world.leave(party);
	EXPECT_EQ(world.domain("vault").served_live, 1u);
	world.terminate(world.id("vault"), 0, port);
	EXPECT_TRUE(world.broker.calls().empty());
}

TEST_F(Calls, ports_skip_those_in_use_and_zero)
{
	World other(0x0fff'fffe);
	other.apply({plan("vault"), plan("work")}, RULES);
	other.greet();
	std::vector<uint32_t> ports;
	for (unsigned i = 0; i < 3; ++i) {
		other.call("work", "vault", "a.Sign");
		ports.push_back(other.last("work").port());
	}
	EXPECT_THAT(ports, ElementsAre(0x0fff'ffff, 1, 2));
}

TEST_F(Calls, that_nobody_could_understand_end_who_sent_them)
{
	struct
	{
		uint32_t type;
		std::string body;
		char const *reason;
	} const cases[] = {
		{0x300, std::string(4, '\4'), "twice"},
		{0x300, "abc", "wrong size"},
		{0x213, "abc", "may not send"},
		{0x213, std::string(161, '\0'), "malformed"},
		{0x210, std::string(128, 'a'), "may not send"},
		{0x200, std::string(20, 'a'), "may not send"},
		{0x211, "1234567", "may not send"},
		{0x1001, "", "may not send"},
		{0x1004, "vault", "may not send"},
		{0, "", "may not send"},
	};
	for (auto const &each : cases) {
		world.host.lines.clear();
		world.send(world.id("web"), each.type, each.body);
		EXPECT_TRUE(world.logged(each.reason)) << each.reason;
		EXPECT_TRUE(world.host.processes.at(world.id("web")));
		world.die("web");
		EXPECT_EQ(world.state("web"), State::WAITING);
		EXPECT_THAT(world.domain("web").last_end, HasSubstr(each.reason));
		world.pass(BACK_OFF_MAX_US);
		world.greet();
		ASSERT_EQ(world.state("web"), State::RUNNING);
	}
	world.broker.received(world.id("web"), Bytes());
	EXPECT_TRUE(world.logged("less than a header"));
	world.broker.broken(world.id("work"), "its packet has descriptors");
	EXPECT_TRUE(world.logged("descriptors"));
}

TEST_F(Calls, refused_in_great_number_are_few_lines_in_the_log)
{
	world.host.lines.clear();
	for (unsigned i = 0; i < 1000; ++i) world.call("web", "vault", "a.X" + std::to_string(i));
	EXPECT_EQ(world.host.lines.size(), 11u);
	EXPECT_TRUE(world.logged("refusals go on"));
	EXPECT_EQ(world.broker.refusals().size(), static_cast<size_t>(REFUSALS_OF_ONE));
	world.pass(1'000'000);
	world.call("web", "vault", "a.X");
	EXPECT_EQ(world.host.lines.size(), 12u);
}

TEST_F(Calls, refused_to_one_do_not_hide_those_of_others)
{
	world.call("work", "vault", "a.None");
	world.call("work", "vault", "a.None");
	for (unsigned i = 0; i < 1000; ++i) world.call("web", "vault", "a.X" + std::to_string(i));
	EXPECT_EQ(world.broker.refusals().front().caller, "work");
	EXPECT_EQ(world.broker.refusals().front().count, 2u);
}

TEST_F(Calls, are_seen_in_the_status)
{
	struct Facts final : Status_facts
	{
		Process process_of(Party) const override { return {.pid = 42, .log = "/l\"og"}; }
	} facts;
	facts.weaker = {"landlock"};
	world.call("work", "vault", "a.Sign+k");
	world.call("web", "vault", "a.Sign+\x01");
	std::string text;
	write_status(text, world.broker, facts);
	EXPECT_THAT(text, HasSubstr(R"("weaker":["landlock"])"));
	EXPECT_THAT(text, HasSubstr(R"("pid":42)"));
	EXPECT_THAT(text, HasSubstr(R"("log":"/l\"og")"));
	EXPECT_THAT(text, HasSubstr(R"("caller":"work","target":"vault","service":"a.Sign+k")"));
	EXPECT_THAT(text, HasSubstr(R"("target":"vault","service":"a.Sign+_","count":1)"));
	EXPECT_THAT(text, HasSubstr(R"("state":"running")"));
}

} // namespace
} // namespace bulkhead::domain::test
