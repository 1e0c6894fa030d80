#include "tool/vchan/hex_dump.h"

#include <cstdlib>
#include <ctime>
#include <gtest/gtest.h>
#include <vector>

namespace {

using bulkhead::tool::Hex_dump;

/* Lines without the time of day, which depends on where one is. */
std::string dumped(Hex_dump &dump, std::vector<uint8_t> const &bytes)
{
	std::string text, result;
	dump.add(bytes, 1'000'001, text);
	while (!text.empty()) {
		size_t const end = text.find('\n') + 1;
		EXPECT_EQ(text.substr(8, 8), ".000001 ");
		EXPECT_LE(end, Hex_dump::LINE_CHARACTERS_MAX);
		result += text.substr(16, end - 16);
		text.erase(0, end);
	}
	return result;
}

TEST(Hex_dump, lines_up_bytes_and_characters)
{
	Hex_dump dump('<');
	EXPECT_EQ(dumped(dump, {'h', 'e', 'l', 'l', 'o', '\n'}),
		"< 00000000  68 65 6c 6c 6f 0a                                 |hello.|\n");
	EXPECT_EQ(dumped(dump, std::vector<uint8_t>(17, 'x')),
		"< 00000006  78 78 78 78 78 78 78 78  78 78 78 78 78 78 78 78  |xxxxxxxxxxxxxxxx|\n"
		"< 00000016  78                                                |x|\n");
	EXPECT_EQ(dumped(dump, {}), "");
}

TEST(Hex_dump, shows_no_character_that_a_terminal_would_obey)
{
	Hex_dump dump('>');
	std::vector<uint8_t> all;
	for (unsigned byte = 0; byte < 256; byte++) all.push_back(static_cast<uint8_t>(byte));
	for (char const c : dumped(dump, all)) EXPECT_TRUE(c == '\n' || (c >= ' ' && c <= '~'));
}

} // namespace
