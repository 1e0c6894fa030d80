#include "component/qrexec/client/connect.h"
#include "component/qrexec/client/options.h"

#include <getopt.h>
#include <gtest/gtest.h>

namespace bulkhead::qrexec {
namespace {

Parsed_options parse(std::vector<std::string> arguments)
{
	arguments.insert(arguments.begin(), "qrexec-client");
	std::vector<char *> pointers;
	for (std::string &argument : arguments) pointers.push_back(argument.data());
	pointers.push_back(nullptr);
	optind = 0; // from the beginning, of another command line
	return parse_options(static_cast<int>(arguments.size()), pointers.data());
}

TEST(Client_options, knows_a_call_of_a_domain)
{
	auto const parsed = parse({"-d", "vault", "-t", "-T", "-E", "-w", "0", "user:id"});
	ASSERT_TRUE(parsed.options);
	EXPECT_EQ(parsed.options->domain, "vault");
	EXPECT_EQ(parsed.options->command, "user:id");
	EXPECT_TRUE(parsed.options->replace_output);
	EXPECT_TRUE(parsed.options->replace_errors);
	EXPECT_FALSE(parsed.options->exit_code);
	EXPECT_EQ(parsed.options->timeout_s, 0);
	EXPECT_FALSE(parsed.options->request);
}

TEST(Client_options, knows_the_request_of_a_domain)
{
	auto const parsed = parse({"-d", "dom0", "-c", "SOCKET11,work,43", "-w5", "QUBESRPC a+ work"});
	ASSERT_TRUE(parsed.options && parsed.options->request);
	EXPECT_EQ(parsed.options->request->ident, "SOCKET11");
	EXPECT_EQ(parsed.options->request->source_name, "work");
	EXPECT_EQ(parsed.options->request->source_id, 43U);
}

TEST(Client_options, refuses_a_request_that_is_none)
{
	for (char const *text : {"", "SOCKET11", "SOCKET11,work", "SOCKET11,work,", "SOCKET11,work,x",
			 "SOCKET11,work,43,1", ",work,43", "SOCKET11,,43", "a/b,work,43",
			 "01234567890123456789012345678901,work,43", "SOCKET11,work,4294967296"})
		EXPECT_FALSE(parse_request(text)) << text;
	EXPECT_TRUE(parse_request("0123456789012345678901234567890,work,4294967295"));
}

TEST(Client_options, says_what_cant_be_together)
{
	for (auto const &arguments : std::vector<std::vector<std::string>>{{"user:id"}, {"-d", "vault"},
			 {"-d", "vault", ""}, {"-d", "dom0", "user:id"}, {"-d", "@adminvm", "user:id"},
			 {"-d", "vault", "-e", "-l", "cat", "user:id"},
			 {"-d", "vault", "-e", "-c", "a,b,1", "user:id"},
			 {"-d", "vault", "-c", "a,b,1", "-c", "a,b,1", "user:id"},
			 {"-d", "vault", "-w", "-1", "user:id"}, {"-d", "vault", "-w", "soon", "user:id"},
			 {"-d", "vault", "-l", "cat", "--use-stdin-socket", "user:id"}, {"--nonsense"}}) {
		auto const parsed = parse(arguments);
		EXPECT_FALSE(parsed.options) << testing::PrintToString(arguments);
		EXPECT_EQ(parsed.exit_code, 1) << testing::PrintToString(arguments);
	}
}

TEST(Client_options, refuses_a_command_that_nobody_can_carry)
{
	std::string const longest = "user:" + std::string(CONTROL_COMMAND_MAX - 5, 'x');
	EXPECT_TRUE(parse({"-d", "vault", longest}).options);
	auto const parsed = parse({"-d", "vault", longest + 'x'});
	EXPECT_FALSE(parsed.options);
	EXPECT_EQ(parsed.exit_code, EXIT_REFUSED);
	EXPECT_TRUE(parse({"-d", "dom0", "-c", "a,b,1", longest + 'x'}).options);
}

TEST(Client_options, knows_the_names_of_the_host)
{
	for (char const *name : {"dom0", "@adminvm", "uuid:00000000-0000-0000-0000-000000000000"})
		EXPECT_TRUE(refers_to_host(name)) << name;
	for (char const *name : {"", "dom", "dom00", "adminvm", "uuid:", "@default"})
		EXPECT_FALSE(refers_to_host(name)) << name;
}

} // namespace
} // namespace bulkhead::qrexec
