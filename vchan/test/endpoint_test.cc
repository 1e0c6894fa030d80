#include "vchan/test/support.h"

#include <gtest/gtest.h>

namespace bulkhead::vchan {
namespace {

using test::Byte_string;
using test::Channel;
using test::counted;

constexpr Attempt<size_t, Error> PENDING{Error::OUT_OF_FRAMES};

/* Runs a task beside others; the result is PENDING until it ends. */
struct Started
{
	Attempt<size_t, Error> result = PENDING;
	Task<size_t, Error> task;
	Root root;

	Started(Job &job, Task<size_t, Error> t) : task(std::move(t)), root(run_into(job, task, result))
	{
		EXPECT_TRUE(root.start(job).ok());
	}
	bool done() const { return root.done(); }
};

TEST(Vchan_endpoint, lets_a_server_send_before_its_client_attaches)
{
	test::Region region{Sizes{64, 64}};
	test::Bell bell;
	Endpoint server{test::serve(region.bytes(), {64, 64}, 1).value(), bell};
	EXPECT_EQ(server.state(), State::WAITING);
	EXPECT_EQ(server.try_write(counted(10)).value(), 10);
	Endpoint client{attach(region.bytes(), 1).value(), bell};
	EXPECT_EQ(server.state(), State::CONNECTED);
	EXPECT_EQ(client.state(), State::CONNECTED);
	Byte_string got(10);
	EXPECT_EQ(client.try_read(got).value(), 10);
	EXPECT_EQ(got, counted(10));
}

TEST(Vchan_endpoint, wakes_a_server_that_waits_for_its_client)
{
	test::Region region{Sizes{64, 64}};
	test::Bell to_server, to_client;
	Endpoint server{test::serve(region.bytes(), {64, 64}, 1).value(), to_client};
	server.arm(sleep_for::PEER);
	EXPECT_EQ(server.state(), State::WAITING);
	Endpoint client{attach(region.bytes(), 1).value(), to_server};
	ASSERT_TRUE(to_server.heard());
	server.rung();
	EXPECT_EQ(server.state(), State::CONNECTED);
}

TEST(Vchan_endpoint, rings_only_a_peer_that_sleeps_and_once_for_each_sleep)
{
	Channel channel{{64, 64}};
	Byte_string got(1);
	ASSERT_TRUE(channel.server.try_write(counted(1)).ok());
	EXPECT_EQ(channel.server.rings(), 0) << "nobody sleeps";
	ASSERT_TRUE(channel.client.try_read(got).ok());
	Started reading{channel.client_job, channel.client.read(channel.client_job, got)};
	channel.executor.run_ready();
	for (int i = 0; i < 5; ++i) ASSERT_TRUE(channel.server.try_write(counted(1)).ok());
	EXPECT_EQ(channel.server.rings(), 1);
	channel.settle();
	EXPECT_EQ(reading.result.value(), 1);
	ASSERT_TRUE(channel.server.try_write(counted(1)).ok());
	EXPECT_EQ(channel.server.rings(), 1) << "awake again";
}

TEST(Vchan_endpoint, streams_more_than_the_ring_holds_both_ways_at_once)
{
	Channel channel{{4, 2}};
	Byte_string const down = counted(1000), up = counted(700, 3);
	Byte_string got_down(down.size()), got_up(up.size());
	auto const read_all = [](Job &job, Endpoint &end, Mutable_bytes to) -> Task<size_t, Error> {
		size_t n = 0;
		while (n < to.size()) n += co_await may(co_await end.read(job, to.subspan(n)));
		co_return n;
	};
	Started a{channel.server_writer, channel.server.write_all(channel.server_writer, down)};
	Started b{channel.client_writer, channel.client.write_all(channel.client_writer, up)};
	Started c{channel.server_job, read_all(channel.server_job, channel.server, got_up)};
	Started d{channel.client_job, read_all(channel.client_job, channel.client, got_down)};
	channel.settle();
	EXPECT_EQ(a.result.value(), down.size());
	EXPECT_EQ(b.result.value(), up.size());
	EXPECT_EQ(got_down, down);
	EXPECT_EQ(got_up, up);
}

TEST(Vchan_endpoint, waits_for_room_for_a_whole_message_and_for_all_of_it)
{
	Channel channel{{8, 8}};
	Byte_string got(8);
	ASSERT_EQ(channel.server.try_send(counted(5)).value(), 5);
	EXPECT_EQ(channel.server.try_send(counted(4)).error(), Error::WOULD_BLOCK);
	EXPECT_EQ(channel.server.try_send(counted(9)).error(), Error::TOO_LONG);
	EXPECT_EQ(channel.server.try_send(Bytes()).value(), 0);
	Byte_string long_message(9);
	EXPECT_EQ(channel.client.try_receive(long_message).error(), Error::TOO_LONG);
	EXPECT_EQ(channel.client.try_receive(Mutable_bytes(got).first(6)).error(), Error::WOULD_BLOCK);
	Byte_string const message = counted(4, 5);
	Started sending{channel.server_job, channel.server.send(channel.server_job, message)};
	Started receiving{channel.client_job,
		channel.client.receive(channel.client_job, Mutable_bytes(got).first(6))};
	channel.executor.run_ready();
	EXPECT_FALSE(sending.done() || receiving.done());
	ASSERT_EQ(channel.client.try_read(Mutable_bytes(got).first(1)).value(), 1);
	channel.settle();
	EXPECT_EQ(sending.result.value(), 4);
	EXPECT_EQ(receiving.result.value(), 6);
	EXPECT_TRUE(equal(Bytes(got).first(6), counted(6, 1)));
}

TEST(Vchan_endpoint, says_how_much_can_be_read_and_written_now)
{
	Channel channel{{8, 4}};
	Byte_string got(8);
	EXPECT_EQ(channel.server.reserve().value().size(), 8);
	EXPECT_EQ(channel.client.peek().value().size(), 0);
	ASSERT_EQ(channel.server.try_write(counted(3)).value(), 3);
	EXPECT_EQ(channel.client.peek().value().size(), 3);
	ASSERT_EQ(channel.server.try_write(counted(5)).value(), 5);
	EXPECT_EQ(channel.client.peek().value().size(), 8) << "looks at the index again";
	EXPECT_EQ(channel.server.reserve().value().size(), 0);
	ASSERT_EQ(channel.client.try_read(Mutable_bytes(got).first(2)).value(), 2);
	EXPECT_EQ(channel.server.reserve().value().size(), 2);
	EXPECT_EQ(channel.client.peek().value().size(), 6);
	channel.server.finish();
	EXPECT_EQ(channel.server.reserve().error(), Error::CLOSED);
	EXPECT_EQ(channel.client.peek().value().size(), 6) << "what was sent before the end";
	ASSERT_EQ(channel.client.try_read(got).value(), 6);
	EXPECT_EQ(channel.client.peek().value().size(), 0) << "the end";
	EXPECT_EQ(channel.client.reserve().value().size(), 4) << "the other way goes on";
	channel.server.close();
	EXPECT_EQ(channel.client.reserve().error(), Error::PEER_CLOSED);
	EXPECT_EQ(channel.server.peek().error(), Error::CLOSED);
}

TEST(Vchan_endpoint, says_of_the_dead_and_of_liars_what_reading_and_writing_would_say)
{
	Channel channel{{8, 8}};
	Byte_string got(8);
	ASSERT_EQ(channel.server.try_write(counted(1)).value(), 1);
	channel.client.peer_died();
	EXPECT_EQ(channel.client.peek().value().size(), 1);
	ASSERT_EQ(channel.client.try_read(got).value(), 1);
	EXPECT_EQ(channel.client.peek().error(), Error::PEER_DEAD);
	EXPECT_EQ(channel.client.reserve().error(), Error::PEER_DEAD);
	channel.region.control().client.consumed = 2;
	EXPECT_EQ(channel.server.reserve().error(), Error::PEER_CONSUMED_TOO_MUCH);
	EXPECT_EQ(channel.server.peek().error(), Error::PEER_CONSUMED_TOO_MUCH);
}

TEST(Vchan_endpoint, gives_views_to_those_who_wait_for_room_or_data)
{
	Channel channel{{8, 8}};
	Started data{channel.client_job, channel.client.wait_for_data(channel.client_job, 3)};
	channel.executor.run_ready();
	EXPECT_EQ(channel.client.peek().value().size(), 0);
	auto const room = channel.server.reserve(3).value();
	copy_bytes(room.first, counted(3));
	channel.server.commit_written(3);
	channel.settle();
	EXPECT_EQ(data.result.value(), 3);
	EXPECT_TRUE(equal(channel.client.peek().value().first, counted(3)));
	Started wanted{channel.server_job, channel.server.wait_for_room(channel.server_job, 8)};
	channel.executor.run_ready();
	EXPECT_FALSE(wanted.done());
	channel.client.commit_read(3);
	channel.settle();
	EXPECT_EQ(wanted.result.value(), 8);
	EXPECT_EQ(
		sync_wait(channel.server_job, channel.server.wait_for_room(channel.server_job, 9)).error(),
		Error::TOO_LONG);
}

TEST(Vchan_endpoint, ends_a_wait_by_deadline_and_by_cancellation)
{
	Channel channel{{8, 8}};
	Byte_string got(1);
	Started late{channel.server_job, channel.server.read(channel.server_job, got, 2000)};
	Started cancelled{channel.client_job, channel.client.read(channel.client_job, got)};
	channel.executor.run_ready();
	channel.clock.time_us = 2000;
	channel.executor.expire();
	channel.client_job.cancel();
	channel.settle();
	EXPECT_EQ(late.result.error(), Error::TIMEOUT);
	EXPECT_EQ(cancelled.result.error(), Error::CANCELLED);
	ASSERT_EQ(channel.client.try_write(counted(1)).value(), 1);
	EXPECT_EQ(channel.server.try_read(got).value(), 1) << "nothing was lost";
}

TEST(Vchan_endpoint, says_when_a_job_has_no_room_for_a_frame)
{
	Channel channel{{8, 8}};
	Job_with_arena<16> small{channel.executor};
	Byte_string got(1);
	auto task = channel.server.read(small, got);
	ASSERT_TRUE(task.ready());
	EXPECT_EQ(task.take().error(), Error::OUT_OF_FRAMES);
}

TEST(Vchan_endpoint, delivers_what_was_sent_before_the_end)
{
	Channel channel{{8, 8}};
	Byte_string got(8);
	ASSERT_EQ(channel.server.try_write(counted(3)).value(), 3);
	channel.server.finish();
	EXPECT_EQ(channel.client.state(), State::HALF_CLOSED);
	EXPECT_EQ(channel.server.try_write(counted(1)).error(), Error::CLOSED);
	EXPECT_EQ(channel.client.try_receive(Mutable_bytes(got).first(4)).error(), Error::PEER_CLOSED);
	EXPECT_EQ(channel.client.try_read(got).value(), 3);
	EXPECT_EQ(channel.client.try_read(got).value(), 0) << "the end";
	EXPECT_EQ(channel.client.try_write(counted(2)).value(), 2) << "the other way goes on";
	EXPECT_EQ(channel.server.try_read(got).value(), 2);
	channel.server.close();
	EXPECT_EQ(channel.client.state(), State::CLOSED);
	EXPECT_EQ(channel.client.try_write(counted(1)).error(), Error::PEER_CLOSED);
	EXPECT_EQ(channel.server.try_read(got).error(), Error::CLOSED);
}

TEST(Vchan_endpoint, wakes_all_who_wait_when_the_peer_finishes_closes_or_dies)
{
	for (int how = 0; how < 4; ++how) {
		Channel channel{{1, 1}};
		Byte_string got(1), full = counted(2);
		ASSERT_EQ(channel.client.try_write(full).value(), 1);
		Started reading{channel.client_job, channel.client.read(channel.client_job, got)};
		Started writing{channel.client_writer, channel.client.write(channel.client_writer, full)};
		channel.executor.run_ready();
		ASSERT_FALSE(reading.done() || writing.done());
		if (how == 0) channel.server.finish();
		if (how == 1) channel.server.close();
		if (how == 2) channel.client.peer_died();
		if (how == 3) channel.client.close();
		channel.settle();
		ASSERT_TRUE(reading.done());
		ASSERT_EQ(writing.done(), how != 0);
		if (how < 2) {
			EXPECT_EQ(reading.result.value(), 0);
		}
		if (how == 1) {
			EXPECT_EQ(writing.result.error(), Error::PEER_CLOSED);
		}
		if (how == 2) {
			EXPECT_EQ(reading.result.error(), Error::PEER_DEAD);
		}
		if (how == 2) {
			EXPECT_EQ(writing.result.error(), Error::PEER_DEAD);
		}
		if (how == 2) {
			EXPECT_EQ(channel.client.state(), State::DEAD);
		}
		if (how == 3) {
			EXPECT_EQ(reading.result.error(), Error::CLOSED);
		}
	}
}

TEST(Vchan_endpoint, tells_the_peers_end_from_its_own)
{
	Channel channel{{64, 64}};
	channel.client.finish();
	EXPECT_EQ(channel.client.state(), State::HALF_CLOSED);
	EXPECT_FALSE(channel.client.peer_finished());
	EXPECT_TRUE(channel.server.peer_finished());
	channel.server.close();
	EXPECT_TRUE(channel.client.peer_finished());
}

TEST(Vchan_endpoint, ends_its_own_writers_when_it_finishes)
{
	Channel channel{{1, 1}};
	Byte_string const bytes = counted(1);
	ASSERT_EQ(channel.server.try_write(bytes).value(), 1);
	Started writing{channel.server_job, channel.server.write(channel.server_job, bytes)};
	channel.executor.run_ready();
	channel.server.finish();
	channel.settle();
	EXPECT_EQ(writing.result.error(), Error::CLOSED);
}

TEST(Vchan_endpoint, commits_nothing_after_its_end)
{
	Channel channel{{8, 8}};
	ASSERT_EQ(channel.server.reserve(3).value().size(), 3);
	channel.server.finish();
	channel.server.commit_written(3);
	Byte_string got(8);
	EXPECT_EQ(channel.client.try_read(got).value(), 0) << "the end";
}

TEST(Vchan_endpoint, rings_those_who_sleep_elsewhere_while_jobs_come_and_go)
{
	Channel channel{{8, 1}};
	Byte_string got(1);
	channel.client.arm(sleep_for::DATA);
	ASSERT_EQ(channel.client.try_write(got).value(), 1);
	Started writing{channel.client_job, channel.client.write(channel.client_job, got)};
	channel.executor.run_ready();
	channel.client_job.cancel();
	channel.executor.run_ready();
	ASSERT_TRUE(writing.done());
	ASSERT_EQ(channel.server.try_write(got).value(), 1);
	EXPECT_EQ(channel.server.rings(), 1);
}

TEST(Vchan_endpoint, drains_what_the_dead_have_committed)
{
	Channel channel{{8, 8}};
	Byte_string got(8);
	ASSERT_EQ(channel.server.try_write(counted(5)).value(), 5);
	channel.client.peer_died();
	EXPECT_EQ(channel.client.try_read(got).value(), 5);
	EXPECT_EQ(channel.client.try_read(got).error(), Error::PEER_DEAD);
	EXPECT_EQ(channel.client.try_write(got).error(), Error::PEER_DEAD);
}

TEST(Vchan_endpoint, ends_the_channel_with_the_reason_when_the_peer_lies)
{
	using Lie = void (*)(Side &);
	struct Case
	{
		Lie lie;
		Error reason;
	};
	Case const cases[] = {
		{[](Side &peer) { peer.produced = 9; }, Error::PEER_PRODUCED_TOO_MUCH},
		{[](Side &peer) { peer.consumed = 9; }, Error::PEER_CONSUMED_TOO_MUCH},
		{[](Side &peer) { peer.life = 7U << GENERATION_SHIFT | 4; }, Error::PEER_BAD_LIFE},
		{[](Side &peer) { peer.life = 0; }, Error::PEER_BAD_LIFE},
		{[](Side &peer) { peer.life = 7U << GENERATION_SHIFT; }, Error::PEER_BAD_LIFE},
		{[](Side &peer) { peer.life = 8U << GENERATION_SHIFT | 1; }, Error::PEER_STALE},
	};
	for (Case const &c : cases) {
		Channel channel{{8, 8}};
		ASSERT_EQ(channel.server.state(), State::CONNECTED);
		Byte_string bytes(9);
		Started reading{channel.server_job, channel.server.read(channel.server_job, bytes)};
		channel.executor.run_ready();
		c.lie(channel.region.control().client);
		static_cast<void>(channel.server.try_write(bytes));
		static_cast<void>(channel.server.try_write(bytes));
		channel.server.rung();
		channel.settle();
		EXPECT_EQ(channel.server.state(), State::BROKEN);
		EXPECT_EQ(channel.server.fault(), c.reason);
		EXPECT_EQ(reading.result.error(), c.reason);
		EXPECT_EQ(channel.server.try_write(bytes).error(), c.reason);
		EXPECT_EQ(channel.server.try_read(bytes).error(), c.reason);
		EXPECT_EQ(channel.server.peek().error(), c.reason);
		EXPECT_EQ(channel.server.reserve().error(), c.reason);
	}
}

TEST(Vchan_endpoint, looks_a_bounded_number_of_times_before_it_sleeps)
{
	Channel channel{{8, 8}};
	Byte_string got(1);
	channel.client_job.spin = ~0U;
	Started reading{channel.client_job, channel.client.read(channel.client_job, got)};
	channel.executor.run_ready();
	EXPECT_EQ(channel.region.control().client.sleep & sleep_for::ANY, sleep_for::DATA);
	ASSERT_EQ(channel.server.try_write(counted(1)).value(), 1);
	channel.settle();
	EXPECT_EQ(reading.result.value(), 1);
}

TEST(Vchan_endpoint, carries_bytes_one_way_and_says_so_of_the_other)
{
	for (Sizes sizes : {Sizes{4, 0}, Sizes{0, 4}}) {
		Channel channel{sizes};
		bool const down = sizes.to_client != 0;
		Endpoint &sender = down ? channel.server : channel.client;
		Endpoint &receiver = down ? channel.client : channel.server;
		Job &sending = down ? channel.server_job : channel.client_job;
		Job &receiving = down ? channel.client_job : channel.server_job;
		EXPECT_EQ(sender.state(), State::CONNECTED);
		Byte_string const bytes = counted(30);
		Byte_string got(30);
		auto const read_all = [](Job &job, Endpoint &end, Mutable_bytes to) -> Task<size_t, Error> {
			for (size_t all = 0;;) {
				size_t const n = co_await may(co_await end.read(job, to.subspan(all)));
				if (n == 0) co_return all;
				all += n;
			}
		};
		Started reading{receiving, read_all(receiving, receiver, got)};
		Started writing{sending, sender.write_all(sending, bytes)};
		channel.settle();
		EXPECT_EQ(writing.result.value(), bytes.size());
		sender.finish();
		EXPECT_EQ(receiver.state(), State::HALF_CLOSED);
		channel.settle();
		EXPECT_EQ(reading.result.value(), bytes.size());
		EXPECT_EQ(got, bytes);
		receiver.close();
		EXPECT_EQ(sender.state(), State::CLOSED);
	}
}

TEST(Vchan_endpoint, refuses_all_operations_of_the_way_that_does_not_exist)
{
	Channel channel{{4, 0}};
	Endpoint &sender = channel.server, &receiver = channel.client;
	Job &job = channel.server_job;
	// Nobody looks at the words of a ring that isn't there.
	channel.region.control().client.produced = 77;
	channel.region.control().server.consumed = 77;
	Byte_string got(1);
	for (size_t n : {size_t{0}, size_t{1}}) {
		Mutable_bytes const some = Mutable_bytes(got).first(n);
		EXPECT_EQ(sender.try_read(some).error(), Error::ONE_WAY);
		EXPECT_EQ(sender.try_receive(some).error(), Error::ONE_WAY);
		EXPECT_EQ(sender.peek(n).error(), Error::ONE_WAY);
		EXPECT_EQ(receiver.try_write(some).error(), Error::ONE_WAY);
		EXPECT_EQ(receiver.try_send(some).error(), Error::ONE_WAY);
		EXPECT_EQ(receiver.reserve(n).error(), Error::ONE_WAY);
		EXPECT_EQ(sync_wait(job, sender.read(job, some)).error(), Error::ONE_WAY);
		EXPECT_EQ(sync_wait(job, sender.receive(job, some)).error(), Error::ONE_WAY);
		EXPECT_EQ(sync_wait(job, sender.wait_for_data(job, n)).error(), Error::ONE_WAY);
		EXPECT_EQ(sync_wait(job, receiver.write(job, some)).error(), Error::ONE_WAY);
		EXPECT_EQ(sync_wait(job, receiver.write_all(job, some)).error(), Error::ONE_WAY);
		EXPECT_EQ(sync_wait(job, receiver.send(job, some)).error(), Error::ONE_WAY);
		EXPECT_EQ(sync_wait(job, receiver.wait_for_room(job, n)).error(), Error::ONE_WAY);
	}
	EXPECT_EQ(sender.peek().error(), Error::ONE_WAY);
	EXPECT_EQ(receiver.reserve().error(), Error::ONE_WAY);
	EXPECT_EQ(sender.state(), State::CONNECTED);
	EXPECT_EQ(sender.try_write(got).value(), 1);
	EXPECT_EQ(receiver.try_read(got).value(), 1);
	EXPECT_FALSE(sender.fault() || receiver.fault());
	sender.close();
	EXPECT_EQ(sender.try_read(got).error(), Error::ONE_WAY);
	EXPECT_EQ(receiver.try_read(got).value(), 0) << "the end";
}

TEST(Vchan_endpoint, notices_lies_and_the_end_where_it_goes_one_way)
{
	Channel channel{{1, 0}};
	Byte_string const full = counted(1);
	ASSERT_EQ(channel.server.try_write(full).value(), 1);
	Started writing{channel.server_job, channel.server.write(channel.server_job, full)};
	channel.executor.run_ready();
	ASSERT_FALSE(writing.done());
	channel.client.close();
	channel.settle();
	EXPECT_EQ(writing.result.error(), Error::PEER_CLOSED);

	Channel hostile{{1, 0}};
	hostile.region.control().client.consumed = 1;
	ASSERT_EQ(hostile.server.try_write(full).value(), 1);
	hostile.region.control().client.consumed = 2;
	EXPECT_EQ(hostile.server.try_write(full).error(), Error::PEER_CONSUMED_TOO_MUCH);
	EXPECT_EQ(hostile.server.try_read(Mutable_bytes{}).error(), Error::PEER_CONSUMED_TOO_MUCH);
}

TEST(Vchan_endpoint, survives_random_words_between_its_operations)
{
	std::minstd_rand random{3};
	for (int run = 0; run < 3000; ++run) {
		uint32_t const to_client = random() % 6 ? 1U << random() % 5 : 0;
		Channel channel{{to_client, to_client && random() % 6 == 0 ? 0 : 1U << random() % 5}};
		Side &peer = channel.region.control().client;
		Byte_string buffer(1 + random() % 40);
		Started reading{channel.server_job, channel.server.read(channel.server_job, buffer)};
		for (int i = 0; i < 20; ++i) {
			Word *const words[] = {&peer.produced, &peer.consumed, &peer.sleep, &peer.life};
			Word &word = *words[random() % 4];
			word = random() % 2 ? word + static_cast<uint32_t>(random() % 4) - 1
								: static_cast<uint32_t>(random() * random());
			auto const written = channel.server.try_write(buffer);
			ASSERT_LE(written.ok() ? written.value() : 0, channel.server.out_capacity());
			auto const view = channel.server.peek();
			size_t const there = view.ok() ? view.value().size() : 0;
			ASSERT_LE(there, channel.server.in_capacity());
			channel.server.commit_read(there ? random() % there : 0);
			if (random() % 4 == 0) channel.server.rung();
			channel.settle();
		}
		channel.server.peer_died();
		channel.settle();
		ASSERT_TRUE(reading.done()) << "nobody waits for the dead";
	}
}

} // namespace
} // namespace bulkhead::vchan
