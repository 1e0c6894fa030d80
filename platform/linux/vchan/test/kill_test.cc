// Either side is killed with -9 at any moment: the other one reads what was committed, no more, and
// sees the end. How often: $BULKHEAD_KILLS.

#include "platform/linux/vchan/connection.h"

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <poll.h>
#include <random>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace bulkhead::linux_host {
namespace {

using vchan::State;

constexpr Channel_name NAME{1, 2, 3};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool SLOW = true;
#elif defined(__has_feature)
#	if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool SLOW = true;
#	else
constexpr bool SLOW = false;
#	endif
#else
constexpr bool SLOW = false;
#endif

/* Of each way: ten thousand in all. */
unsigned rounds()
{
	char const *const given = getenv("BULKHEAD_KILLS");
	return given ? static_cast<unsigned>(strtoul(given, nullptr, 10)) : SLOW ? 250 : 3334;
}

size_t entries_of(char const *folder)
{
	auto const all = std::filesystem::directory_iterator(folder);
	return static_cast<size_t>(std::distance(begin(all), end(all)));
}

/* What the one that is killed says beside the channel: what it was about to do, and has done. */
struct Testimony
{
	std::atomic<uint64_t> beginning; // bytes that a commit under way may have committed
	std::atomic<uint64_t> committed;
};

/* Every byte tells where in the stream it belongs. */
uint8_t byte_at(uint64_t position)
{
	uint64_t const mixed = (position + 1) * 0x9e37'79b9'7f4a'7c15;
	return static_cast<uint8_t>(mixed >> 56);
}

/* Sends and receives as much as it can, for ever. */
[[noreturn]] void work(Connection &connection, Testimony &testimony, unsigned seed)
{
	std::minstd_rand random(seed);
	uint64_t sent = 0;
	std::vector<uint8_t> buffer(3000);
	vchan::Endpoint &end = *connection.endpoint();
	while (true) {
		size_t const size = 1 + random() % buffer.size();
		for (size_t i = 0; i < size; ++i) buffer[i] = byte_at(sent + i);
		testimony.beginning.store(sent + size);
		end.arm(vchan::sleep_for::ROOM);
		auto const written = end.try_write(Bytes(buffer).first(size));
		if (written.ok()) sent += written.value();
		testimony.committed.store(sent);
		if (written.ok()) continue;
		if (written.error() != vchan::Error::WOULD_BLOCK || !connection.wait().ok()) _exit(1);
	}
}

struct World
{
	std::string directory;
	Testimony *testimony;
	pid_t load = fork(); // somebody who wants a CPU, too

