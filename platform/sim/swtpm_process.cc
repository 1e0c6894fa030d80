#include "platform/sim/swtpm_process.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <poll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace bulkhead::sim {

using Result = Attempt<void, Swtpm_error>;

Swtpm_error Swtpm_process::_fail(Swtpm_error error, std::string_view what, int number)
{
	_message = std::string("swtpm: ").append(what);
	if (number) _message.append(": ").append(strerror(number));
	return error;
}

static constexpr std::string_view DIRECTORY_PREFIX = "bulkhead-swtpm-";

static std::string temporary_place()
{
	char const *const chosen = getenv("TMPDIR");
	std::string path = chosen && *chosen ? chosen : "/tmp";
	// A socket's path has at most 107 bytes.
	constexpr size_t PATH_MAX_LENGTH = 80;
	return path.size() > PATH_MAX_LENGTH ? "/tmp" : path;
}

/* Locked as long as its process lives; -1 if another one has it locked, or it isn't ours. */
static int lock_directory(std::string const &path)
{
	int const fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat stat{};
	bool const ours = fd >= 0 && fstat(fd, &stat) == 0 && stat.st_uid == geteuid();
	if (ours && flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
	if (fd >= 0) close(fd);
	return -1;
}

/*
 * Removes what processes have left that were killed. A directory is locked before anything is in
 * it, so one that isn't empty and can be locked is nobody's.
 */
static void remove_abandoned(std::string const &place)
{
	std::error_code ignored;
	std::filesystem::directory_iterator entries(place, ignored);
	for (; entries != std::filesystem::directory_iterator(); entries.increment(ignored)) {
		std::filesystem::path const path = entries->path();
		if (!path.filename().string().starts_with(DIRECTORY_PREFIX)) continue;
		int const lock = lock_directory(path);
		if (lock < 0) continue;
		if (!std::filesystem::is_empty(path, ignored)) std::filesystem::remove_all(path, ignored);
		close(lock);
	}
}

Result Swtpm_process::_make_directory()
{
	std::string const place = temporary_place();
	remove_abandoned(place);
	std::string path = std::string(place).append("/").append(DIRECTORY_PREFIX).append("XXXXXX");
	if (!mkdtemp(path.data())) return _fail(Swtpm_error::SYSTEM, place, errno);
	_directory = path;
	_lock = lock_directory(path);
	return Ok{};
}

/* The child: becomes swtpm, or says through the pipe why it can't. */
[[noreturn]] static void become(char *const *arguments, char const *log, int pipe, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	// The parent may have ended before the line above.
	if (getppid() != parent) _exit(1);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, nullptr);
	int const null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int const output = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	dup2(null, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	execvp(arguments[0], arguments);
	int const number = errno;
	(void)!write(pipe, &number, sizeof(number));
	_exit(127);
}

Result Swtpm_process::_spawn(Options const &options)
{
	std::string const &state = options.state.empty() ? _directory : options.state;
	std::vector<std::string> words = {options.program, "socket", "--tpm2", "--tpmstate",
		"dir=" + state, "--server", "type=unixio,path=" + data_socket(), "--ctrl",
		"type=unixio,path=" + control_socket(), "--flags",
		options.startup ? "startup-clear" : "not-need-init"};
	std::vector<char *> arguments;
	for (std::string &word : words) arguments.push_back(word.data());
	arguments.push_back(nullptr);
	std::string const log = _directory + "/log";
	int pipe[2];
	if (pipe2(pipe, O_CLOEXEC) != 0) return _fail(Swtpm_error::SYSTEM, "pipe", errno);
	pid_t const parent = getpid();
	_pid = fork();
	if (_pid == 0) become(arguments.data(), log.c_str(), pipe[1], parent);
	int number = _pid < 0 ? errno : 0;
	close(pipe[1]);
	ssize_t n = 0;
	if (_pid > 0) do
			n = read(pipe[0], &number, sizeof(number));
		while (n < 0 && errno == EINTR);
	close(pipe[0]);
	if (_pid < 0) return _fail(Swtpm_error::SYSTEM, "fork", number);
	if (n <= 0) return Ok{};
	waitpid(_pid, nullptr, 0);
	_pid = -1;
	if (number == ENOENT)
		return _fail(Swtpm_error::NOT_INSTALLED,
			"there is no program '" + options.program + "': apt-get install swtpm");
	return _fail(Swtpm_error::NOT_STARTED, options.program, number);
}

std::string Swtpm_process::_log() const
{
	std::ifstream file(_directory + "/log");
	std::string line, last;
	while (std::getline(file, line))
		if (!line.empty()) last = line;
	return last;
}

/* A connection to 'path', or -1. */
static int connected(std::string const &path)
{
	sockaddr_un address{};
	address.sun_family = AF_UNIX;
	if (path.size() >= sizeof(address.sun_path)) return -1;
	memcpy(address.sun_path, path.data(), path.size());
	int const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) return -1;
	if (::connect(fd, reinterpret_cast<sockaddr const *>(&address), sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* It listens before it knows that it can start: only an answer says that it has. */
static bool answers(int fd, int patience_ms)
{
	constexpr uint8_t GET_CAPABILITY[] = {0, 0, 0, 1};
	if (send(fd, GET_CAPABILITY, sizeof(GET_CAPABILITY), MSG_NOSIGNAL) < 0) return false;
	pollfd waiting{fd, POLLIN, 0};
	poll(&waiting, 1, patience_ms);
	uint8_t answer[64];
	return recv(fd, answer, sizeof(answer), MSG_DONTWAIT) > 0;
}

/* Why it ended, if it did. */
Result Swtpm_process::_check_alive()
{
	if (waitpid(_pid, nullptr, WNOHANG) != _pid) return Ok{};
	_pid = -1;
	std::string const words = _log();
	return _fail(Swtpm_error::NOT_STARTED,
		words.empty() ? "it ended at once" : "it did not start: " + words);
}

Result Swtpm_process::_await_start(Options const &options)
{
	constexpr unsigned STEP_MS = 2;
	for (unsigned ms = 0; ms < options.start_ms; ms += STEP_MS) {
		int const data = connected(data_socket());
		int const control = data >= 0 ? connected(control_socket()) : -1;
		bool const ready =
			control >= 0 && answers(control, static_cast<int>(options.start_ms - ms));
		if (data >= 0) close(data);
		if (control >= 0) close(control);
		if (ready) return Ok{};
		TRY(_check_alive());
		poll(nullptr, 0, STEP_MS);
	}
	return _fail(Swtpm_error::TIMEOUT, "it did not listen in time");
}

Result Swtpm_process::start(Options const &options)
{
	stop();
	Result result = _make_directory();
	if (result.ok()) result = _spawn(options);
	if (result.ok()) result = _await_start(options);
	if (!result.ok()) stop();
	return result;
}

/* Waits for the end of a child, 5 s at most; false if it goes on. */
static bool ended(pid_t pid)
{
	constexpr int PATIENCE_MS = 5'000;
	int const fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
	pollfd waiting{fd, POLLIN, 0};
	if (fd >= 0) {
		poll(&waiting, 1, PATIENCE_MS);
		close(fd);
	}
	return waitpid(pid, nullptr, WNOHANG) == pid;
}

void Swtpm_process::kill()
{
	if (_pid <= 0) return;
	::kill(_pid, SIGKILL);
	waitpid(_pid, nullptr, 0);
	_pid = -1;
}

void Swtpm_process::stop()
{
	if (_pid > 0) {
		::kill(_pid, SIGTERM);
		if (ended(_pid))
			_pid = -1;
		else
			kill();
	}
	if (_directory.empty()) return;
	std::error_code ignored;
	std::filesystem::remove_all(_directory, ignored);
	_directory.clear();
	if (_lock >= 0) close(std::exchange(_lock, -1));
}

} // namespace bulkhead::sim
