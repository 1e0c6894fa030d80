// What a sandbox is limited by where the kernel has control groups of version 2, and by Landlock
// alone. Runs as root in a guest with nothing else.

#include "platform/linux/sandbox/test/inmate.h"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <sstream>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>

using namespace bulkhead;
using namespace bulkhead::linux_host;
using testing::HasSubstr;
using testing::MatchesRegex;

namespace {

constexpr uid_t USER = 0x70000123;
constexpr char ROOT[] = "/sys/fs/cgroup";

std::string text_of(std::string const &path)
{
	std::stringstream text;
	text << std::ifstream(path).rdbuf();
	return text.str();
}

bool write_file(std::string const &path, std::string const &text)
{
	return (std::ofstream(path) << text).flush().good();
}

/* The directory that the root group delegates, once. */
std::string parent()
{
	std::string why;
	Attempt<std::string> directory = delegated_cgroup("bulkhead", why);
	EXPECT_TRUE(directory.ok()) << why;
	return directory.ok() ? std::move(directory).value() : std::string();
}

/* With all that there is; nothing may be lacking. */
Sandbox limited(std::vector<std::string> arguments)
{
	Sandbox sandbox = sandbox_of(INMATE, std::move(arguments), {"@program"});
	sandbox.without.clear();
	sandbox.user = sandbox.group = USER;
	sandbox.cgroup = parent() + "/work";
	return sandbox;
}

TEST(Limits, are_all_there)
{
	EXPECT_EQ(parent(), std::string(ROOT) + "/bulkhead");
	for (Lack const &lack : find_lacks(parent()))
		ADD_FAILURE() << name_of(lack.ability) << ": " << lack.why;
	for (Lack const &lack : find_lacks("")) ADD_FAILURE() << name_of(lack.ability) << lack.why;
}

TEST(Limits, end_what_takes_too_much_memory)
{
	Sandbox sandbox = limited({"take", "20"});
	sandbox.memory_bytes = 32 << 20;
	EXPECT_EQ(run(sandbox).output, "taken=20\n");
	sandbox = limited({"take", "64"});
	sandbox.memory_bytes = 32 << 20;
	Ended const ended = run(sandbox);
	EXPECT_EQ(ended.output, "");
	EXPECT_TRUE(WIFSIGNALED(ended.status) && WTERMSIG(ended.status) == SIGKILL) << ended.why;
	EXPECT_FALSE(std::filesystem::exists(sandbox.cgroup));
}

TEST(Limits, hold_scratch_files_and_memory_together)
{
	Sandbox sandbox = limited({"fill", "/tmp/x"});
	sandbox.memory_bytes = 16 << 20;
	sandbox.scratch_bytes = 64 << 20;
	EXPECT_EQ(run(sandbox).output, "");
}

TEST(Limits, keep_processes_few)
{
	Sandbox sandbox = limited({"spawn", "50"});
	sandbox.processes_max = 10;
	EXPECT_EQ(run(sandbox).output, "spawned=9\n");
}

TEST(Limits, share_the_processor)
{
	Sandbox sandbox = limited({"close", "wait"});
	sandbox.cpu_percent = 25;
	std::string why;
	Attempt<Sandboxed> const started = start(sandbox, why);
	ASSERT_TRUE(started.ok()) << why;
	close(sandbox.executable);
	EXPECT_EQ(text_of(sandbox.cgroup + "/cpu.max"), "25000 100000\n");
	EXPECT_EQ(
		text_of(sandbox.cgroup + "/cgroup.procs"), std::to_string(started.value().pid) + "\n");
	// A group that is in use isn't taken over.
	Sandbox second = limited({});
	EXPECT_EQ(run(second).error, Error::BUSY);
	end(started.value(), sandbox.cgroup);
	waitpid(started.value().pid, nullptr, 0);
	EXPECT_FALSE(std::filesystem::exists(sandbox.cgroup));
}

TEST(Limits, of_a_group_that_a_killed_broker_left_are_made_anew)
{
	std::filesystem::create_directory(parent() + "/work");
	Sandbox sandbox = limited({"describe"});
	EXPECT_EQ(run(sandbox).status, 0);
	EXPECT_FALSE(std::filesystem::exists(sandbox.cgroup));
}

TEST(Limits, are_somebody_else_s_in_a_group_that_is_not_delegated)
{
	std::string const session = std::string(ROOT) + "/session.scope";
	std::filesystem::create_directory(session);
	ASSERT_TRUE(write_file(session + "/cgroup.procs", "0"));
	EXPECT_EQ(parent(), std::string(ROOT) + "/bulkhead");
	EXPECT_EQ(text_of("/proc/self/cgroup"), "0::/session.scope\n");
	EXPECT_TRUE(write_file(std::string(ROOT) + "/cgroup.procs", "0"));
	pid_t const pid = fork();
	if (pid == 0) {
		(void)!setresuid(1000, 1000, 1000);
		std::string why;
		bool const refused = !delegated_cgroup("bulkhead", why).ok();
		_exit(!(refused && why.find("Delegate=yes") != std::string::npos));
	}
	int status = -1;
	waitpid(pid, &status, 0);
	EXPECT_EQ(status, 0);
}

TEST(Limits, are_for_children_of_a_delegated_group)
{
	std::string const unit = std::string(ROOT) + "/bulkhead.service";
	std::filesystem::create_directory(unit);
	ASSERT_TRUE(write_file(unit + "/cgroup.procs", "0"));
	ASSERT_EQ(setxattr(unit.c_str(), "user.delegate", "1", 1, 0), 0); // as systemd does
	std::string why;
	Attempt<std::string> const directory = delegated_cgroup("broker", why);
	ASSERT_TRUE(directory.ok()) << why;
	EXPECT_EQ(directory.value(), unit);
	EXPECT_EQ(text_of("/proc/self/cgroup"), "0::/bulkhead.service/broker\n");
	Sandbox sandbox = limited({"show", "/proc/self/cgroup"});
	sandbox.proc = true;
	sandbox.cgroup = unit + "/work";
	sandbox.memory_bytes = 32 << 20;
	EXPECT_EQ(run(sandbox).output, "0::/\n"); // its own is the root of all that it knows
	EXPECT_TRUE(write_file(std::string(ROOT) + "/cgroup.procs", "0"));
}

TEST(Landlock, keeps_a_process_without_namespaces_from_files)
{
	std::filesystem::create_directory("/tmp/given");
	ASSERT_TRUE(write_file("/tmp/given/file", "text"));
	ASSERT_TRUE(write_file("/tmp/secret", "secret"));
	chmod("/tmp/given", 0777);
	ASSERT_TRUE(write_file("/proc/sys/user/max_user_namespaces", "0"));
	Sandbox sandbox = limited({"show", "/tmp/given/file", "put", "/tmp/given/new", "x", "show",
		"/tmp/secret", "show", "/proc/version", "describe"});
	sandbox.binds = {{"/tmp/given", "/srv"}};
	EXPECT_THAT(run(sandbox).why, HasSubstr("clone3: No space left on device"));
	sandbox.executable = open(INMATE, O_PATH | O_CLOEXEC);
	sandbox.without = {Ability::NAMESPACES};
	Ended const ended = run(sandbox);
	EXPECT_EQ(ended.why, "");
	EXPECT_THAT(ended.output,
		MatchesRegex("texterror=13\nerror=13\nerror=13\npid=[0-9]+\n"
					 "uid=1879048483\ngid=1879048483\n(.|\n)*"));
	ASSERT_TRUE(write_file("/proc/sys/user/max_user_namespaces", "1000"));
}

TEST(Sandbox, without_namespaces_is_nobody)
{
	ASSERT_TRUE(write_file("/proc/sys/user/max_user_namespaces", "0"));
	Sandbox sandbox = limited({"describe"});
	sandbox.user = sandbox.group = 0;
	sandbox.without = {Ability::NAMESPACES};
	EXPECT_THAT(run(sandbox).output, HasSubstr("uid=65534\ngid=65534\n"));
	ASSERT_TRUE(write_file("/proc/sys/user/max_user_namespaces", "1000"));
}

} // namespace
