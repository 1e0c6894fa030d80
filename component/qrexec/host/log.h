#pragma once

// Messages of a program for people: one line each to standard error, begun by the program's name.

#include "base/format.h"

#include <array>
#include <cerrno>
#include <string_view>
#include <unistd.h>

namespace bulkhead::qrexec {

/*
 * Writes one line; what isn't printable in it becomes an underscore. Keeps errno. Of a flood only
 * some lines are written, and how many were left out. Of one thread.
 */
void log_line(std::string_view text);

/* The longest line; of a longer one the rest is left out. */
inline constexpr size_t LOG_LINE_MAX = 1024;

/* `log("cannot open ", path, ": ", errno_text(errno))` */
template <Formattable... ARGS>
void log(ARGS const &...args)
{
	std::array<char, LOG_LINE_MAX> line;
	Text_writer writer{line};
	format_all(writer, args...);
	log_line(writer.text());
}

} // namespace bulkhead::qrexec
