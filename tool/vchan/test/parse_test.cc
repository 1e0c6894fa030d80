#include "tool/vchan/parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using namespace bulkhead::tool;
using ::testing::HasSubstr;

TEST(Vchan_parse, an_address_is_a_domain_and_perhaps_a_port)
{
	Address address;
	EXPECT_EQ(parse_address("7", address), "");
	EXPECT_EQ(address.text(), "7:512");
	EXPECT_EQ(parse_address("0:2147483647", address), "");
	EXPECT_EQ(address.text(), "0:2147483647");
	for (char const *const wrong : {"", ":", "7:", ":512", "-1", "7:-1", "2147483648",
			 "7:2147483648", "work", "7:512:1", " 7", "7 ", "0x7", "99999999999999999999999"}) {
		Address same{3, 4};
		EXPECT_THAT(parse_address(wrong, same), HasSubstr("such as 7:512")) << wrong;
		EXPECT_EQ(same.text(), "3:4") << wrong;
	}
}

TEST(Vchan_parse, sizes_are_those_to_read_and_to_write)
{
	Ring_sizes sizes;
	auto const parsed = [&](char const *text) {
		std::string const fault = parse_sizes(text, sizes);
		return fault.empty() ? std::pair<size_t, size_t>{sizes.read, sizes.write}
							 : std::pair<size_t, size_t>{1, 0};
	};
	using Sizes = std::pair<size_t, size_t>;
	EXPECT_EQ(parsed("4096"), Sizes(4096, 4096));
	EXPECT_EQ(parsed("64k:1M"), Sizes(65536, 1 << 20));
	EXPECT_EQ(parsed("64K:0"), Sizes(65536, 0));
	EXPECT_EQ(parsed("0:1m"), Sizes(0, 1 << 20));
	EXPECT_EQ(parsed("64M"), Sizes(64 << 20, 64 << 20));
	EXPECT_EQ(parsed("67108864"), Sizes(64 << 20, 64 << 20));
	for (char const *const wrong : {"", "0", "0:0", "k", ":", "1:", ":1", "65M", "67108865",
			 "65537k", "-1", "1.5k", "1kk", "1:2:3", "18446744073709551615k"})
		EXPECT_THAT(parse_sizes(wrong, sizes), HasSubstr("up to 64M")) << wrong;
}

TEST(Vchan_parse, cpus_are_one_for_both_or_two)
{
	Cpus cpus;
	EXPECT_EQ(parse_cpus("1", cpus), "");
	EXPECT_EQ(cpus, (Cpus{1, 1}));
	EXPECT_EQ(parse_cpus("0,3", cpus), "");
	EXPECT_EQ(cpus, (Cpus{0, 3}));
	for (char const *const wrong : {"", ",", "0,", ",1", "1,2,3", "-1", "1024", "a"})
		EXPECT_THAT(parse_cpus(wrong, cpus), HasSubstr("names no CPUs")) << wrong;
}

} // namespace
