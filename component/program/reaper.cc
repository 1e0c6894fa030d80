#include "component/program/reaper.h"

#include "component/qrexec/host/spawn.h"

#include <sys/wait.h>

namespace bulkhead::component {

void Reaper::posted()
{
	while (true) {
		siginfo_t info{};
		if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
		// The kernel tells of the same one until its owner has waited for it, who hears of its end
		// by a descriptor of its own.
		if (_kept.contains(info.si_pid)) return post();
		int status = 0;
		if (::waitpid(info.si_pid, &status, WNOHANG) != info.si_pid) return;
		_events.ended(info.si_pid, qrexec::exit_code_of(status));
	}
}

void Reaper::release(pid_t process)
{
	if (_kept.erase(process)) post();
}

} // namespace bulkhead::component
