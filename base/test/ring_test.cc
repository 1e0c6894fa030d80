#include "base/ring.h"
#include "base/test/support.h"

#include <array>
#include <cstdint>
#include <gtest/gtest.h>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

namespace bulkhead {
namespace {

using test::Probe;

TEST(Ring, yields_in_the_order_of_pushing)
{
	Ring<int, 4> ring;
	EXPECT_EQ(ring.pop(), std::nullopt);
	for (int i = 0; i < 4; ++i) EXPECT_TRUE(ring.push(i));
	EXPECT_FALSE(ring.push(4)) << "full";
	EXPECT_EQ(ring.size(), 4U);
	EXPECT_EQ(ring.room(), 0U);
	EXPECT_EQ(*ring.front(), 0);
	ring.drop();
	EXPECT_TRUE(ring.push(4));
	for (int i = 1; i <= 4; ++i) EXPECT_EQ(ring.pop(), i);
	EXPECT_EQ(ring.front(), nullptr);
	EXPECT_EQ(ring.room(), 4U);
	EXPECT_DEATH(ring.drop(), "");
}

TEST(Ring, of_one_element_is_full_at_once)
{
	Ring<int, 1> ring;
	for (int i = 0; i < 10; ++i) {
		EXPECT_TRUE(ring.push(i));
		EXPECT_FALSE(ring.push(i));
		EXPECT_EQ(ring.pop(), i);
	}
}

// The counters are of 8 bits and the ring is as large as they allow.
TEST(Ring, goes_on_when_its_counters_wrap)
{
	Ring<uint32_t, 128, uint8_t> ring;
	uint32_t pushed = 0;
	uint32_t popped = 0;
	for (int turn = 0; turn < 1000; ++turn) {
		std::array<uint32_t, 200> some;
		std::iota(some.begin(), some.end(), pushed);
		size_t const wanted = static_cast<size_t>(turn * 37 % 200);
		size_t const room = 128 - (pushed - popped);
		size_t const n = ring.push(std::span<uint32_t const>(some).first(wanted));
		ASSERT_EQ(n, std::min(wanted, room));
		pushed += static_cast<uint32_t>(n);
		ASSERT_EQ(ring.size(), pushed - popped);
		size_t const taken = ring.pop(std::span(some).first(static_cast<size_t>(turn * 53 % 200)));
		for (size_t i = 0; i < taken; ++i) ASSERT_EQ(some[i], popped++);
		ASSERT_EQ(ring.room(), 128 - (pushed - popped));
	}
}

TEST(Ring, owns_what_is_in_it)
{
	Probe::alive = 0;
	{
		Ring<Probe, 8> ring;
		std::array<Probe, 5> some{Probe(1), Probe(2), Probe(3), Probe(4), Probe(5)};
		EXPECT_EQ(ring.push(std::span<Probe const>(some)), 5U);
		EXPECT_EQ(ring.pop()->value, 1);
		std::array<Probe, 2> out;
		EXPECT_EQ(ring.pop(std::span(out)), 2U);
		EXPECT_EQ(out[1].value, 3);
		EXPECT_EQ(Probe::alive, 5 + 2 + 2);
	}
	EXPECT_EQ(Probe::alive, 0);
	Ring<std::unique_ptr<int>, 2> movable;
	EXPECT_TRUE(movable.push(std::make_unique<int>(3)));
	EXPECT_EQ(**movable.pop(), 3);
}

// Two threads; the text is only right if what was written before a push is seen after the pop.
struct Message
{
	uint64_t number;
	uint64_t square;
};

template <typename PRODUCE, typename CONSUME>
void exchange(PRODUCE &&produce, CONSUME &&consume)
{
	std::jthread const producer(produce);
	consume();
}

constexpr uint64_t MESSAGES = 200000;

TEST(Ring, passes_single_elements_between_threads)
{
	Ring<Message, 64, uint8_t> ring;
	auto const produce = [&] {
		for (uint64_t i = 0; i < MESSAGES; ++i)
			while (!ring.push({i, i * i})) std::this_thread::yield();
	};
	auto const consume = [&] {
		for (uint64_t i = 0; i < MESSAGES; ++i) {
			auto message = ring.pop();
			for (; !message; message = ring.pop()) std::this_thread::yield();
			ASSERT_EQ(message->number, i);
			ASSERT_EQ(message->square, i * i);
		}
	};
	exchange(produce, consume);
	EXPECT_EQ(ring.pop().has_value(), false);
}

TEST(Ring, passes_many_elements_at_once_between_threads)
{
	Ring<Message, 64> ring;
	auto const produce = [&] {
		std::vector<Message> batch;
		for (uint64_t next = 0; next < MESSAGES;) {
			batch.clear();
			for (uint64_t i = next; i < std::min(MESSAGES, next + 1 + next % 90); ++i)
				batch.push_back({i, i * i});
			size_t const n = ring.push(std::span<Message const>(batch));
			if (n == 0) std::this_thread::yield();
			next += n;
		}
	};
	auto const consume = [&] {
		std::array<Message, 50> batch;
		for (uint64_t next = 0; next < MESSAGES;) {
			size_t const n = ring.pop(std::span(batch).first(1 + next % 50));
			if (n == 0) std::this_thread::yield();
			for (size_t i = 0; i < n; ++i, ++next) {
				ASSERT_EQ(batch[i].number, next);
				ASSERT_EQ(batch[i].square, next * next);
			}
		}
	};
	exchange(produce, consume);
}

} // namespace
} // namespace bulkhead
