// What a call costs, from the question to the exit code: with the programs of this build, against
// floors that are measured in the same run, in turns. See `usage`.

#include "component/qrexec/bench/parts.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace bulkhead::bench;

constexpr unsigned PATIENCE_S = 240; // it takes less than 90 s; nothing waits longer
constexpr char USAGE[] = "usage: call_bench [--quick] [PART...]\n"
						 "parts: programs library streams; all, if none is named\n";

struct Part
{
	char const *name;
	void (*run)(Setting const &);
};

constexpr Part PARTS[] = {
	{"programs", spawned_calls},
	{"library", library_calls},
	{"streams", call_streams},
};

/* The standard input and output of all programs that are started. */
void take_empty_streams()
{
	int const null = open("/dev/null", O_RDWR);
	int const out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	stdout = fdopen(out, "w");
	if (null < 0 || !stdout) give_up("/dev/null");
	std::setvbuf(stdout, nullptr, _IOLBF, 0);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
}

/* Until here, wherever this machine likes; then on the first CPU only. */
void measure(std::vector<Part> const &parts, Options const &options, std::string const &directory)
{
	printf("all processes wherever the kernel likes, then all on one CPU\n");
	for (Part const &part : parts) part.run({directory + "/all-" + part.name, "all CPUs", options});
	(void)placements(); // before this process is pinned
	pin_asker();
	for (Part const &part : parts) part.run({directory + "/one-" + part.name, "one CPU", options});
	printf("\n%u aims missed\n", missed());
}

/* Whatever becomes of the process that measures, what it has started ends with it. */
int measure_within_time(
	std::vector<Part> const &parts, Options const &options, std::string const &directory)
{
	sigset_t child;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, nullptr);
	pid_t const process = fork();
	if (process < 0) give_up("fork");
	if (process == 0) {
		sigprocmask(SIG_UNBLOCK, &child, nullptr);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0); // see `computed_s`
		take_empty_streams();
		measure(parts, options, directory);
		exit(0);
	}
	timespec const patience{PATIENCE_S, 0};
	if (sigtimedwait(&child, nullptr, &patience) < 0) {
		fprintf(stderr, "call_bench: not done within %u s\n", PATIENCE_S);
		kill(process, SIGKILL);
	}
	int status = 0;
	waitpid(process, &status, 0);
	return status == 0 ? 0 : 1;
}

} // namespace

int main(int count, char **arguments)
{
	Options options;
	std::vector<Part> wanted;
	for (int i = 1; i < count; ++i) {
		auto const named = [&](Part const &part) { return strcmp(part.name, arguments[i]) == 0; };
		if (strcmp(arguments[i], "--quick") == 0)
			options.quick = true;
		else if (auto const *part = std::ranges::find_if(PARTS, named); part != std::end(PARTS))
			wanted.push_back(*part);
		else
			return fputs(USAGE, stderr), 2;
	}
	if (wanted.empty()) wanted.assign(std::begin(PARTS), std::end(PARTS));
	signal(SIGPIPE, SIG_IGN);
	// As /run, where domains usually meet: in memory.
	char directory[] = "/dev/shm/call_bench.XXXXXX";
	if (!mkdtemp(directory)) give_up(directory);
	int const status = measure_within_time(wanted, options, directory);
	std::filesystem::remove_all(directory);
	return status;
}
