// From the request to the first answer of a program in a sandbox, against fork, the same unshare
// calls and exec of an empty program until it has ended. In turns, pinned to one CPU.

#include "platform/linux/sandbox/explain/lacks.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace bulkhead;
using namespace bulkhead::linux_host;

namespace {

constexpr int ROUNDS = 200;
constexpr int NAMESPACES = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
	CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

double now_us()
{
	auto const since = std::chrono::steady_clock::now().time_since_epoch();
	return std::chrono::duration<double, std::micro>(since).count();
}

double median(std::vector<double> values)
{
	std::ranges::nth_element(values, values.begin() + std::ssize(values) / 2);
	return values[values.size() / 2];
}

/* Microseconds; negative: it went wrong. */
double plain_us()
{
	double const begin_us = now_us();
	pid_t const pid = fork();
	if (pid == 0) {
		char name[] = "empty";
		char *const arguments[]{name, nullptr};
		char *const environment[]{nullptr};
		if (unshare(NAMESPACES) == 0) execve(EMPTY, arguments, environment);
		_exit(1);
	}
	int status = -1;
	waitpid(pid, &status, 0);
	return status == 0 ? now_us() - begin_us : -1;
}

double sandboxed_us(Sandbox &sandbox)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return -1;
	std::string why;
	double const begin_us = now_us();
	sandbox.given = {{ends[1], "gate"}};
	Attempt<Sandboxed> const started = start(sandbox, why);
	close(ends[1]);
	char answer = 0;
	bool const answered = started.ok() && read(ends[0], &answer, 1) == 1;
	double const us = now_us() - begin_us;
	close(ends[0]);
	if (!started.ok()) {
		std::fprintf(stderr, "sandbox_bench: %s\n", why.c_str());
		return -1;
	}
	end(started.value(), {});
	waitpid(started.value().pid, nullptr, 0);
	return answered ? us : -1;
}

bool compare(char const *what, Sandbox &sandbox)
{
	std::vector<double> plain, sandboxed;
	for (int i = 0; i < ROUNDS; ++i) {
		plain.push_back(plain_us());
		sandboxed.push_back(sandboxed_us(sandbox));
		if (plain.back() < 0 || sandboxed.back() < 0) return false;
	}
	double const base_us = median(plain);
	double const us = median(sandboxed);
	std::printf("%-34s %8.0f us   fork, unshare, exec %8.0f us   ratio %.2f (aim: at most 3)\n",
		what, us, base_us, us / base_us);
	return true;
}

} // namespace

int main()
{
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof one, &one);
	// Whatever else there is to do on this machine comes later, for both sides.
	sched_param const first{1};
	bool const real_time = sched_setscheduler(0, SCHED_FIFO, &first) == 0;
	std::printf("pinned to CPU 0%s; medians of %d rounds in turns\n",
		real_time ? ", before other processes" : "", ROUNDS);
	std::string why;
	Attempt<System_calls> const talk = compile_system_calls({"@talk"}, why);
	Attempt<System_calls> const program = compile_system_calls({"@program"}, why);
	if (!talk.ok() || !program.ok()) return 1;
	Sandbox sandbox;
	sandbox.executable = open(ANSWER, O_PATH | O_CLOEXEC);
	sandbox.arguments = {"answer"};
	sandbox.system_calls = &talk.value();
	sandbox.user = sandbox.group = geteuid() == 0 ? 0x70000001 : 0;
	for (Lack const &lack : find_lacks(""))
		if (lack.ability == Ability::LANDLOCK) sandbox.without = {lack.ability};
	if (!compare("static component, @talk", sandbox)) return 1;
	sandbox.system_calls = &program.value();
	sandbox.proc = true;
	sandbox.scratch_bytes = 1 << 20;
	sandbox.binds = {{"/usr", "/usr"}, {"/lib", "/lib"}, {"/etc", "/etc"}};
	return compare("with /proc, /dev, 3 binds, @program", sandbox) ? 0 : 1;
}
