#include "platform/linux/vchan/access_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::linux_host {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

bool lookup(std::string const &name, uid_t &user)
{
	if (name != "alice" && name != "tpm") return false;
	user = name == "alice" ? 1000 : 990;
	return true;
}

/* The only fault of a text, as "line: words". */
std::string fault(std::string_view text)
{
	Access_rules rules;
	auto const faults = rules.read(text, lookup);
	if (faults.size() != 1) return std::to_string(faults.size()) + " faults";
	return std::to_string(faults[0].line) + ": " + faults[0].text;
}

TEST(Access_rules, let_only_ourselves_be_a_domain_when_there_are_none)
{
	Access_rules const rules;
	EXPECT_TRUE(rules.allows(5, geteuid()));
	EXPECT_FALSE(rules.allows(5, geteuid() + 1));
	EXPECT_FALSE(rules.allows_others(5));
}

// Where a user namespace has no number for anybody, all have the same.
TEST(Access_rules, take_no_stranger_for_ourselves)
{
	constexpr int NO_NAMESPACES = 77;
	pid_t const child = fork();
	if (child == 0) {
		if (unshare(CLONE_NEWUSER) != 0 || geteuid() != 65534) _exit(NO_NAMESPACES);
		Access_rules rules;
		if (rules.allows(1, geteuid())) _exit(1);
		if (!rules.read("1 65534", lookup).empty() || rules.allows(1, 65534)) _exit(2);
		_exit(0);
	}
	int status = 0;
	ASSERT_EQ(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_NAMESPACES) GTEST_SKIP();
	EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(Access_rules, let_those_be_a_domain_who_are_listed)
{
	Access_rules rules;
	ASSERT_THAT(
		rules.read("# work and its TPM\n5  alice\n\n\t7\ttpm 1203 # more\n", lookup), IsEmpty());
	EXPECT_TRUE(rules.allows(5, 1000));
	EXPECT_TRUE(rules.allows(7, 990));
	EXPECT_TRUE(rules.allows(7, 1203));
	EXPECT_FALSE(rules.allows(5, 990));
	EXPECT_FALSE(rules.allows(7, 1000));
	EXPECT_FALSE(rules.allows(6, geteuid()));
	EXPECT_FALSE(rules.allows(5, geteuid()));
	EXPECT_TRUE(rules.allows_others(5));
	EXPECT_FALSE(rules.allows_others(6));
}

TEST(Access_rules, know_when_only_we_ourselves_are_listed)
{
	Access_rules rules;
	std::string const own = std::to_string(geteuid());
	ASSERT_THAT(rules.read("5 " + own + "\n6 " + own + " 1203\n", lookup), IsEmpty());
	EXPECT_FALSE(rules.allows_others(5));
	EXPECT_TRUE(rules.allows_others(6));
}

TEST(Access_rules, let_nobody_be_anything_when_they_are_empty)
{
	for (char const *text : {"", "\n", "# nobody", "\r\n#\r\n"}) {
		Access_rules rules;
		ASSERT_THAT(rules.read(text, lookup), IsEmpty());
		EXPECT_FALSE(rules.allows(5, geteuid()));
	}
}

TEST(Access_rules, take_the_largest_numbers_and_lines_of_any_system)
{
	Access_rules rules;
	ASSERT_THAT(rules.read("2147483647 4294967294\r\n0 0\r\n1 alice", lookup), IsEmpty());
	EXPECT_TRUE(rules.allows(2147483647, 4294967294));
	EXPECT_TRUE(rules.allows(0, 0));
	EXPECT_TRUE(rules.allows(1, 1000));
}

TEST(Access_rules, ask_the_system_for_names)
{
	Access_rules rules;
	ASSERT_THAT(rules.read("5 root\n"), IsEmpty());
	EXPECT_TRUE(rules.allows(5, 0));
	EXPECT_EQ(rules.read("5 no-such-user-here\n").size(), 1U);
}

TEST(Access_rules, say_what_is_wrong_with_a_line_and_what_to_do)
{
	EXPECT_THAT(fault("work alice\n"),
		AllOf(HasSubstr("1: 'work' is no domain id"), HasSubstr("'5 alice'")));
	EXPECT_THAT(fault("-1 alice\n"), HasSubstr("'-1' is no domain id"));
	EXPECT_EQ(
		fault("\n2147483648 alice\n"), "2: domain '2147483648' is out of range: 0 to 2147483647");
	EXPECT_THAT(fault("99999999999999999999999 alice"), HasSubstr("is out of range"));
	EXPECT_EQ(fault("5 4294967295"), "1: user '4294967295' is out of range: 0 to 4294967294");
	EXPECT_THAT(fault("5 alice\n6 # alice\n"),
		AllOf(HasSubstr("2: domain 6 has no users"), HasSubstr("remove the line")));
	EXPECT_THAT(fault("5 bob\n"), AllOf(HasSubstr("user 'bob' isn't known"), HasSubstr("create")));
	EXPECT_THAT(fault("5 alice\n6 tpm\n05 tpm\n"),
		AllOf(HasSubstr("3: domain 5 is on line 1 already"), HasSubstr("put all")));
}

TEST(Access_rules, take_no_bytes_that_are_not_text)
{
	EXPECT_THAT(fault(std::string_view("5 alice\0", 8)), HasSubstr("control character, '\\x00'"));
	EXPECT_THAT(fault("# \x1b[2J\n"), HasSubstr("'\\x1b'"));
	EXPECT_THAT(fault("5 alice\r\r\n"), HasSubstr("'\\x0d'"));
	EXPECT_THAT(fault("5 al\xff\n"), HasSubstr("user 'al\\xff' isn't known"));
	EXPECT_EQ(fault("# Käse\n"), "0 faults");
}

TEST(Access_rules, bound_the_length_of_a_line_and_of_what_they_quote)
{
	std::string line = "5 alice #";
	line.resize(Access_rules::LINE_MAX_BYTES, '.');
	EXPECT_EQ(fault(line), "0 faults");
	EXPECT_THAT(fault("6 tpm\n" + line + ".\n"), HasSubstr("2: the line is longer than 4096"));
	EXPECT_LT(fault("5 " + std::string(4000, 'b')).size(), 200U);
}

TEST(Access_rules, tell_all_faults_at_once_and_then_allow_nothing)
{
	Access_rules rules;
	auto const faults = rules.read("1 alice\nx bob 4294967295\n2 tpm\n3\n", lookup);
	ASSERT_EQ(faults.size(), 4U);
	EXPECT_EQ(faults[0].line, 2U);
	EXPECT_EQ(faults[2].line, 2U);
	EXPECT_EQ(faults[3].line, 4U);
	EXPECT_FALSE(rules.allows(1, 1000));
	EXPECT_FALSE(rules.allows(1, geteuid()));
	EXPECT_FALSE(rules.allows_others(1));
}

TEST(Access_rules, are_replaced_by_the_next_text)
{
	Access_rules rules;
	ASSERT_THAT(rules.read("5 alice\n", lookup), IsEmpty());
	ASSERT_THAT(rules.read("6 alice\n", lookup), IsEmpty());
	EXPECT_FALSE(rules.allows(5, 1000));
	EXPECT_TRUE(rules.allows(6, 1000));
}

} // namespace
} // namespace bulkhead::linux_host
