#include "tool/vchan/command.h"

#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

namespace bulkhead::tool {

namespace {

using linux_host::Owned_fd;

constexpr int PIPE_BYTES = 1 << 18; // asked for; less will do

struct Pipe
{
	Owned_fd read{};
	Owned_fd write{};

	bool make()
	{
		int ends[2];
		if (pipe2(ends, O_CLOEXEC) != 0) return false;
		read.reset(ends[0]);
		write.reset(ends[1]);
		(void)fcntl(ends[0], F_SETPIPE_SZ, PIPE_BYTES);
		return true;
	}
};

/* What posix_spawn is told, freed with its owner. */
struct Plan
{
	posix_spawn_file_actions_t actions{};
	posix_spawnattr_t attributes{};

	Plan(int input, int output)
	{
		posix_spawn_file_actions_init(&actions);
		posix_spawn_file_actions_adddup2(&actions, input, 0);
		posix_spawn_file_actions_adddup2(&actions, output, 1);
		sigset_t usual;
		sigemptyset(&usual);
		sigaddset(&usual, SIGPIPE);
		posix_spawnattr_init(&attributes);
		posix_spawnattr_setsigdefault(&attributes, &usual);
		posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
	}
	Plan(Plan const &) = delete;
	~Plan()
	{
		posix_spawn_file_actions_destroy(&actions);
		posix_spawnattr_destroy(&attributes);
	}
};

} // namespace

Command::~Command()
{
	if (_child < 0) return;
	kill(_child, SIGKILL);
	while (waitpid(_child, nullptr, 0) < 0 && errno == EINTR) {}
}

int Command::start(std::vector<std::string> const &words, Address const &peer, Input &output_of_it,
	Output &input_of_it)
{
	Pipe input, output;
	if (!input.make() || !output.make()) return errno;
	Plan const plan(input.read.value(), output.write.value());
	std::vector<char *> arguments;
	for (std::string const &word : words) arguments.push_back(const_cast<char *>(word.c_str()));
	arguments.push_back(nullptr);
	std::string domain = "BULKHEAD_VCHAN_PEER=" + std::to_string(peer.domain);
	std::string port = "BULKHEAD_VCHAN_PORT=" + std::to_string(peer.port);
	std::vector<char *> environment{domain.data(), port.data()};
	for (char **entry = environ; *entry; entry++) {
		std::string_view const name(*entry);
		if (!name.starts_with("BULKHEAD_VCHAN_PEER=") && !name.starts_with("BULKHEAD_VCHAN_PORT="))
			environment.push_back(*entry);
	}
	environment.push_back(nullptr);
	int const error = posix_spawnp(&_child, arguments[0], &plan.actions, &plan.attributes,
		arguments.data(), environment.data());
	if (error) {
		_child = -1;
		return error;
	}
	output_of_it = Input(std::move(output.read));
	input_of_it = Output(std::move(input.write));
	return 0;
}

int Command::wait(Interrupt const &interrupt)
{
	Owned_fd const ended(static_cast<int>(syscall(SYS_pidfd_open, _child, 0)));
	// What has come before is passed on as well.
	for (unsigned told = 0;;) {
		interrupt.quiet();
		int status = 0;
		pid_t const child = waitpid(_child, &status, WNOHANG);
		if (child == _child || (child < 0 && errno != EINTR)) {
			_child = -1;
			return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		}
		if (interrupt.count() > told) {
			kill(_child, told ? SIGKILL : interrupt.number());
			told++;
			continue;
		}
		pollfd watched[] = {{ended.value(), POLLIN, 0}, {interrupt.fd(), POLLIN, 0}};
		(void)poll(watched, 2, ended ? -1 : 100);
	}
}

} // namespace bulkhead::tool
