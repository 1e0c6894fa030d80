#include "rpc/qrexec/port_table.h"

#include <gtest/gtest.h>
#include <map>
#include <random>
#include <set>
#include <vector>

namespace bulkhead::qrexec {
namespace {

constexpr uint32_t OWN = 42;

struct Table
{
	std::vector<Port_table::Storage> memory;
	Port_table ports;

	explicit Table(size_t size = Port_table::USUAL, uint32_t own = OWN)
		: memory(size), ports(memory, own)
	{}

	Port_table::Lease take(uint32_t caller)
	{
		auto const lease = ports.take(caller);
		EXPECT_TRUE(lease);
		return lease.value_or(Port_table::Lease());
	}
};

TEST(Qrexec_port_table, hands_out_what_upstreams_tests_expect)
{
	Table table;
	Port_table::Lease const first = table.take(43);
	EXPECT_EQ(first.port, 514U);
	EXPECT_EQ(table.take(44).port, 516U);
	ASSERT_TRUE(table.ports.give_back(first));
	EXPECT_EQ(table.take(44).port, 514U);
}

TEST(Qrexec_port_table, a_freed_port_may_go_to_another_caller_at_once)
{
	Table table;
	ASSERT_TRUE(table.ports.give_back(table.take(43)));
	EXPECT_EQ(table.take(44).port, 514U);
}

TEST(Qrexec_port_table, parity_tells_calls_there_from_calls_back)
{
	Table table;
	EXPECT_EQ(table.take(41).port, 513U);
	EXPECT_EQ(table.take(41).port, 515U);
	EXPECT_EQ(table.take(43).port, 514U);
	EXPECT_EQ(table.take(0xffffffff).port, 516U);
	EXPECT_EQ(table.take(0).port, 517U);
	EXPECT_EQ(table.take(0).port, 518U);
	EXPECT_EQ(table.take(OWN).port, 519U); // a call within the domain
}

TEST(Qrexec_port_table, one_caller_sees_a_port_again_only_after_all_others)
{
	for (uint32_t const caller : {0U, 41U, 43U}) {
		Table table;
		std::vector<uint32_t> order;
		size_t const usable = caller == 0 ? 256 : 128;
		for (size_t i = 0; i < 3 * usable; ++i) {
			Port_table::Lease const lease = table.take(caller);
			order.push_back(lease.port);
			ASSERT_TRUE(table.ports.give_back(lease));
		}
		for (size_t i = 0; i < usable; ++i) {
			EXPECT_EQ(order[i], 513 + (caller == 43) + (caller == 0 ? i : 2 * i));
			EXPECT_EQ(order[i + usable], order[i]);
			EXPECT_EQ(order[i + 2 * usable], order[i]);
		}
	}
}

TEST(Qrexec_port_table, many_callers_at_once_never_meet_a_port_of_late)
{
	// As many calls must have ended since as there were free ports.
	Table table;
	std::minstd_rand random{1};
	std::vector<std::pair<Port_table::Lease, uint32_t>> open;
	std::map<std::pair<uint32_t, uint32_t>, size_t> ended; // (caller, port), when
	size_t ends = 0;
	for (int i = 0; i < 100000; ++i) {
		if (open.size() < 28 && random() % 2) {
			uint32_t const caller = 43 + random() % 7;
			Port_table::Lease const lease = table.take(caller);
			auto const last = ended.find({caller, lease.port});
			if (last != ended.end()) {
				ASSERT_GE(ends - last->second, 100U);
			}
			open.emplace_back(lease, caller);
		} else if (!open.empty()) {
			size_t const which = random() % open.size();
			auto const [lease, caller] = open[which];
			open.erase(open.begin() + long(which));
			ASSERT_TRUE(table.ports.give_back(lease));
			ended[{caller, lease.port}] = ++ends;
		}
		ASSERT_EQ(table.ports.in_use(), open.size());
	}
}

TEST(Qrexec_port_table, goes_beyond_the_usual_ports_only_when_they_are_taken)
{
	Table table{Port_table::MOST};
	std::set<uint32_t> seen;
	std::vector<Port_table::Lease> leases;
	for (size_t i = 0; i < Port_table::MOST; ++i) {
		leases.push_back(table.take(0));
		EXPECT_EQ(leases.back().port, 513 + i);
		seen.insert(leases.back().port);
	}
	EXPECT_EQ(seen.size(), Port_table::MOST);
	EXPECT_FALSE(table.ports.take(0));
	EXPECT_FALSE(table.ports.take(43));
	EXPECT_EQ(table.ports.in_use(), Port_table::MOST);

	ASSERT_TRUE(table.ports.give_back(leases[9000]));
	ASSERT_TRUE(table.ports.give_back(leases[100]));
	EXPECT_EQ(table.take(0).port, 613U);
	EXPECT_EQ(table.take(0).port, 9513U);
}

TEST(Qrexec_port_table, the_other_parity_stays_free)
{
	Table table{300};
	for (int i = 0; i < 150; ++i) table.take(43);
	EXPECT_FALSE(table.ports.take(43));
	EXPECT_EQ(table.take(41).port, 513U);
	Table odd{3};
	EXPECT_EQ(odd.take(43).port, 514U);
	EXPECT_FALSE(odd.ports.take(43));
	Table one{1};
	EXPECT_FALSE(one.ports.take(43));
	EXPECT_EQ(one.take(41).port, 513U);
}

TEST(Qrexec_port_table, a_lease_is_of_one_use_only)
{
	Table table{1};
	Port_table::Lease const first = table.take(0);
	EXPECT_EQ(table.ports.current({0, 513}), first);
	EXPECT_EQ(table.ports.current({1, 513}), std::nullopt);
	ASSERT_TRUE(table.ports.give_back(first));
	EXPECT_FALSE(table.ports.give_back(first));
	EXPECT_EQ(table.ports.current({0, 513}), std::nullopt);

	Port_table::Lease const second = table.take(0);
	EXPECT_EQ(second.port, first.port);
	EXPECT_NE(second.generation, first.generation);
	EXPECT_FALSE(table.ports.give_back(first));
	EXPECT_EQ(table.ports.current({0, 513}), second);
	EXPECT_TRUE(table.ports.give_back(second));
	EXPECT_EQ(table.ports.in_use(), 0U);
}

TEST(Qrexec_port_table, ports_that_never_were_are_nobodys)
{
	Table table{4};
	for (int i = 0; i < 4; ++i) table.take(0);
	for (uint32_t const port : {0U, 1U, 512U, 517U, 1024U, 0xffffffffU}) {
		EXPECT_EQ(table.ports.current({0, port}), std::nullopt);
		EXPECT_FALSE(table.ports.give_back({port, 1}));
	}
	EXPECT_FALSE(table.ports.give_back({}));
}

} // namespace
} // namespace bulkhead::qrexec
