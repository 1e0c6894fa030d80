#include "platform/linux/offload.h"

#include <atomic>
#include <gtest/gtest.h>
#include <thread>

namespace bulkhead::linux_host {
namespace {

struct Counted_work final : Offload::Work
{
	std::atomic<bool> &gate;
	int ran = 0;
	int told = 0;
	std::thread::id by{};

	explicit Counted_work(std::atomic<bool> &g) : gate(g) {}
	void run() override
	{
		gate.wait(false);
		by = std::this_thread::get_id();
		++ran;
	}
	void done() override { ++told; }
};

TEST(Pool_offload, runs_work_elsewhere_and_tells_of_its_end_here)
{
	Loop loop;
	Worker_pool pool(loop, 2);
	Pool_offload offload(pool, loop.executor());
	std::atomic<bool> gate = false;
	std::vector<std::unique_ptr<Counted_work>> all;
	for (int i = 0; i < 50; ++i) {
		all.push_back(std::make_unique<Counted_work>(gate));
		ASSERT_TRUE(offload.submit(*all.back()).ok());
	}
	loop.executor().run_ready();
	// More than there are jobs for waits, and can be taken back.
	EXPECT_TRUE(offload.withdraw(*all[49]));
	EXPECT_FALSE(offload.withdraw(*all[0]));
	gate = true;
	gate.notify_all();
	auto const told = [&] {
		return std::ranges::count_if(all, [](auto const &w) { return w->told == 1; });
	};
	while (told() < 49) {
		if (!loop.executor().run_ready()) loop.poll(loop.clock().now_us() + 100'000);
	}
	for (int i = 0; i < 49; ++i) {
		EXPECT_EQ(all[static_cast<size_t>(i)]->ran, 1);
		EXPECT_NE(all[static_cast<size_t>(i)]->by, std::this_thread::get_id());
	}
	EXPECT_EQ(all[49]->ran + all[49]->told, 0);
}

} // namespace
} // namespace bulkhead::linux_host
