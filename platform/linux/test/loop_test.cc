#include "base/event.h"
#include "base/sync_wait.h"
#include "platform/linux/loop.h"
#include "platform/linux/signals.h"

#include <array>
#include <fcntl.h>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace bulkhead::linux_host {
namespace {

struct Pair
{
	int ours = -1, theirs = -1;

	Pair()
	{
		int fds[2];
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0) ours = fds[0], theirs = fds[1];
	}
	Pair(Pair const &) = delete;
	Pair &operator=(Pair const &) = delete;
	~Pair()
	{
		close(ours);
		close(theirs);
	}

	void send() const { EXPECT_EQ(write(theirs, "x", 1), 1); }
	void receive() const
	{
		char byte;
		EXPECT_EQ(read(ours, &byte, 1), 1);
	}
};

struct Source final : Loop::Source
{
	std::function<void(uint32_t)> on_ready;
	unsigned calls = 0;

	explicit Source(std::function<void(uint32_t)> f = [](uint32_t) {}) : on_ready(std::move(f)) {}

	void ready(uint32_t events) override
	{
		++calls;
		on_ready(events);
	}
};

struct Remote final : Loop::Remote
{
	std::function<void()> on_posted;

	Remote(Loop &loop, std::function<void()> f) : Loop::Remote(loop), on_posted(std::move(f)) {}

	void posted() override { on_posted(); }
};

Root sleeper(Job &job, uint64_t until_us, int id, std::vector<int> &order, Loop &loop, size_t total)
{
	EXPECT_TRUE((co_await Sleep{job, until_us}).ok());
	order.push_back(id);
	if (order.size() == total) loop.stop();
}

TEST(Loop, resumes_sleepers_in_the_order_of_their_deadlines)
{
	Loop loop;
	std::vector<int> order;
	uint64_t const now_us = loop.clock().now_us();
	Job_with_arena<512> a{loop.executor()}, b{loop.executor()}, c{loop.executor()};
	Root ra = sleeper(a, now_us + 3000, 3, order, loop, 3);
	Root rb = sleeper(b, now_us + 1000, 1, order, loop, 3);
	Root rc = sleeper(c, now_us + 2000, 2, order, loop, 3);
	ASSERT_TRUE(ra.start(a).ok() && rb.start(b).ok() && rc.start(c).ok());
	loop.run();
	EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
	EXPECT_GE(loop.clock().now_us(), now_us + 3000);
}

Task<void> sleep_1_ms(Job &job) { co_return co_await sleep_us(job, 1000); }

TEST(Loop, is_the_poll_function_of_sync_wait)
{
	Loop loop;
	Job_with_arena<1024> job{loop.executor()};
	uint64_t const now_us = loop.clock().now_us();
	EXPECT_TRUE(sync_wait(job, sleep_1_ms(job), loop).ok());
	EXPECT_GE(loop.clock().now_us(), now_us + 1000);
}

TEST(Loop, calls_a_source_while_there_is_something_to_read)
{
	Loop loop;
	Pair pair;
	Source source;
	ASSERT_TRUE(loop.add(source, pair.ours, EPOLLIN).ok());
	loop.poll(0);
	EXPECT_EQ(source.calls, 0u);
	pair.send();
	loop.poll(NEVER_US);
	loop.poll(NEVER_US);
	EXPECT_EQ(source.calls, 2u);
	pair.receive();
	loop.poll(0);
	EXPECT_EQ(source.calls, 2u);
}

TEST(Loop, tells_of_a_hang_up)
{
	Loop loop;
	Pair pair;
	uint32_t seen = 0;
	Source source{[&](uint32_t events) { seen = events; }};
	ASSERT_TRUE(loop.add(source, pair.ours, EPOLLIN).ok());
	shutdown(pair.theirs, SHUT_RDWR);
	loop.poll(NEVER_US);
	EXPECT_TRUE(seen & EPOLLHUP);
}

TEST(Loop, says_why_a_descriptor_cannot_be_watched)
{
	Loop loop;
	Pair pair;
	Source a, b;
	ASSERT_TRUE(loop.add(a, pair.ours, EPOLLIN).ok());
	EXPECT_EQ(loop.add(a, pair.theirs, EPOLLIN).error(), Error::BUSY);
	EXPECT_EQ(loop.add(b, pair.ours, EPOLLIN).error(), Error::BUSY);
	EXPECT_EQ(loop.add(b, 1 << 20, EPOLLIN).error(), Error::INVALID);
	int const file = open("/", O_RDONLY);
	EXPECT_EQ(loop.add(b, file, EPOLLIN).error(), Error::NOT_SUPPORTED);
	close(file);
	EXPECT_EQ(b.loop(), nullptr);
	EXPECT_EQ(b.fd(), -1);
}

