#include "rpc/qrexec/service_config.h"

#include <gtest/gtest.h>
#include <string>

namespace bulkhead::qrexec {
namespace {

using Kind = Config_fault::Kind;

Service_config parsed(std::string_view text)
{
	auto const result = parse_service_config(text);
	EXPECT_TRUE(result.ok()) << text;
	return result.ok() ? result.value() : Service_config();
}

TEST(Qrexec_service_config, an_empty_file_is_all_defaults)
{
	for (std::string_view const text : {"", "\n", "\n\n", "\r\n", "# only a comment", "#\n#\n"}) {
		Service_config const config = parsed(text);
		EXPECT_FALSE(config.wait_for_session || config.skip_service_descriptor ||
			config.exit_on_client_eof || config.exit_on_service_eof || config.force_user);
		EXPECT_EQ(config.ignored_line, 0U);
	}
}

TEST(Qrexec_service_config, knows_all_settings)
{
	EXPECT_TRUE(parsed("wait-for-session = true\n").wait_for_session);
	EXPECT_TRUE(parsed("skip-service-descriptor = true\n").skip_service_descriptor);
	EXPECT_TRUE(parsed("exit-on-client-eof = true\n").exit_on_client_eof);
	EXPECT_TRUE(parsed("exit-on-service-eof = true\n").exit_on_service_eof);
	EXPECT_EQ(parsed("force-user = 'root'\n").force_user, std::string_view("root"));

	Service_config const config = parsed("\n# Test TOML file\nforce-user = 'user'\n"
										 "wait-for-session = 1 # line comment\n");
	EXPECT_TRUE(config.wait_for_session);
	EXPECT_EQ(config.force_user, std::string_view("user"));

	Service_config const socket =
		parsed("wait-for-session = 0\n# should be ignored\nexit-on-service-eof = true\n"
			   "exit-on-client-eof = true\nskip-service-descriptor = true\n");
	EXPECT_TRUE(
		socket.exit_on_service_eof && socket.exit_on_client_eof && socket.skip_service_descriptor);
	EXPECT_FALSE(socket.wait_for_session);
}

TEST(Qrexec_service_config, booleans_are_four_words)
{
	for (std::string_view const key : {"wait-for-session", "skip-service-descriptor",
			 "exit-on-client-eof", "exit-on-service-eof"}) {
		std::string const begin = std::string(key) + " = ";
		for (std::string_view const word : {"0", "1", "true", "false"})
			EXPECT_TRUE(parse_service_config(begin + std::string(word)).ok());
		for (std::string_view const word : {"00", "01", "2", "10", "'true'", "'1'", "1 1", "0x1"}) {
			auto const result = parse_service_config(begin + std::string(word));
			ASSERT_FALSE(result.ok()) << begin << word;
			EXPECT_EQ(result.error().kind, Kind::BAD_BOOLEAN) << begin << word;
		}
	}
	EXPECT_FALSE(parsed("wait-for-session = 0").wait_for_session);
	EXPECT_FALSE(parsed("wait-for-session = false").wait_for_session);
	EXPECT_TRUE(parsed("wait-for-session = 1").wait_for_session);
}

TEST(Qrexec_service_config, blanks_comments_and_line_ends_are_free)
{
	for (std::string_view const text : {"wait-for-session=1", "wait-for-session \t=\t 1 \t\n",
			 "wait-for-session = 1#", "wait-for-session = true#x\n", "wait-for-session = 1\r\n",
			 "wait-for-session = 1 # \xc3\xa4 \x01\n", "#'\"[\nwait-for-session = 1"})
		EXPECT_TRUE(parsed(text).wait_for_session) << text;
	EXPECT_EQ(parsed("force-user = 'a # b' # c").force_user, std::string_view("a # b"));
	EXPECT_EQ(parsed("force-user='\"\xc3\xa4'").force_user, std::string_view("\"\xc3\xa4"));
}

TEST(Qrexec_service_config, unknown_settings_are_told_and_ignored)
{
	Service_config const config = parsed("a = 'b'\nwait-for-session = 1\n");
	EXPECT_EQ(config.ignored_line, 1U);
	EXPECT_TRUE(config.wait_for_session);
	EXPECT_EQ(parsed("\n\nx.Y_1 = 99999999999999999999999\na = 1\n").ignored_line, 3U);
	EXPECT_EQ(parsed("a = 1\na = 1\n").ignored_line, 1U);
	EXPECT_EQ(parsed("wait-for-sessions = true").ignored_line, 1U);
	EXPECT_EQ(parsed("Wait-For-Session = true").ignored_line, 1U);
}

struct Case
{
	std::string text;
	Kind kind;
	unsigned line;
};

TEST(Qrexec_service_config, each_fault_is_told_with_its_line)
{
	std::string const nul{'\0'};
	for (auto const &[text, kind, line] : std::initializer_list<Case>{
			 {"wait-for-session = 00\n", Kind::BAD_BOOLEAN, 1},
			 {"wait-for-session = 01\n", Kind::BAD_BOOLEAN, 1},
			 {"wait-for-session = \n", Kind::NO_VALUE, 1},
			 {"wait-for-session = # 1\n", Kind::NO_VALUE, 1},
			 {"wait-for-session = \"a\"\n", Kind::BAD_STRING, 1},
			 {"wait-for-session\n", Kind::NO_EQUALS, 1},
			 {"wait-for-session 1\n", Kind::NO_EQUALS, 1},
			 {"wait-for-session: 1\n", Kind::NO_EQUALS, 1},
			 {"wait-for-session = truex\n", Kind::TRAILING, 1},
			 {"wait-for-session = true false\n", Kind::TRAILING, 1},
			 {"wait-for-session = True\n", Kind::BAD_VALUE, 1},
			 {"wait-for-session = tru\n", Kind::BAD_VALUE, 1},
			 {"wait-for-session = -1\n", Kind::BAD_VALUE, 1},
			 {"wait-for-session = [1]\n", Kind::BAD_VALUE, 1},
			 {"\n wait-for-session = 1\n", Kind::NO_KEY, 2},
			 {"   \n", Kind::NO_KEY, 1},
			 {"\t# comment\n", Kind::NO_KEY, 1},
			 {"[section]\n", Kind::NO_KEY, 1},
			 {"'a' = 1\n", Kind::NO_KEY, 1},
			 {"1a = 1\n", Kind::NO_KEY, 1},
			 {"= 1\n", Kind::NO_KEY, 1},
			 {"\xc3\xa4 = 1\n", Kind::NO_KEY, 1},
			 {"\r", Kind::NO_KEY, 1},
			 {"force-user = root\n", Kind::BAD_VALUE, 1},
			 {"force-user = \"root\"\n", Kind::BAD_STRING, 1},
			 {"force-user = 'root\n", Kind::BAD_STRING, 1},
			 {"force-user = '\n'\n", Kind::BAD_STRING, 1},
			 {"force-user = '''root'''\n", Kind::BAD_STRING, 1},
			 {"force-user = ''\n", Kind::BAD_STRING, 1},
			 {"force-user = 'a\tb'\n", Kind::BAD_STRING, 1},
			 {"force-user = 'a\x7f'\n", Kind::BAD_STRING, 1},
			 {"force-user = true\n", Kind::BAD_STRING, 1},
			 {"force-user = 1\n", Kind::BAD_STRING, 1},
			 {"force-user = 'a' b\n", Kind::TRAILING, 1},
			 {"force-user = 'a'b'\n", Kind::TRAILING, 1},
			 {"force-user = '" + std::string(256, 'u') + "'\n", Kind::BAD_STRING, 1},
			 {"other = \"a\"\n", Kind::BAD_STRING, 1},
			 {"other = 00\n", Kind::BAD_VALUE, 1},
			 {"other = 1x\n", Kind::BAD_VALUE, 1},
			 {"force-user = 1000 x\n", Kind::BAD_VALUE, 1},
			 {"wait-for-session = 1\n\nwait-for-session = 1\n", Kind::REPEATED_KEY, 3},
			 {"force-user = 'a'\nforce-user = 'a'\n", Kind::REPEATED_KEY, 2},
			 {"# a" + nul + "\n", Kind::BAD_BYTE, 1},
			 {"wait-for-session = 1\n" + nul, Kind::BAD_BYTE, 2},
			 {"skip-service-descriptor = true\nforce-user = 'user'\n", Kind::CONFLICT, 2},
			 {"exit-on-client-eof = true\nforce-user = 'user'\n", Kind::CONFLICT, 2},
			 {"exit-on-service-eof = true\nforce-user = 'user'\n", Kind::CONFLICT, 2},
			 {"force-user = 'user'\n#\nexit-on-service-eof = 1\n", Kind::CONFLICT, 3},
		 }) {
		auto const result = parse_service_config(text);
		ASSERT_FALSE(result.ok()) << text;
		EXPECT_EQ(result.error().kind, kind) << text << text_of(result.error().kind);
		EXPECT_EQ(result.error().line, line) << text;
	}
}

TEST(Qrexec_service_config, what_is_switched_off_is_no_conflict)
{
	EXPECT_TRUE(parsed("skip-service-descriptor = false\nforce-user = 'user'\n").force_user);
	EXPECT_TRUE(parsed("force-user = 'user'\nexit-on-client-eof = 0\n").force_user);
}

TEST(Qrexec_service_config, lengths_have_limits)
{
	std::string const longest(255, 'u');
	EXPECT_EQ(parsed("force-user = '" + longest + "'").force_user, std::string_view(longest));
	EXPECT_TRUE(parse_service_config('#' + std::string(4095, ' ')).ok());
	auto const result = parse_service_config('#' + std::string(4096, ' '));
	ASSERT_FALSE(result.ok());
	EXPECT_EQ(result.error().kind, Kind::TOO_LONG);
	EXPECT_EQ(result.error().line, 0U);
}

TEST(Qrexec_service_config, each_fault_says_what_would_be_right)
{
	for (Kind const kind : {Kind::TOO_LONG, Kind::NO_KEY, Kind::REPEATED_KEY, Kind::NO_EQUALS,
			 Kind::NO_VALUE, Kind::BAD_VALUE, Kind::BAD_BOOLEAN, Kind::BAD_STRING, Kind::TRAILING,
			 Kind::BAD_BYTE, Kind::CONFLICT})
		EXPECT_NE(text_of(kind), text_of(Kind(99)));
}

} // namespace
} // namespace bulkhead::qrexec
