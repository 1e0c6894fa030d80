#include "platform/linux/errno.h"
#include "platform/linux/sandbox/plan.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::linux_host {

using namespace sandbox;

namespace {

constexpr size_t STACK_BYTES = 64 * 1024;
constexpr int START_LIMIT_S = 20; // for file systems that don't answer
constexpr int END_LIMIT_MS = 5000;
constexpr uid_t NOBODY = 65534;

bool kill_process(int process)
{
	return syscall(SYS_pidfd_send_signal, process, SIGKILL, nullptr, 0) == 0;
}

/* Its user and group, who are the only ones there. */
bool map_ids(pid_t pid, Plan const &plan)
{
	std::string const directory = "/proc/" + std::to_string(pid) + "/";
	auto const map = [&](char const *file, unsigned outside) {
		return write_file(AT_FDCWD, directory + file,
			std::to_string(INSIDE_ID) + " " + std::to_string(outside) + " 1\n");
	};
	return map("uid_map", plan.user) &&
		(plan.root || write_file(AT_FDCWD, directory + "setgroups", "deny")) &&
		map("gid_map", plan.group);
}

/* `sharing` is the kernel's: 0 once the child doesn't share our memory. False with errno. */
bool clone_child(Plan &plan, std::byte *stack, uint32_t &sharing, Sandboxed &child)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0) return false;
	plan.begin.reset(ends[0]);
	plan.begin_sender.reset(ends[1]);
	int process = -1;
	clone_args arguments{};
	arguments.flags = CLONE_VM | CLONE_PIDFD | CLONE_CHILD_CLEARTID;
	if (plan.namespaces)
		arguments.flags |=
			CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
	if (plan.cgroup) {
		arguments.flags |= CLONE_INTO_CGROUP;
		arguments.cgroup = static_cast<uint64_t>(plan.cgroup.value());
	}
	arguments.pidfd = reinterpret_cast<uintptr_t>(&process);
	arguments.child_tid = reinterpret_cast<uintptr_t>(&sharing);
	arguments.exit_signal = SIGCHLD;
	arguments.stack = reinterpret_cast<uintptr_t>(stack);
	arguments.stack_size = STACK_BYTES;
	// Handlers of ours would run in the child, with our memory.
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	long const pid = clone_on_stack(&arguments, sizeof arguments, confine_and_execute, &plan);
	pthread_sigmask(SIG_SETMASK, &before, nullptr);
	child.pid = static_cast<pid_t>(pid);
	child.process.reset(process);
	errno = static_cast<int>(-pid);
	return pid > 0;
}

/* Until the memory that the child shares is ours alone: it runs its program, or has ended. */
void await_own_memory(uint32_t &sharing, int process)
{
	timespec const limit{START_LIMIT_S, 0};
	while (uint32_t const value = __atomic_load_n(&sharing, __ATOMIC_ACQUIRE)) {
		long const result = syscall(SYS_futex, &sharing, FUTEX_WAIT, value, &limit, nullptr, 0);
		if (result < 0 && errno == ETIMEDOUT) kill_process(process);
	}
}

/* NOT_SUPPORTED: as namespaces are lacking. */
Attempt<Sandboxed> run(Plan &plan, std::string &why)
{
	alignas(16) std::byte stack[STACK_BYTES];
	uint32_t sharing = 1;
	Sandboxed child;
	plan.step = &steps::BEGIN;
	bool const cloned = clone_child(plan, stack, sharing, child);
	bool const mapped = cloned && (!plan.namespaces || map_ids(child.pid, plan));
	int const number = errno;
	// Another user's credentials make the memory that they are used in secret: ours.
	int const dumpable = prctl(PR_GET_DUMPABLE);
	if (mapped && plan.sandbox.born) plan.sandbox.born(child.process.value());
	if (mapped) (void)!write(plan.begin_sender.value(), "", 1);
	plan.begin_sender.reset();
	if (cloned) await_own_memory(sharing, child.process.value());
	if (prctl(PR_GET_DUMPABLE) != dumpable) prctl(PR_SET_DUMPABLE, dumpable);
	if (!plan.step) return child;
	while (cloned && waitpid(child.pid, nullptr, 0) < 0 && errno == EINTR) {}
	if (!mapped) {
		plan.step = cloned ? &steps::MAP : &steps::CLONE;
		plan.error = number;
	}
	why = words_of(*plan.step, plan.subject, plan.error);
	// A user namespace without rights is AppArmor's way to refuse it.
	bool const denied = plan.error == EPERM || plan.error == EACCES;
	bool const passing = number == EAGAIN || number == ENOMEM || number == EBUSY;
	bool const refused = mapped ? plan.step == &steps::ROOT && denied : !passing;
	return plan.namespaces && refused ? Error::NOT_SUPPORTED : error_of_errno(plan.error);
}

/* With namespaces, or where they are lacking and may be, without. */
Attempt<Sandboxed> run_as_permitted(Plan &plan, std::string &why)
{
	TRY(prepare(plan, why));
	Attempt<Sandboxed> started = run(plan, why);
	if (started.ok() || started.error() != Error::NOT_SUPPORTED ||
		!plan.sandbox.fuse_mounts.empty() ||
		!lacks(plan.sandbox, Ability::NAMESPACES, why, why).ok())
		return started;
	// What it sees of the host is up to Landlock then.
	TRY(plan_landlock(plan, why));
	plan.namespaces = false;
	if (!plan.user) plan.user = NOBODY;
	if (!plan.group) plan.group = NOBODY;
	return run(plan, why);
}

} // namespace

Attempt<Sandboxed> start(Sandbox const &sandbox, std::string &why)
{
	Plan plan{sandbox};
	Attempt<Sandboxed> started = run_as_permitted(plan, why);
	if (started.ok())
		why.clear();
	else
		rmdir(sandbox.cgroup.c_str());
	return started;
}

void end(Sandboxed const &process, std::string const &cgroup)
{
	pollfd ended{process.process.value(), POLLIN, 0};
	// Without a namespace its children may outlive it; they are of its session.
	if (process.pid > 1 && poll(&ended, 1, 0) == 0) kill(-process.pid, SIGKILL);
	kill_process(ended.fd);
	if (!cgroup.empty()) (void)write_file(AT_FDCWD, cgroup + "/cgroup.kill", "1");
	if (ended.fd >= 0) poll(&ended, 1, END_LIMIT_MS);
	for (int tries = 0; !cgroup.empty() && tries < END_LIMIT_MS; ++tries) {
		if (rmdir(cgroup.c_str()) == 0 || errno != EBUSY) return;
		poll(nullptr, 0, 1);
	}
}

} // namespace bulkhead::linux_host