TEST(Loop, lets_a_source_remove_itself_in_its_callback)
{
	Loop loop;
	Pair pair;
	Source source{[&](uint32_t) { loop.remove(source); }};
	ASSERT_TRUE(loop.add(source, pair.ours, EPOLLIN).ok());
	pair.send();
	loop.poll(NEVER_US);
	loop.poll(0);
	EXPECT_EQ(source.calls, 1u);
}

TEST(Loop, lets_a_source_end_itself_in_its_callback)
{
	Loop loop;
	Pair pair;
	auto source = std::make_unique<Source>();
	source->on_ready = [&](uint32_t) {
		// The function that runs must outlive the object it is in.
		auto const self = std::move(source->on_ready);
		source.reset();
	};
	ASSERT_TRUE(loop.add(*source, pair.ours, EPOLLIN).ok());
	pair.send();
	loop.poll(NEVER_US);
	EXPECT_EQ(source, nullptr);
	loop.poll(0);
}

TEST(Loop, does_not_call_what_another_callback_of_the_round_has_removed)
{
	Loop loop;
	Pair first, second;
	Source a, b;
	a.on_ready = [&](uint32_t) { loop.remove(b); };
	b.on_ready = [&](uint32_t) { loop.remove(a); };
	ASSERT_TRUE(loop.add(a, first.ours, EPOLLIN).ok());
	ASSERT_TRUE(loop.add(b, second.ours, EPOLLIN).ok());
	first.send();
	second.send();
	loop.poll(NEVER_US);
	EXPECT_EQ(a.calls + b.calls, 1u);
}

TEST(Loop, does_not_call_for_what_is_no_longer_wanted)
{
	Loop loop;
	Pair first, second;
	Source a, b;
	a.on_ready = [&](uint32_t) { EXPECT_TRUE(loop.change(b, 0).ok()); };
	b.on_ready = [&](uint32_t) { EXPECT_TRUE(loop.change(a, EPOLLPRI).ok()); };
	ASSERT_TRUE(loop.add(a, first.ours, EPOLLIN).ok());
	ASSERT_TRUE(loop.add(b, second.ours, EPOLLIN).ok());
	first.send();
	second.send();
	loop.poll(NEVER_US);
	EXPECT_EQ(a.calls + b.calls, 1u);
}

TEST(Loop, lets_a_callback_add_sources)
{
	Loop loop;
	Pair first, second;
	Source late;
	Source early{[&](uint32_t) {
		first.receive();
		EXPECT_TRUE(loop.add(late, second.ours, EPOLLIN).ok());
	}};
	ASSERT_TRUE(loop.add(early, first.ours, EPOLLIN).ok());
	first.send();
	second.send();
	loop.poll(NEVER_US);
	loop.poll(NEVER_US);
	EXPECT_EQ(early.calls, 1u);
	EXPECT_EQ(late.calls, 1u);
}

TEST(Loop, goes_on_with_its_round_when_a_callback_polls)
{
	Loop loop;
	std::array<Pair, 3> pairs;
	std::array<Source, 3> sources;
	for (size_t i = 0; i < 3; i++) {
		sources[i].on_ready = [&, i](uint32_t) {
			pairs[i].receive();
			loop.poll(0);
		};
		ASSERT_TRUE(loop.add(sources[i], pairs[i].ours, EPOLLIN).ok());
		pairs[i].send();
	}
	loop.poll(NEVER_US);
	for (Source const &source : sources) EXPECT_EQ(source.calls, 1u);
}

TEST(Loop, serves_many_descriptors)
{
	constexpr size_t COUNT = 300;
	Loop loop;
	std::vector<std::unique_ptr<Pair>> pairs;
	std::vector<std::unique_ptr<Source>> sources;
	size_t called = 0;
	for (size_t i = 0; i < COUNT; i++) {
		pairs.push_back(std::make_unique<Pair>());
		sources.push_back(std::make_unique<Source>([&, i](uint32_t) {
			pairs[i]->receive();
			if (++called == COUNT) loop.stop();
		}));
		ASSERT_TRUE(loop.add(*sources[i], pairs[i]->ours, EPOLLIN).ok());
	}
	for (auto const &pair : pairs) pair->send();
	loop.run();
	for (auto const &source : sources) EXPECT_EQ(source->calls, 1u);
}

TEST(Loop, returns_at_once_when_it_was_stopped_before)
{
	Loop loop;
	loop.stop();
	loop.run();
}

