#include "platform/linux/sandbox/test/inmate.h"
#include "platform/linux/sandbox/test/unprivileged.h"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

using namespace bulkhead;
using namespace bulkhead::linux_host;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

namespace {

constexpr uid_t USER = 0x70000123;

/* Of a program that sees its own root. */
Sandbox program_of(std::vector<std::string> arguments)
{
	Sandbox sandbox = sandbox_of(INMATE, std::move(arguments), {"@program"});
	sandbox.proc = true;
	if (geteuid() == 0) sandbox.user = sandbox.group = USER;
	return sandbox;
}

Ended run_inmate(std::vector<std::string> arguments)
{
	Sandbox sandbox = sandbox_of(INMATE, std::move(arguments), {"@talk"});
	return run(sandbox);
}

/* A directory of this test's that the sandbox's user may use. */
class Directory
{
public:
	std::string const path =
		testing::TempDir() + "bulkhead-sandbox-" + std::to_string(getpid()) + "/";

	Directory()
	{
		std::filesystem::create_directories(path);
		chmod(path.c_str(), 0777);
	}
	Directory(Directory const &) = delete;
	~Directory() { std::filesystem::remove_all(path); }

	std::string file(std::string const &name, std::string const &text) const
	{
		std::ofstream(path + name) << text;
		return path + name;
	}
};

size_t open_descriptors()
{
	size_t count = 0;
	for (auto const &entry : std::filesystem::directory_iterator("/proc/self/fd"))
		count += !entry.path().empty();
	return count;
}

TEST(Sandbox, runs_a_static_program_as_the_first_process_of_an_empty_world)
{
	Ended const ended = run_inmate({"describe"});
	EXPECT_EQ(ended.why, "");
	EXPECT_EQ(ended.status, 0);
	EXPECT_THAT(ended.output,
		HasSubstr("pid=1\nuid=1000\ngid=1000\nfd 0\nfd 1\nfd 2\nfiles=1024\ncore=1\n"));
	EXPECT_THAT(ended.output, Not(HasSubstr("env")));
}

TEST(Sandbox, works_for_an_unprivileged_caller)
{
	as_unprivileged([] {
		EXPECT_THAT(run_inmate({"describe"}).output, HasSubstr("pid=1\nuid=1000\ngid=1000\n"));
		Sandbox sandbox = program_of({"list", "/dev", "put", "/tmp/x", "y", "show", "/tmp/x"});
		sandbox.scratch_bytes = 1 << 20;
		sandbox.binds = {{"/usr", "/usr"}};
		Ended const ended = run(sandbox);
		EXPECT_EQ(ended.why, "");
		EXPECT_THAT(ended.output, HasSubstr("entry null\n"));
		EXPECT_THAT(ended.output, HasSubstr("error=0\ny"));
	});
}

TEST(Sandbox, has_an_empty_root)
{
	Sandbox sandbox = program_of({"list", "/"});
	sandbox.proc = false;
	EXPECT_EQ(run(sandbox).output, "");
}

TEST(Sandbox, gives_descriptors_from_3_on_with_names)
{
	int low[2], high[2];
	ASSERT_EQ(pipe2(low, O_CLOEXEC), 0);
	ASSERT_EQ(pipe2(high, O_CLOEXEC), 0);
	Sandbox sandbox = sandbox_of(INMATE, {"describe"}, {"@talk"});
	sandbox.environment = {"BULKHEAD_DOMAIN=work"};
	// In an order in which each is in the way of another.
	sandbox.given = {{high[1], "gate"}, {3, "three"}, {low[0], "device:wire"}};
	std::string const output = run(sandbox).output;
	EXPECT_THAT(output, HasSubstr("env BULKHEAD_DOMAIN=work\n"));
	EXPECT_THAT(output, HasSubstr("env LISTEN_PID=1\nenv LISTEN_FDS=3\n"));
	EXPECT_THAT(output, HasSubstr("env LISTEN_FDNAMES=gate:three:device:wire\n"));
	EXPECT_THAT(output, HasSubstr("fd 2\nfd 3\nfd 4\nfd 5\nfiles"));
	for (int const end : {low[0], low[1], high[0], high[1]}) close(end);
}

TEST(Sandbox, has_a_name_of_its_own_for_the_host)
{
	Sandbox sandbox = sandbox_of(INMATE, {"describe"}, {"@talk"});
	sandbox.host_name = "vault";
	EXPECT_THAT(run(sandbox).output, HasSubstr("host=vault\n"));
}

TEST(Sandbox, shows_proc_of_its_own_processes_only)
{
	Sandbox sandbox = program_of({"list", "/proc"});
	EXPECT_THAT(lines(run(sandbox).output),
		testing::UnorderedElementsAre("entry 1", "entry self", "entry thread-self"));
}

TEST(Sandbox, may_write_to_scratch_up_to_its_limit)
{
	Sandbox sandbox = program_of({"put", "/tmp/x", "text", "show", "/tmp/x", "put", "/run/x", "y",
		"put", "/usr", "z", "fill", "/dev/shm/full"});
	sandbox.scratch_bytes = 1 << 20;
	EXPECT_EQ(run(sandbox).output, "error=0\ntexterror=0\nerror=30\nfilled=1024\n");
}

TEST(Sandbox, shows_files_and_directories_of_the_host_read_only)
{
	Directory const directory;
	std::string const file = directory.file("file", "text");
	Sandbox sandbox = program_of({"show", "/etc/thing", "put", "/etc/thing", "x", "show",
		"/srv/a/b/file", "put", "/srv/a/b/new", "x"});
	sandbox.binds = {{file, "/etc/thing"}, {directory.path, "/srv/a/b"}};
	Ended const ended = run(sandbox);
	EXPECT_EQ(ended.why, "");
	EXPECT_THAT(ended.output, MatchesRegex("texterror=(30|13)\ntexterror=(30|13)\n"));
}

TEST(Sandbox, shows_a_directory_to_be_written_to)
{
	Directory const directory;
	Sandbox sandbox = program_of({"put", "/srv/new", "text"});
	sandbox.binds = {{directory.path, "/srv", true}};
	EXPECT_EQ(run(sandbox).output, "error=0\n");
	std::string text;
	std::ifstream(directory.path + "new") >> text;
	EXPECT_EQ(text, "text");
}

TEST(Sandbox, follows_no_links_where_it_puts_files)
{
	Directory const directory;
	std::filesystem::create_directory_symlink("/tmp", directory.path + "link");
	Sandbox sandbox = program_of({});
	sandbox.binds = {{directory.path, "/srv"}, {"/usr", "/srv/link/usr"}};
	Ended const ended = run(sandbox);
	EXPECT_THAT(ended.why, HasSubstr("srv/link/usr: Too many levels of symbolic links"));
	for (std::string const target : {"/", "usr", "/a/../b", "/a//b", "/a/.", ""}) {
		Sandbox bad = program_of({});
		bad.binds = {{"/usr", target}};
		EXPECT_EQ(run(bad).error, Error::INVALID) << target;
	}
}

TEST(Sandbox, gives_nothing_to_a_program_that_is_root_by_its_file)
{
	if (geteuid() != 0) GTEST_SKIP() << "needs root";
	Directory const directory;
	std::filesystem::copy_file(INMATE, directory.path + "inmate");
	chmod((directory.path + "inmate").c_str(), 06755);
	Sandbox sandbox = program_of({"execute", "/srv/inmate", "describe"});
	sandbox.binds = {{directory.path, "/srv"}};
	EXPECT_THAT(run(sandbox).output, HasSubstr("uid=1000\ngid=1000\n"));
}

/* What it runs is a file of the host, which belongs to its own user here. */
TEST(Sandbox, can_not_change_its_own_program)
{
	as_unprivileged([] {
		Directory const directory;
		std::filesystem::copy_file(INMATE, directory.path + "own");
		std::filesystem::copy_file(INMATE, directory.path + "other");
		Sandbox sandbox = program_of({"chmod", "/proc/self/exe", "hold", "execute", "/srv/other",
			"put", "/proc/self/fd/3", "x"});
		close(sandbox.executable);
		sandbox.executable = open((directory.path + "own").c_str(), O_PATH | O_CLOEXEC);
		sandbox.binds = {{directory.path, "/srv"}};
		EXPECT_EQ(run(sandbox).output, "error=30\nerror=30\n") << "EROFS";
	});
}

TEST(Sandbox, dumps_no_core)
{
	Sandbox sandbox = program_of({"crash"});
	Ended const ended = run(sandbox);
	EXPECT_TRUE(WIFSIGNALED(ended.status));
	EXPECT_FALSE(WCOREDUMP(ended.status));
}

TEST(Sandbox, has_signals_as_by_default_whatever_the_caller_does_with_them)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	auto *const pipe = signal(SIGPIPE, SIG_IGN);
	Ended const ended = run_inmate({"signals"});
	signal(SIGPIPE, pipe);
	pthread_sigmask(SIG_SETMASK, &before, nullptr);
	EXPECT_EQ(ended.output, "blocked=0\nignored=0\n");
}

