#include "vchan/test/support.h"

#include <deque>
#include <gtest/gtest.h>
#include <random>

namespace bulkhead::vchan {
namespace {

using test::Byte_string;
using test::counted;

/* A ring between guards that nobody may touch. */
struct Pair
{
	static constexpr size_t GUARD = 64;

	Byte_string memory;
	Word produced;
	Word consumed;
	std::span<uint8_t> ring;
	Producer producer;
	Consumer consumer;

	explicit Pair(size_t size, uint32_t first = 0)
		: memory(size + 2 * GUARD, 0xa5),
		  produced(first),
		  consumed(first),
		  ring(std::span(memory).subspan(GUARD, size)),
		  producer(ring, produced, consumed, first),
		  consumer(ring, consumed, produced, first)
	{}

	bool untouched() const
	{
		return std::ranges::all_of(
				   std::span(memory).first(GUARD), [](auto b) { return b == 0xa5; }) &&
			std::ranges::all_of(std::span(memory).last(GUARD), [](auto b) { return b == 0xa5; });
	}
};

Attempt<size_t, Error> write(Producer &producer, Bytes bytes)
{
	return producer.transfer({&bytes, 1});
}
Attempt<size_t, Error> read(Consumer &consumer, Mutable_bytes bytes)
{
	return consumer.transfer({&bytes, 1});
}

TEST(Vchan_ring, carries_every_length_over_every_wrap_position)
{
	for (size_t const size : {1, 2, 4, 8, 16})
		for (size_t start = 0; start < 2 * size; ++start)
			for (size_t n = 0; n <= size; ++n) {
				// The indices themselves wrap at 2^32 on the way.
				Pair pair{size, static_cast<uint32_t>(0 - size + start)};
				for (int round = 0; round < 3; ++round) {
					Byte_string const sent = counted(n, start);
					Byte_string got(n);
					ASSERT_EQ(write(pair.producer, sent).value(), n);
					ASSERT_EQ(pair.producer.available().value(), size - n);
					ASSERT_EQ(read(pair.consumer, got).value(), n);
					ASSERT_EQ(got, sent);
				}
				ASSERT_TRUE(pair.untouched());
			}
}

TEST(Vchan_ring, takes_no_more_than_fits_and_gives_no_more_than_there_is)
{
	Pair pair{8};
	Byte_string const sent = counted(20);
	EXPECT_EQ(write(pair.producer, sent).value(), 8);
	EXPECT_EQ(write(pair.producer, sent).value(), 0);
	Byte_string got(20);
	EXPECT_EQ(read(pair.consumer, got).value(), 8);
	EXPECT_EQ(read(pair.consumer, got).value(), 0);
}

TEST(Vchan_ring, shows_bytes_and_room_where_they_lie)
{
	Pair pair{8, 6};
	auto const room = pair.producer.view().value();
	EXPECT_EQ(room.first.size(), 2);
	EXPECT_EQ(room.second.size(), 6);
	room.first[0] = 1;
	room.first[1] = 2;
	room.second[0] = 3;
	EXPECT_EQ(pair.consumer.view().value().size(), 0);
	pair.producer.commit(3);
	auto const there = pair.consumer.view().value();
	ASSERT_EQ(there.size(), 3);
	EXPECT_EQ(there.first[1], 2);
	EXPECT_EQ(there.second[0], 3);
	pair.consumer.commit(2);
	EXPECT_EQ(pair.consumer.view().value().first[0], 3);
	EXPECT_EQ(pair.consumer.view(0).value().size(), 0);
}

TEST(Vchan_ring, of_no_bytes_carries_nothing_and_believes_nothing)
{
	for (uint32_t const first : {0U, 5U, UINT32_MAX}) {
		Pair pair{0, first};
		pair.produced = pair.consumed = first + 3;
		Byte_string bytes(2);
		EXPECT_EQ(pair.producer.available().value(), 0);
		EXPECT_EQ(pair.consumer.available().value(), 0);
		EXPECT_EQ(pair.producer.view().value().size(), 0);
		EXPECT_EQ(pair.consumer.view().value().size(), 0);
		EXPECT_EQ(write(pair.producer, bytes).value(), 0);
		EXPECT_EQ(read(pair.consumer, bytes).value(), 0);
		pair.producer.commit(0);
		pair.consumer.commit(0);
		EXPECT_EQ(pair.produced, first + 3) << "never written";
		EXPECT_EQ(pair.consumed, first + 3);
		EXPECT_TRUE(pair.untouched());
	}
}

TEST(Vchan_ring, matches_a_queue_under_random_operations)
{
	std::minstd_rand random{1};
	for (int run = 0; run < 40; ++run) {
		size_t const size = size_t{1} << random() % 7;
		Pair pair{size, static_cast<uint32_t>(random())};
		std::deque<uint8_t> queue;
		for (int i = 0; i < 500; ++i) {
			Byte_string const a = counted(random() % (size + 2), random());
			Byte_string const b = counted(random() % (size + 2), random());
			size_t const room = size - queue.size();
			Bytes const parts[] = {a, {}, b};
			Byte_string both = a;
			both.insert(both.end(), b.begin(), b.end());
			size_t const sent = std::min(both.size(), room);
			ASSERT_EQ(pair.producer.transfer(parts).value(), sent);
			queue.insert(queue.end(), both.begin(), both.begin() + ptrdiff_t(sent));
			Byte_string first(random() % (size + 2));
			Byte_string second(random() % (size + 2));
			Mutable_bytes const views[] = {first, second};
			size_t const got = pair.consumer.transfer(views).value();
			ASSERT_EQ(got, std::min(first.size() + second.size(), queue.size()));
			for (size_t at = 0; at < got; ++at) {
				ASSERT_EQ(at < first.size() ? first[at] : second[at - first.size()], queue.front());
				queue.pop_front();
			}
		}
		ASSERT_TRUE(pair.untouched());
	}
}

TEST(Vchan_ring, ends_when_the_peer_claims_more_bytes_than_there_was_room_for)
{
	Pair pair{8};
	ASSERT_EQ(write(pair.producer, counted(5)).value(), 5);
	ASSERT_EQ(pair.consumer.available().value(), 5);
	pair.produced = 9;
	EXPECT_EQ(pair.consumer.available().error(), Error::PEER_PRODUCED_TOO_MUCH);
	pair.produced = 5;
	EXPECT_EQ(pair.consumer.view().error(), Error::PEER_PRODUCED_TOO_MUCH) << "it stays";
}

TEST(Vchan_ring, ends_when_the_peer_takes_bytes_back)
{
	Pair pair{8};
	ASSERT_EQ(write(pair.producer, counted(5)).value(), 5);
	ASSERT_EQ(pair.consumer.available().value(), 5);
	pair.produced = 4;
	EXPECT_EQ(pair.consumer.available().error(), Error::PEER_PRODUCED_TOO_MUCH);
}

TEST(Vchan_ring, ends_when_the_peer_claims_to_have_read_what_was_not_there_or_twice)
{
	for (uint32_t const claimed : {6U, 2U, 0x80000000U, UINT32_MAX}) {
		Pair pair{8};
		Byte_string got(3);
		ASSERT_EQ(write(pair.producer, counted(5)).value(), 5);
		ASSERT_EQ(read(pair.consumer, got).value(), 3);
		ASSERT_EQ(pair.producer.available().value(), 6);
		pair.consumed = claimed;
		EXPECT_EQ(pair.producer.available().error(), Error::PEER_CONSUMED_TOO_MUCH) << claimed;
		pair.consumed = 3;
		EXPECT_EQ(write(pair.producer, got).error(), Error::PEER_CONSUMED_TOO_MUCH);
	}
}

TEST(Vchan_ring, never_leaves_its_memory_whatever_the_words_say)
{
	std::minstd_rand random{2};
	for (int run = 0; run < 2000; ++run) {
		size_t const size = size_t{1} << random() % 5;
		Pair pair{size, static_cast<uint32_t>(random())};
		for (int i = 0; i < 20; ++i) {
			Word &word = random() % 2 ? pair.produced : pair.consumed;
			// Near the truth it is believed now and then.
			if (random() % 3 == 0) word += static_cast<uint32_t>(random() % 5 - 2);
			if (random() % 9 == 0) word = static_cast<uint32_t>(random() * random());
			Byte_string buffer(random() % 20);
			static_cast<void>(write(pair.producer, buffer));
			auto const got = read(pair.consumer, buffer);
			ASSERT_LE(got.ok() ? got.value() : 0, size);
			auto const room = pair.producer.view();
			ASSERT_LE(room.ok() ? room.value().size() : 0, size);
		}
		ASSERT_TRUE(pair.untouched());
	}
}

} // namespace
} // namespace bulkhead::vchan