Task<void> wait_for(Job &job, Loop &loop, int fd, uint64_t until_us = NEVER_US)
{
	co_return co_await loop.wait_readable(job, fd, until_us);
}

Root waiter(Job &job, Loop &loop, int fd, std::optional<Attempt<void>> &result)
{
	result = co_await loop.wait_readable(job, fd);
}

TEST(Loop_wait, ends_when_there_is_something_to_read)
{
	Loop loop;
	Pair pair;
	Job_with_arena<1024> job{loop.executor()};
	std::optional<Attempt<void>> result;
	Root root = waiter(job, loop, pair.ours, result);
	ASSERT_TRUE(root.start(job).ok());
	loop.executor().run_ready();
	loop.poll(0);
	EXPECT_FALSE(result);
	pair.send();
	loop.poll(NEVER_US);
	loop.executor().run_ready();
	ASSERT_TRUE(result);
	EXPECT_TRUE(result->ok());
}

TEST(Loop_wait, times_out)
{
	Loop loop;
	Pair pair;
	Job_with_arena<1024> job{loop.executor()};
	uint64_t const until_us = loop.clock().now_us() + 500;
	EXPECT_EQ(
		sync_wait(job, wait_for(job, loop, pair.ours, until_us), loop).error(), Error::TIMEOUT);
	EXPECT_TRUE((pair.send(), sync_wait(job, wait_for(job, loop, pair.ours), loop)).ok());
}

TEST(Loop_wait, is_cancelled)
{
	Loop loop;
	Pair pair;
	Job_with_arena<1024> job{loop.executor()};
	std::optional<Attempt<void>> result;
	Root root = waiter(job, loop, pair.ours, result);
	ASSERT_TRUE(root.start(job).ok());
	loop.executor().run_ready();
	job.cancel();
	loop.executor().run_ready();
	ASSERT_TRUE(result);
	EXPECT_EQ(result->error(), Error::CANCELLED);
	pair.send();
	loop.poll(0);
	EXPECT_EQ(sync_wait(job, wait_for(job, loop, pair.ours), loop).error(), Error::CANCELLED);
}

TEST(Loop_wait, leaves_the_loop_when_its_coroutine_is_destroyed)
{
	Loop loop;
	Pair pair;
	std::optional<Attempt<void>> result;
	{
		Job_with_arena<1024> job{loop.executor()};
		Root root = waiter(job, loop, pair.ours, result);
		ASSERT_TRUE(root.start(job).ok());
		loop.executor().run_ready();
	}
	pair.send();
	loop.poll(0);
	EXPECT_FALSE(result);
	Source source;
	EXPECT_TRUE(loop.add(source, pair.ours, EPOLLIN).ok());
}

TEST(Loop_wait, refuses_a_second_job_and_a_closed_descriptor)
{
	Loop loop;
	Pair pair;
	Job_with_arena<1024> job{loop.executor()}, other{loop.executor()};
	std::optional<Attempt<void>> result;
	Root root = waiter(job, loop, pair.ours, result);
	ASSERT_TRUE(root.start(job).ok());
	loop.executor().run_ready();
	EXPECT_EQ(sync_wait(other, wait_for(other, loop, pair.ours), loop).error(), Error::BUSY);
	EXPECT_EQ(sync_wait(other, wait_for(other, loop, 1 << 20), loop).error(), Error::INVALID);
}

TEST(Loop_wait, does_not_wait_for_a_regular_file)
{
	Loop loop;
	Job_with_arena<1024> job{loop.executor()};
	int const file = open("/proc/self/exe", O_RDONLY);
	EXPECT_TRUE(sync_wait(job, wait_for(job, loop, file), loop).ok());
	close(file);
}

TEST(Loop_remote, wakes_the_loop_from_many_threads)
{
	constexpr unsigned THREADS = 4, POSTS = 2000;
	Loop loop;
	std::atomic<unsigned> done{0};
	std::array<std::atomic<unsigned>, THREADS> called{};
	std::vector<std::unique_ptr<Remote>> remotes;
	for (unsigned i = 0; i < THREADS; i++)
		remotes.push_back(std::make_unique<Remote>(loop, [&, i] {
			if (++called[i] == POSTS && ++done == THREADS) loop.stop();
		}));
	std::vector<std::thread> threads;
	for (unsigned i = 0; i < THREADS; i++)
		threads.emplace_back([&, i] {
			for (unsigned n = 0; n < POSTS; n++) {
				remotes[i]->post();
				while (called[i] == n) std::this_thread::yield();
			}
		});
	loop.run();
	for (std::thread &thread : threads) thread.join();
	for (auto const &n : called) EXPECT_EQ(n, POSTS);
}

