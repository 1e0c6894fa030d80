// GetRandom per second through a file, by tpm2-tss' own device TCTI: our mounted /dev/tpm0 against
// a FUSE file that does nothing but pass bytes to swtpm, and against swtpm's raw socket; and the
// same TPM in another domain, behind the file service and the policy. All processes share one CPU,
// since a wake-up across CPUs would be most of what is measured. There it is used in two ways: by
// the same program through a mount, and by a component through the file service's own protocol,
// which needs neither a kernel's requests nor a poll.

#define FUSE_USE_VERSION 314

#include "platform/sim/swtpm_process.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <sched.h>
#include <string>
#include <string_view>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <tss2/tss2_tcti_device.h>
#include <unistd.h>
#include <vector>

namespace {

using namespace bulkhead;

constexpr uint8_t GET_RANDOM[] = {0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7b, 0, 16};
constexpr unsigned ROUNDS = 20'000;
constexpr unsigned REPEATS = 3;

[[noreturn]] void fail(std::string const &what)
{
	std::fprintf(stderr, "tpm_file_bench: %s: %s\n", what.c_str(), std::strerror(errno));
	std::exit(1);
}

int connect_unix(std::string const &path)
{
	int const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	sockaddr_un address{};
	address.sun_family = AF_UNIX;
	std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
	if (connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof(address)) < 0) fail(path);
	return fd;
}

/* A FUSE file that passes bytes: the floor for any file with a TPM behind it. */
struct Pass_through
{
	int tpm = -1;
	bool answers_poll = false;
	uint8_t response[4096]{};
	size_t size = 0;
	size_t read = 0;
};

Pass_through &pass_through(fuse_req_t request)
{
	return *static_cast<Pass_through *>(fuse_req_userdata(request));
}

struct stat attributes(fuse_ino_t inode)
{
	struct stat stat{};
	stat.st_ino = inode;
	stat.st_mode = inode == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0666;
	stat.st_nlink = 1;
	return stat;
}

void lookup(fuse_req_t request, fuse_ino_t, char const *name)
{
	if (std::strcmp(name, "tpm0")) {
		fuse_reply_err(request, ENOENT);
		return;
	}
	fuse_entry_param entry{};
	entry.ino = 2;
	entry.attr = attributes(2);
	entry.attr_timeout = entry.entry_timeout = 1;
	fuse_reply_entry(request, &entry);
}

void getattr(fuse_req_t request, fuse_ino_t inode, fuse_file_info *)
{
	struct stat const stat = attributes(inode);
	fuse_reply_attr(request, &stat, 1);
}

void open_file(fuse_req_t request, fuse_ino_t, fuse_file_info *info)
{
	info->direct_io = 1;
	fuse_reply_open(request, info);
}

void write_file(
	fuse_req_t request, fuse_ino_t, char const *bytes, size_t size, off_t, fuse_file_info *)
{
	Pass_through &file = pass_through(request);
	file.size = file.read = 0;
	if (::write(file.tpm, bytes, size) != ssize_t(size))
		fuse_reply_err(request, EIO);
	else
		fuse_reply_write(request, size);
}

void read_file(fuse_req_t request, fuse_ino_t, size_t size, off_t, fuse_file_info *)
{
	Pass_through &file = pass_through(request);
	if (file.read == file.size) {
		file.read = 0;
		ssize_t const got = ::read(file.tpm, file.response, sizeof(file.response));
		file.size = got > 0 ? size_t(got) : 0;
	}
	size_t const n = std::min(size, file.size - file.read);
	fuse_reply_buf(request, reinterpret_cast<char const *>(file.response) + file.read, n);
	file.read += n;
}

void poll_file(fuse_req_t request, fuse_ino_t, fuse_file_info *, fuse_pollhandle *handle)
{
	if (handle) fuse_pollhandle_destroy(handle);
	if (pass_through(request).answers_poll)
		fuse_reply_poll(request, POLLIN | POLLOUT);
	else
		fuse_reply_err(request, ENOSYS);
}

[[noreturn]] void serve_pass_through(std::string const &mount, std::string const &socket, bool poll)
{
	Pass_through file{.tpm = connect_unix(socket), .answers_poll = poll};
	fuse_lowlevel_ops ops{};
	ops.lookup = lookup;
	ops.getattr = getattr;
	ops.open = open_file;
	ops.read = read_file;
	ops.write = write_file;
	ops.poll = poll_file;
	char name[] = "tpm_file_bench";
	char *arguments[] = {name, nullptr};
	fuse_args args = FUSE_ARGS_INIT(1, arguments);
	fuse_session *const session = fuse_session_new(&args, &ops, sizeof(ops), &file);
	if (!session || fuse_set_signal_handlers(session) || fuse_session_mount(session, mount.c_str()))
		fail("can't mount at " + mount);
	fuse_session_loop(session);
	fuse_session_unmount(session);
	fuse_session_destroy(session);
	std::exit(0);
}

