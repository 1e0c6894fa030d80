#include "sdk/component/stderr_log.h"

#include <array>
#include <fcntl.h>
#include <unistd.h>

namespace bulkhead::component {
namespace {

/* In one piece, or not at all: pipes take what is no longer than a page so. */
bool put(std::string_view line)
{
	return write(STDERR_FILENO, line.data(), line.size()) == static_cast<ssize_t>(line.size());
}

} // namespace

void Stderr_log::never_block()
{
	int const flags = fcntl(STDERR_FILENO, F_GETFL);
	if (flags >= 0) fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
}

void Stderr_log::log(Level level, std::string_view message)
{
	std::array<char, 2 * Log::MESSAGE_MAX> line;
	Text_writer writer{line};
	if (_lost) format_all(writer, "warning: ", _lost, " lines of this log are lost\n");
	if (level != Level::INFO) format_all(writer, name_of(level), ": ");
	format_all(writer, message, "\n");
	if (put(writer.text()))
		_lost = 0;
	else
		++_lost;
}

} // namespace bulkhead::component
