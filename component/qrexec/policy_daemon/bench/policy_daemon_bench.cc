// Questions per second on the policy daemon's socket, a connection for each as qrexec-daemon makes
// them, against a server that takes connections one after the other and sends back what came. The
// ratio says what deciding costs beside asking. All processes are pinned to one CPU.
//
//	policy_daemon_bench PROGRAM

#include "sdk/qrexec/local_socket.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sched.h>
#include <spawn.h>
#include <string_view>
#include <sys/socket.h>
#include <sys/wait.h>
#include <vector>

namespace bulkhead::qrexec {
namespace {

using Clock = std::chrono::steady_clock;

constexpr unsigned ROUNDS = 5;
constexpr unsigned QUESTIONS = 4000; // of a round
constexpr unsigned RULES = 328;
constexpr unsigned DOMAINS = 50;
constexpr std::string_view QUESTION =
	"source=vm7\nintended_target=vm8\nservice_and_arg=svc.Last+argument\n\n";

linux_host::Owned_fd connected(std::string const &path)
{
	linux_host::Owned_fd socket;
	if (connect_to_local(path, socket) == 0) fcntl(socket.value(), F_SETFL, 0);
	return socket;
}

linux_host::Owned_fd ask(std::string const &path)
{
	linux_host::Owned_fd socket = connected(path);
	if (!socket || send(socket.value(), QUESTION.data(), QUESTION.size(), MSG_NOSIGNAL) < 0) {
		perror(path.c_str());
		exit(1);
	}
	return socket;
}

void take_answer(linux_host::Owned_fd const &socket)
{
	char text[4096];
	size_t size = 0;
	for (ssize_t part; (part = recv(socket.value(), text, sizeof(text), 0)) > 0;)
		size += static_cast<size_t>(part);
	if (size < 40) {
		fprintf(stderr, "policy_daemon_bench: a call was denied\n");
		exit(1);
	}
}

/* Questions per second, with so many open at any time. */
double measure(std::string const &path, unsigned at_once)
{
	std::vector<linux_host::Owned_fd> open;
	Clock::time_point const start = Clock::now();
	for (unsigned i = 0; i < at_once; ++i) open.push_back(ask(path));
	for (unsigned i = 0; i < QUESTIONS; ++i) {
		take_answer(open[i % at_once]);
		open[i % at_once] = i + at_once < QUESTIONS ? ask(path) : linux_host::Owned_fd();
	}
	return QUESTIONS / std::chrono::duration<double>(Clock::now() - start).count();
}

/* A child that answers until it is killed. */
pid_t start_echo(std::string const &path)
{
	linux_host::Owned_fd socket;
	if (listen_locally(path, 0600, socket) != 0) return -1;
	fcntl(socket.value(), F_SETFL, 0);
	pid_t const process = fork();
	if (process) return process;
	for (;;) {
		linux_host::Owned_fd const taken(accept4(socket.value(), nullptr, nullptr, SOCK_CLOEXEC));
		char text[4096];
		ssize_t const size = recv(taken.value(), text, sizeof(text), 0);
		if (size > 0) (void)send(taken.value(), text, static_cast<size_t>(size), MSG_NOSIGNAL);
	}
}

/* The rule that decides is the last of many. */
void write_files(std::filesystem::path const &folder)
{
	std::filesystem::create_directory(folder / "policy");
	std::ofstream policy(folder / "policy/30-bench.policy");
	for (unsigned i = 0; i + 1 < RULES; ++i)
		policy << "svc.S" << i % 96 << " * @tag:t" << i % 7 << " @anyvm "
			   << (i % 3 ? "allow" : "deny") << '\n';
	policy << "svc.Last * vm7 vm8 allow\n";
	std::ofstream domains(folder / "domains.json");
	domains << R"({"domains":{"dom0":{"type":"AdminVM"})";
	for (unsigned i = 0; i < DOMAINS; ++i)
		domains << ",\"vm" << i << R"(":{"type":"AppVM","tags":["t)" << i % 7 << "\"]}";
	domains << "}}";
}

pid_t start_daemon(char const *program, std::string const &folder)
{
	std::vector<std::string> const words{program, "--policy-path=" + folder + "/policy",
		"--socket-path=" + folder + "/policy.sock", "--eval-socket-path=" + folder + "/e.sock",
		"--gui-socket-path=" + folder + "/g.sock", "--system-info=" + folder + "/domains.json"};
	std::vector<char *> arguments;
	for (std::string const &word : words) arguments.push_back(const_cast<char *>(word.c_str()));
	arguments.push_back(nullptr);
	posix_spawn_file_actions_t files;
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	pid_t process = -1;
	int const error = posix_spawn(&process, program, &files, nullptr, arguments.data(), environ);
	posix_spawn_file_actions_destroy(&files);
	if (error) {
		fprintf(stderr, "%s: %s\n", program, strerror(error));
		exit(1);
	}
	for (unsigned i = 0; i < 10'000 && !connected(folder + "/policy.sock"); ++i) usleep(1000);
	return process;
}

void compare(std::string const &folder)
{
	for (unsigned const at_once : {1U, 16U}) {
		double policy = 0, echo = 0;
		for (unsigned i = 0; i < ROUNDS; ++i) {
			policy = std::max(policy, measure(folder + "/policy.sock", at_once));
			echo = std::max(echo, measure(folder + "/echo.sock", at_once));
		}
		printf("%2u at once: %8.0f questions/s   echo %8.0f/s   %.2f of it\n", at_once, policy,
			echo, policy / echo);
	}
}

int run(char const *program)
{
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	bool const pinned = sched_setaffinity(0, sizeof(cpus), &cpus) == 0;
	printf("%u rules, %u domains; a connection for each question; asker and server %s\n", RULES,
		DOMAINS, pinned ? "both pinned to CPU 0" : "not pinned");
	char name[] = "/tmp/policy_bench.XXXXXX";
	std::filesystem::path const folder = mkdtemp(name);
	write_files(folder);
	std::array const servers{
		start_echo((folder / "echo.sock").string()), start_daemon(program, folder.string())};
	compare(folder.string());
	for (pid_t const server : servers) {
		kill(server, SIGKILL);
		waitpid(server, nullptr, 0);
	}
	std::filesystem::remove_all(folder);
	return 0;
}

} // namespace
} // namespace bulkhead::qrexec

int main(int argc, char **argv)
{
	if (argc == 2) return bulkhead::qrexec::run(argv[1]);
	fprintf(stderr, "usage: policy_daemon_bench PROGRAM\n");
	return 2;
}
