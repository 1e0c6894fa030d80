// Two threads over one region, with bells that block: what is lost here is lost for good.

#include "vchan/test/support.h"

#include <condition_variable>
#include <gtest/gtest.h>
#include <mutex>
#include <thread>

namespace bulkhead::vchan {
namespace {

using test::Byte_string;
using test::counted;

class Blocking_bell final : public Doorbell
{
private:
	std::mutex _mutex{};
	std::condition_variable _changed{};
	bool _rung = false;

public:
	void ring() override
	{
		std::lock_guard const lock{_mutex};
		_rung = true;
		_changed.notify_one();
	}

	void wait()
	{
		std::unique_lock lock{_mutex};
		_changed.wait(lock, [this] { return _rung; });
		_rung = false;
	}
};

/* A side in a thread of its own: writes so much, then reads all that comes, or the other way. */
struct Peer
{
	test::Manual_clock clock{};
	Executor executor{clock};
	Job_with_arena<8192> job{executor};
	Job_with_arena<8192> writer{executor};
	Byte_string received{};
	Attempt<size_t, Error> written{Error::OUT_OF_FRAMES};
	unsigned const seed;

	explicit Peer(unsigned s, unsigned spin) : seed(s)
	{
		job.spin = spin;
		writer.spin = spin;
	}

	Task<size_t, Error> say(Job &in, Endpoint &end, Bytes bytes)
	{
		std::minstd_rand random{seed};
		size_t said = 0;
		while (said < bytes.size()) {
			size_t const n = std::min<size_t>(1 + random() % 300, bytes.size() - said);
			said += co_await may(co_await end.write_all(in, bytes.subspan(said, n)));
		}
		end.finish();
		co_return said;
	}

	Task<size_t, Error> hear(Job &in, Endpoint &end, Mutable_bytes buffer)
	{
		std::minstd_rand random{seed + 1};
		while (true) {
			size_t const room = 1 + random() % buffer.size();
			size_t const n = co_await may(co_await end.read(in, buffer.first(room)));
			if (n == 0) co_return received.size();
			received.insert(received.end(), buffer.begin(), buffer.begin() + ptrdiff_t(n));
		}
	}

	void run(Endpoint &end, Blocking_bell &bell, Bytes to_say)
	{
		Byte_string buffer(500);
		auto saying = say(writer, end, to_say);
		Root root = run_into(writer, saying, written);
		ASSERT_TRUE(root.start(writer).ok());
		auto const poll = [&](uint64_t until_us) {
			if (until_us == 0) return;
			bell.wait();
			end.rung();
		};
		ASSERT_TRUE(sync_wait(job, hear(job, end, buffer), poll).ok());
		while (executor.run_ready(), !root.done()) poll(NEVER_US);
	}
};

void exchange(Sizes sizes, size_t bytes, unsigned spin)
{
	test::Region region{rounded(sizes).value()};
	Blocking_bell to_server, to_client;
	Byte_string const down = counted(bytes), up = counted(bytes / 2, 9);
	Peer server{1, spin}, client{2, spin};
	auto const view = test::serve(region.bytes(), sizes, 1).value();
	std::thread other{[&] {
		Endpoint end{attach(region.bytes(), 1).value(), to_server};
		client.run(end, to_client, up);
	}};
	{
		Endpoint end{view, to_client};
		server.run(end, to_server, down);
	}
	other.join();
	EXPECT_EQ(client.received, down);
	EXPECT_EQ(server.received, up);
	EXPECT_EQ(server.written.value(), down.size());
	EXPECT_EQ(client.written.value(), up.size());
}

TEST(Vchan_threads, lose_neither_byte_nor_wake_up_in_tiny_rings) { exchange({1, 2}, 3000, 0); }

TEST(Vchan_threads, lose_neither_byte_nor_wake_up_in_small_rings)
{
	exchange({64, 16}, 100'000, 0);
}

TEST(Vchan_threads, lose_neither_byte_nor_wake_up_while_spinning)
{
	exchange({4096, 256}, 1'000'000, 1000);
}

TEST(Vchan_threads, survive_a_peer_that_scribbles_over_all_words_meanwhile)
{
	for (unsigned run = 0; run < 20; ++run) {
		test::Region region{Sizes{16, 16}};
		auto const view = test::serve(region.bytes(), {16, 16}, 1).value();
		std::atomic<bool> stop{false};
		Control &control = region.control();
		std::thread scribbler{[&] {
			std::minstd_rand random{run};
			Word *const words[] = {&control.client.produced, &control.client.consumed,
				&control.client.sleep, &control.client.life, &control.server.produced,
				&control.server.consumed, &control.server.sleep, &control.server.life};
			while (!stop) {
				auto const value =
					static_cast<uint32_t>(random() % 2 ? random() % 40 : random() * 2);
				words[random() % std::size(words)]->store(value, std::memory_order_relaxed);
			}
		}};
		test::Bell bell;
		Endpoint end{view, bell};
		Byte_string buffer(20);
		while (end.state() != State::BROKEN) {
			auto const n = end.try_write(buffer);
			ASSERT_LE(n.ok() ? n.value() : 0, 16);
			auto const there = end.peek();
			ASSERT_LE(there.ok() ? there.value().size() : 0, 16);
			static_cast<void>(end.try_read(buffer));
		}
		stop = true;
		scribbler.join();
		EXPECT_TRUE(end.fault().has_value());
	}
}

} // namespace
} // namespace bulkhead::vchan
