#include "platform/linux/sandbox/plan.h"

#include <cerrno>
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

// The C library's functions for users have all threads of the process follow, which there are only
// in its books here. So: system calls as they are.
template <typename... ARGUMENTS>
bool call(long number, ARGUMENTS... arguments)
{
	return syscall(number, arguments...) >= 0;
}

/* A session keyring of its own. The quota of an ordinary user ends at 200 of them; who may make no
 * system calls about keys is none the worse for the caller's. */
void leave_keyring(Plan &plan)
{
	bool const left = call(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) || errno == ENOSYS;
	need(plan, left || (errno == EDQUOT && plan.sandbox.system_calls), steps::KEYRING);
}

void change_user(Plan &plan)
{
	gid_t const group = plan.namespaces ? INSIDE_ID : plan.group;
	uid_t const user = plan.namespaces ? INSIDE_ID : plan.user;
	need(plan,
		(!plan.root || call(SYS_setgroups, 0, nullptr)) &&
			call(SYS_setresgid, group, group, group) && call(SYS_setresuid, user, user, user),
		steps::USER);
}

/* Nothing to do, nothing to gain by running another program. */
void drop_privileges(Plan &plan)
{
	need(plan, call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), steps::PRIVILEGES);
	// Who isn't privileged outside and has no namespaces has no capabilities to drop.
	for (int capability = 0; call(SYS_prctl, PR_CAPBSET_DROP, capability, 0, 0, 0); ++capability) {}
	unsigned long const bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
		SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
		SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
	bool const locked = call(SYS_prctl, PR_SET_SECUREBITS, bits, 0, 0, 0) || !plan.namespaces;
	call(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	__user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
	__user_cap_data_struct const none[2]{};
	need(plan, locked && call(SYS_capset, &header, none), steps::PRIVILEGES);
}

void place_descriptors(Plan &plan)
{
	// Aside first, as one may have the number that another one is to get.
	auto const aside = [&](int descriptor) {
		int const copy = fcntl(descriptor, F_DUPFD_CLOEXEC, WORDS + 1);
		need(plan, copy >= 0, steps::DESCRIPTORS);
		return copy;
	};
	int const executable = aside(plan.executable);
	plan.child_end.reset(aside(plan.child_end.value()));
	for (int &descriptor : plan.descriptors) descriptor = aside(descriptor);
	int number = 0;
	for (int const copy : plan.descriptors)
		need(plan, dup2(copy, number++) >= 0, steps::DESCRIPTORS);
	need(plan,
		dup3(executable, EXECUTABLE, O_CLOEXEC) >= 0 &&
			dup3(plan.child_end.value(), WORDS, O_CLOEXEC) >= 0 &&
			call(SYS_close_range, number, EXECUTABLE - 1, 0),
		steps::DESCRIPTORS);
	plan.child_end.reset(WORDS);
	need(plan, call(SYS_close_range, WORDS + 1, ~0u, 0), steps::DESCRIPTORS);
}

void set_limits(Plan &plan)
{
	auto const limit = [&](int resource, uint64_t value) {
		rlimit64 const both{value, value};
		need(plan, call(SYS_prlimit64, 0, resource, &both, nullptr), steps::LIMITS);
	};
	// 0 would have a core dump still go to a program of the host's; 1 is what that has itself.
	limit(RLIMIT_CORE, 1);
	limit(RLIMIT_NOFILE, plan.sandbox.files_max);
	if (plan.address_space_bytes) limit(RLIMIT_AS, plan.address_space_bytes);
	if (plan.sandbox.processes_max) limit(RLIMIT_NPROC, plan.sandbox.processes_max);
}

void say(Plan const &plan, Said const &said)
{
	call(SYS_write, plan.child_end.value(), &said, sizeof said);
}

void reset_signals()
{
	uint64_t const by_default[4]{}; // no handler, flags, restorer, mask
	for (int signal = 1; signal <= 64; ++signal)
		call(SYS_rt_sigaction, signal, by_default, nullptr, sizeof(uint64_t));
	call(SYS_rt_sigprocmask, SIG_SETMASK, by_default, nullptr, sizeof(uint64_t));
}

void confine(Plan &plan)
{
	std::string const &host_name = plan.sandbox.host_name;
	plan.executable = plan.sandbox.executable;
	if (plan.namespaces) {
		open_sources(plan);
		// Late, so that its own group is the root of what it sees.
		need(plan, call(SYS_unshare, CLONE_NEWCGROUP) || errno == EINVAL, steps::ROOT);
	}
	call(SYS_setsid);
	call(SYS_umask, 077);
	call(SYS_chdir, "/");
	leave_keyring(plan);
	change_user(plan);
	if (plan.namespaces) {
		make_root(plan);
		need(plan, host_name.empty() || call(SYS_sethostname, host_name.data(), host_name.size()),
			steps::HOST_NAME);
	}
	drop_privileges(plan);
	restrict_files(plan);
	place_descriptors(plan);
	set_limits(plan);
	reset_signals();
	if (!plan.sandbox.system_calls) return;
	System_calls const &calls = *plan.sandbox.system_calls;
	sock_fprog const program{
		static_cast<unsigned short>(calls.size()), const_cast<sock_filter *>(calls.data())};
	need(plan, call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), steps::SYSTEM_CALLS);
}

} // namespace

void need(Plan &plan, bool good, Step const &step, char const *subject)
{
	if (good) return;
	say(plan, {&step, subject, errno});
	for (;;) call(SYS_exit_group, 127);
}

void confine_and_execute(Plan &plan)
{
	char go = 0;
	plan.parent_end.reset();
	need(plan, read(plan.child_end.value(), &go, 1) == 1, steps::BEGIN);
	confine(plan);
	say(plan, {});
	call(SYS_execveat, EXECUTABLE, "", plan.arguments.data(), plan.environment.data(),
		AT_EMPTY_PATH);
	for (;;) need(plan, false, steps::EXECUTE);
}

} // namespace bulkhead::linux_host::sandbox
