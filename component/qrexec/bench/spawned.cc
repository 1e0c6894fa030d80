#include "component/qrexec/bench/spawned.h"

#include "sdk/libvchan/bench/measure.h"
#include "sdk/qrexec/local_socket.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::bench {
namespace {

constexpr double STARTED_WITHIN_S = 20;

std::vector<char *> pointers(std::vector<std::string> const &texts)
{
	std::vector<char *> all;
	for (std::string const &text : texts) all.push_back(const_cast<char *>(text.c_str()));
	all.push_back(nullptr);
	return all;
}

} // namespace

pid_t spawn(std::vector<std::string> const &command, std::vector<std::string> const &environment,
	std::array<int, 3> streams)
{
	std::vector<char *> const arguments = pointers(command), variables = pointers(environment);
	pid_t const process = fork();
	if (process < 0) give_up("fork");
	if (process > 0) return process;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < 3; ++i)
		if (streams[static_cast<size_t>(i)] >= 0) dup2(streams[static_cast<size_t>(i)], i);
	execve(arguments[0], arguments.data(), variables.data());
	_exit(127);
}

void finish(pid_t process, std::string const &name)
{
	int status = 0;
	if (waitpid(process, &status, 0) != process || status != 0) {
		errno = 0;
		give_up(name + " has failed with status " + std::to_string(status));
	}
}

double computed_s()
{
	double all_s = 0;
	for (auto const &entry : std::filesystem::directory_iterator("/proc")) {
		pid_t const process = atoi(entry.path().filename().c_str());
		// Its group tells whose it is, since workers are no children any more.
		if (process <= 0 || getpgid(process) != getpgrp()) continue;
		std::ifstream file(entry.path() / "schedstat");
		double ns = 0;
		if (file >> ns) all_s += ns / 1e9;
	}
	return all_s;
}

void await_socket(std::string const &path)
{
	double const until_s = now_s() + STARTED_WITHIN_S;
	linux_host::Owned_fd connection;
	while (int const error = qrexec::connect_to_local(path, connection)) {
		errno = error;
		if (now_s() > until_s) give_up(path);
		usleep(2000);
	}
}

Command::Command(std::vector<std::string> command, std::vector<std::string> environment)
	: _texts(std::move(command)), _environment(std::move(environment))
{
	_arguments = pointers(_texts);
	_variables = pointers(_environment);
}

pid_t Command::start(int in, int out) const
{
	posix_spawn_file_actions_t files;
	posix_spawn_file_actions_init(&files);
	if (in >= 0) posix_spawn_file_actions_adddup2(&files, in, 0);
	if (out >= 0) posix_spawn_file_actions_adddup2(&files, out, 1);
	pid_t process = -1;
	int const error =
		posix_spawn(&process, _arguments[0], &files, nullptr, _arguments.data(), _variables.data());
	posix_spawn_file_actions_destroy(&files);
	errno = error;
	if (error) give_up(_texts[0]);
	return process;
}

} // namespace bulkhead::bench
