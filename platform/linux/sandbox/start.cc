#include "platform/linux/errno.h"
#include "platform/linux/sandbox/prepare.h"

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

bool write_file(std::string const &path, std::string const &text)
{
	Owned_fd const file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
	return file && write(file.value(), text.data(), text.size()) == ssize_t(text.size());
}

/* Its user and group, who are the only ones there. */
bool map_ids(pid_t pid, Sandbox const &sandbox)
{
	bool const root = geteuid() == 0;
	std::string const directory = "/proc/" + std::to_string(pid) + "/";
	auto const line = [](unsigned outside) {
		return std::to_string(INSIDE_ID) + " " + std::to_string(outside) + " 1\n";
	};
	return write_file(directory + "uid_map", line(root ? sandbox.user : geteuid())) &&
		(root || write_file(directory + "setgroups", "deny")) &&
		write_file(directory + "gid_map", line(root ? sandbox.group : getegid()));
}

/* Until the memory that the child shares is its parent's alone: it runs its program, or has ended.
 */
void await_own_memory(uint32_t &sharing, int process)
{
	timespec const limit{START_LIMIT_S, 0};
	while (uint32_t const value = __atomic_load_n(&sharing, __ATOMIC_ACQUIRE)) {
		long const result = syscall(SYS_futex, &sharing, FUTEX_WAIT, value, &limit, nullptr, 0);
		if (result < 0 && errno == ETIMEDOUT)
			syscall(SYS_pidfd_send_signal, process, SIGKILL, nullptr, 0);
	}
}

/* Starts the child with signals blocked, whose handlers would run in it; and lets it go on. */
class Child
{
private:
	Plan &_plan;
	Sandboxed _process{};
	uint32_t _sharing = 1; // the kernel's, 0 once it doesn't share our memory
	alignas(16) std::byte _stack[STACK_BYTES];

public:
	explicit Child(Plan &plan) : _plan(plan) {}

	long clone(int cgroup)
	{
		int process = -1;
		clone_args arguments{};
		arguments.flags = CLONE_VM | CLONE_PIDFD | CLONE_CHILD_CLEARTID;
		if (_plan.namespaces)
			arguments.flags |= CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
				CLONE_NEWIPC | CLONE_NEWUTS;
		if (cgroup >= 0) {
			arguments.flags |= CLONE_INTO_CGROUP;
			arguments.cgroup = static_cast<uint64_t>(cgroup);
		}
		arguments.pidfd = reinterpret_cast<uintptr_t>(&process);
		arguments.child_tid = reinterpret_cast<uintptr_t>(&_sharing);
		arguments.exit_signal = SIGCHLD;
		arguments.stack = reinterpret_cast<uintptr_t>(_stack);
		arguments.stack_size = sizeof _stack;
		sigset_t all, before;
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		long const pid = clone_on_stack(&arguments, sizeof arguments, confine_and_execute, &_plan);
		pthread_sigmask(SIG_SETMASK, &before, nullptr);
		if (pid > 0) {
			_process.pid = static_cast<pid_t>(pid);
			_process.process.reset(process);
		}
		return pid;
	}

	Sandboxed &process() { return _process; }

	/* Another user's credentials make memory secret, ours as well. */
	void finish(Owned_fd &begin_sender, bool go)
	{
		int const dumpable = prctl(PR_GET_DUMPABLE);
		if (go && write(begin_sender.value(), "", 1) != 1) _plan.error = errno;
		begin_sender.reset();
		await_own_memory(_sharing, _process.process.value());
		if (prctl(PR_GET_DUMPABLE) != dumpable) prctl(PR_SET_DUMPABLE, dumpable);
	}

	void reap()
	{
		syscall(SYS_pidfd_send_signal, _process.process.value(), SIGKILL, nullptr, 0);
		while (waitpid(_process.pid, nullptr, 0) < 0 && errno == EINTR) {}
	}
};

/* NOT_SUPPORTED: as namespaces are lacking. */
Attempt<Sandboxed> run(Prepared &prepared, Sandbox const &sandbox, std::string &why)
{
	Plan &plan = prepared.plan;
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0) {
		why = std::string("pipe: ") + strerror(errno);
		return error_of_errno(errno);
	}
	Owned_fd const begin(ends[0]);
	Owned_fd begin_sender(ends[1]);
	plan.begin = ends[0];
	plan.begin_sender = ends[1];
	Child child(plan);
	long const pid = child.clone(prepared.cgroup.directory());
	if (pid < 0) {
		why = clone_words(static_cast<int>(-pid));
		return plan.namespaces && pid != -EAGAIN && pid != -ENOMEM ? Error::NOT_SUPPORTED
																   : error_of_errno(int(-pid));
	}
	bool const mapped = !plan.namespaces || map_ids(child.process().pid, sandbox);
	int const number = errno;
	if (mapped && sandbox.born) sandbox.born(child.process().process.value());
	child.finish(begin_sender, mapped);
	if (plan.step == Step::DONE) {
		if (plan.executable < 0) child.reap();
		prepared.cgroup.keep();
		return std::move(child.process());
	}
	child.reap();
	if (!mapped) {
		why = std::string("user ids can't be mapped: ") + strerror(number);
		return Error::NOT_SUPPORTED;
	}
	why = words_of(plan.step, plan.subject, plan.error);
	bool const refused = plan.error == EPERM || plan.error == EACCES;
	if (plan.step == Step::ROOT && refused) return Error::NOT_SUPPORTED; // AppArmor's way
	return plan.step == Step::NONE ? Error::IO : error_of_errno(plan.error);
}

} // namespace

Attempt<Sandboxed> start(Sandbox const &sandbox, std::string &why)
{
	why.clear();
	Prepared prepared;
	TRY(prepare(prepared, sandbox, why));
	Attempt<Sandboxed> started = run(prepared, sandbox, why);
	bool const lacking = !started.ok() && started.error() == Error::NOT_SUPPORTED;
	if (!lacking || !permitted(sandbox, Ability::NAMESPACES)) return started;
	Plan &plan = prepared.plan;
	plan.namespaces = false;
	plan.step = Step::NONE;
	// What it would see of the host is up to Landlock then.
	if ((plan.landlock_abi = landlock_abi()) == 0)
		TRY(lacks(sandbox, Ability::LANDLOCK, landlock_words(errno), why));
	if (!plan.fuse_mounts.empty()) return started;
	bool const root = geteuid() == 0;
	plan.drop_groups = root;
	plan.user = !root ? geteuid() : sandbox.user ? sandbox.user : NOBODY;
	plan.group = !root ? getegid() : sandbox.group ? sandbox.group : NOBODY;
	why.clear();
	return run(prepared, sandbox, why);
}

void end(Sandboxed const &process, std::string const &cgroup)
{
	int const descriptor = process.process.value();
	pollfd ended{descriptor, POLLIN, 0};
	// Without a namespace its children may outlive it; they are of its session.
	if (process.pid > 1 && poll(&ended, 1, 0) == 0) kill(-process.pid, SIGKILL);
	syscall(SYS_pidfd_send_signal, descriptor, SIGKILL, nullptr, 0);
	if (!cgroup.empty()) (void)write_file(cgroup + "/cgroup.kill", "1");
	if (descriptor >= 0) poll(&ended, 1, END_LIMIT_MS);
	for (int tries = 0; !cgroup.empty() && tries < END_LIMIT_MS; ++tries) {
		if (rmdir(cgroup.c_str()) == 0 || errno != EBUSY) return;
		poll(nullptr, 0, 1);
	}
}

} // namespace bulkhead::linux_host
