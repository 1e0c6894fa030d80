#include "platform/linux/vchan/name_watch.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <deque>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <thread>
#include <vector>

namespace bulkhead::linux_host {
namespace {

constexpr int HANG_MS = 60'000;

bool readable(Owned_fd const &fd, int timeout_ms = 0)
{
	pollfd entry{.fd = fd.value(), .events = POLLIN, .revents = 0};
	return poll(&entry, 1, timeout_ms) == 1;
}

size_t open_descriptors()
{
	std::filesystem::directory_iterator const all("/proc/self/fd");
	return static_cast<size_t>(std::distance(begin(all), end(all)));
}

class Name_watch_test : public testing::Test
{
protected:
	std::string path = []() -> std::string {
		char name[] = "/tmp/name_watch_test.XXXXXX";
		return mkdtemp(name) ? name : "";
	}();

	~Name_watch_test() override { std::filesystem::remove_all(path); }

	/* Somebody who waits for a name. */
	struct Waiting
	{
		Owned_fd epoll{epoll_create1(EPOLL_CLOEXEC)};
		Name_watch watch{};

		Waiting(std::string const &directory, std::string const &file)
		{
			EXPECT_EQ(watch.begin({directory, {}, file}, epoll.value(), 0).number, 0);
		}
		bool told() { return readable(epoll, HANG_MS) && watch.look().any; }
	};

	void make(std::string const &file) const
	{
		Owned_fd const made{open((path + '/' + file).c_str(), O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
		EXPECT_TRUE(made);
	}
};

TEST_F(Name_watch_test, has_news_of_its_own_name_only)
{
	Waiting one(path, "one"), two(path, "two");
	EXPECT_FALSE(readable(one.epoll));
	make("one");
	EXPECT_TRUE(one.told());
	EXPECT_FALSE(one.watch.look().any) << "it was told already";
	EXPECT_FALSE(readable(one.epoll));
	EXPECT_FALSE(two.watch.look().any);
	EXPECT_FALSE(readable(two.epoll));
}

TEST_F(Name_watch_test, tells_the_others_what_it_takes_in)
{
	Waiting one(path, "one"), two(path, "two"), again(path, "one");
	make("one");
	EXPECT_FALSE(two.watch.look().any);
	EXPECT_FALSE(readable(two.epoll)) << "all there was is taken in";
	EXPECT_TRUE(one.told());
	EXPECT_TRUE(again.told());
	EXPECT_FALSE(readable(one.epoll));
	EXPECT_FALSE(readable(again.epoll));
}

TEST_F(Name_watch_test, sees_what_is_renamed_and_what_is_elsewhere)
{
	std::string const other = path + "/other";
	ASSERT_TRUE(std::filesystem::create_directory(other));
	Waiting here(path, "name"), there(other, "name");
	make("first");
	std::filesystem::rename(path + "/first", other + "/name");
	EXPECT_TRUE(there.told());
	EXPECT_FALSE(here.watch.look().any);
	std::filesystem::rename(other + "/name", path + "/name");
	EXPECT_TRUE(here.told());
	EXPECT_FALSE(there.watch.look().any);
}

TEST_F(Name_watch_test, goes_on_when_another_of_the_same_directory_ends)
{
	Waiting stays(path, "name");
	{
		Waiting const goes(path, "name");
	}
	make("name");
	EXPECT_TRUE(stays.told());
}

TEST_F(Name_watch_test, tells_that_the_directory_has_gone)
{
	Waiting one(path, "name");
	ASSERT_EQ(rmdir(path.c_str()), 0);
	ASSERT_TRUE(readable(one.epoll, HANG_MS));
	EXPECT_TRUE(one.watch.look().gone);
}

TEST_F(Name_watch_test, says_what_it_lacks)
{
	Owned_fd const epoll{epoll_create1(EPOLL_CLOEXEC)};
	Name_watch watch;
	EXPECT_EQ(watch.begin({path + "/none", {}, "name"}, epoll.value(), 0).number, ENOENT);
	EXPECT_FALSE(watch.waiting());
	EXPECT_EQ(watch.begin({path, {}, "name"}, epoll.value(), 0).number, 0);
	make("name");
	EXPECT_TRUE(watch.look().any);
}

TEST_F(Name_watch_test, takes_one_inotify_for_all_as_long_as_it_is_needed_or_kept)
{
	size_t const before = open_descriptors();
	{
		std::deque<Name_watch> all;
		Owned_fd const epoll{epoll_create1(EPOLL_CLOEXEC)};
		Owned_fd const other{epoll_create1(EPOLL_CLOEXEC)};
		for (Owned_fd const *const each : {&epoll, &other})
			ASSERT_EQ(all.emplace_back().begin({path, {}, "name"}, each->value(), 0).number, 0);
		EXPECT_EQ(open_descriptors(), before + 2 + 1 + 2) << "epolls, inotify, a word for each";
		for (Name_watch &each : all) each.end();
		EXPECT_EQ(open_descriptors(), before + 2 + 1);
	}
	EXPECT_EQ(open_descriptors(), before);
	{
		std::shared_ptr<void> const kept = Name_watch::keep();
		ASSERT_NE(kept, nullptr);
		{
			Waiting const one(path, "name");
		}
		EXPECT_EQ(open_descriptors(), before + 1);
	}
	EXPECT_EQ(open_descriptors(), before);
}

TEST_F(Name_watch_test, can_be_taken_over_by_a_child_without_a_loss_for_the_parent)
{
	Waiting childs(path, "child"), parents(path, "parent");
	pid_t const child = fork();
	ASSERT_GE(child, 0);
	if (child == 0) {
		// At times in vain; what has come before it looks in its own way is not told.
		childs.watch.look();
		make("child");
		bool const told = childs.told();
		make("parent");
		_exit(told ? 0 : 1);
	}
	int status = -1;
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
	EXPECT_TRUE(parents.told());
}

TEST_F(Name_watch_test, serves_threads_that_come_and_go)
{
	constexpr unsigned THREADS = 4, NAMES = 50;
	std::atomic<unsigned> told = 0;
	std::vector<std::thread> threads;
	for (unsigned t = 0; t < THREADS; ++t)
		threads.emplace_back([&, t] {
			for (unsigned i = 0; i < NAMES; ++i) {
				std::string const name = std::to_string(t) + '.' + std::to_string(i);
				Waiting one(path, name);
				make(name);
				while (readable(one.epoll, HANG_MS))
					if (one.watch.look().any) {
						++told;
						break;
					}
			}
		});
	for (std::thread &thread : threads) thread.join();
	EXPECT_EQ(told, THREADS * NAMES);
}

} // namespace
} // namespace bulkhead::linux_host
