#include "component/qrexec/policy_daemon/journal.h"

#include <cerrno>
#include <climits>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

Journal::Journal()
{
	struct stat found{};
	if (fstat(STDERR_FILENO, &found) != 0) return;
	if (S_ISSOCK(found.st_mode)) _kind = Kind::SOCKET;
	if (S_ISFIFO(found.st_mode)) _kind = Kind::PIPE;
}

/* False if there was no room. What goes wrong otherwise can't be told to anybody. */
bool Journal::_write(std::string line) const
{
	// A pipe that has room for as much has it for the whole line.
	line = line.substr(0, PIPE_BUF - 1) + '\n';
	if (_kind == Kind::SOCKET)
		return send(STDERR_FILENO, line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ||
			errno != EAGAIN;
	pollfd room{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
	if (_kind == Kind::PIPE && poll(&room, 1, 0) != 1) return false;
	return write(STDERR_FILENO, line.data(), line.size()) >= 0 || errno != EAGAIN;
}

void Journal::log(Level, std::string_view message)
{
	if (_lost) {
		if (!_write("policy: " + std::to_string(_lost) + " lines are missing here")) {
			++_lost;
			return;
		}
		_lost = 0;
	}
	if (!_write(std::string(message))) ++_lost;
}

// Who tries something out by hand reads it at once.
System_log::System_log(char const *program)
{
	openlog(program, LOG_PID | (isatty(STDERR_FILENO) ? LOG_PERROR : 0), LOG_DAEMON);
}

void System_log::log(Level level, std::string_view message)
{
	int const priority = level == Level::ERROR ? LOG_ERR
		: level == Level::WARNING              ? LOG_WARNING
											   : LOG_INFO;
	syslog(priority, "%.*s", static_cast<int>(message.size()), message.data());
}

} // namespace bulkhead::qrexec
