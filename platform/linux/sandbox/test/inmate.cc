// Runs in sandboxes that tests make: does what its arguments say and answers on standard output.

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

void say(char const *what, long value) { dprintf(1, "%s=%ld\n", what, value); }

void say(char const *what, char const *value) { dprintf(1, "%s=%s\n", what, value ? value : ""); }

void describe(char **environment)
{
	say("pid", getpid());
	say("uid", getuid());
	say("gid", getgid());
	for (; *environment; ++environment) dprintf(1, "env %s\n", *environment);
	for (int i = 0; i < 1024; ++i) {
		struct stat status{};
		if (fstat(i, &status) == 0) dprintf(1, "fd %d\n", i);
	}
	rlimit limit{};
	getrlimit(RLIMIT_NOFILE, &limit);
	say("files", static_cast<long>(limit.rlim_cur));
	getrlimit(RLIMIT_CORE, &limit);
	say("core", static_cast<long>(limit.rlim_cur));
	char name[256]{};
	gethostname(name, sizeof name);
	say("host", name);
}

void list(char const *directory)
{
	DIR *const open = opendir(directory);
	if (!open) return say("error", errno);
	while (dirent const *const entry = readdir(open))
		if (entry->d_name[0] != '.') dprintf(1, "entry %s\n", entry->d_name);
	closedir(open);
}

void show(char const *path)
{
	int const file = open(path, O_RDONLY);
	char text[4096];
	ssize_t const bytes = file < 0 ? -1 : read(file, text, sizeof text);
	if (bytes < 0) return say("error", errno);
	write(1, text, static_cast<size_t>(bytes));
}

void put(char const *path, char const *text)
{
	int const file = open(path, O_WRONLY | O_CREAT, 0600);
	bool const good = file >= 0 && write(file, text, strlen(text)) == ssize_t(strlen(text));
	say("error", good ? 0 : errno);
	close(file);
}

/* Takes memory, page by page. */
void take(char const *mebibytes)
{
	for (long i = 0; i < atol(mebibytes); ++i) {
		void *const memory = malloc(1 << 20);
		if (!memory) return say("taken", i);
		memset(memory, 1, 1 << 20);
		asm volatile("" : : "r"(memory) : "memory");
	}
	say("taken", mebibytes);
}

/* As many processes as there may be. */
void spawn(char const *count)
{
	for (long i = 0; i < atol(count); ++i) {
		pid_t const pid = fork();
		if (pid < 0) return say("spawned", i);
		if (pid == 0)
			for (;;) pause();
	}
	say("spawned", count);
}

/* Writes until there is no more room. */
void fill(char const *path)
{
	int const file = open(path, O_WRONLY | O_CREAT, 0600);
	static char block[1024];
	long blocks = 0;
	// Rounded, as other files take some of it.
	while (write(file, block, sizeof block) == sizeof block) ++blocks;
	say("filled", errno == ENOSPC ? (blocks + 63) / 64 * 64 : -1);
}

void describe_signals()
{
	sigset_t mask;
	sigprocmask(SIG_SETMASK, nullptr, &mask);
	long blocked = 0, ignored = 0;
	for (int i = 1; i < 32; ++i) {
		struct sigaction action{};
		blocked += sigismember(&mask, i) == 1;
		ignored += sigaction(i, nullptr, &action) == 0 && action.sa_handler != SIG_DFL;
	}
	say("blocked", blocked);
	say("ignored", ignored);
}

/* What the kernel asks first of who serves a file system. */
void read_fuse(char const *descriptor)
{
	unsigned request[16384]{};
	if (read(atoi(descriptor), request, sizeof request) > 0) say("opcode", request[1]);
}

void start_thread()
{
	pthread_t thread;
	int const error =
		pthread_create(&thread, nullptr, [](void *) -> void * { return nullptr; }, nullptr);
	say("thread", error);
	if (!error) pthread_join(thread, nullptr);
}

} // namespace

int main(int argc, char **argv, char **environment)
{
	for (int i = 1; i < argc; ++i) {
		std::string const what = argv[i];
		char const *const next = argv[i + 1];
		if (what == "describe") describe(environment);
		if (what == "list") list(next);
		if (what == "show") show(next);
		if (what == "put") put(next, argv[i + 2]);
		if (what == "take") take(next);
		if (what == "spawn") spawn(next);
		if (what == "fill") fill(next);
		if (what == "signals") describe_signals();
		if (what == "fuse") read_fuse(next);
		if (what == "thread") start_thread();
		if (what == "hold") open("/proc/self/exe", O_PATH);
		if (what == "chmod") say("error", chmod(next, 04777) == 0 ? 0 : errno);
		if (what == "crash") __builtin_trap();
		if (what == "execute") return execv(next, argv + i + 1);
		if (what == "wait")
			for (;;) pause();
		if (what == "exit") _exit(atoi(next));
	}
	return 0;
}
