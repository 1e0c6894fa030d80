// What is logged, and how often.

#include "component/qrexec/host/log.h"
#include "component/qrexec/host/rate_limit.h"

#include <algorithm>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>

namespace bulkhead::qrexec {
namespace {

TEST(Qrexec_rate_limit, lets_a_burst_through_and_then_one_for_each_interval)
{
	Rate_limit limit(3, 100);
	for (int i = 0; i < 3; ++i) EXPECT_TRUE(limit.admits(1'000'000));
	EXPECT_FALSE(limit.admits(1'000'000));
	EXPECT_FALSE(limit.admits(1'000'099));
	EXPECT_TRUE(limit.admits(1'000'100));
	EXPECT_FALSE(limit.admits(1'000'199));
	EXPECT_TRUE(limit.admits(1'000'205));
	EXPECT_TRUE(limit.admits(1'000'300));
	EXPECT_FALSE(limit.admits(1'000'300));
}

TEST(Qrexec_rate_limit, saves_up_no_more_than_a_burst)
{
	Rate_limit limit(3, 100);
	EXPECT_TRUE(limit.admits(0));
	for (int i = 0; i < 3; ++i) EXPECT_TRUE(limit.admits(UINT64_MAX / 2));
	EXPECT_FALSE(limit.admits(UINT64_MAX / 2));
}

/* What is written to standard error meanwhile. */
template <typename ACTION>
std::string logged(ACTION action)
{
	int const file = memfd_create("log", MFD_CLOEXEC), kept = dup(STDERR_FILENO);
	dup2(file, STDERR_FILENO);
	action();
	dup2(kept, STDERR_FILENO);
	close(kept);
	std::string text(static_cast<size_t>(lseek(file, 0, SEEK_CUR)), '\0');
	EXPECT_EQ(pread(file, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
	close(file);
	return text;
}

TEST(Qrexec_log, a_flood_doesn_t_fill_the_disk)
{
	constexpr unsigned MANY = 1'000'000;
	// In a process of its own, as others of this one have something to say, too.
	std::string const text = logged([] {
		pid_t const child = fork();
		if (child == 0) {
			for (unsigned i = 0; i < MANY; ++i) log("a domain has sent nonsense");
			_exit(0);
		}
		waitpid(child, nullptr, 0);
	});
	auto const lines = std::count(text.begin(), text.end(), '\n');
	EXPECT_GE(lines, 1);
	EXPECT_LT(lines, MANY / 2);
}

} // namespace
} // namespace bulkhead::qrexec