TEST(Sandbox, mounts_fuse_and_gives_its_descriptor)
{
	if (access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "needs /dev/fuse";
	Sandbox sandbox = program_of({"describe", "fuse", "3", "statfs", "/tpm"});
	sandbox.fuse_mounts = {"/tpm"};
	Ended const ended = run(sandbox);
	EXPECT_EQ(ended.why, "");
	EXPECT_THAT(ended.output, HasSubstr("env LISTEN_FDNAMES=fuse:0\n"));
	EXPECT_THAT(ended.output, HasSubstr("opcode=26\n")); // FUSE_INIT
}

TEST(Sandbox, starts_with_a_mount_that_nobody_serves_and_files_of_the_host)
{
	if (access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "needs /dev/fuse";
	Sandbox sandbox = program_of({"describe"});
	sandbox.fuse_mounts = {"/srv/tpm", "/other"};
	sandbox.binds = {{"/usr", "/usr"}};
	Ended const ended = run(sandbox);
	EXPECT_EQ(ended.why, "");
	EXPECT_THAT(ended.output, HasSubstr("fd 2\nfd 3\nfd 4\nfiles"));
}

TEST(Sandbox, says_what_went_wrong_and_leaves_nothing_behind)
{
	size_t const before = open_descriptors();
	auto const why = [](auto change) {
		Sandbox sandbox = program_of({});
		change(sandbox);
		return run(sandbox).why;
	};
	EXPECT_THAT(why([](Sandbox &s) { s.binds = {{"/nowhere", "/x"}}; }),
		HasSubstr("can't show /nowhere: No such file or directory; it must exist"));
	EXPECT_THAT(why([](Sandbox &s) {
		close(s.executable);
		s.executable = open("/etc/passwd", O_PATH);
	}),
		HasSubstr("can't execute the program: Permission denied"));
	EXPECT_THAT(why([](Sandbox &s) { s.host_name = std::string(100, 'x'); }),
		HasSubstr("can't set the host name: Invalid argument"));
	EXPECT_THAT(why([](Sandbox &s) { s.given = {{999, "closed"}}; }),
		HasSubstr("can't give the descriptors: Bad file descriptor"));
	EXPECT_EQ(open_descriptors(), before);
	EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1); // no child
}

TEST(Sandbox, refuses_to_do_without_what_it_was_not_told_it_may)
{
	Directory const directory;
	Sandbox sandbox = program_of({});
	std::erase(sandbox.without, Ability::MEMORY_LIMIT);
	sandbox.memory_bytes = 1 << 20;
	sandbox.cgroup = directory.path + "group"; // a directory where nothing is a limit
	Ended const ended = run(sandbox);
	EXPECT_EQ(ended.error, Error::NOT_SUPPORTED);
	EXPECT_THAT(ended.why, HasSubstr("lacks memory_limit: "));
	EXPECT_THAT(ended.why, HasSubstr("has no controller \"memory\""));
	EXPECT_FALSE(std::filesystem::exists(sandbox.cgroup));
	Sandbox unfiltered = sandbox_of(INMATE, {}, {"@talk"});
	unfiltered.system_calls = nullptr;
	EXPECT_THAT(run(unfiltered).why, HasSubstr("lacks seccomp"));
}

TEST(Sandbox, takes_a_lack_of_descriptors_for_no_lack_of_the_machine)
{
	pid_t const pid = fork();
	if (pid == 0) {
		Sandbox sandbox = sandbox_of(INMATE, {"describe"}, {"@talk"});
		int const nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
		sandbox.log = nothing;
		rlimit limit{};
		getrlimit(RLIMIT_NOFILE, &limit);
		limit.rlim_cur = 600; // a sandbox needs numbers up to 512
		EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
		std::vector<Owned_fd> taken;
		for (int fd = 0; (fd = fcntl(nothing, F_DUPFD_CLOEXEC, 0)) >= 0;) taken.emplace_back(fd);
		std::string why;
		unsigned failed = 0;
		for (Attempt<Sandboxed> started = Error::IO; !started.ok() && !taken.empty(); ++failed) {
			started = start(sandbox, why);
			if (started.ok()) break;
			EXPECT_NE(started.error(), Error::NOT_SUPPORTED);
			EXPECT_THAT(why, HasSubstr("Too many open files; raise ulimit -n"));
			taken.pop_back();
		}
		EXPECT_GE(failed, 3u);
		EXPECT_FALSE(taken.empty()) << why;
		fflush(nullptr);
		_exit(testing::Test::HasFailure());
	}
	int status = -1;
	waitpid(pid, &status, 0);
	EXPECT_EQ(status, 0);
}

TEST(Sandbox, limits_memory_and_processes_of_each_without_a_cgroup)
{
	Sandbox sandbox = program_of({"take", "256", "spawn", "50"});
	sandbox.memory_bytes = 64 << 20;
	sandbox.processes_max = 10;
	sandbox.without = {Ability::MEMORY_LIMIT, Ability::PROCESS_LIMIT};
	std::string const output = run(sandbox).output;
	EXPECT_THAT(output, MatchesRegex("taken=[1-6][0-9]\nspawned=9\n"));
}

TEST(Sandbox, ends_all_of_its_processes)
{
	int ends[2];
	ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
	Sandbox sandbox = program_of({"spawn", "5", "wait"});
	sandbox.log = ends[1];
	std::string why;
	Attempt<Sandboxed> const started = start(sandbox, why);
	ASSERT_TRUE(started.ok()) << why;
	close(ends[1]);
	close(sandbox.executable);
	char text[64];
	EXPECT_GT(read(ends[0], text, sizeof text), 0);
	end(started.value(), {});
	EXPECT_EQ(read(ends[0], text, sizeof text), 0); // nobody has the other end any more
	close(ends[0]);
	EXPECT_EQ(waitpid(started.value().pid, nullptr, 0), started.value().pid);
	end(started.value(), {}); // again: nothing to do
}

TEST(Sandbox, tells_of_a_process_before_it_begins)
{
	Sandbox sandbox = sandbox_of(INMATE, {"describe"}, {"@talk"});
	int seen = -1;
	sandbox.born = [&](int process) {
		pollfd ended{process, POLLIN, 0};
		seen = poll(&ended, 1, 0);
	};
	EXPECT_EQ(run(sandbox).status, 0);
	EXPECT_EQ(seen, 0);
}

TEST(Sandbox, ends_a_process_that_its_caller_did_not_live_to_let_begin)
{
	int ends[2];
	ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
	pid_t const caller = fork();
	if (caller == 0) {
		Sandbox sandbox = sandbox_of(INMATE, {"wait"}, {"@talk"});
		sandbox.born = [](int) { raise(SIGKILL); };
		std::string why;
		(void)start(sandbox, why);
		_exit(0);
	}
	close(ends[1]);
	char byte;
	EXPECT_EQ(read(ends[0], &byte, 1), 0); // neither has the other end any more
	close(ends[0]);
	waitpid(caller, nullptr, 0);
}

TEST(Sandbox, is_the_weaker_form_where_that_is_permitted)
{
	if (geteuid() != 0) GTEST_SKIP() << "needs root";
	pid_t const pid = fork();
	if (pid == 0) {
		// No more namespaces for anybody in this one.
		auto const write_file = [](char const *path, char const *text) {
			return (std::ofstream(path) << text).flush().good();
		};
		bool const good = unshare(CLONE_NEWUSER) == 0 &&
			write_file("/proc/self/setgroups", "deny") &&
			write_file("/proc/self/uid_map", "1000 0 1") &&
			write_file("/proc/self/gid_map", "1000 0 1") &&
			write_file("/proc/sys/user/max_user_namespaces", "0");
		EXPECT_TRUE(good);
		Sandbox sandbox = sandbox_of(INMATE, {"describe"}, {"@talk"});
		std::string const why = run(sandbox).why;
		EXPECT_THAT(why, HasSubstr("clone3: No space left on device"));
		EXPECT_THAT(why, HasSubstr("user.max_user_namespaces"));
		sandbox = sandbox_of(INMATE, {"describe"}, {"@talk"});
		sandbox.without.push_back(Ability::NAMESPACES);
		Ended const ended = run(sandbox);
		EXPECT_THAT(ended.output, HasSubstr("fd 2\nfiles=")) << ended.why;
		fflush(nullptr);
		_exit(!good || testing::Test::HasFailure());
	}
	int status = -1;
	waitpid(pid, &status, 0);
	EXPECT_EQ(status, 0);
}

TEST(System_calls, names_what_it_does_not_know)
{
	std::string why;
	EXPECT_EQ(compile_system_calls({"@talk", "opne"}, why).error(), Error::INVALID);
	EXPECT_THAT(why, HasSubstr("\"opne\" is no system call"));
	EXPECT_EQ(compile_system_calls({"@nobody"}, why).error(), Error::INVALID);
}

TEST(System_calls, are_those_of_the_list)
{
	Sandbox sandbox = sandbox_of(INMATE, {"list", "/"}, {"@talk"});
	EXPECT_EQ(run(sandbox).output, "error=1\n");
	sandbox = sandbox_of(INMATE, {"list", "/"}, {"@talk", "openat", "getdents64"});
	EXPECT_EQ(run(sandbox).output, "");
	sandbox = sandbox_of(INMATE, {"thread"}, {"@talk"});
	EXPECT_EQ(run(sandbox).output, "thread=1\n");
	sandbox = sandbox_of(INMATE, {"thread"}, {"@talk", "@threads"});
	EXPECT_EQ(run(sandbox).output, "thread=0\n");
}

TEST(Find_lacks, says_why_each_is_lacking)
{
	for (Lack const &lack : find_lacks("")) EXPECT_NE(lack.why, "") << name_of(lack.ability);
	std::vector<Lack> const lacks = find_lacks("/nowhere");
	ASSERT_GE(lacks.size(), 3u);
	EXPECT_THAT(lacks.back().why, HasSubstr("/nowhere has no controller \"pids\""));
}

} // namespace
