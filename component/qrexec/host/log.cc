#include "component/qrexec/host/log.h"

namespace bulkhead::qrexec {

void log_line(std::string_view text)
{
	int const kept = errno;
	std::array<char, LOG_LINE_MAX + 64> line;
	Text_writer writer{std::span<char>(line).first(line.size() - 1)};
	format_all(writer, std::string_view(program_invocation_short_name), ": ");
	for (char const c : text) writer.put(c >= ' ' && c <= '~' ? c : '_');
	size_t const n = writer.text().size();
	line[n] = '\n';
	// One write: lines of several processes don't get mixed. Nobody to tell if it fails.
	(void)!::write(STDERR_FILENO, line.data(), n + 1);
	errno = kept;
}

} // namespace bulkhead::qrexec
