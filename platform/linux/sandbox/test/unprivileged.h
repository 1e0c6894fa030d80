#pragma once

// Has a test's body run by a broker that isn't root.

#include <cstdio>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::linux_host {

inline constexpr uid_t BROKER = 65533;

/* In a process that is somebody else from then on. */
inline void as_unprivileged(void (*body)())
{
	if (geteuid() != 0) return body();
	pid_t const pid = fork();
	if (pid == 0) {
		bool const good = setgroups(0, nullptr) == 0 && setresgid(BROKER, BROKER, BROKER) == 0 &&
			setresuid(BROKER, BROKER, BROKER) == 0;
		prctl(PR_SET_DUMPABLE, 1);
		if (good) [&]() noexcept { body(); }(); // else the rest of the tests would run twice
		fflush(nullptr);
		_exit(!good || testing::Test::HasFailure());
	}
	int status = -1;
	waitpid(pid, &status, 0);
	EXPECT_EQ(status, 0);
}

} // namespace bulkhead::linux_host
