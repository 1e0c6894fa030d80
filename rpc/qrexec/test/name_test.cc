#include "rpc/qrexec/name.h"

#include <gtest/gtest.h>
#include <string>

namespace bulkhead::qrexec {
namespace {

std::string sanitized(std::string name, std::string_view also)
{
	sanitize(name, also);
	return name;
}

TEST(Qrexec_name, keeps_letters_digits_and_three_signs)
{
	std::string const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
	EXPECT_EQ(sanitized(plain, ""), plain);
	EXPECT_TRUE(clean(plain, ""));
}

TEST(Qrexec_name, replaces_each_other_byte_by_an_underscore)
{
	for (std::string_view const also : {std::string_view(), IN_SERVICES, IN_TARGETS})
		for (int byte = 0; byte < 256; ++byte) {
			char const c = static_cast<char>(byte);
			bool const kept = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
				(c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' ||
				also.find(c) != also.npos;
			std::string const name{'a', c, 'b'};
			EXPECT_EQ(sanitized(name, also), kept ? name : "a_b") << byte;
			EXPECT_EQ(clean(name, also), kept) << byte;
		}
	EXPECT_EQ(sanitized("qubes.Service+a/../b c", IN_SERVICES), "qubes.Service+a_.._b_c");
	EXPECT_EQ(sanitized("@dispvm:$(x)", IN_TARGETS), "@dispvm:__x_");
	EXPECT_EQ(sanitized("", ""), "");
	EXPECT_TRUE(clean("", ""));
}

TEST(Qrexec_name, an_ident_has_1_to_31_characters)
{
	EXPECT_FALSE(valid_ident(""));
	EXPECT_TRUE(valid_ident("S"));
	EXPECT_TRUE(valid_ident("SOCKET17"));
	EXPECT_TRUE(valid_ident("a b-c_d.e"));
	EXPECT_TRUE(valid_ident(std::string(31, 'a')));
	EXPECT_FALSE(valid_ident(std::string(32, 'a')));
	EXPECT_FALSE(valid_ident("a+b"));
	EXPECT_FALSE(valid_ident("a/b"));
	EXPECT_FALSE(valid_ident("a\n"));
	EXPECT_FALSE(valid_ident(std::string_view("a\0b", 3)));
	EXPECT_FALSE(valid_ident("\xc3\xa4"));
}

} // namespace
} // namespace bulkhead::qrexec
