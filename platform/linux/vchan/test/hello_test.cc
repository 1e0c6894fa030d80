#include "platform/linux/vchan/hello.h"

#include <algorithm>
#include <array>
#include <bit>
#include <climits>
#include <gtest/gtest.h>
#include <vector>

namespace bulkhead::linux_host {
namespace {

std::vector<uint8_t> words(std::vector<uint32_t> const &values)
{
	std::vector<uint8_t> bytes;
	for (uint32_t const value : values)
		for (uint8_t const byte : std::bit_cast<std::array<uint8_t, 4>>(value))
			bytes.push_back(byte);
	return bytes;
}

constexpr uint32_t HLLO = 0x6f6c6c48;
constexpr uint32_t WELC = 0x636c6557;

TEST(Hello, arrives_as_it_was_sent)
{
	for (Hello const hello : {Hello{5, 7, 512}, Hello{0, 0, 0}, Hello{INT_MAX, INT_MAX, INT_MAX}})
		EXPECT_EQ(decode_hello(encode(hello)).value(), hello);
}

TEST(Hello, is_five_words)
{
	EXPECT_TRUE(equal(encode(Hello{5, 7, 512}), words({HLLO, 1, 5, 7, 512})));
}

TEST(Hello, of_another_length_makes_no_sense)
{
	auto const whole = words({HLLO, 1, 5, 7, 512, 0});
	for (size_t size = 0; size <= whole.size(); ++size) {
		auto const decoded = decode_hello(Bytes(whole).first(size));
		if (size == HELLO_BYTES)
			EXPECT_TRUE(decoded.ok());
		else
			EXPECT_EQ(decoded.error(), Connect_error::BAD_MESSAGE) << size;
	}
}

TEST(Hello, of_another_version_is_told_whatever_its_length)
{
	for (auto const &message :
		{words({HLLO, 2}), words({HLLO, 2, 5, 7, 512}), words({HLLO, 2, 5, 7, 512, 6, 7, 8})}) {
		EXPECT_EQ(decode_hello(message).error(), Connect_error::PEER_VERSION);
		EXPECT_EQ(version_of(message), 2U);
	}
}

TEST(Hello, of_another_magic_or_with_negative_numbers_makes_no_sense)
{
	for (auto const &message : {words({WELC, 1, 5, 7, 512}), words({0, 1, 5, 7, 512}),
			 words({HLLO, 1, 0x80000000, 7, 512}), words({HLLO, 1, 5, 0xffffffff, 512}),
			 words({HLLO, 1, 5, 7, 0x80000000})})
		EXPECT_EQ(decode_hello(message).error(), Connect_error::BAD_MESSAGE);
}

TEST(Welcome, arrives_as_it_was_sent)
{
	using Status = Welcome::Status;
	for (Welcome const welcome :
		{Welcome{Status::ACCEPTED, (1U << 28) - 1}, Welcome{Status::ACCEPTED, 0},
			Welcome{Status::VERSION}, Welcome{Status::NOT_ALLOWED}, Welcome{Status::NONSENSE}})
		EXPECT_EQ(decode_welcome(encode(welcome)).value(), welcome);
	EXPECT_TRUE(equal(encode(Welcome{Status::ACCEPTED, 9}), words({WELC, 1, 0, 9})));
}

TEST(Welcome, with_an_unknown_status_or_a_generation_out_of_range_makes_no_sense)
{
	for (auto const &message :
		{words({WELC, 1, 4, 0}), words({WELC, 1, 0xffffffff, 0}), words({WELC, 1, 0, 1U << 28}),
			words({WELC, 1, 2, 1}), words({WELC, 1, 0}), words({WELC, 1, 0, 9, 0}), words({WELC})})
		EXPECT_EQ(decode_welcome(message).error(), Connect_error::BAD_MESSAGE);
}

TEST(Welcome, of_another_version_is_told)
{
	auto const message = words({WELC, 0, 0, 9});
	EXPECT_EQ(decode_welcome(message).error(), Connect_error::PEER_VERSION);
	EXPECT_EQ(version_of(message), 0U);
}

TEST(Hello, has_no_version_if_it_is_none)
{
	EXPECT_FALSE(version_of({}));
	EXPECT_FALSE(version_of(words({HLLO})));
	EXPECT_FALSE(version_of(words({1, 1, 5, 7, 512})));
}

TEST(Connect_error, has_words_and_an_outer_error_for_each)
{
	for (uint8_t i = 1; i <= static_cast<uint8_t>(Connect_error::SYSTEM); ++i) {
		auto const error = static_cast<Connect_error>(i);
		EXPECT_NE(name_of(error), "unknown error") << int(i);
		EXPECT_NE(name_of(outer_error(error)), "unknown error") << int(i);
		for (uint8_t j = 1; j < i; ++j)
			EXPECT_NE(name_of(error), name_of(static_cast<Connect_error>(j)));
	}
	EXPECT_EQ(name_of(Connect_error{}), "unknown error");
}

} // namespace
} // namespace bulkhead::linux_host
