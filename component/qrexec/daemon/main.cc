// qrexec-daemon: the host's side of one domain's calls.

#include "component/qrexec/daemon/background.h"
#include "component/qrexec/daemon/daemon.h"
#include "component/qrexec/daemon/options.h"
#include "component/qrexec/host/log.h"
#include "component/qrexec/host/process.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>

namespace bulkhead::qrexec {
namespace {

constexpr size_t DESCRIPTORS = 65536; // a call has up to three for a while

// Services read nothing of ours.
void leave_stdin()
{
	linux_host::Owned_fd const nothing{open("/dev/null", O_RDONLY | O_CLOEXEC)};
	if (nothing) dup2(nothing.value(), STDIN_FILENO);
}

int run(Settings const &settings)
{
	Background background;
	if (!settings.direct)
		if (auto const done = background.enter(settings)) return *done;
	// As upstream: where services of the host begin.
	if (chdir(settings.socket_directory.c_str()) != 0) {
		log("no directory ", settings.socket_directory, " for the socket: ", errno_text(errno),
			"; make it, or name another with --socket-dir");
		return Daemon::FAILED;
	}
	umask(0077);
	raise_descriptor_limit(DESCRIPTORS);
	Daemon daemon{settings, [&](Daemon::Exit exit) {
					  background.tell(exit);
					  if (exit == Daemon::DONE) (void)notify_ready();
				  }};
	return daemon.run();
}

} // namespace
} // namespace bulkhead::qrexec

int main(int argc, char **argv)
{
	bulkhead::qrexec::prepare_process();
	auto const parsed = bulkhead::qrexec::parse_settings(argc, argv);
	if (!parsed.settings) return parsed.exit_code;
	bulkhead::qrexec::leave_stdin();
	return bulkhead::qrexec::run(*parsed.settings);
}
