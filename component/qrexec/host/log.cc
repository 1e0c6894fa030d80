#include "component/qrexec/host/log.h"

#include "component/qrexec/host/rate_limit.h"
#include "platform/linux/clock.h"

#include <utility>

namespace bulkhead::qrexec {

namespace {

// What a domain or a program can cause as often as it likes mustn't fill the disk.
constexpr uint64_t LINES_AT_ONCE = 1000;
constexpr uint64_t ONE_MORE_AFTER_US = 1'000'000;

void write_line(std::string_view text)
{
	std::array<char, LOG_LINE_MAX + 64> line;
	Text_writer writer{std::span<char>(line).first(line.size() - 1)};
	format_all(writer, std::string_view(program_invocation_short_name), ": ");
	for (char const c : text) writer.put(c >= ' ' && c <= '~' ? c : '_');
	size_t const n = writer.text().size();
	line[n] = '\n';
	// One write: lines of several processes don't get mixed. Nobody to tell if it fails.
	(void)!::write(STDERR_FILENO, line.data(), n + 1);
}

void log_left_out(uint64_t lines)
{
	std::array<char, LOG_LINE_MAX> line;
	Text_writer writer{line};
	format_all(writer, lines, " lines are left out: there were too many at once");
	write_line(writer.text());
}

} // namespace

void log_line(std::string_view text)
{
	// Of a process: a child that was forked goes on with what its parent had left.
	static constinit Rate_limit limit{LINES_AT_ONCE, ONE_MORE_AFTER_US};
	static constinit uint64_t left_out = 0;
	int const kept = errno;
	if (!limit.admits(linux_host::Monotonic_clock{}.now_us())) {
		++left_out;
	} else {
		if (left_out) log_left_out(std::exchange(left_out, 0));
		write_line(text);
	}
	errno = kept;
}

} // namespace bulkhead::qrexec
