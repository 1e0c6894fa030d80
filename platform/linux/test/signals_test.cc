// Compiled with RTTI, as programs are by default.

#include "platform/linux/signals.h"

#include <csignal>
#include <gtest/gtest.h>
#include <vector>

namespace bulkhead::linux_host {
namespace {

struct Noted final : Signals
{
	std::vector<int> numbers{};

	void signalled(int number) override { numbers.push_back(number); }
};

TEST(Signals, are_told_to_who_derives_from_them)
{
	Loop loop;
	Noted noted;
	ASSERT_TRUE(noted.start(loop, {SIGUSR1, SIGUSR2}).ok());
	raise(SIGUSR2);
	raise(SIGUSR1);
	for (unsigned i = 0; i < 2; ++i) loop.poll(NEVER_US);
	EXPECT_EQ(noted.numbers, (std::vector<int>{SIGUSR1, SIGUSR2})) << "the lowest comes first";
	EXPECT_NE(dynamic_cast<Noted *>(static_cast<Signals *>(&noted)), nullptr);
}

} // namespace
} // namespace bulkhead::linux_host
