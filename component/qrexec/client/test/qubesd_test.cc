#include "component/qrexec/client/qubesd.h"

#include <cstdlib>
#include <gtest/gtest.h>

namespace bulkhead::qrexec {
namespace {

using namespace std::string_view_literals;

TEST(Qubesd_answer, has_what_was_returned)
{
	Qubesd_answer const answer = parse_qubesd_answer("0\0disp1234"sv);
	EXPECT_TRUE(answer.ok);
	EXPECT_EQ(answer.text, "disp1234");
	EXPECT_TRUE(parse_qubesd_answer("0\0"sv).ok);
}

TEST(Qubesd_answer, tells_of_an_exception_in_its_words)
{
	Qubesd_answer const answer =
		parse_qubesd_answer("2\0QubesVMNotHaltedError\0traceback\0Domain is %s\0running\0"sv);
	EXPECT_FALSE(answer.ok);
	EXPECT_EQ(answer.fault, "QubesVMNotHaltedError");
	EXPECT_NE(answer.message.find("Domain is"), std::string::npos);
	EXPECT_EQ(answer.message.find("traceback"), std::string::npos);
}

TEST(Qubesd_answer, is_none_if_it_makes_no_sense)
{
	for (std::string_view const bytes : {""sv, "0"sv, "1\0x"sv, "2"sv, "zero\0"sv, "\0\0"sv}) {
		Qubesd_answer const answer = parse_qubesd_answer(bytes);
		EXPECT_FALSE(answer.ok);
		EXPECT_FALSE(answer.message.empty());
	}
	EXPECT_FALSE(parse_qubesd_answer("2\0"sv).ok);
	EXPECT_FALSE(parse_qubesd_answer("2\0Error"sv).ok);
}

TEST(Qubesd, says_that_it_isnt_there)
{
	setenv("QREXEC_QUBESD_SOCKET", "/nowhere/qubesd.sock", 1);
	Qubesd_answer const answer = ask_qubesd("admin.vm.Start", "vault");
	EXPECT_FALSE(answer.ok);
	EXPECT_NE(answer.message.find("/nowhere/qubesd.sock"), std::string::npos);
	unsetenv("QREXEC_QUBESD_SOCKET");
}

} // namespace
} // namespace bulkhead::qrexec
