#include "component/qrexec/daemon/child.h"

#include <csignal>
#include <initializer_list>
#include <unistd.h>

namespace bulkhead::qrexec {

pid_t fork_child(Settings const &settings, int keep)
{
	pid_t const process = fork();
	if (process != 0) return process;
	constexpr unsigned FIRST = STDERR_FILENO + 1;
	if (keep < 0) {
		close_range(FIRST, ~0U, 0);
	} else {
		auto const kept = static_cast<unsigned>(keep);
		if (kept > FIRST) close_range(FIRST, kept - 1, 0);
		close_range(kept + 1, ~0U, 0);
	}
	// SIGPIPE stays ignored: this is still code of ours.
	for (int const number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) signal(number, SIG_DFL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, nullptr);
	if (settings.descriptors.rlim_max != 0) setrlimit(RLIMIT_NOFILE, &settings.descriptors);
	return 0;
}

} // namespace bulkhead::qrexec
