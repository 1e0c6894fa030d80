#include "component/qrexec/policy_daemon/journal.h"

#include <syslog.h>
#include <unistd.h>

namespace bulkhead::qrexec {

std::string printable(std::string_view text, size_t max)
{
	std::string result(text.substr(0, max));
	for (char &c : result)
		if (c < ' ' || c >= '\x7f') c = '_';
	if (text.size() > max) result += "[cut]";
	return result;
}

void Journal::log(Level, std::string_view message)
{
	std::string line(message);
	line += '\n';
	// Nobody to tell if it fails.
	if (write(STDERR_FILENO, line.data(), line.size()) < 0) return;
}

System_log::System_log(char const *program) { openlog(program, LOG_PID, LOG_DAEMON); }

void System_log::log(Level level, std::string_view message)
{
	int const priority = level == Level::ERROR ? LOG_ERR
		: level == Level::WARNING              ? LOG_WARNING
											   : LOG_INFO;
	syslog(priority, "%.*s", static_cast<int>(message.size()), message.data());
}

} // namespace bulkhead::qrexec