	World()
	{
		if (load == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (uint64_t volatile i = 0;;) i = i + 1;
		}
		char name[] = "/tmp/kill_test.XXXXXX";
		directory = mkdtemp(name);
		void *const page = mmap(
			nullptr, sizeof(Testimony), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		testimony = new (page) Testimony{};
	}

	~World()
	{
		kill(load, SIGKILL);
		waitpid(load, nullptr, 0);
		std::filesystem::remove_all(directory);
		munmap(testimony, sizeof(Testimony));
	}
};

/* Reads to the end. How many bytes there were. */
uint64_t read_to_the_end(Connection &connection, unsigned seed)
{
	std::minstd_rand random(seed);
	vchan::Endpoint &end = *connection.endpoint();
	uint64_t total = 0;
	std::vector<uint8_t> buffer(5000);
	while (true) {
		end.arm(vchan::sleep_for::DATA);
		auto const got = end.try_read(Mutable_bytes(buffer).first(1 + random() % buffer.size()));
		if (!got.ok() && got.error() == vchan::Error::WOULD_BLOCK) {
			if (!connection.wait().ok()) return UINT64_MAX;
			continue;
		}
		if (!got.ok() || got.value() == 0) return total;
		for (size_t i = 0; i < got.value(); ++i)
			if (buffer[i] != byte_at(total + i)) return UINT64_MAX;
		total += got.value();
	}
}

enum class Way { THE_CLIENT_IS_KILLED, THE_SERVER_IS_KILLED, ADOPTED };

/* True if both sides have met before the other one was killed. */
bool meet(Connection &connection, int victim)
{
	while (!connection.joined()) {
		pollfd waiting[] = {{connection.fd(), POLLIN, 0}, {victim, POLLIN, 0}};
		poll(waiting, 2, -1);
		if (!connection.look().ok()) return false;
		if (connection.joined()) break;
		if (waiting[1].revents && !waiting[0].revents) return false;
	}
	return true;
}

[[noreturn]] void be_victim(World &world, Way way, Channel_end end, unsigned seed)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	Connection connection;
	bool const begun = way == Way::ADOPTED ? connection.adopt(std::move(end)).ok()
		: way == Way::THE_CLIENT_IS_KILLED
		? connection.connect(NAME, world.directory).ok()
		: connection.listen(NAME, {8192, 8192}, world.directory).ok();
	if (!begun) _exit(1);
	while (!connection.joined())
		if (!connection.wait().ok()) _exit(1);
	work(connection, *world.testimony, seed);
}

/*
 * Every second time at some moment, which may be before they meet; else after some bytes, so that
 * it depends on nobody's speed that they often do.
 */
[[noreturn]] void be_killer(
	pid_t child, int victim, Testimony const &testimony, std::minstd_rand random)
{
	if (random() % 2) {
		timespec const moment{0, static_cast<long>(random() % 1'500'000)};
		nanosleep(&moment, nullptr);
	} else {
		uint64_t const bytes = 1 + random() % 100'000;
		pollfd ended{victim, POLLIN, 0};
		while (testimony.committed < bytes && poll(&ended, 1, 0) == 0) sched_yield();
	}
	kill(child, SIGKILL);
	_exit(0);
}

void kill_one(World &world, Way way, unsigned seed, unsigned &met)
{
	std::minstd_rand random(seed);
	world.testimony->beginning = world.testimony->committed = 0;
	Connection survivor;
	auto ends = make_channel({8192, 8192});
	ASSERT_TRUE(ends.ok());
	if (way == Way::THE_CLIENT_IS_KILLED) {
		ASSERT_TRUE(survivor.listen(NAME, {8192, 8192}, world.directory).ok())
			<< survivor.message();
	}
	pid_t const child = fork();
	if (child == 0) {
		// Not ours to close in an orderly way.
		new Channel_end(std::move(ends.value().server));
		be_victim(world, way, std::move(ends.value().client), seed);
	}
	Owned_fd const victim{static_cast<int>(syscall(SYS_pidfd_open, child, 0))};
	if (way == Way::ADOPTED) {
		ASSERT_TRUE(survivor.adopt(std::move(ends.value().server)).ok());
		// Nobody but the victim holds its end.
		Channel_end const closed = std::move(ends.value().client);
	}
	if (way == Way::THE_SERVER_IS_KILLED) {
		ASSERT_TRUE(survivor.connect(NAME, world.directory).ok()) << survivor.message();
	}
	pid_t const killer = fork();
	if (killer == 0) be_killer(child, victim.value(), *world.testimony, random);
	if (meet(survivor, victim.value())) {
		++met;
		uint64_t const read = read_to_the_end(survivor, seed);
		waitpid(child, nullptr, 0);
		EXPECT_GE(read, world.testimony->committed.load());
		EXPECT_LE(read, world.testimony->beginning.load());
		EXPECT_EQ(survivor.endpoint()->state(), State::DEAD);
		EXPECT_EQ(survivor.endpoint()->try_write(Bytes()).error(), vchan::Error::PEER_DEAD);
	} else {
		kill(child, SIGKILL);
		waitpid(child, nullptr, 0);
	}
	waitpid(killer, nullptr, 0);
}

class Kill_test : public testing::TestWithParam<Way>
{};

TEST_P(Kill_test, the_survivor_reads_what_was_committed_and_sees_the_end)
{
	World world;
	size_t const descriptors = entries_of("/proc/self/fd");
	unsigned const seed = std::random_device{}();
	RecordProperty("seed", std::to_string(seed));
	unsigned met = 0;
	for (unsigned i = 0; i < rounds() && !HasFailure(); ++i) {
		SCOPED_TRACE("round " + std::to_string(i) + " of seed " + std::to_string(seed));
		kill_one(world, GetParam(), seed + i, met);
	}
	EXPECT_GT(met, rounds() / 4) << "most are killed when they have met";
	EXPECT_EQ(entries_of("/proc/self/fd"), descriptors);
	EXPECT_EQ(entries_of("/proc/self/task"), 1u);
	// Whoever comes next removes what a killed server has left, and leaves nothing itself.
	{
		Connection last;
		EXPECT_TRUE(last.listen(NAME, {1, 1}, world.directory).ok()) << last.message();
	}
	EXPECT_EQ(entries_of(world.directory.c_str()), 0u);
}

INSTANTIATE_TEST_SUITE_P(Ways, Kill_test,
	testing::Values(Way::THE_CLIENT_IS_KILLED, Way::THE_SERVER_IS_KILLED, Way::ADOPTED),
	[](auto const &way) {
		return way.param == Way::ADOPTED             ? "adopted"
			: way.param == Way::THE_CLIENT_IS_KILLED ? "the_client_is_killed"
													 : "the_server_is_killed";
	});

} // namespace
} // namespace bulkhead::linux_host
