#pragma once

#include <concepts>
#include <cstdint>
#include <string_view>

// The serial line on which an image speaks: COM1 on x86_64, the PL011 on aarch64. Output is
// synchronous: when put() returns, the UART has taken every byte. No input.

namespace bulkhead::bare {

// "\n" is sent as "\r\n".
void put(std::string_view text);

void put_decimal(std::uint64_t value);
void put_decimal(std::int64_t value);

// With `0x`, and leading zeros up to `digits` (1…16); more digits are used if the value needs them.
void put_hex(std::uint64_t value, unsigned digits = 1);

// Marks a number that print() writes in hexadecimal.
struct Hex
{
	std::uint64_t value;
	unsigned digits = 1;
};

namespace detail {

inline void print_one(std::string_view text) { put(text); }
inline void print_one(char const *text) { put(text); }
inline void print_one(char character) { put({&character, 1}); }
inline void print_one(bool truth) { put(truth ? "true" : "false"); }
inline void print_one(Hex number) { put_hex(number.value, number.digits); }

template <std::unsigned_integral T>
inline void print_one(T value)
{
	put_decimal(std::uint64_t{value});
}

template <std::signed_integral T>
inline void print_one(T value)
{
	put_decimal(std::int64_t{value});
}

} // namespace detail

// print("vendor ", Hex{0x1014, 4}, ", ", count, " bytes\n");
template <typename... PARTS>
void print(PARTS const &...parts)
{
	(detail::print_one(parts), ...);
}

} // namespace bulkhead::bare
