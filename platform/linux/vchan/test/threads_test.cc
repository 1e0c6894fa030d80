// Both ends in one process, a thread each: what ThreadSanitizer can see.

#include "platform/linux/vchan/connection.h"

#include <gtest/gtest.h>
#include <random>
#include <thread>

namespace bulkhead::linux_host {
namespace {

/* Blocks until something else than WOULD_BLOCK is the answer. */
template <typename TRIAL>
Attempt<size_t, vchan::Error> patiently(Connection &connection, uint32_t reason, TRIAL trial)
{
	while (true) {
		auto const first = trial();
		if (first.ok() || first.error() != vchan::Error::WOULD_BLOCK) return first;
		connection.endpoint()->arm(reason);
		auto const second = trial();
		if (second.ok() || second.error() != vchan::Error::WOULD_BLOCK) return second;
		EXPECT_TRUE(connection.wait().ok()) << connection.message();
	}
}

void send_all(Connection &connection, uint64_t total)
{
	std::vector<uint8_t> buffer(7001);
	std::minstd_rand random(1);
	vchan::Endpoint &end = *connection.endpoint();
	for (uint64_t sent = 0; sent < total;) {
		size_t const size = std::min<uint64_t>(1 + random() % buffer.size(), total - sent);
		for (size_t i = 0; i < size; ++i) buffer[i] = static_cast<uint8_t>((sent + i) * 7);
		auto const n = patiently(connection, vchan::sleep_for::ROOM,
			[&] { return end.try_write(Bytes(buffer).first(size)); });
		ASSERT_TRUE(n.ok());
		sent += n.value();
	}
	end.finish();
}

uint64_t receive_all(Connection &connection)
{
	std::vector<uint8_t> buffer(5003);
	vchan::Endpoint &end = *connection.endpoint();
	for (uint64_t total = 0;;) {
		auto const n = patiently(connection, vchan::sleep_for::DATA,
			[&] { return end.try_read(Mutable_bytes(buffer)); });
		if (!n.ok() || n.value() == 0) return total;
		for (size_t i = 0; i < n.value(); ++i)
			if (buffer[i] != static_cast<uint8_t>((total + i) * 7)) return UINT64_MAX;
		total += n.value();
	}
}

TEST(Connection_threads, carry_a_stream_each_way)
{
	constexpr uint64_t TOTAL = 2'000'000;
	for (uint32_t const size : {1u << 6, 1u << 12, 1u << 16}) {
		auto ends = make_channel({size, size});
		ASSERT_TRUE(ends.ok());
		Connection one, two;
		ASSERT_TRUE(one.adopt(std::move(ends.value().server)).ok());
		ASSERT_TRUE(two.adopt(std::move(ends.value().client)).ok());
		std::thread other([&] {
			EXPECT_EQ(receive_all(two), TOTAL);
			send_all(two, TOTAL);
		});
		send_all(one, TOTAL);
		EXPECT_EQ(receive_all(one), TOTAL);
		other.join();
		EXPECT_EQ(one.endpoint()->fault(), std::nullopt);
	}
}

} // namespace
} // namespace bulkhead::linux_host
