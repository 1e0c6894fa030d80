#pragma once

// Programs that are started anew each time.

#include <array>
#include <string>
#include <sys/types.h>
#include <vector>

namespace bulkhead::bench {

/* Starts one; its streams, -1: none of its own. Ends when this process does. */
pid_t spawn(std::vector<std::string> const &command, std::vector<std::string> const &environment,
	std::array<int, 3> streams);

/* Waits for its end, which has to be a success. */
void finish(pid_t process, std::string const &name);

/* What this process, and all that it has started and that still run, have computed, in seconds. */
double computed_s();

/* Waits until somebody listens there. */
void await_socket(std::string const &path);

/* A command line with its environment, to be run again and again without any preparation. */
class Command
{
private:
	std::vector<std::string> const _texts;
	std::vector<std::string> const _environment;
	std::vector<char *> _arguments{};
	std::vector<char *> _variables{};

public:
	Command(std::vector<std::string> command, std::vector<std::string> environment);
	Command(Command const &) = delete;
	Command &operator=(Command const &) = delete;

	/* posix_spawn; standard input and output from and to here, -1: as ours. */
	pid_t start(int in = -1, int out = -1) const;
	void run() const { finish(start(), _texts[0]); }

	std::string const &name() const { return _texts[0]; }
};

} // namespace bulkhead::bench
