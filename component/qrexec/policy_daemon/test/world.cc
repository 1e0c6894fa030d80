#include "component/qrexec/policy_daemon/test/world.h"

#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

namespace bulkhead::qrexec::test {

using linux_host::Owned_fd;

namespace {

// Against a hang only.
constexpr int PATIENCE_MS = 60'000;

bool wait_readable(int fd, int ms)
{
	pollfd waited{.fd = fd, .events = POLLIN, .revents = 0};
	return poll(&waited, 1, ms) == 1;
}

sockaddr_un address_of(std::string const &path)
{
	sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
	EXPECT_LT(path.size(), sizeof(address.sun_path));
	memcpy(address.sun_path, path.c_str(), path.size() + 1);
	return address;
}

// The first descriptor that systemd hands over.
constexpr int FIRST_HANDED_OVER = 3;

pid_t spawn(std::vector<std::string> const &command, int out, int errors, int handed_over = -1)
{
	std::vector<char *> words;
	for (std::string const &word : command) words.push_back(const_cast<char *>(word.c_str()));
	words.push_back(nullptr);
	posix_spawn_file_actions_t files;
	posix_spawn_file_actions_init(&files);
	if (out >= 0) posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	if (errors >= 0) posix_spawn_file_actions_adddup2(&files, errors, STDERR_FILENO);
	if (handed_over >= 0) posix_spawn_file_actions_adddup2(&files, handed_over, FIRST_HANDED_OVER);
	pid_t process = -1;
	EXPECT_EQ(posix_spawn(&process, words[0], &files, nullptr, words.data(), environ), 0)
		<< command[0];
	posix_spawn_file_actions_destroy(&files);
	return process;
}

int exit_code(pid_t process)
{
	int status = 0;
	if (waitpid(process, &status, 0) != process) return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

} // namespace

Stream Stream::connect(std::string const &path)
{
	Stream stream(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	sockaddr_un const address = address_of(path);
	EXPECT_EQ(
		::connect(stream.fd(), reinterpret_cast<sockaddr const *>(&address), sizeof(address)), 0)
		<< path << ": " << strerror(errno);
	return stream;
}

bool Stream::send(std::string_view text)
{
	while (!text.empty()) {
		ssize_t const sent = ::send(fd(), text.data(), text.size(), MSG_NOSIGNAL);
		if (sent <= 0) return false;
		text.remove_prefix(static_cast<size_t>(sent));
	}
	return true;
}

void Stream::end() { shutdown(fd(), SHUT_WR); }

std::string Stream::receive_all()
{
	std::string text;
	char part[4096];
	while (wait_readable(fd(), PATIENCE_MS)) {
		ssize_t const size = recv(fd(), part, sizeof(part), 0);
		if (size <= 0) return text;
		text.append(part, static_cast<size_t>(size));
	}
	ADD_FAILURE() << "nothing came, and no end; until then: " << text;
	return text;
}

void Stream::wait_gone() const
{
	pollfd waited{.fd = fd(), .events = 0, .revents = 0};
	EXPECT_EQ(poll(&waited, 1, PATIENCE_MS), 1) << "the other side doesn't close";
}

bool Stream::readable() const { return wait_readable(fd(), 0); }

Service_socket::Service_socket(std::string const &path)
{
	unlink(path.c_str());
	_socket.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	sockaddr_un const address = address_of(path);
	EXPECT_EQ(
		bind(_socket.value(), reinterpret_cast<sockaddr const *>(&address), sizeof(address)), 0);
	EXPECT_EQ(listen(_socket.value(), 1024), 0);
}

Stream Service_socket::accept()
{
	EXPECT_TRUE(wait_readable(_socket.value(), PATIENCE_MS)) << "nobody connects";
	return Stream(accept4(_socket.value(), nullptr, nullptr, SOCK_CLOEXEC));
}

bool Service_socket::somebody() const { return wait_readable(_socket.value(), 0); }

World::World()
{
	char name[] = "/tmp/policy_daemon.XXXXXX";
	folder = mkdtemp(name);
	for (char const *const inner : {"policy", "services", "compat"})
		std::filesystem::create_directory(folder / inner);
	write("domains.json", DOMAINS);
}

World::~World()
{
	if (_process > 0) {
		EXPECT_EQ(stop(), 0);
	}
	std::filesystem::remove_all(folder);
}

void World::write(std::string_view name, std::string_view text) const
{
	std::ofstream(folder / name, std::ios::binary) << text;
}

void World::replace(std::string_view name, std::string_view text) const
{
	write("new", text);
	std::filesystem::rename(folder / "new", folder / name);
}

void World::start()
{
	Owned_fd const ready(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	sockaddr_un const address = address_of(path("notify"));
	unlink(address.sun_path);
	ASSERT_EQ(
		bind(ready.value(), reinterpret_cast<sockaddr const *>(&address), sizeof(address)), 0);
	int ends[2];
	ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
	_journal.reset(ends[0]);
	Owned_fd const theirs(ends[1]);
	std::vector<std::string> command{POLICY_DAEMON, "--policy-path", path("policy"),
		"--socket-path=" + path("policy.sock"), "--eval-socket-path=" + path("policy.EvalSimple"),
		"--gui-socket-path=" + path("policy.EvalGUI"), "--service-path=" + path("services"),
		"--compat-path=" + path("compat"), "--qubesd-socket=" + path("qubesd.sock"),
		"--qrexec-client=" + path("client")};
	if (domains_from_file) command.push_back("--system-info=" + path("domains.json"));
	command.insert(command.end(), options.begin(), options.end());
	std::vector<std::string> const activation{
		"/bin/sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"", "sh"};
	if (handed_over >= 0) command.insert(command.begin(), activation.begin(), activation.end());
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	_process = spawn(command, -1, theirs.value(), handed_over);
	unsetenv("NOTIFY_SOCKET");
	char text[16]{};
	ASSERT_TRUE(wait_readable(ready.value(), PATIENCE_MS)) << "it doesn't become ready";
	ASSERT_GT(recv(ready.value(), text, sizeof(text) - 1, 0), 0);
	EXPECT_STREQ(text, "READY=1");
}

std::string World::_next_line()
{
	for (;;) {
		if (size_t const end = _unread.find('\n'); end != std::string::npos) {
			std::string const line = _unread.substr(0, end);
			_unread.erase(0, end + 1);
			return line;
		}
		char part[4096];
		ssize_t const size = wait_readable(_journal.value(), PATIENCE_MS)
			? read(_journal.value(), part, sizeof(part))
			: 0;
		if (size <= 0) return {};
		_unread.append(part, static_cast<size_t>(size));
	}
}

std::vector<std::string> World::journal_until(std::string_view part)
{
	std::vector<std::string> lines;
	for (;;) {
		lines.push_back(_next_line());
		if (lines.back().find(part) != std::string::npos) return lines;
		if (!lines.back().empty()) continue;
		std::string all;
		for (std::string const &line : lines) all += line + '\n';
		ADD_FAILURE() << "the journal doesn't say '" << part << "' but\n" << all;
		return lines;
	}
}

std::string World::journal(std::string_view part) { return journal_until(part).back(); }

void World::signal(int number) const { kill(_process, number); }

int World::stop()
{
	signal(SIGTERM);
	return exit_code(std::exchange(_process, -1));
}

Stream World::ask(std::string_view text)
{
	Stream stream = Stream::connect(path("policy.sock"));
	EXPECT_TRUE(stream.send(text));
	return stream;
}

std::string World::answer(std::string_view service, std::string_view target,
	std::string_view source, std::string_view more)
{
	std::string text = "source=";
	text.append(source).append("\nintended_target=").append(target);
	text.append("\nservice_and_arg=").append(service).append("\n").append(more).append("\n");
	return ask(text).receive_all();
}

std::string World::eval(std::string_view face, std::string_view text)
{
	Stream stream = Stream::connect(path(face));
	// It may have enough before all is sent.
	(void)stream.send(text);
	stream.end();
	return stream.receive_all();
}

Printed run(std::vector<std::string> const &command)
{
	int ends[2];
	EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
	Owned_fd const ours(ends[0]);
	Owned_fd theirs(ends[1]);
	pid_t const process = spawn(command, theirs.value(), theirs.value());
	theirs.reset();
	Printed printed;
	char part[4096];
	for (ssize_t size; (size = read(ours.value(), part, sizeof(part))) > 0;)
		printed.text.append(part, static_cast<size_t>(size));
	printed.code = exit_code(process);
	return printed;
}

} // namespace bulkhead::qrexec::test
