#include "component/qrexec/agent/deadlines.h"

#include <gtest/gtest.h>
#include <optional>
#include <vector>

namespace bulkhead::qrexec {
namespace {

using linux_host::Loop;

struct Noted final : Deadline
{
	std::vector<int> &late;
	int const number;

	Noted(std::vector<int> &l, int n) : late(l), number(n) {}
	~Noted() { withdraw(); }

	void expired() override { late.push_back(number); }
};

TEST(Deadlines, are_told_in_their_order)
{
	Loop loop;
	std::vector<int> late;
	Deadlines deadlines(loop, 1000);
	Noted first(late, 1), second(late, 2);
	ASSERT_TRUE(deadlines.begin(first).ok());
	ASSERT_TRUE(deadlines.begin(second).ok());
	while (late.size() < 2) loop.poll(NEVER_US);
	EXPECT_EQ(late, (std::vector{1, 2}));
}

TEST(Deadlines, that_were_withdrawn_are_not_told)
{
	Loop loop;
	std::vector<int> late;
	Deadlines deadlines(loop, 1000);
	std::optional<Noted> first(std::in_place, late, 1);
	Noted second(late, 2);
	ASSERT_TRUE(deadlines.begin(*first).ok());
	ASSERT_TRUE(deadlines.begin(second).ok());
	first.reset();
	while (late.empty()) loop.poll(NEVER_US);
	EXPECT_EQ(late, std::vector{2});
}

TEST(Deadlines, begin_anew_after_the_last_one)
{
	Loop loop;
	std::vector<int> late;
	Deadlines deadlines(loop, 1000);
	Noted first(late, 1);
	ASSERT_TRUE(deadlines.begin(first).ok());
	while (late.empty()) loop.poll(NEVER_US);
	ASSERT_TRUE(deadlines.begin(first).ok());
	while (late.size() < 2) loop.poll(NEVER_US);
}

} // namespace
} // namespace bulkhead::qrexec
