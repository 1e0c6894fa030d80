#include "component/qrexec/host/spawn.h"

#include "component/qrexec/host/process.h"
#include "rpc/qrexec/message.h"

#include <cerrno>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::qrexec {

namespace {

/* What glibc wants to be told, freed in the end. */
struct Instructions
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;

	Instructions()
	{
		::posix_spawn_file_actions_init(&files);
		::posix_spawnattr_init(&attributes);
	}
	Instructions(Instructions const &) = delete;
	Instructions &operator=(Instructions const &) = delete;
	~Instructions()
	{
		::posix_spawn_file_actions_destroy(&files);
		::posix_spawnattr_destroy(&attributes);
	}
};

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
	Instructions with;
	// Also those that are in place: it takes close-on-exec off.
	::posix_spawn_file_actions_adddup2(&with.files, program.in, 0);
	::posix_spawn_file_actions_adddup2(&with.files, program.out, 1);
	::posix_spawn_file_actions_adddup2(&with.files, program.errors, 2);
	// Nor what somebody has forgotten to mark close-on-exec.
	::posix_spawn_file_actions_addclosefrom_np(&with.files, STDERR_FILENO + 1);
	sigset_t none, all;
	::sigemptyset(&none);
	::sigfillset(&all);
	::posix_spawnattr_setsigmask(&with.attributes, &none);
	::posix_spawnattr_setsigdefault(&with.attributes, &all);
	::posix_spawnattr_setflags(&with.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	std::vector<char *> const arguments = pointers_to(program.arguments);
	std::vector<char *> const environment = pointers_to(program.environment);
	pid_t process = -1;
	int const error = ::posix_spawn(&process, program.path.c_str(), &with.files, &with.attributes,
		arguments.data(), environment.data());
	if (error) return failure_to_execute(program.path, error);
	return process;
}

} // namespace bulkhead::qrexec
