#include "platform/linux/sandbox/plan.h"

#include <cerrno>
#include <climits>
#include <csignal>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace bulkhead::linux_host::sandbox {

namespace {

// The C library's functions for users have all threads of the process follow, which are the
// parent's here. So: system calls as they are.
template <typename... ARGUMENTS>
bool call(long number, ARGUMENTS... arguments)
{
	return syscall(number, arguments...) >= 0;
}

/* A session keyring of its own. The quota of an ordinary user ends at 200 of them; who may make no
 * system calls about keys is none the worse for the caller's. */
bool leave_keyring(Plan &plan)
{
	if (call(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) || errno == ENOSYS) return true;
	if (errno == EDQUOT && !plan.system_calls.empty()) return true;
	return fail(plan, Step::KEYRING);
}

bool change_user(Plan &plan)
{
	if (plan.drop_groups && !call(SYS_setgroups, 0, nullptr)) return fail(plan, Step::USER);
	if (!call(SYS_setresgid, plan.group, plan.group, plan.group) ||
		!call(SYS_setresuid, plan.user, plan.user, plan.user))
		return fail(plan, Step::USER);
	return true;
}

bool limit(int resource, uint64_t value)
{
	rlimit64 const both{value, value};
	return call(SYS_prlimit64, 0, resource, &both, nullptr);
}

bool set_limits(Plan &plan)
{
	// 0 would have a core dump still go to a program of the host's; 1 is what that has itself.
	bool const good = limit(RLIMIT_CORE, 1) && limit(RLIMIT_NOFILE, plan.files_max) &&
		(!plan.memory_bytes || limit(RLIMIT_AS, plan.memory_bytes)) &&
		(!plan.processes_max || limit(RLIMIT_NPROC, plan.processes_max));
	return good || fail(plan, Step::LIMITS);
}

/* Nothing to do, nothing to gain by running another program. */
bool drop_privileges(Plan &plan)
{
	if (!call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return fail(plan, Step::PRIVILEGES);
	// Who isn't privileged outside and has no namespaces has no capabilities to drop.
	for (int capability = 0; call(SYS_prctl, PR_CAPBSET_DROP, capability, 0, 0, 0); ++capability) {}
	unsigned long const bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
		SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
		SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
	bool const locked = call(SYS_prctl, PR_SET_SECUREBITS, bits, 0, 0, 0);
	if (!locked && plan.namespaces) return fail(plan, Step::PRIVILEGES);
	call(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	__user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
	__user_cap_data_struct const none[2]{};
	return call(SYS_capset, &header, none) || fail(plan, Step::PRIVILEGES);
}

/* A copy out of the way of all numbers that are to be taken. */
int aside(int descriptor) { return fcntl(descriptor, F_DUPFD_CLOEXEC, EXECUTABLE + 1); }

bool place_descriptors(Plan &plan, int const *fuse)
{
	// Two passes, as a source may have the number that another one is to get.
	int const executable = plan.executable < 0 ? -1 : aside(plan.executable);
	int const nothing = aside(plan.nothing);
	int const log = aside(plan.log);
	int copies[GIVEN_MAX];
	int const given = static_cast<int>(plan.given.size());
	int const all = given + static_cast<int>(plan.fuse_mounts.size());
	bool good = nothing >= 0 && log >= 0 && (plan.executable < 0 || executable >= 0);
	for (int i = 0; i < all; ++i) {
		copies[i] = aside(i < given ? plan.given[size_t(i)] : fuse[i - given]);
		good = good && copies[i] >= 0;
	}
	good = good && dup2(nothing, 0) == 0 && dup2(log, 1) == 1 && dup2(log, 2) == 2;
	for (int i = 0; i < all; ++i) good = good && dup2(copies[i], GIVEN_FIRST + i) >= 0;
	if (plan.executable >= 0) good = good && dup3(executable, EXECUTABLE, O_CLOEXEC) == EXECUTABLE;
	good = good && call(SYS_close_range, GIVEN_FIRST + all, EXECUTABLE - 1, 0) &&
		call(SYS_close_range, EXECUTABLE + 1, ~0u, 0);
	return good || fail(plan, Step::DESCRIPTORS);
}

/* The mask is unblocked last, so that nothing of the parent's is run. */
void reset_signals()
{
	struct
	{
		void *handler;
		unsigned long flags;
		void *restorer;
		uint64_t mask;
	} const by_default{};
	for (int signal = 1; signal <= 64; ++signal)
		call(SYS_rt_sigaction, signal, &by_default, nullptr, sizeof(uint64_t));
	uint64_t const none = 0;
	call(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, sizeof none);
}

bool filter_system_calls(Plan &plan)
{
	if (plan.system_calls.empty()) return true;
	sock_fprog const program{static_cast<unsigned short>(plan.system_calls.size()),
		const_cast<sock_filter *>(plan.system_calls.data())};
	return call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) || fail(plan, Step::SECCOMP);
}

bool confine(Plan &plan)
{
	int fuse[GIVEN_MAX];
	if (plan.namespaces) {
		if (!open_sources(plan, fuse)) return false;
		if (!call(SYS_unshare, CLONE_NEWCGROUP) && errno != EINVAL) return fail(plan, Step::ROOT);
	}
	if (!leave_keyring(plan) || !change_user(plan)) return false;
	if (plan.namespaces) {
		if (!make_root(plan, fuse)) return false;
		if (!plan.host_name.empty() &&
			!call(SYS_sethostname, plan.host_name.data(), plan.host_name.size()))
			return fail(plan, Step::HOST_NAME);
	}
	call(SYS_setsid);
	call(SYS_umask, 077);
	return drop_privileges(plan) && restrict_files(plan) && place_descriptors(plan, fuse) &&
		set_limits(plan);
}

} // namespace

bool fail(Plan &plan, Step step, char const *subject)
{
	plan.error = errno;
	plan.subject = subject;
	plan.step = step;
	return false;
}

void confine_and_execute(void *argument)
{
	Plan &plan = *static_cast<Plan *>(argument);
	char go = 0;
	close(plan.begin_sender);
	if (read(plan.begin, &go, 1) == 1 && confine(plan)) {
		reset_signals();
		if (filter_system_calls(plan)) {
			plan.step = Step::DONE;
			if (plan.executable < 0) call(SYS_exit_group, 0);
			call(SYS_execveat, EXECUTABLE, "", plan.arguments.data(), plan.environment.data(),
				AT_EMPTY_PATH);
			fail(plan, Step::EXECUTE);
		}
	}
	for (;;) call(SYS_exit_group, 127);
}

} // namespace bulkhead::linux_host::sandbox
