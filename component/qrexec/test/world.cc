#include "component/qrexec/test/world.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <poll.h>
#include <pwd.h>
#include <sstream>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace bulkhead::qrexec::test {

std::string const AGENT = BULKHEAD_QREXEC_AGENT;
std::string const CLIENT_VM = BULKHEAD_QREXEC_CLIENT_VM;
std::string const DAEMON = BULKHEAD_QREXEC_DAEMON;
std::string const HOST_CLIENT = BULKHEAD_QREXEC_CLIENT;
std::string const FORK_SERVER = BULKHEAD_QREXEC_FORK_SERVER;
std::string const POLICY_DAEMON = BULKHEAD_QREXEC_POLICY_DAEMON;

namespace {

namespace fs = std::filesystem;

/* How long orphans may take to see that nobody is left whom they could serve. */
constexpr int ORPHANS_MS = 20'000;

std::string new_folder()
{
	std::string path = "/tmp/qrexec-XXXXXX";
	EXPECT_NE(mkdtemp(path.data()), nullptr) << strerror(errno);
	return path;
}

std::vector<char *> pointers(std::vector<std::string> const &strings)
{
	std::vector<char *> all;
	for (std::string const &string : strings) all.push_back(const_cast<char *>(string.c_str()));
	all.push_back(nullptr);
	return all;
}

Owned_fd null_device() { return Owned_fd(open("/dev/null", O_RDWR | O_CLOEXEC)); }

void make_pipe(Owned_fd &reader, Owned_fd &writer)
{
	int ends[2];
	EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0) << strerror(errno);
	reader.reset(ends[0]);
	writer.reset(ends[1]);
}

std::string command_of(pid_t pid)
{
	std::string text = contents("/proc/" + std::to_string(pid) + "/cmdline");
	std::ranges::replace(text, '\0', ' ');
	return text;
}

/* Reaps what came to us when its parent had ended; a process that stays is a failure. */
void reap_orphans()
{
	for (int waited_ms = 0;;) {
		pid_t const pid = waitpid(-1, nullptr, WNOHANG);
		if (pid < 0) return;
		if (pid > 0) continue;
		if (waited_ms++ < ORPHANS_MS) {
			poll(nullptr, 0, 1);
			continue;
		}
		siginfo_t info{};
		std::ifstream children("/proc/self/task/" + std::to_string(getpid()) + "/children");
		for (pid_t child = 0; children >> child;) {
			ADD_FAILURE() << "a process was left behind: " << command_of(child);
			::kill(child, SIGKILL);
			(void)waitid(P_PID, static_cast<id_t>(child), &info, WEXITED);
		}
	}
}

void expect_empty(std::string const &folder)
{
	for (auto const &entry : fs::directory_iterator(folder))
		ADD_FAILURE() << "was left behind: " << entry.path();
}

} // namespace

std::string me() { return getpwuid(geteuid())->pw_name; }

std::string contents(std::string const &path)
{
	std::ifstream file(path, std::ios::binary);
	std::ostringstream text;
	text << file.rdbuf();
	return text.str();
}

