#include "component/qrexec/daemon/port_book.h"

#include <gtest/gtest.h>

namespace bulkhead::qrexec {
namespace {

constexpr uint32_t OWN = 42, CALLER = 43, OTHER = 44;

class Waiter final : public Port_book::Waiter
{
public:
	unsigned told = 0;

	void connection_ended() override { ++told; }
};

TEST(Port_book, tells_who_waits_for_the_end_of_a_connection)
{
	Port_book book{OWN, 16};
	Waiter first, second;
	auto const one = book.take(CALLER, &first);
	auto const two = book.take(CALLER, &second);
	ASSERT_TRUE(one && two);
	EXPECT_TRUE(book.ended({CALLER, one->port}));
	EXPECT_EQ(first.told, 1U);
	EXPECT_EQ(second.told, 0U);
	EXPECT_EQ(book.in_use(), 1U);
}

TEST(Port_book, hears_of_each_end_once)
{
	Port_book book{OWN, 16};
	Waiter waiter;
	auto const lease = book.take(CALLER, &waiter);
	ASSERT_TRUE(lease);
	EXPECT_TRUE(book.ended({CALLER, lease->port}));
	EXPECT_FALSE(book.ended({CALLER, lease->port}));
	EXPECT_EQ(waiter.told, 1U);
}

TEST(Port_book, believes_no_end_of_anothers_connection)
{
	Port_book book{OWN, 16};
	Waiter waiter;
	auto const lease = book.take(CALLER, &waiter);
	ASSERT_TRUE(lease);
	EXPECT_FALSE(book.ended({OTHER, lease->port}));
	EXPECT_FALSE(book.ended({CALLER, lease->port + 1}));
	EXPECT_FALSE(book.ended({CALLER, 0}));
	EXPECT_FALSE(book.ended({CALLER, UINT32_MAX}));
	EXPECT_EQ(waiter.told, 0U);
}

TEST(Port_book, keeps_the_port_of_a_client_that_has_left)
{
	Port_book book{OWN, 2};
	Waiter waiter;
	auto const lease = book.take(0, &waiter);
	ASSERT_TRUE(lease);
	book.forget(*lease);
	auto const next = book.take(0, nullptr);
	ASSERT_TRUE(next);
	EXPECT_NE(next->port, lease->port);
	EXPECT_FALSE(book.take(0, nullptr));
	EXPECT_TRUE(book.ended({0, lease->port}));
	EXPECT_EQ(waiter.told, 0U);
	EXPECT_TRUE(book.take(0, nullptr));
}

TEST(Port_book, forgets_only_the_use_it_is_told_of)
{
	Port_book book{OWN, 1};
	Waiter first, second;
	auto const before = book.take(0, &first);
	ASSERT_TRUE(before);
	ASSERT_TRUE(book.ended({0, before->port}));
	auto const now = book.take(0, &second);
	ASSERT_TRUE(now);
	EXPECT_EQ(now->port, before->port);
	book.forget(*before);
	EXPECT_TRUE(book.ended({0, now->port}));
	EXPECT_EQ(second.told, 1U);
}

TEST(Port_book, has_every_port_again_when_the_agent_is_gone)
{
	Port_book book{OWN, 64};
	Waiter waiter;
	while (book.take(0, &waiter)) {}
	EXPECT_EQ(book.in_use(), 64U);
	book.give_back_all();
	EXPECT_EQ(book.in_use(), 0U);
	EXPECT_EQ(waiter.told, 0U);
	EXPECT_TRUE(book.take(0, &waiter));
}

TEST(Port_book, has_ports_for_others_whatever_one_caller_takes)
{
	constexpr uint32_t LIKE_CALLER = CALLER + 2; // has its ports among the same ones
	Port_book book{OWN, 16};
	std::optional<Port_table::Lease> last;
	for (unsigned i = 0; i < 6; ++i) ASSERT_TRUE(last = book.take(CALLER, nullptr)) << i;
	EXPECT_FALSE(book.take(CALLER, nullptr));
	EXPECT_TRUE(book.take(LIKE_CALLER, nullptr));
	EXPECT_TRUE(book.take(0, nullptr));
	EXPECT_TRUE(book.ended({CALLER, last->port}));
	EXPECT_TRUE(book.take(CALLER, nullptr));
	EXPECT_FALSE(book.take(CALLER, nullptr));
	book.give_back_all();
	EXPECT_TRUE(book.take(CALLER, nullptr));
}

TEST(Port_book, serves_more_than_256_calls_at_once)
{
	Port_book book{OWN};
	for (unsigned i = 0; i < 1000; ++i) ASSERT_TRUE(book.take(CALLER, nullptr)) << i;
	for (unsigned i = 0; i < 1000; ++i) ASSERT_TRUE(book.take(0, nullptr)) << i;
}

} // namespace
} // namespace bulkhead::qrexec