TEST(Loop_remote, is_called_once_for_many_posts_and_in_their_order)
{
	Loop loop;
	std::vector<int> order;
	Remote a{loop, [&] { order.push_back(1); }}, b{loop, [&] { order.push_back(2); }};
	a.post();
	b.post();
	a.post();
	loop.poll(NEVER_US);
	EXPECT_EQ(order, (std::vector<int>{1, 2}));
	b.post();
	loop.poll(NEVER_US);
	EXPECT_EQ(order, (std::vector<int>{1, 2, 2}));
}

TEST(Loop_remote, may_end_after_a_post_and_within_another_call)
{
	Loop loop;
	unsigned calls = 0;
	auto gone = std::make_unique<Remote>(loop, [&] { ++calls; });
	Remote first{loop, [&] { gone.reset(); }};
	{
		Remote unheard{loop, [&] { ++calls; }};
		unheard.post();
	}
	first.post();
	gone->post();
	loop.poll(NEVER_US);
	EXPECT_EQ(calls, 0u);
	EXPECT_EQ(gone, nullptr);
}

TEST(Loop_remote, may_post_itself_again)
{
	Loop loop;
	unsigned calls = 0;
	Remote remote{loop, [&] {
					  if (++calls == 3)
						  loop.stop();
					  else
						  remote.post();
				  }};
	remote.post();
	loop.run();
	EXPECT_EQ(calls, 3u);
}

TEST(Loop, stops_from_another_thread)
{
	Loop loop;
	std::thread thread([&] { loop.stop(); });
	loop.run();
	thread.join();
}

/* Notes how its descriptor was when it was read. */
struct Blocking_source final : Loop::Source
{
	std::function<void()> on_byte;
	ssize_t received = 0;
	unsigned bytes = 0, blocked = 0, not_blocked = 0;
	std::atomic<unsigned> reads{0};

	explicit Blocking_source(std::function<void()> f = [] {}) : on_byte(std::move(f)) {}

	void receive() override
	{
		++(fcntl(fd(), F_GETFL) & O_NONBLOCK ? not_blocked : blocked);
		++reads;
		char byte;
		received = read(fd(), &byte, 1);
	}

	void ready(uint32_t) override
	{
		if (received != 1) return;
		++bytes;
		on_byte();
	}
};

struct Blocking : testing::Test
{
	Loop loop;
	Pair pair;
	Blocking_source source;

	void SetUp() override
	{
		ASSERT_TRUE(loop.add(source, pair.ours, EPOLLIN, Loop::Kind::BLOCKING).ok());
	}

	/* Once the source has begun to read `n` times. */
	void when_reading(unsigned n) const
	{
		while (source.reads < n) std::this_thread::yield();
	}
};

TEST_F(Blocking, blocks_when_it_is_alone)
{
	pair.send();
	loop.poll(NEVER_US);
	EXPECT_EQ(source.bytes, 1u);
	EXPECT_EQ(source.blocked, 1u);
}

