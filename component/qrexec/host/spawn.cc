#include "component/qrexec/host/spawn.h"

#include "component/qrexec/host/process.h"
#include "rpc/qrexec/message.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::qrexec {

namespace {

/* All that a child needs: nothing is looked up or allocated between vfork and exec. */
struct Launch
{
	char const *path;
	char *const *arguments;
	char *const *environment;
	std::array<int, 3> streams; // to become 0, 1, 2
	bool inherits;
	sigset_t const *ignored; // signals that the program shall not find ignored
};

// Whoever has started us may have had some ignored; of our own there is SIGPIPE. Handlers, of which
// we have none, would end with exec anyway.
sigset_t ignored_signals()
{
	sigset_t ignored;
	::sigemptyset(&ignored);
	::sigaddset(&ignored, SIGPIPE);
	for (int number = 1; number < NSIG; ++number) {
		struct sigaction action{};
		if (::sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN)
			::sigaddset(&ignored, number);
	}
	return ignored;
}

// In the child, on its parent's stack. Returns the errno of why there is no program.
int become(Launch const &launch)
{
	for (int to = 0; to <= STDERR_FILENO; ++to) {
		int const from = launch.streams[static_cast<size_t>(to)];
		// One that is in place already would be closed by exec.
		int const result = from == to ? ::fcntl(to, F_SETFD, 0) : ::dup2(from, to);
		if (result < 0) return errno;
	}
	// Those that came to us from whoever has started us.
	if (!launch.inherits) (void)::close_range(STDERR_FILENO + 1, ~0U, 0);
	for (int number = 1; number < NSIG; ++number)
		if (::sigismember(launch.ignored, number) == 1) (void)::signal(number, SIG_DFL);
	sigset_t none;
	::sigemptyset(&none);
	(void)::sigprocmask(SIG_SETMASK, &none, nullptr);
	::execve(launch.path, launch.arguments, launch.environment);
	return errno;
}

// posix_spawn would ask for each signal's action in each child, and for the limit of descriptors
// three times for each of these.
[[gnu::noinline]] pid_t launch_child(Launch const &launch, int volatile &error)
{
	pid_t const process = ::vfork();
	if (process == 0) {
		error = become(launch);
		::_exit(EXIT_NO_SERVICE);
	}
	return process;
}

} // namespace

std::vector<char *> pointers_to(std::vector<std::string> const &texts)
{
	std::vector<char *> pointers;
	pointers.reserve(texts.size() + 1);
	// exec doesn't write to them; C had no const.
	for (std::string const &text : texts) pointers.push_back(const_cast<char *>(text.c_str()));
	pointers.push_back(nullptr);
	return pointers;
}

Service_failure failure_to_execute(std::string const &path, int error)
{
	std::string const why = error == ENOEXEC
		? "it is neither a program nor a script with #! at its beginning"
		: errno_text(error);
	return {
		error == ENOENT ? EXIT_NO_SERVICE : EXIT_TROUBLE, "cannot execute " + path + ": " + why};
}

int exit_code_of(int wait_status)
{
	static constexpr int SIGNALLED = 128;
	if (WIFSIGNALED(wait_status)) return SIGNALLED + WTERMSIG(wait_status);
	return WEXITSTATUS(wait_status);
}

std::variant<pid_t, Service_failure> spawn(Program const &program)
{
	static sigset_t const ignored = ignored_signals();
	std::vector<char *> const arguments = pointers_to(program.arguments);
	std::vector<char *> const environment = pointers_to(program.environment);
	Launch const launch{.path = program.path.c_str(),
		.arguments = arguments.data(),
		.environment = environment.data(),
		.streams = {program.in, program.out, program.errors},
		.inherits = program.inherits,
		.ignored = &ignored};
	sigset_t all, before;
	::sigfillset(&all);
	(void)::sigprocmask(SIG_SETMASK, &all, &before);
	int volatile error = 0;
	pid_t const process = launch_child(launch, error);
	if (process < 0) error = errno;
	(void)::sigprocmask(SIG_SETMASK, &before, nullptr);
	if (error == 0) return process;
	if (process > 0) (void)::waitpid(process, nullptr, 0);
	return failure_to_execute(program.path, error);
}

} // namespace bulkhead::qrexec
