#include "platform/bare/console.h"

#include "platform/bare/internal.h"

namespace bulkhead::bare {

void put(std::string_view text)
{
	for (char const byte : text) {
		if (byte == '\n') send('\r');
		send(byte);
	}
}

namespace {

void put_digits(std::uint64_t value, unsigned base, unsigned digits)
{
	char text[20];
	unsigned length = 0;
	do {
		text[length++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	for (unsigned missing = length; missing < digits; missing++) send('0');
	while (length != 0) send(text[--length]);
}

} // namespace

void put_decimal(std::uint64_t value) { put_digits(value, 10, 1); }

void put_decimal(std::int64_t value)
{
	if (value < 0) send('-');
	auto const bits = static_cast<std::uint64_t>(value);
	put_digits(value < 0 ? -bits : bits, 10, 1);
}

void put_hex(std::uint64_t value, unsigned digits)
{
	put("0x");
	put_digits(value, 16, digits < 16 ? digits : 16);
}

} // namespace bulkhead::bare