TEST_F(Blocking, does_not_block_beside_another_source_or_a_deadline)
{
	Pair quiet;
	Source other;
	ASSERT_TRUE(loop.add(other, quiet.ours, EPOLLIN).ok());
	pair.send();
	loop.poll(NEVER_US);
	EXPECT_EQ(source.not_blocked, 1u);
	loop.remove(other);
	pair.send();
	loop.poll(loop.clock().now_us() + 1'000'000'000);
	EXPECT_EQ(source.not_blocked, 2u);
	pair.send();
	loop.poll(NEVER_US);
	EXPECT_EQ(source.blocked, 1u);
	EXPECT_EQ(source.bytes, 3u);
}

TEST_F(Blocking, does_not_block_while_a_post_is_expected)
{
	{
		Loop::Expected const expected{loop};
		pair.send();
		loop.poll(NEVER_US);
	}
	pair.send();
	loop.poll(NEVER_US);
	EXPECT_EQ(source.not_blocked, 1u);
	EXPECT_EQ(source.blocked, 1u);
}

TEST_F(Blocking, leaves_the_descriptor_as_it_was)
{
	loop.poll(0);
	Pair quiet;
	Source other;
	ASSERT_TRUE(loop.add(other, quiet.ours, EPOLLIN).ok());
	pair.send();
	loop.poll(NEVER_US);
	EXPECT_TRUE(fcntl(pair.ours, F_GETFL) & O_NONBLOCK);
	loop.remove(source);
	EXPECT_FALSE(fcntl(pair.ours, F_GETFL) & O_NONBLOCK);
}

TEST_F(Blocking, has_one_such_source_only)
{
	Pair another;
	Blocking_source second;
	EXPECT_EQ(loop.add(second, another.ours, EPOLLIN, Loop::Kind::BLOCKING).error(),
		Error::NOT_SUPPORTED);
	loop.remove(source);
	EXPECT_TRUE(loop.add(second, another.ours, EPOLLIN, Loop::Kind::BLOCKING).ok());
}

TEST_F(Blocking, is_interrupted_by_a_stop)
{
	std::thread thread([&] {
		when_reading(1);
		loop.stop();
	});
	loop.run();
	thread.join();
	EXPECT_EQ(source.bytes, 0u);
}

TEST_F(Blocking, is_interrupted_by_posts_whenever_they_come)
{
	constexpr unsigned POSTS = 3000;
	std::atomic<unsigned> called{0};
	Remote remote{loop, [&] {
					  if (++called == POSTS) loop.stop();
				  }};
	std::thread thread([&] {
		for (unsigned n = 0; n < POSTS; n++) {
			remote.post();
			while (called == n) std::this_thread::yield();
			// At another moment each time: before the read, on its way into the kernel, within.
			for (unsigned spin = n % 64 * 16; spin; spin--) asm volatile("");
		}
	});
	loop.run();
	thread.join();
	EXPECT_EQ(called, POSTS);
}

TEST_F(Blocking, serves_bytes_and_posts_at_once)
{
	constexpr unsigned BYTES = 5000, POSTS = 500;
	std::atomic<unsigned> called{0};
	auto const stop_when_done = [&] {
		if (source.bytes == BYTES && called == POSTS) loop.stop();
	};
	source.on_byte = stop_when_done;
	Remote remote{loop, [&] {
					  ++called;
					  stop_when_done();
				  }};
	std::thread poster([&] {
		for (unsigned n = 0; n < POSTS; n++) {
			remote.post();
			while (called == n) std::this_thread::yield();
		}
	});
	std::thread sender([&] {
		for (unsigned n = 0; n < BYTES; n++) pair.send();
	});
	loop.run();
	poster.join();
	sender.join();
	EXPECT_EQ(source.bytes, BYTES);
}

TEST_F(Blocking, is_interrupted_by_a_background_source_added_before_and_after)
{
	for (bool const before : {true, false}) {
		Loop fresh;
		Pair data, quiet;
		Blocking_source blocking;
		Source background{[&](uint32_t) {
			quiet.receive();
			fresh.stop();
		}};
		auto const add_background = [&] {
			ASSERT_TRUE(fresh.add(background, quiet.ours, EPOLLIN, Loop::Kind::BACKGROUND).ok());
		};
		if (before) add_background();
		ASSERT_TRUE(fresh.add(blocking, data.ours, EPOLLIN, Loop::Kind::BLOCKING).ok());
		if (!before) add_background();
		for (unsigned n = 1; n < 20; n++) {
			std::thread thread([&] {
				while (blocking.reads < n) std::this_thread::yield();
				quiet.send();
			});
			fresh.run();
			thread.join();
			EXPECT_EQ(background.calls, n);
		}
	}
}

TEST_F(Blocking, is_interrupted_by_a_job_of_another_threads_making)
{
	Event event;
	Job_with_arena<1024> job{loop.executor()};
	Remote remote{loop, [&] { event.raise(); }};
	std::thread thread([&] {
		when_reading(1);
		remote.post();
	});
	struct Waits
	{
		static Task<void> for_event(Job &j, Event &e) { co_return co_await e.wait(j); }
	};
	EXPECT_TRUE(sync_wait(job, Waits::for_event(job, event), loop).ok());
	thread.join();
}

TEST(Loop_signals, stop_a_loop_that_waits_and_one_that_blocks)
{
	for (bool const blocks : {false, true}) {
		Loop loop;
		Pair pair;
		Blocking_source source;
		Stop_signals signals{loop};
		ASSERT_TRUE(signals.start().ok());
		if (blocks) {
			ASSERT_TRUE(loop.add(source, pair.ours, EPOLLIN, Loop::Kind::BLOCKING).ok());
		}
		std::thread thread([&] {
			while (blocks && !source.reads) std::this_thread::yield();
			kill(getpid(), SIGTERM);
		});
		loop.run();
		thread.join();
		EXPECT_EQ(signals.received(), SIGTERM);
	}
}

} // namespace
} // namespace bulkhead::linux_host
