#pragma once

// Starts a program fast: the memory of this process isn't copied, and nothing of it reaches the
// program but what is named.

#include "base/attempt.h"
#include "platform/linux/descriptor.h"

#include <string>
#include <sys/types.h>
#include <variant>
#include <vector>

namespace bulkhead::qrexec {

/* Why there is no service, with the exit code that the caller gets. */
struct Service_failure
{
	int exit_code; // EXIT_TROUBLE or EXIT_NO_SERVICE
	std::string message; // for the log, never for the caller
};

/* A program that is to run. */
struct Program
{
	std::string path{};
	std::vector<std::string> arguments{}; // from the name on
	std::vector<std::string> environment{}; // NAME=value
	int in = 0, out = 1, errors = 2; // its 0, 1, 2; may be the same
	bool command = false; // a command for a shell: `arguments` end with it
	bool inherits = false; // descriptors from 3 on that aren't close-on-exec
};

/* Starts programs as another user. */
class Log_in
{
protected:
	~Log_in() = default;

public:
	/* A child of this process that runs the program as `user`, or stands for it. May block. */
	virtual std::variant<pid_t, Service_failure> start(
		Program const &program, std::string const &user) = 0;
};

/*
 * As a child of this process, with default signals. Of our descriptors it gets 0 to 2,
 * and more only if it `inherits`. Returns when it runs.
 */
std::variant<pid_t, Service_failure> spawn(Program const &program);

/* The failure to execute a program, by its errno. */
Service_failure failure_to_execute(std::string const &path, int error);

/* Of a wait status; 128 and its number if a signal has ended it. */
int exit_code_of(int wait_status);

/* Argument or environment lists as exec wants them; as long as `texts` lives. */
std::vector<char *> pointers_to(std::vector<std::string> const &texts);

} // namespace bulkhead::qrexec
