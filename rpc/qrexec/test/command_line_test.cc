#include "rpc/qrexec/command_line.h"
#include "rpc/qrexec/message.h"

#include <gtest/gtest.h>
#include <string>

namespace bulkhead::qrexec {
namespace {

Command_line parsed(std::string_view line, bool with_user = true)
{
	auto const result = parse_command_line(line, with_user);
	EXPECT_TRUE(result.ok()) << line;
	return result.ok() ? result.value() : Command_line();
}

std::optional<Command_fault> fault_of(std::string_view line, bool with_user = true)
{
	auto const result = parse_command_line(line, with_user);
	return result.ok() ? std::nullopt : std::optional(result.error());
}

TEST(Qrexec_command_line, a_command_goes_to_the_users_shell)
{
	Command_line const line = parsed("user:echo a: \"b\"");
	EXPECT_EQ(line.user, "user");
	EXPECT_FALSE(line.nogui);
	EXPECT_EQ(line.command, "echo a: \"b\"");
	EXPECT_FALSE(line.service_call);
	EXPECT_TRUE(line.descriptor.empty() && line.service.empty() && line.source.empty());

	Command_line const nogui = parsed("root:nogui:true");
	EXPECT_TRUE(nogui.nogui);
	EXPECT_EQ(nogui.command, "true");
	EXPECT_FALSE(parsed("u:QUBESRPC").service_call);
	EXPECT_FALSE(parsed("u: QUBESRPC a b").service_call);
	EXPECT_FALSE(parsed("u:QUBESRPCa b").service_call);
}

TEST(Qrexec_command_line, without_a_user_all_of_it_is_the_command)
{
	Command_line const line = parsed("a:b", false);
	EXPECT_EQ(line.user, "");
	EXPECT_EQ(line.command, "a:b");
	EXPECT_TRUE(parsed("nogui:QUBESRPC svc src", false).nogui);
	EXPECT_TRUE(parsed("QUBESRPC svc src", false).service_call);
}

TEST(Qrexec_command_line, a_service_call_names_service_argument_and_source)
{
	Command_line const line = parsed("user:QUBESRPC qubes.Service+arg+x domX");
	EXPECT_TRUE(line.service_call);
	EXPECT_EQ(line.command, "QUBESRPC qubes.Service+arg+x domX");
	EXPECT_EQ(line.descriptor, "qubes.Service+arg+x domX");
	EXPECT_EQ(line.full_name, "qubes.Service+arg+x");
	EXPECT_EQ(line.service, "qubes.Service");
	EXPECT_EQ(line.argument, "arg+x");
	EXPECT_EQ(line.source, "domX");
	EXPECT_EQ(line.target_kind, Target_kind::NONE);
	EXPECT_EQ(line.target, "");
}

TEST(Qrexec_command_line, no_argument_and_an_empty_one_are_two_things)
{
	EXPECT_EQ(parsed("u:QUBESRPC svc src").argument, std::nullopt);
	EXPECT_EQ(parsed("u:QUBESRPC svc+ src").argument, "");
	EXPECT_EQ(parsed("u:QUBESRPC svc+ src").full_name, "svc+");
}

TEST(Qrexec_command_line, a_call_to_the_host_names_what_was_asked_for)
{
	Command_line const name = parsed("QUBESRPC s+a src name dom0", false);
	EXPECT_EQ(name.target_kind, Target_kind::NAME);
	EXPECT_EQ(name.target, "dom0");
	EXPECT_EQ(name.descriptor, "s+a src name dom0");
	Command_line const keyword = parsed("u:nogui:QUBESRPC s src keyword adminvm");
	EXPECT_TRUE(keyword.nogui);
	EXPECT_EQ(keyword.target_kind, Target_kind::KEYWORD);
	EXPECT_EQ(keyword.target, "adminvm");
	EXPECT_EQ(keyword.source, "src");
}

struct Case
{
	std::string line;
	Command_fault fault;
};

TEST(Qrexec_command_line, refuses_what_has_no_meaning)
{
	using F = Command_fault;
	std::string const nul{'\0'};
	for (auto const &[line, fault] : std::initializer_list<Case>{
			 {"", F::NO_USER},
			 {"true", F::NO_USER},
			 {":true", F::NO_USER},
			 {"u:", F::EMPTY},
			 {"u:nogui:", F::EMPTY},
			 {"u:QUBESRPC ", F::NO_SERVICE},
			 {"u:QUBESRPC  src", F::NO_SERVICE},
			 {"u:QUBESRPC +a src", F::NO_SERVICE},
			 {"u:QUBESRPC svc", F::NO_SOURCE},
			 {"u:QUBESRPC svc ", F::NO_SOURCE},
			 {"u:QUBESRPC svc  name a", F::NO_SOURCE},
			 {"u:QUBESRPC .svc src", F::BAD_NAME},
			 {"u:QUBESRPC .. src", F::BAD_NAME},
			 {"u:QUBESRPC ../svc src", F::BAD_NAME},
			 {"u:QUBESRPC a/b src", F::BAD_NAME},
			 {"u:QUBESRPC a+../b src", F::BAD_NAME},
			 {"u:QUBESRPC svc src ", F::BAD_TARGET},
			 {"u:QUBESRPC svc src dom0", F::BAD_TARGET},
			 {"u:QUBESRPC svc src name", F::BAD_TARGET},
			 {"u:QUBESRPC svc src name ", F::BAD_TARGET},
			 {"u:QUBESRPC svc src name a b", F::BAD_TARGET},
			 {"u:QUBESRPC svc src keyword ", F::BAD_TARGET},
			 {"u:QUBESRPC svc src other a", F::BAD_TARGET},
			 {"u:true" + nul, F::HAS_NUL},
			 {nul, F::HAS_NUL},
			 {"u:QUBESRPC svc" + nul + "+a src", F::HAS_NUL},
		 })
		EXPECT_EQ(fault_of(line), fault) << line;
	EXPECT_EQ(fault_of("", false), F::EMPTY);
}

TEST(Qrexec_command_line, a_service_is_a_file_name_of_at_most_255_bytes)
{
	auto const call = [](std::string const &name) { return "u:QUBESRPC " + name + " src"; };
	std::string const longest(255, 's');
	EXPECT_EQ(parsed(call(longest)).service, longest);
	EXPECT_EQ(fault_of(call(longest + 's')), Command_fault::TOO_LONG);
	std::string const with_argument = longest + '+' + std::string(SERVICE_MAX - 257, 'a');
	EXPECT_EQ(parsed(call(with_argument)).full_name, with_argument);
	EXPECT_EQ(fault_of(call(with_argument + 'a')), Command_fault::TOO_LONG);
}

TEST(Qrexec_command_line, is_no_longer_than_a_message_can_hold)
{
	std::string const longest = "u:" + std::string(COMMAND_MAX - 3, 'a');
	EXPECT_EQ(parsed(longest).command.size(), COMMAND_MAX - 3);
	EXPECT_EQ(fault_of(longest + 'a'), Command_fault::TOO_LONG);
}

TEST(Qrexec_command_line, each_fault_has_a_name)
{
	using F = Command_fault;
	for (F const fault : {F::NO_USER, F::EMPTY, F::NO_SERVICE, F::NO_SOURCE, F::BAD_NAME,
			 F::TOO_LONG, F::BAD_TARGET, F::HAS_NUL})
		EXPECT_NE(name_of(fault), name_of(F(0)));
}

} // namespace
} // namespace bulkhead::qrexec
