#include "component/qrexec/daemon/background.h"

#include "component/qrexec/host/log.h"
#include "component/qrexec/host/process.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace bulkhead::qrexec {
namespace {

constexpr int FAILED = 1;
constexpr int DOT_MS = 1000;

// What the child tells, with a dot each second for those who watch.
int wait_for(int pipe, Settings const &settings)
{
	if (!settings.quiet) log("waiting for the agent of domain ", settings.name);
	bool dots = false;
	uint8_t told = FAILED;
	while (true) {
		pollfd watched{pipe, POLLIN, 0};
		int const count = poll(&watched, 1, DOT_MS);
		if (count == 0 && !settings.quiet) dots = write(STDERR_FILENO, ".", 1) == 1;
		if (count <= 0) continue;
		ssize_t const n = read(pipe, &told, 1);
		if (n < 0 && errno == EINTR) continue;
		if (dots) (void)!write(STDERR_FILENO, "\n", 1);
		if (n == 1 && told == 0 && !settings.quiet) log("connected to domain ", settings.name);
		if (n != 1 || told == FAILED)
			log("no connection to domain ", settings.name, "; see /var/log/qubes/qrexec.",
				settings.name, ".log");
		else if (told != 0)
			log("no agent in domain ", settings.name, " for ", settings.startup_timeout_s,
				" s, giving up");
		return n == 1 ? told : FAILED;
	}
}

linux_host::Owned_fd open_log(Settings const &settings)
{
	std::string const path = "/var/log/qubes/qrexec." + settings.name + ".log";
	umask(0007); // for the group qubes, which may write to the directory, too, but not lead us away
	linux_host::Owned_fd file{
		open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0660)};
	if (!file)
		log("no log ", path, ": ", errno_text(errno), "; make the directory, or use --direct");
	return file;
}

} // namespace

std::optional<int> Background::enter(Settings const &settings)
{
	linux_host::Owned_fd const messages = open_log(settings);
	if (!messages) return FAILED;
	std::array<int, 2> ends{};
	if (pipe2(ends.data(), O_CLOEXEC) != 0) return FAILED;
	linux_host::Owned_fd const reading{ends[0]};
	_pipe.reset(ends[1]);
	pid_t const process = fork();
	if (process < 0) {
		log("no process for the daemon: ", errno_text(errno));
		return FAILED;
	}
	if (process > 0) {
		_pipe.reset();
		return getenv("QREXEC_STARTUP_NOWAIT") ? 0 : wait_for(reading.value(), settings);
	}
	for (int const fd : {STDOUT_FILENO, STDERR_FILENO})
		if (dup2(messages.value(), fd) < 0) _exit(FAILED);
	if (setsid() < 0) _exit(FAILED);
	return {};
}

void Background::tell(int exit_code)
{
	auto const byte = static_cast<uint8_t>(exit_code);
	if (_pipe) (void)!write(_pipe.value(), &byte, 1);
	_pipe.reset();
}

} // namespace bulkhead::qrexec