/* A child process that serves `directory/tpm0`, and its end. */
class Server
{
private:
	std::string _directory;
	pid_t _pid = -1;

public:
	template <typename RUN>
	Server(std::string directory, std::string const &file, RUN const &run)
		: _directory(std::move(directory))
	{
		mkdir(_directory.c_str(), 0700);
		_pid = fork();
		if (_pid == 0) run();
		std::string const path = _directory + file;
		for (unsigned tries = 0; access(path.c_str(), F_OK); tries++) {
			if (tries == 10'000 || waitpid(_pid, nullptr, WNOHANG) == _pid)
				fail("nothing appeared at " + path);
			usleep(1'000);
		}
	}
	Server(Server const &) = delete;
	Server &operator=(Server const &) = delete;
	~Server()
	{
		kill(_pid, SIGTERM);
		waitpid(_pid, nullptr, 0);
		rmdir(_directory.c_str());
	}
};

/* Commands per second; the best of some repeats, as the machine's other work only slows down. */
template <typename ONE>
double per_second(ONE const &one)
{
	double best = 0;
	for (unsigned repeat = 0; repeat < REPEATS; repeat++) {
		auto const begin = std::chrono::steady_clock::now();
		for (unsigned i = 0; i < ROUNDS; i++) one();
		std::chrono::duration<double> const took = std::chrono::steady_clock::now() - begin;
		best = std::max(best, ROUNDS / took.count());
	}
	return best;
}

double raw_socket(std::string const &socket)
{
	int const fd = connect_unix(socket);
	double const rate = per_second([fd] {
		uint8_t response[4096];
		if (write(fd, GET_RANDOM, sizeof(GET_RANDOM)) < 0 ||
			read(fd, response, sizeof(response)) < 28)
			fail("GetRandom");
	});
	close(fd);
	return rate;
}

double device_tcti(std::string const &path)
{
	size_t size = 0;
	Tss2_Tcti_Device_Init(nullptr, &size, nullptr);
	std::vector<uint64_t> memory(size / sizeof(uint64_t) + 1);
	auto *const tcti = reinterpret_cast<TSS2_TCTI_CONTEXT *>(memory.data());
	if (Tss2_Tcti_Device_Init(tcti, &size, path.c_str())) fail("device TCTI on " + path);
	double const rate = per_second([tcti] {
		uint8_t response[4096];
		size_t got = sizeof(response);
		if (Tss2_Tcti_Transmit(tcti, sizeof(GET_RANDOM), GET_RANDOM) ||
			Tss2_Tcti_Receive(tcti, &got, response, TSS2_TCTI_TIMEOUT_BLOCK) || got != 28)
			fail("GetRandom through the device TCTI");
	});
	Tss2_Tcti_Finalize(tcti);
	return rate;
}

double through_pass_through(std::string const &directory, bool poll)
{
	sim::Swtpm_process swtpm;
	if (!swtpm.start().ok()) fail(swtpm.message());
	Server const server{
		directory, "/tpm0", [&] { serve_pass_through(directory, swtpm.data_socket(), poll); }};
	return device_tcti(directory + "/tpm0");
}

double through_bulkhead(std::string const &directory, std::string const &bulkhead)
{
	std::string const manifest = directory + ".toml";
	std::ofstream(manifest) << "[bus.spi0]\ncontroller = \"sim\"\n"
							   "[device.tpm0]\ndriver = \"tpm\"\nbus = \"spi0\"\n"
							   "[file.\"/tpm0\"]\nplugin = \"char_device\"\ndevice = \"tpm0\"\n";
	double rate = 0;
	{
		Server const server{directory, "/tpm0", [&] {
								execl(bulkhead.c_str(), "bulkhead", "serve", manifest.c_str(),
									"--mount", directory.c_str(), nullptr);
								fail(bulkhead);
							}};
		rate = device_tcti(directory + "/tpm0");
	}
	unlink(manifest.c_str());
	return rate;
}

/* Starts a program; its standard output is the descriptor. */
struct Child
{
	pid_t pid = -1;
	int output = -1;

	explicit Child(std::vector<std::string> words)
	{
		int ends[2];
		if (pipe2(ends, O_CLOEXEC)) fail("pipe");
		std::vector<char *> arguments;
		for (std::string &word : words) arguments.push_back(word.data());
		arguments.push_back(nullptr);
		pid = fork();
		if (pid == 0) {
			dup2(ends[1], 1);
			execv(arguments[0], arguments.data());
			fail(words[0]);
		}
		close(ends[1]);
		output = ends[0];
	}
	Child(Child const &) = delete;
	Child &operator=(Child const &) = delete;
	~Child()
	{
		kill(pid, SIGTERM);
		waitpid(pid, nullptr, 0);
		close(output);
	}

	/* All that it says, or what it says first. */
	std::string says(bool all)
	{
		std::string text;
		char buffer[256];
		ssize_t n = 0;
		while ((n = read(output, buffer, sizeof(buffer))) > 0) {
			text.append(buffer, size_t(n));
			if (!all) break;
		}
		return text;
	}
};

/*
 * The domain tpm has the TPM. In client it is a mounted file, and this program measures there;
 * native is a component that speaks to the file service itself.
 */
constexpr std::string_view DOMAINS = R"([system]
name = "bench"
permit_weaker = ["landlock", "memory_limit", "cpu_limit", "process_limit"]
rules = """
bulkhead.File +dev client tpm allow
bulkhead.File +dev native tpm allow
"""
[domain.tpm]
component = "files"
services = ["bulkhead.File"]
device.wire.socket = "SWTPM"
config = '''
[bus.spi0]
controller = "sim"
swtpm = "wire"
[device.tpm0]
driver = "tpm"
bus = "spi0"
[file."/tpm0"]
plugin = "char_device"
device = "tpm0"
[export.dev]
'''
[domain.client]
files = ["/usr", "/lib", "/lib64", { source = "PROGRAM", target = "/srv/bench" }]
mount."/tpm" = { domain = "tpm", name = "dev" }
service."bench.Rate".command = ["/srv/bench", "--rate", "/tpm/tpm0"]
[domain.native]
component = "tpm_file_client"
services = ["bench.Rate"]
)";

struct Domain_rates
{
	double mounted = 0;
	double native = 0;
};

std::string replaced(std::string text, std::string_view what, std::string const &by)
{
	return text.replace(text.find(what), what.size(), by);
}

Domain_rates through_domains(std::string const &directory, std::string const &bulkhead)
{
	sim::Swtpm_process swtpm;
	if (!swtpm.start().ok()) fail(swtpm.message());
	std::string const self = std::filesystem::read_symlink("/proc/self/exe");
	std::string const manifest = directory + ".toml";
	std::ofstream(manifest) << replaced(
		replaced(std::string(DOMAINS), "SWTPM", swtpm.data_socket()), "PROGRAM", self);
	setenv("BULKHEAD_RUN_DIR", directory.c_str(), 1);
	Domain_rates rates{};
	{
		Child system({bulkhead, "run", manifest, "--ready-fd", "1"});
		if (system.says(false).empty()) fail("bulkhead run");
		auto const rate_of = [&](char const *domain) {
			double const rate =
				std::atof(Child({bulkhead, "call", domain, "bench.Rate"}).says(true).c_str());
			if (rate == 0) fail(std::string("bench.Rate in ") + domain);
			return rate;
		};
		rates = {.mounted = rate_of("client"), .native = rate_of("native")};
	}
	std::filesystem::remove_all(directory);
	unlink(manifest.c_str());
	return rates;
}

void pin_to_one_cpu()
{
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus)) fail("can't pin to CPU 0");
}

} // namespace

