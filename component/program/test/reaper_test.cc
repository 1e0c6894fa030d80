#include "component/program/reaper.h"

#include <gtest/gtest.h>
#include <map>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::component {
namespace {

struct Noted final : Reaper::Events
{
	std::map<pid_t, int> codes{};

	void ended(pid_t process, int exit_code) override { codes[process] = exit_code; }
};

class Reaper_test : public testing::Test
{
protected:
	linux_host::Loop _loop{};
	Noted _noted{};
	Reaper _reaper{_loop, _noted};

	void SetUp() override { ASSERT_TRUE(_reaper.start().ok()); }

	static pid_t child(int exit_code)
	{
		pid_t const process = fork();
		if (process == 0) _exit(exit_code);
		return process;
	}

	// Has ended, and can be waited for.
	static void ended(pid_t process)
	{
		siginfo_t info{};
		ASSERT_EQ(waitid(P_PID, static_cast<id_t>(process), &info, WEXITED | WNOWAIT), 0);
	}
};

TEST_F(Reaper_test, takes_in_whoever_ends)
{
	pid_t const one = child(0), two = child(7);
	while (_noted.codes.size() < 2) _loop.poll(NEVER_US);
	EXPECT_EQ(_noted.codes[one], 0);
	EXPECT_EQ(_noted.codes[two], 7);
	EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
}

TEST_F(Reaper_test, takes_in_orphans)
{
	ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	int ends[2];
	ASSERT_EQ(pipe(ends), 0);
	pid_t const parent = fork();
	if (parent == 0) {
		pid_t const orphan = child(9);
		_exit(write(ends[1], &orphan, sizeof(orphan)) == sizeof(orphan) ? 0 : 1);
	}
	pid_t orphan = -1;
	ASSERT_EQ(read(ends[0], &orphan, sizeof(orphan)), static_cast<ssize_t>(sizeof(orphan)));
	while (_noted.codes.size() < 2) _loop.poll(NEVER_US);
	EXPECT_EQ(_noted.codes[parent], 0);
	EXPECT_EQ(_noted.codes[orphan], 9);
	close(ends[0]);
	close(ends[1]);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST_F(Reaper_test, leaves_a_kept_one_to_its_owner_and_takes_in_the_others_then)
{
	pid_t const kept = child(3);
	_reaper.keep(kept);
	ended(kept);
	pid_t const other = child(4);
	ended(other);
	for (int i = 0; i < 3; ++i) _loop.poll(0);
	EXPECT_FALSE(_noted.codes.contains(kept));
	int status = 0;
	ASSERT_EQ(waitpid(kept, &status, WNOHANG), kept);
	EXPECT_EQ(WEXITSTATUS(status), 3);
	_reaper.release(kept);
	while (!_noted.codes.contains(other)) _loop.poll(NEVER_US);
	EXPECT_EQ(_noted.codes[other], 4);
	EXPECT_EQ(_noted.codes.size(), 1U);
}

// As its number may be somebody else's then.
TEST_F(Reaper_test, takes_in_one_that_was_released_before_its_end)
{
	int ends[2];
	ASSERT_EQ(pipe(ends), 0);
	pid_t const process = fork();
	if (process == 0) {
		char byte;
		_exit(read(ends[0], &byte, 1) == 1 ? 5 : 6);
	}
	_reaper.keep(process);
	_reaper.release(process);
	ASSERT_EQ(write(ends[1], "x", 1), 1);
	while (_noted.codes.empty()) _loop.poll(NEVER_US);
	EXPECT_EQ(_noted.codes[process], 5);
	close(ends[0]);
	close(ends[1]);
}

} // namespace
} // namespace bulkhead::component
