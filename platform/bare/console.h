#pragma once

#include "base/format.h"
#include "base/log.h"

#include <string_view>

// The serial line on which an image speaks: COM1 on x86_64, the PL011 on aarch64. Output is
// synchronous: when put() returns, the UART has taken every byte. No input.

namespace bulkhead::bare {

// "\n" is sent as "\r\n".
void put(std::string_view text);

namespace detail {

template <Formattable T>
void print_one(T const &value)
{
	if constexpr (std::convertible_to<T const &, std::string_view>) {
		put(std::string_view(value));
	} else {
		char room[128];
		Text_writer writer{room};
		format_value(writer, value);
		put(writer.text());
	}
}

} // namespace detail

// print("vendor ", Hex(0x1014, 4), ", ", count, " bytes\n"), each part by base/format.h. Text may
// be of any length, anything else has room for 128 characters.
template <Formattable... PARTS>
void print(PARTS const &...parts)
{
	(detail::print_one(parts), ...);
}

// Where a program's Log can end.
class Console_log_sink final : public Log_sink
{
public:
	void log(Level level, std::string_view message) override { print(level, ": ", message, "\n"); }
};

} // namespace bulkhead::bare
