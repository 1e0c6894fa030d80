#pragma once

// Puts text together from values, into memory of the caller's: for messages, names and information
// files. Each value is formatted by its type; there is no format string to get wrong.

#include "base/bytes.h"

#include <concepts>
#include <limits>
#include <string_view>
#include <type_traits>

namespace bulkhead {

/* Text in memory of the caller's. What doesn't fit is left out, and everything after it, too. */
class Text_writer
{
private:
	std::span<char> _to;
	size_t _size = 0;
	bool _cut = false;

public:
	constexpr explicit Text_writer(std::span<char> to) : _to(to) {}

	// Text isn't hot, but there is a lot of it: what writes it exists once.
	[[gnu::noinline]] constexpr void put(std::string_view text)
	{
		for (char const c : text) put(c);
	}

	constexpr void put(char c)
	{
		_cut = _cut || _size == _to.size();
		if (!_cut) _to[_size++] = c;
	}

	/* Whether something did not fit. */
	constexpr bool cut() const { return _cut; }

	constexpr std::string_view text() const { return {_to.data(), _size}; }
};

/* An integer or enumerator in lower-case hexadecimal with `0x`, filled up with zeros to `digits`.
 */
struct Hex
{
	uint64_t value;
	unsigned digits;

	template <typename T>
		requires(std::integral<T> || std::is_enum_v<T>)
	constexpr explicit Hex(T v, unsigned min_digits = 1) : value(0), digits(min_digits)
	{
		if constexpr (std::is_enum_v<T>)
			value = static_cast<std::make_unsigned_t<std::underlying_type_t<T>>>(v);
		else if constexpr (std::is_same_v<T, bool>)
			value = v;
		else
			value = static_cast<std::make_unsigned_t<T>>(v);
	}
};

/* Bytes in hexadecimal, two digits each, separated by blanks. */
struct Hex_bytes
{
	Bytes bytes;
};

[[gnu::noinline]] constexpr void format_decimal(Text_writer &to, uint64_t value)
{
	char digits[std::numeric_limits<uint64_t>::digits10 + 1];
	size_t first = sizeof(digits);
	do {
		digits[--first] = static_cast<char>('0' + value % 10);
		value /= 10;
	} while (value);
	to.put(std::string_view(digits + first, sizeof(digits) - first));
}

[[gnu::noinline]] constexpr void format_hex_digits(
	Text_writer &to, uint64_t value, unsigned min_digits)
{
	constexpr unsigned MAX_DIGITS = 16;
	unsigned digits = std::clamp(min_digits, 1U, MAX_DIGITS);
	while (digits < MAX_DIGITS && value >> (4 * digits)) ++digits;
	while (digits--) to.put("0123456789abcdef"[value >> (4 * digits) & 0xf]);
}

/* Of a type of one's own: `constexpr void format(Text_writer &, T const &)` beside it. */
template <typename T>
concept Formats_itself = requires(Text_writer &to, T const &value) { format(to, value); };

template <typename T>
concept Has_name = std::is_enum_v<T> && requires(T value) {
	{ name_of(value) } -> std::convertible_to<std::string_view>;
};

template <typename T>
concept Formattable =
	Formats_itself<T> || Has_name<T> || std::integral<T> || std::same_as<T, Hex> ||
	std::same_as<T, Hex_bytes> || std::convertible_to<T const &, std::string_view>;

/*
 * Text as it is, a char as itself, other integers in decimal, a bool as true or false, an
 * enumerator by its `name_of`, `Hex` and `Hex_bytes` in hexadecimal.
 */
template <Formattable T>
constexpr void format_value(Text_writer &to, T const &value)
{
	if constexpr (Formats_itself<T>) {
		format(to, value);
	} else if constexpr (Has_name<T>) {
		to.put(std::string_view(name_of(value)));
	} else if constexpr (std::same_as<T, bool>) {
		to.put(value ? std::string_view("true") : std::string_view("false"));
	} else if constexpr (std::same_as<T, char>) {
		to.put(value);
	} else if constexpr (std::signed_integral<T>) {
		if (value < 0) to.put('-');
		uint64_t const magnitude = static_cast<uint64_t>(int64_t{value});
		format_decimal(to, value < 0 ? 0 - magnitude : magnitude);
	} else if constexpr (std::integral<T>) {
		format_decimal(to, value);
	} else if constexpr (std::same_as<T, Hex>) {
		to.put("0x");
		format_hex_digits(to, value.value, value.digits);
	} else if constexpr (std::same_as<T, Hex_bytes>) {
		for (size_t i = 0; i < value.bytes.size(); ++i) {
			if (i) to.put(' ');
			format_hex_digits(to, value.bytes[i], 2);
		}
	} else {
		to.put(std::string_view(value));
	}
}

template <Formattable... ARGS>
constexpr void format_all(Text_writer &to, ARGS const &...args)
{
	(format_value(to, args), ...);
}

} // namespace bulkhead
