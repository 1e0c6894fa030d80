#pragma once

// For tests: a program as its users run it.

#include <cstdlib>
#include <fcntl.h>
#include <signal.h>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace bulkhead::tool {

struct Outcome
{
	int code;
	std::string out; // both streams
};

/* A program that runs, its output in a pipe. */
class Process
{
private:
	pid_t _child;
	int _output;
	std::string _text{};

public:
	explicit Process(std::vector<std::string> words)
	{
		int ends[2];
		if (pipe2(ends, O_CLOEXEC) != 0) abort();
		std::vector<char *> arguments;
		for (std::string &word : words) arguments.push_back(word.data());
		arguments.push_back(nullptr);
		_child = fork();
		if (_child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			dup2(ends[1], 1);
			dup2(ends[1], 2);
			execvp(arguments[0], arguments.data());
			_exit(127);
		}
		close(ends[1]);
		_output = ends[0];
	}
	Process(Process const &) = delete;
	~Process()
	{
		if (_child > 0) {
			kill(_child, SIGKILL);
			waitpid(_child, nullptr, 0);
		}
		close(_output);
	}

	pid_t child() const { return _child; }

	/* Reads until a text has come; false if the program ends before. */
	bool await(std::string const &text)
	{
		char buffer[4096];
		while (_text.find(text) == std::string::npos) {
			ssize_t const size = read(_output, buffer, sizeof buffer);
			if (size <= 0) return false;
			_text.append(buffer, static_cast<size_t>(size));
		}
		return true;
	}

	Outcome wait()
	{
		char buffer[4096];
		for (ssize_t size = 0; (size = read(_output, buffer, sizeof buffer)) > 0;)
			_text.append(buffer, static_cast<size_t>(size));
		int status = 0;
		waitpid(std::exchange(_child, -1), &status, 0);
		return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), _text};
	}

	Outcome stop(int signal = SIGTERM)
	{
		kill(_child, signal);
		return wait();
	}
};

} // namespace bulkhead::tool