void release(std::string const &fifo, std::string const &text)
{
	Owned_fd fd;
	std::string const what = "a reader of " + fifo;
	eventually(what.c_str(), [&] {
		fd = Owned_fd(open(fifo.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
		return static_cast<bool>(fd);
	});
	EXPECT_EQ(write(fd.value(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

std::string drained(std::string const &fifo)
{
	Owned_fd fd(open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
	std::string const what = "a writer of " + fifo;
	// Before there was one, a read would find the end.
	if (!await(fd.value(), POLLIN, what.c_str())) return {};
	return Wire(std::move(fd)).receive_rest();
}

Process::Process(std::vector<std::string> const &command,
	std::vector<std::string> const &environment, Streams streams)
{
	std::vector<char *> const arguments = pointers(command);
	std::vector<char *> const variables = pointers(environment);
	_pid = fork();
	if (_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		::signal(SIGPIPE, SIG_DFL);
		dup2(streams.in.value(), 0);
		dup2(streams.out.value(), 1);
		dup2(streams.err.value(), 2);
		execve(arguments[0], arguments.data(), variables.data());
		dprintf(2, "%s: %s\n", arguments[0], strerror(errno));
		_exit(200);
	}
	EXPECT_GT(_pid, 0) << strerror(errno);
	_handle = Owned_fd(static_cast<int>(syscall(SYS_pidfd_open, _pid, 0)));
}

Process::~Process()
{
	if (_reaped) return;
	signal(SIGKILL);
	(void)exit_code();
}

void Process::signal(int number) const
{
	if (!_reaped) ::kill(_pid, number);
}

bool Process::running()
{
	if (_reaped) return false;
	pollfd entry{.fd = _handle.value(), .events = POLLIN, .revents = 0};
	return poll(&entry, 1, 0) == 0;
}

int Process::exit_code()
{
	if (_reaped) return _code;
	std::string const what = "the end of " + command_of(_pid);
	if (!await(_handle.value(), POLLIN, what.c_str())) signal(SIGKILL);
	int status = 0;
	EXPECT_EQ(waitpid(_pid, &status, 0), _pid) << strerror(errno);
	_reaped = true;
	_code = WIFEXITED(status) ? WEXITSTATUS(status) : KILLED + WTERMSIG(status);
	return _code;
}

size_t Process::descriptors() const
{
	auto const all = fs::directory_iterator("/proc/" + std::to_string(_pid) + "/fd");
	return static_cast<size_t>(std::distance(begin(all), end(all)));
}

std::vector<pid_t> Process::children() const
{
	std::string const pid = std::to_string(_pid);
	std::ifstream file("/proc/" + pid + "/task/" + pid + "/children");
	std::vector<pid_t> all;
	for (pid_t child = 0; file >> child;) all.push_back(child);
	return all;
}

std::string Client::errors() const { return contents(log); }

World::World(char const *transport) : _transport(transport), _top(new_folder())
{
	take_new_patience();
	::signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (char const *const name : {"vchan", "run", "log"})
		EXPECT_EQ(mkdir(path(name).c_str(), 0700), 0) << strerror(errno);
}

World::~World()
{
	take_new_patience();
	for (auto process = _processes.rbegin(); process != _processes.rend(); ++process)
		stop(*process);
	_processes.clear();
	reap_orphans();
	expect_empty(vchan_directory());
	expect_empty(socket_directory());
	for (auto const &entry : fs::directory_iterator(_top))
		if (fs::exists(entry.path() / "agent.sock"))
			ADD_FAILURE() << "an agent's socket was left behind";
	std::string const text = logs();
	EXPECT_EQ(text.find("Sanitizer"), text.npos);
	EXPECT_EQ(text.find("runtime error"), text.npos);
	if (testing::Test::HasFailure()) std::cerr << text;
	std::error_code ignored;
	fs::remove_all(_top, ignored);
}

std::string World::logs() const
{
	std::string all;
	for (auto const &entry : fs::directory_iterator(path("log"))) {
		std::string const text = contents(entry.path());
		if (!text.empty()) all += entry.path().filename().string() + ":\n" + text;
	}
	return all;
}

Domain World::domain(int id, std::string const &name) const
{
	Domain const domain{id, name, path(id == 0 ? "host" : "vm" + std::to_string(id))};
	for (char const *const folder : {"", "/rpc", "/local-rpc", "/rpc-config"})
		mkdir((domain.folder + folder).c_str(), 0755);
	return domain;
}

std::vector<std::string> World::environment(
	Domain const &domain, std::vector<std::string> const &more) const
{
	std::vector<std::string> all{
		"VCHAN_DOMAIN=" + std::to_string(domain.id),
		"QREXEC_SERVICE_PATH=" + domain.folder + "/local-rpc:" + domain.folder + "/rpc",
		"QUBES_RPC_CONFIG_PATH=" + domain.folder + "/rpc-config",
		"QREXEC_POLICY_SOCKET=" + policy_socket(),
		"QREXEC_NO_ROOT=1",
		// A service must never see these.
		"QREXEC_SERVICE_ARGUMENT=%left from before",
		"QREXEC_REQUESTED_TARGET=%left from before",
		"QREXEC_REQUESTED_TARGET_KEYWORD=%left from before",
	};
	if (_transport == "socket") {
		all.push_back("VCHAN_SOCKET_DIR=" + vchan_directory());
	} else {
		all.push_back("BULKHEAD_VCHAN=" + _transport);
		all.push_back("BULKHEAD_VCHAN_DIR=" + vchan_directory());
	}
	for (char const *const name :
		{"PATH", "HOME", "USER", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"})
		if (char const *const value = getenv(name))
			all.push_back(name + ("=" + std::string(value)));
	// What is said again replaces what was said before.
	for (std::string const &variable : more) {
		std::string const name = variable.substr(0, variable.find('=') + 1);
		std::erase_if(all, [&](std::string const &old) { return old.starts_with(name); });
		all.push_back(variable);
	}
	return all;
}

void World::file(
	Domain const &domain, char const *where, std::string const &name, std::string const &text)
{
	std::ofstream file(domain.folder + "/" + where + "/" + name, std::ios::binary);
	file << text;
	EXPECT_TRUE(file.flush()) << name;
}

void World::script(
	Domain const &domain, char const *where, std::string const &name, std::string const &text)
{
	file(domain, where, name, "#!/bin/sh\n" + text);
	EXPECT_EQ(chmod((domain.folder + "/" + where + "/" + name).c_str(), 0755), 0);
}

Process &World::start(std::vector<std::string> const &command, Domain const &domain,
	std::vector<std::string> const &more_environment)
{
	std::string const log = path("log/" + std::to_string(_number++) + "-" +
		fs::path(command[0]).filename().string() + "-" + domain.name);
	Owned_fd out(open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
	Owned_fd err(dup(out.value()));
	return _processes.emplace_back(command, environment(domain, more_environment),
		Process::Streams{null_device(), std::move(out), std::move(err)});
}

Client World::start_client(std::vector<std::string> const &command, Domain const &domain,
	std::vector<std::string> const &more_environment)
{
	Client client;
	client.log = path("log/" + std::to_string(_number++) + "-" +
		fs::path(command[0]).filename().string() + "-" + domain.name);
	Process::Streams streams;
	Owned_fd to_it, from_it;
	make_pipe(streams.in, to_it);
	make_pipe(from_it, streams.out);
	streams.err.reset(open(client.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
	client.process = &_processes.emplace_back(
		command, environment(domain, more_environment), std::move(streams));
	client.in = Wire(std::move(to_it));
	client.out = Wire(std::move(from_it));
	return client;
}

Client World::start_client_on_socket(
	std::vector<std::string> const &command, Domain const &domain, Owned_fd socket)
{
	Client client;
	client.log = path("log/" + std::to_string(_number++) + "-" +
		fs::path(command[0]).filename().string() + "-" + domain.name);
	Process::Streams streams{std::move(socket), {},
		Owned_fd(open(client.log.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600))};
	streams.out.reset(fcntl(streams.in.value(), F_DUPFD_CLOEXEC, 0));
	client.process = &_processes.emplace_back(command, environment(domain), std::move(streams));
	return client;
}

void World::kill(Process &process)
{
	process.signal(SIGKILL);
	(void)process.exit_code();
}

void World::stop(Process &process)
{
	process.signal(SIGTERM);
	(void)process.exit_code();
}

Process &World::start_agent(Domain const &domain, std::vector<std::string> const &options)
{
	std::vector<std::string> command{
		AGENT, "--no-fork-server", "--agent-socket=" + domain.agent_socket()};
	command.insert(command.end(), options.begin(), options.end());
	return start(command, domain);
}

Process &World::start_daemon(Domain const &domain, std::vector<std::string> const &options)
{
	std::vector<std::string> command{DAEMON, "--direct", "--socket-dir=" + socket_directory()};
	command.insert(command.end(), options.begin(), options.end());
	for (std::string const &argument : {std::to_string(domain.id), domain.name, me()})
		command.push_back(argument);
	return start(command, this->domain(0, "dom0"));
}

std::vector<std::string> World::client_vm_command(
	Domain const &domain, std::vector<std::string> const &arguments) const
{
	std::vector<std::string> command{CLIENT_VM, "--agent-socket=" + domain.agent_socket()};
	command.insert(command.end(), arguments.begin(), arguments.end());
	return command;
}

std::vector<std::string> World::host_client_command(std::vector<std::string> const &arguments) const
{
	std::vector<std::string> command{HOST_CLIENT, "--socket-dir=" + socket_directory()};
	command.insert(command.end(), arguments.begin(), arguments.end());
	return command;
}

Client World::start_client_vm(Domain const &domain, std::vector<std::string> const &arguments)
{
	return start_client(client_vm_command(domain, arguments), domain);
}

Client World::start_host_client(std::vector<std::string> const &arguments)
{
	return start_client(host_client_command(arguments), domain(0, "dom0"));
}

Wire World::vchan_server(int own, int peer, int port, size_t ring) const
{
	return test::vchan_server(transport(), vchan_directory(), own, peer, port, ring);
}

Wire World::vchan_client(int own, int peer, int port) const
{
	return test::vchan_client(transport(), vchan_directory(), own, peer, port);
}

std::string World::fifo(std::string const &name) const
{
	std::string const made = path(name);
	EXPECT_EQ(mkfifo(made.c_str(), 0600), 0) << strerror(errno);
	return made;
}

} // namespace bulkhead::qrexec::test
