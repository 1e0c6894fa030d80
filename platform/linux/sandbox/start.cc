#include "platform/linux/errno.h"
#include "platform/linux/sandbox/plan.h"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::linux_host {

using namespace sandbox;

namespace {

constexpr int START_LIMIT_S = 20; // for file systems that don't answer
constexpr int END_LIMIT_MS = 5000;

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

/* False with errno. */
bool clone_child(Plan &plan, Sandboxed &child)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return false;
	plan.parent_end.reset(ends[0]);
	plan.child_end.reset(ends[1]);
	int process = -1;
	clone_args arguments{};
	arguments.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND; // no handler of ours is to run there
	if (plan.namespaces)
		arguments.flags |=
			CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
	if (plan.cgroup) {
		arguments.flags |= CLONE_INTO_CGROUP;
		arguments.cgroup = static_cast<uint64_t>(plan.cgroup.value());
	}
	arguments.pidfd = reinterpret_cast<uintptr_t>(&process);
	arguments.exit_signal = SIGCHLD;
	child.pid = static_cast<pid_t>(syscall(SYS_clone3, &arguments, sizeof arguments));
	if (child.pid == 0) confine_and_execute(plan);
	plan.child_end.reset();
	child.process.reset(process);
	return child.pid > 0;
}

/* Lets it go on; what it says last before it runs its program, or ends. */
Said let_go(Plan &plan, Sandboxed const &child)
{
	int const socket = plan.parent_end.value();
	timeval const limit{START_LIMIT_S, 0};
	setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	send(socket, "", 1, MSG_NOSIGNAL);
	Said said{&steps::BEGIN};
	ssize_t bytes = 1;
	while (bytes > 0 || (bytes < 0 && errno == EINTR)) bytes = recv(socket, &said, sizeof said, 0);
	if (bytes == 0 || errno != EAGAIN) return said;
	kill_process(child.process.value());
	return {&steps::ANSWER, nullptr, ETIMEDOUT};
}

/* NOT_SUPPORTED: as namespaces are lacking. */
Attempt<Sandboxed> run(Plan &plan, std::string &why)
{
	Sandboxed child;
	bool const cloned = clone_child(plan, child);
	bool const mapped = cloned && (!plan.namespaces || map_ids(child.pid, plan));
	Said said{cloned ? &steps::MAP : &steps::CLONE, nullptr, errno};
	if (mapped && plan.sandbox.born) plan.sandbox.born(child.process.value());
	if (mapped) said = let_go(plan, child);
	plan.parent_end.reset();
	if (!said.step) return child;
	while (cloned && waitpid(child.pid, nullptr, 0) < 0 && errno == EINTR) {}
	why = words_of(*said.step, said.subject, said.error);
	// A user namespace without rights is AppArmor's way to refuse it.
	bool const denied = said.error == EPERM || said.error == EACCES;
	bool const refused = mapped ? said.step == &steps::ROOT && denied : !passes(said.error);
	return plan.namespaces && refused ? Error::NOT_SUPPORTED : error_of_errno(said.error);
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
