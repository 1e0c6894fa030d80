#include "vchan/explain/meaning.h"
#include "vchan/test/support.h"

#include <gtest/gtest.h>

namespace bulkhead::vchan {
namespace {

using test::Region;

// The words lie where doc/vchan.md says.
static_assert(offsetof(Header, magic) == 0 && offsetof(Header, version) == 4);
static_assert(offsetof(Header, to_client_bytes) == 8 && offsetof(Header, to_server_bytes) == 12);
static_assert(offsetof(Header, generation) == 16);
static_assert(offsetof(Side, produced) == 0 && offsetof(Side, consumed) == 64);
static_assert(offsetof(Side, sleep) == 128 && offsetof(Side, life) == 132);
static_assert(offsetof(Control, header) == 0 && offsetof(Control, server) == 64);
static_assert(offsetof(Control, client) == 256);

TEST(Vchan_layout, rounds_sizes_up_to_powers_of_two)
{
	EXPECT_EQ(rounded({1, 3}).value(), (Sizes{1, 4}));
	EXPECT_EQ(rounded({RING_MAX, RING_MAX - 1}).value(), (Sizes{RING_MAX, RING_MAX}));
}

TEST(Vchan_layout, refuses_two_sizes_of_zero_and_any_beyond_the_maximum)
{
	for (Sizes sizes : {Sizes{0, 0}, Sizes{RING_MAX + 1, 0}, Sizes{RING_MAX + 1, 1},
			 Sizes{0, RING_MAX + 1}, Sizes{1, UINT32_MAX}})
		EXPECT_EQ(rounded(sizes).error(), Error::BAD_SIZE);
}

TEST(Vchan_layout, lets_a_channel_go_one_way)
{
	EXPECT_EQ(rounded({0, 3}).value(), (Sizes{0, 4}));
	EXPECT_EQ(rounded({4097, 0}).value(), (Sizes{8192, 0}));
	for (Sizes sizes : {Sizes{0, 8192}, Sizes{8192, 0}}) {
		EXPECT_EQ(region_bytes(sizes), PAGE + 8192);
		Region region{sizes};
		auto const server = test::serve(region.bytes(), sizes, 3).value();
		auto const client = attach(region.bytes(), 3).value();
		EXPECT_EQ(server.out.size(), sizes.to_client);
		EXPECT_EQ(server.in.size(), sizes.to_server);
		EXPECT_EQ(client.in.size(), sizes.to_client);
		EXPECT_EQ(client.out.size(), sizes.to_server);
		auto const there = sizes.to_client ? server.out : server.in;
		EXPECT_EQ(there.data(), reinterpret_cast<uint8_t *>(region.bytes().data()) + PAGE);
	}
}

TEST(Vchan_layout, gives_the_client_the_sizes_of_the_server)
{
	Region region{Sizes{8, 8192}};
	auto const server = test::serve(region.bytes(), {5, 5000}, 3);
	auto const client = attach(region.bytes(), 3);
	ASSERT_TRUE(server.ok() && client.ok());
	EXPECT_EQ(server.value().out.data(), client.value().in.data());
	EXPECT_EQ(server.value().in.data(), client.value().out.data());
	EXPECT_EQ(client.value().in.size(), 8);
	EXPECT_EQ(client.value().out.size(), 8192);
	EXPECT_LE(client.value().out.data() + 8192,
		reinterpret_cast<uint8_t *>(region.bytes().data() + region.bytes().size()));
}

TEST(Vchan_layout, refuses_to_serve_what_does_not_fit)
{
	Region region{Sizes{4096, 4096}};
	EXPECT_EQ(test::serve(region.bytes(), {4096, 4097}, 0).error(), Error::REGION_TOO_SMALL);
	EXPECT_EQ(test::serve(region.bytes(), {0, 0}, 0).error(), Error::BAD_SIZE);
	EXPECT_EQ(
		test::serve(region.bytes(), {1, 1}, GENERATION_MAX + 1).error(), Error::BAD_GENERATION);
}

TEST(Vchan_layout, refuses_to_attach_to_what_a_server_should_not_have_written)
{
	Region region{Sizes{64, 64}};
	ASSERT_TRUE(test::serve(region.bytes(), {64, 64}, 5).ok());
	Header &header = region.control().header;
	auto const with = [&](Word &word, uint32_t value) {
		uint32_t const before = word.exchange(value);
		auto const result = attach(region.bytes(), 5);
		word = before;
		return result.ok() ? Error{} : result.error();
	};
	EXPECT_EQ(with(header.magic, 0), Error::BAD_MAGIC);
	EXPECT_EQ(with(header.version, VERSION + 1), Error::BAD_VERSION);
	EXPECT_EQ(with(header.generation, 6), Error::BAD_GENERATION);
	for (uint32_t size : {3U, 65U, RING_MAX * 2, UINT32_MAX}) {
		EXPECT_EQ(with(header.to_client_bytes, size), Error::BAD_SIZE);
		EXPECT_EQ(with(header.to_server_bytes, size), Error::BAD_SIZE);
	}
	EXPECT_EQ(with(header.to_server_bytes, 8192), Error::REGION_TOO_SMALL);
	header.to_client_bytes = 0;
	EXPECT_EQ(with(header.to_server_bytes, 0), Error::BAD_SIZE);
	EXPECT_EQ(with(header.to_server_bytes, 16384), Error::REGION_TOO_SMALL);
	header.to_client_bytes = 64;
	EXPECT_EQ(attach(region.bytes().first(PAGE - 1), 5).error(), Error::REGION_TOO_SMALL);
	EXPECT_EQ(attach(region.bytes().subspan(4), 5).error(), Error::MISALIGNED);
	EXPECT_TRUE(attach(region.bytes(), 5).ok());
}

TEST(Vchan_layout, names_each_error_and_says_what_the_outside_sees)
{
	for (auto error = uint8_t{1}; error <= static_cast<uint8_t>(Error::PEER_STALE); ++error) {
		EXPECT_NE(name_of(Error{error}), "unknown error");
		EXPECT_NE(name_of(outer_error(Error{error})), "unknown error");
	}
	EXPECT_EQ(outer_error(Error::PEER_CLOSED), bulkhead::Error::BROKEN_PIPE);
	EXPECT_EQ(outer_error(Error::PEER_DEAD), bulkhead::Error::GONE);
	EXPECT_EQ(outer_error(Error::ONE_WAY), bulkhead::Error::NOT_SUPPORTED);
}

} // namespace
} // namespace bulkhead::vchan