int main(int argc, char **argv)
{
	if (argc == 3 && argv[1] == std::string_view("--rate")) {
		std::printf("%.0f\n", device_tcti(argv[2]));
		return 0;
	}
	if (argc != 2) {
		std::fprintf(stderr, "usage: tpm_file_bench PATH_OF_BULKHEAD\n");
		return 2;
	}
	pin_to_one_cpu();
	std::setvbuf(stdout, nullptr, _IOLBF, 0);
	char directory[] = "/tmp/tpm_file_bench.XXXXXX";
	if (!mkdtemp(directory)) fail(directory);
	std::string const base = directory;

	sim::Swtpm_process swtpm;
	if (!swtpm.start().ok()) fail(swtpm.message());
	double const raw = raw_socket(swtpm.data_socket());
	swtpm.stop();
	double const pass = through_pass_through(base + "/pass", true);
	double const pass_without_poll = through_pass_through(base + "/pass", false);
	double const ours = through_bulkhead(base + "/ours", argv[1]);
	Domain_rates const domains = through_domains(base + "/domains", argv[1]);
	rmdir(directory);

	std::printf("TPM2_GetRandom per second, client, server and swtpm on CPU 0\n");
	std::printf("  raw swtpm socket                       %9.0f\n", raw);
	std::printf("  device TCTI, pass-through file         %9.0f\n", pass);
	std::printf("  device TCTI, same without poll         %9.0f\n", pass_without_poll);
	std::printf("  device TCTI, bulkhead's /dev/tpm0      %9.0f\n", ours);
	std::printf("  device TCTI, mounted in another domain %9.0f\n", domains.mounted);
	std::printf("  component in another domain, no FUSE   %9.0f\n", domains.native);
	std::printf("  ratio to the pass-through file          %8.2f  (aim: 0.90)\n", ours / pass);
	std::printf("  ratio to the one without poll           %8.2f\n", ours / pass_without_poll);
	std::printf(
		"  mounted in another domain to our mount  %8.2f  (aim: 0.80)\n", domains.mounted / ours);
	std::printf(
		"  component in another domain to our mount%8.2f  (aim: 0.80)\n", domains.native / ours);
}
