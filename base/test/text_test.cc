#include "base/fixed_string.h"
#include "base/log.h"

#include <cstdint>
#include <gtest/gtest.h>
#include <limits>
#include <string>
#include <vector>

namespace bulkhead {
namespace {

struct Point
{
	int x, y;
};

constexpr void format(Text_writer &to, Point const &point)
{
	format_all(to, '(', point.x, '|', point.y, ')');
}

enum class Colour : uint8_t { RED = 0xfe };
constexpr std::string_view name_of(Colour) { return "red"; }

template <typename... ARGS>
std::string formatted(ARGS const &...args)
{
	char memory[128];
	Text_writer writer{memory};
	format_all(writer, args...);
	EXPECT_FALSE(writer.cut());
	return std::string(writer.text());
}

TEST(Format, writes_each_value_by_its_type)
{
	EXPECT_EQ(formatted("a", std::string_view("b"), std::string("c"), 'd'), "abcd");
	EXPECT_EQ(formatted(0, ' ', -1, ' ', uint8_t{200}, ' ', int8_t{-128}), "0 -1 200 -128");
	EXPECT_EQ(formatted(true, false), "truefalse");
	EXPECT_EQ(formatted(std::numeric_limits<int64_t>::min()), "-9223372036854775808");
	EXPECT_EQ(formatted(std::numeric_limits<uint64_t>::max()), "18446744073709551615");
	EXPECT_EQ(formatted(Error::BUSY, ' ', Colour::RED), "busy red");
	EXPECT_EQ(formatted(Point{1, -2}), "(1|-2)");
	EXPECT_EQ(formatted(), "");
	static_assert(!Formattable<double>);
	static_assert(!Formattable<void *>);
}

TEST(Format, writes_hexadecimal)
{
	EXPECT_EQ(formatted(Hex{0}, ' ', Hex{255}, ' ', Hex{1, 8}), "0x0 0xff 0x00000001");
	EXPECT_EQ(formatted(Hex{int8_t{-1}}, ' ', Hex{std::numeric_limits<uint64_t>::max()}),
		"0xff 0xffffffffffffffff");
	EXPECT_EQ(formatted(Hex{Colour::RED, 4}, ' ', Hex{true}, ' ', Hex{1, 99}),
		"0x00fe 0x1 0x0000000000000001");
	EXPECT_EQ(formatted(Hex_bytes{bytes_of("A\n")}, Hex_bytes{{}}), "41 0a");
}

TEST(Format, leaves_out_everything_behind_the_cut)
{
	char memory[4];
	Text_writer writer{memory};
	format_all(writer, "ab", "cde", 'f');
	EXPECT_TRUE(writer.cut());
	EXPECT_EQ(writer.text(), "abcd");
	Text_writer nothing{{}};
	nothing.put("");
	EXPECT_FALSE(nothing.cut());
	nothing.put('x');
	EXPECT_TRUE(nothing.cut());
	EXPECT_EQ(nothing.text(), "");
}

TEST(Fixed_string, appends_all_or_nothing)
{
	Fixed_string<8> text;
	EXPECT_TRUE(text.empty());
	EXPECT_TRUE(text.append("tpm", 0).ok());
	EXPECT_EQ(text, "tpm0");
	EXPECT_EQ(text.append("/", "info").error(), Error::TOO_LONG);
	EXPECT_EQ(text, "tpm0");
	EXPECT_STREQ(text.c_str(), "tpm0");
	EXPECT_TRUE(text.append(Hex{255}).ok());
	EXPECT_EQ(text, "tpm00xff");
	EXPECT_EQ(text.size(), text.capacity());
	EXPECT_STREQ(text.c_str(), "tpm00xff");
	EXPECT_TRUE(text.append("").ok());
	EXPECT_EQ(text.append('x').error(), Error::TOO_LONG);
	text.clear();
	EXPECT_STREQ(text.c_str(), "");
}

TEST(Fixed_string, appends_and_assigns_parts_of_itself)
{
	Fixed_string<8> text("abcd");
	EXPECT_TRUE(text.append(text).ok());
	EXPECT_EQ(text, "abcdabcd");
	EXPECT_TRUE(text.assign(text.view().substr(2, 3)).ok());
	EXPECT_EQ(text, "cda");
	EXPECT_EQ(text.assign("a text too long").error(), Error::TOO_LONG);
	EXPECT_EQ(text, "cda");
	text.truncate(99);
	EXPECT_EQ(text, "cda");
	text.truncate(1);
	EXPECT_EQ(text, "c");
}

TEST(Fixed_string, is_made_of_a_literal_or_of_a_text_that_fits)
{
	constexpr Fixed_string<4> LITERAL("four");
	static_assert(LITERAL == "four");
	static_assert(!std::is_constructible_v<Fixed_string<3>, char const(&)[5]>);
	EXPECT_EQ(Fixed_string<4>::from("four").value(), LITERAL);
	EXPECT_EQ(Fixed_string<4>::from("fives").error(), Error::TOO_LONG);
	EXPECT_EQ(Fixed_string<0>::from("").value().size(), 0U);
}

TEST(Fixed_string, is_compared_with_texts_of_any_kind)
{
	Fixed_string<4> const a("abc");
	Fixed_string<9> const b("abd");
	EXPECT_LT(a, b);
	EXPECT_NE(a, b);
	EXPECT_LT(a, std::string_view("abcd"));
	EXPECT_GT("b", a);
	EXPECT_EQ(a, std::string("abc"));
}

struct Recording final : Log_sink
{
	std::vector<std::string> lines;

	void log(Level level, std::string_view message) override
	{
		lines.push_back(std::string(name_of(level)) + ": " + std::string(message));
	}
};

TEST(Log, passes_on_what_the_limit_lets_through)
{
	Recording sink;
	Log log{sink, Level::WARNING};
	log.error("tpm: burst count ", 3, " at locality ", Hex{4});
	log.warning("a");
	log.info("b");
	log.debug("c");
	EXPECT_EQ(sink.lines,
		(std::vector<std::string>{"error: tpm: burst count 3 at locality 0x4", "warning: a"}));
	EXPECT_TRUE(log.wants(Level::ERROR));
	EXPECT_FALSE(log.wants(Level::INFO));
}

TEST(Log, marks_a_message_that_was_cut)
{
	Recording sink;
	Log log{sink};
	std::string const longest(Log::MESSAGE_MAX - 6, 'x');
	log.info(longest);
	log.info(longest, 'y');
	ASSERT_EQ(sink.lines.size(), 2U);
	EXPECT_EQ(sink.lines[0], "info: " + longest);
	EXPECT_EQ(sink.lines[1], "info: " + longest + " [cut]");
}

TEST(Log, cuts_between_characters)
{
	Recording sink;
	Log log{sink};
	std::string const most(Log::MESSAGE_MAX - 6 - 2, 'x');
	log.info(most, "€€");
	log.info(most, "éé");
	ASSERT_EQ(sink.lines.size(), 2U);
	EXPECT_EQ(sink.lines[0], "info: " + most + " [cut]");
	EXPECT_EQ(sink.lines[1], "info: " + most + "é [cut]");
}

TEST(Log, may_be_silent)
{
	Log const nothing;
	EXPECT_FALSE(nothing.wants(Level::ERROR));
	nothing.error("unheard");
	Null_log_sink sink;
	Log{sink}.error("unheard");
}

} // namespace
} // namespace bulkhead
