#include "base/bytes.h"

#include <array>
#include <cstdint>
#include <gtest/gtest.h>
#include <vector>

namespace bulkhead {
namespace {

constexpr std::array<uint8_t, 16> COUNTING{
	0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x88, 0x99, 10, 11, 12, 13, 14, 15, 16};

static_assert(load_le<uint32_t>(std::span(COUNTING).first<4>()) == 0x04030201);
static_assert(load_be<uint32_t>(std::span(COUNTING).first<4>()) == 0x01020304);
static_assert(load_be<uint64_t>(std::span(COUNTING).first<8>()) == 0x0102030405060788);
static_assert(load_le<uint64_t>(std::span(COUNTING).first<8>()) == 0x8807060504030201);
static_assert(load_be<uint16_t>(std::span(COUNTING).subspan<7, 2>()) == 0x8899);
static_assert(load_le<uint8_t>(std::span(COUNTING).first<1>()) == 1);

TEST(Bytes, load_and_store_at_any_alignment)
{
	alignas(8) uint8_t memory[24]{};
	for (size_t offset = 0; offset < 8; ++offset) {
		auto const at = std::span(memory).subspan(offset);
		store_le<uint64_t>(at.first<8>(), 0x0123456789abcdefU);
		EXPECT_EQ(memory[offset], 0xef);
		EXPECT_EQ(load_le<uint64_t>(at.first<8>()), 0x0123456789abcdefU);
		store_be<uint32_t>(at.first<4>(), 0xfedcba98U);
		EXPECT_EQ(memory[offset], 0xfe);
		EXPECT_EQ(load_be<uint32_t>(at.first<4>()), 0xfedcba98U);
		store_be<uint16_t>(at.first<2>(), 0x8001);
		EXPECT_EQ(load_le<uint16_t>(at.first<2>()), 0x0180);
	}
}

TEST(Bytes, copy_no_more_than_both_have)
{
	std::array<uint8_t, 4> memory{1, 2, 3, 4};
	std::span<uint8_t> const all(memory);
	EXPECT_EQ(copy_bytes(all.subspan(1), all), 3U);
	EXPECT_EQ(memory, (std::array<uint8_t, 4>{1, 1, 2, 3})) << "the views overlap";
	EXPECT_EQ(copy_bytes({}, all), 0U);
	EXPECT_EQ(copy_bytes(all, {}), 0U);
	EXPECT_TRUE(equal(all, all));
	EXPECT_FALSE(equal(all, all.first(3)));
	EXPECT_EQ(text_of(bytes_of("abc")), "abc");
}

TEST(Byte_reader, takes_a_message_apart)
{
	Byte_reader reader{COUNTING};
	EXPECT_EQ(reader.u8(), 0x01);
	EXPECT_EQ(reader.u16_be(), 0x0203);
	EXPECT_EQ(reader.u32_le(), 0x07060504U);
	EXPECT_EQ(reader.u16_le(), 0x9988);
	reader.skip(1);
	EXPECT_EQ(reader.bytes(2).data(), &COUNTING[10]) << "a view, not a copy";
	EXPECT_EQ(reader.left(), 4U);
	EXPECT_TRUE(reader.ok());
	EXPECT_FALSE(reader.complete());
	EXPECT_EQ(reader.rest().size(), 4U);
	EXPECT_TRUE(reader.complete());
}

TEST(Byte_reader, fails_for_good_at_the_first_short_read)
{
	Byte_reader reader{Bytes(COUNTING).first(5)};
	EXPECT_EQ(reader.u32_be(), 0x01020304U);
	EXPECT_EQ(reader.u32_be(), 0U);
	EXPECT_FALSE(reader.ok());
	EXPECT_EQ(reader.u8(), 0) << "although a byte would be left";
	EXPECT_TRUE(reader.bytes(1).empty());
	EXPECT_TRUE(reader.rest().empty());
	EXPECT_EQ(reader.left(), 0U);
	std::array<uint8_t, 2> to{7, 7};
	reader.copy_to(to);
	EXPECT_EQ(to[0], 0);
	EXPECT_FALSE(reader.complete());
	EXPECT_TRUE(reader.bytes(0).empty());
}

TEST(Byte_reader, refuses_sizes_that_a_liar_sends)
{
	Byte_reader reader{COUNTING};
	reader.skip(4);
	EXPECT_TRUE(reader.bytes(SIZE_MAX).empty());
	EXPECT_FALSE(reader.ok());
}

TEST(Byte_reader, reads_nothing_from_nothing)
{
	Byte_reader reader{{}};
	EXPECT_TRUE(reader.complete());
	EXPECT_TRUE(reader.rest().empty());
	EXPECT_TRUE(reader.complete());
	EXPECT_EQ(reader.u64_be(), 0U);
	EXPECT_FALSE(reader.ok());
}

TEST(Byte_writer, writes_what_the_reader_reads)
{
	std::array<uint8_t, 64> memory{};
	Byte_writer writer{memory};
	writer.u8(1);
	writer.u16_le(0x0203);
	writer.u16_be(0x0405);
	writer.u32_le(0x06070809);
	writer.u32_be(0x0a0b0c0d);
	writer.u64_le(0x1122334455667788);
	writer.u64_be(0x99aabbccddeeff00);
	writer.bytes(bytes_of("text"));
	writer.zeros(3);
	auto const message = writer.finish();
	ASSERT_TRUE(message.ok());
	EXPECT_EQ(message.value().size(), 36U);
	Byte_reader reader{message.value()};
	EXPECT_EQ(reader.u8(), 1);
	EXPECT_EQ(reader.u16_le(), 0x0203);
	EXPECT_EQ(reader.u16_be(), 0x0405);
	EXPECT_EQ(reader.u32_le(), 0x06070809U);
	EXPECT_EQ(reader.u32_be(), 0x0a0b0c0dU);
	EXPECT_EQ(reader.u64_le(), 0x1122334455667788U);
	EXPECT_EQ(reader.u64_be(), 0x99aabbccddeeff00U);
	EXPECT_EQ(text_of(reader.bytes(4)), "text");
	reader.skip(3);
	EXPECT_TRUE(reader.complete());
}

TEST(Byte_writer, writes_nothing_behind_its_end)
{
	std::array<uint8_t, 8> memory{};
	Byte_writer writer{std::span(memory).first(5)};
	writer.u32_be(0xffffffff);
	EXPECT_EQ(writer.left(), 1U);
	writer.u16_be(0xffff);
	EXPECT_FALSE(writer.ok());
	writer.u8(0xff);
	EXPECT_EQ(memory[4], 0) << "a write that fits does not follow one that did not";
	EXPECT_EQ(writer.finish().error(), Error::TOO_LONG);
}

TEST(Byte_writer, fills_in_what_was_not_known_before)
{
	std::array<uint8_t, 8> memory{};
	Byte_writer writer{memory};
	writer.u16_be(0x8001);
	writer.u32_be(0);
	writer.be_at<uint32_t>(2, static_cast<uint32_t>(writer.size()));
	EXPECT_EQ(load_be<uint32_t>(std::span(memory).subspan<2, 4>()), 6U);
	writer.le_at<uint16_t>(0, 0x1234);
	EXPECT_EQ(memory[0], 0x34);
	EXPECT_TRUE(writer.ok());
	writer.be_at<uint32_t>(3, 1);
	EXPECT_FALSE(writer.ok()) << "nothing was written there yet";
	Byte_writer other{memory};
	other.bytes_at(SIZE_MAX, bytes_of("x"));
	EXPECT_FALSE(other.ok());
}

TEST(Byte_writer, is_used_by_the_compiler)
{
	constexpr auto header = [] {
		std::array<uint8_t, 4> bytes{};
		Byte_writer writer{bytes};
		writer.u16_be(0x8001);
		writer.zeros(2);
		return bytes;
	}();
	static_assert(header[0] == 0x80 && header[3] == 0);
	EXPECT_EQ(header[1], 0x01);
}

} // namespace
} // namespace bulkhead
