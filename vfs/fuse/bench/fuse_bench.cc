// Reads per second through the front end as a ratio to libfuse's own loop around a file that does
// nothing, both in one run and in turns: client and server on one CPU, then on two.
//
//	fuse_bench [SECONDS per measurement, 0.2]

#include "platform/linux/signals.h"
#include "vfs/fuse/bench/null_file.h"
#include "vfs/fuse/front_end.h"
#include "vfs/fuse/libfuse.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sched.h>
#include <string>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace bulkhead;

namespace {

constexpr unsigned ROUNDS = 9;
char zeros[1 << 20];

[[noreturn]] void give_up(char const *what)
{
	perror(what);
	exit(1);
}

void pin_to(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof set, &set) != 0) give_up("sched_setaffinity");
}

// What libfuse's own example looks like.

void attributes(struct stat &stat, fuse_ino_t number)
{
	stat = {};
	stat.st_ino = number;
	stat.st_mode = number == 1 ? S_IFDIR | 0755 : S_IFREG | 0666;
	stat.st_nlink = 1;
}

void null_lookup(fuse_req_t request, fuse_ino_t, char const *name)
{
	if (strcmp(name, "null") != 0) {
		fuse_reply_err(request, ENOENT);
		return;
	}
	fuse_entry_param entry{};
	entry.ino = 2;
	entry.attr_timeout = entry.entry_timeout = 1;
	attributes(entry.attr, entry.ino);
	fuse_reply_entry(request, &entry);
}

void null_getattr(fuse_req_t request, fuse_ino_t number, fuse_file_info *)
{
	struct stat stat;
	attributes(stat, number);
	fuse_reply_attr(request, &stat, 1);
}

void null_open(fuse_req_t request, fuse_ino_t, fuse_file_info *info)
{
	info->direct_io = 1;
	fuse_reply_open(request, info);
}

void null_read(fuse_req_t request, fuse_ino_t, size_t size, off_t, fuse_file_info *)
{
	fuse_reply_buf(request, zeros, std::min(size, sizeof zeros));
}

void serve_libfuse(std::string const &directory)
{
	fuse_lowlevel_ops table{};
	table.lookup = null_lookup;
	table.getattr = null_getattr;
	table.open = null_open;
	table.read = null_read;
	char name[] = "fuse_bench";
	char *arguments[] = {name, nullptr};
	fuse_args args = FUSE_ARGS_INIT(1, arguments);
	fuse_session *const session = fuse_session_new(&args, &table, sizeof table, nullptr);
	if (!session || fuse_set_signal_handlers(session) != 0 ||
		fuse_session_mount(session, directory.c_str()) != 0)
		exit(1);
	fuse_session_loop(session);
	fuse_session_unmount(session);
	fuse_session_destroy(session);
}

void serve_ours(std::string const &directory)
{
	linux_host::Loop loop;
	linux_host::Stop_signals signals(loop);
	fuse::Null_directory root;
	fuse::Front_end front_end(loop, Ref<vfs::Node>(root), {.mount_point = directory});
	if (!signals.start().ok()) exit(1);
	if (auto const problem = front_end.mount()) {
		fprintf(stderr, "fuse_bench: %s\n", problem->what.c_str());
		exit(1);
	}
	loop.run();
}

class Server
{
private:
	std::string _directory;
	pid_t _process = 0;
	int _file = -1;

public:
	explicit Server(void (*serve)(std::string const &))
	{
		char name[] = "/tmp/fuse_bench.XXXXXX";
		if (!mkdtemp(name)) give_up("mkdtemp");
		_directory = name;
		_process = fork();
		if (_process == 0) {
			serve(_directory);
			exit(0);
		}
		std::string const path = _directory + "/null";
		while ((_file = open(path.c_str(), O_RDWR)) < 0)
			if (waitpid(_process, nullptr, WNOHANG) != 0) exit(1);
	}
	Server(Server const &) = delete;
	~Server()
	{
		close(_file);
		kill(_process, SIGTERM);
		waitpid(_process, nullptr, 0);
		rmdir(_directory.c_str());
	}

	void pin(int cpu)
	{
		cpu_set_t set;
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		if (sched_setaffinity(_process, sizeof set, &set) != 0) give_up("sched_setaffinity");
	}

	/* Reads of this size per second. */
	double measure(size_t size, double seconds) const
	{
		using Clock = std::chrono::steady_clock;
		static char buffer[8192];
		auto const start = Clock::now();
		std::chrono::duration<double> passed{};
		unsigned reads = 0;
		do {
			for (unsigned i = 0; i < 64; ++i, ++reads)
				if (pread(_file, buffer, size, 0) != static_cast<ssize_t>(size)) give_up("pread");
			passed = Clock::now() - start;
		} while (passed.count() < seconds);
		return reads / passed.count();
	}
};

double median(std::vector<double> values)
{
	std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
	return values[values.size() / 2];
}

} // namespace

int main(int count, char **arguments)
{
	double const seconds = count > 1 ? atof(arguments[1]) : 0.2;
	Server null(serve_libfuse);
	Server ours(serve_ours);
	pin_to(0);
	for (int const cpu : std::array{0, 1}) {
		null.pin(cpu);
		ours.pin(cpu);
		for (size_t const size : std::array<size_t, 2>{1, 4096}) {
			std::vector<double> of_null, of_ours, ratios;
			for (unsigned i = 0; i < ROUNDS; ++i) {
				of_null.push_back(null.measure(size, seconds));
				of_ours.push_back(ours.measure(size, seconds));
				ratios.push_back(of_ours.back() / of_null.back());
			}
			printf("FUSE read of %4zu B, %s: libfuse's null file %6.0f/s, ours %6.0f/s, "
				   "ratio %.2f (aim: 0.90)\n",
				size, cpu == 0 ? "client and server on CPU 0  " : "client on CPU 0, server on 1",
				median(of_null), median(of_ours), median(ratios));
			fflush(stdout);
		}
	}
}
