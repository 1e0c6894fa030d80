#include "base/sync_wait.h"
#include "platform/linux/vchan/sealed_memory.h"
#include "sdk/qrexec/loop_channel.h"
#include "vchan/endpoint.h"

#include <array>
#include <gtest/gtest.h>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

namespace bulkhead::qrexec {
namespace {

using linux_host::Channel_pair;
using linux_host::Loop;
using linux_host::make_channel;

constexpr uint32_t RING = 4096;

/* Both ends in one loop, each with a job of its own. */
class Loop_channel_test : public testing::Test
{
protected:
	Loop _loop{};
	Loop_channel _caller{_loop};
	Loop_channel _service{_loop};
	Job_with_arena<16384> _asks{_loop.executor()};
	Job_with_arena<16384> _serves{_loop.executor()};

	void open(uint32_t ring = RING)
	{
		auto pair = make_channel({ring, ring});
		ASSERT_TRUE(pair.ok());
		ASSERT_TRUE(_service.adopt(std::move(pair.value().client), Side::SERVICE).ok());
		ASSERT_TRUE(_caller.adopt(std::move(pair.value().server), Side::CALLER).ok());
	}

	/* The other side is not ours. */
	vchan::Endpoint &open_raw(uint32_t ring = RING)
	{
		auto pair = make_channel({ring, ring});
		_raw_memory =
			std::move(linux_host::Sealed_memory::map(pair.value().client.memory.value()).value());
		auto const attached = vchan::attach(_raw_memory.bytes(), pair.value().client.generation);
		_raw_bell = std::move(pair.value().client.bell);
		_raw.emplace(attached.value(), _raw_bell);
		EXPECT_TRUE(_caller.adopt(std::move(pair.value().server), Side::CALLER).ok());
		return *_raw;
	}

	template <typename T>
	Attempt<T> wait(Job &job, Task<T> task)
	{
		return sync_wait(job, std::move(task), _loop);
	}

	std::string read(Job &job, Loop_channel &from)
	{
		std::array<uint8_t, 65536> buffer;
		std::string all;
		while (true) {
			auto const n = wait(job, from.read(job, buffer));
			if (!n.ok()) return all + " [" + std::string(name_of(n.error())) + "]";
			if (n.value() == 0) return all;
			all += text_of(std::span(buffer).first(n.value()));
		}
	}

	linux_host::Sealed_memory _raw_memory{};
	linux_host::Bell _raw_bell{};
	std::optional<vchan::Endpoint> _raw{};
};

TEST_F(Loop_channel_test, carries_what_is_asked_and_answered)
{
	open();
	ASSERT_TRUE(wait(_asks, _caller.write(_asks, bytes_of("question"))).ok());
	ASSERT_TRUE(wait(_asks, _caller.finish(_asks)).ok());
	_caller.flush();
	EXPECT_EQ(read(_serves, _service), "question");
	ASSERT_TRUE(wait(_serves, _service.write(_serves, bytes_of("answer"))).ok());
	ASSERT_TRUE(wait(_serves, _service.exit(_serves, 7)).ok());
	EXPECT_EQ(read(_asks, _caller), "answer");
	auto const code = wait(_asks, _caller.exit_code(_asks));
	ASSERT_TRUE(code.ok());
	EXPECT_EQ(code.value(), 7);
}

TEST_F(Loop_channel_test, what_was_sent_outlives_the_end_that_sent_it)
{
	auto pair = make_channel({RING, RING});
	{
		Loop_channel service(_loop);
		ASSERT_TRUE(service.adopt(std::move(pair.value().client), Side::SERVICE).ok());
		ASSERT_TRUE(wait(_serves, service.write(_serves, bytes_of("last words"))).ok());
		ASSERT_TRUE(wait(_serves, service.exit(_serves, 3)).ok());
	}
	ASSERT_TRUE(_caller.adopt(std::move(pair.value().server), Side::CALLER).ok());
	EXPECT_EQ(read(_asks, _caller), "last words");
	EXPECT_EQ(wait(_asks, _caller.exit_code(_asks)).value(), 3);
}

TEST_F(Loop_channel_test, an_end_without_an_end_of_the_stream_is_a_broken_pipe)
{
	auto pair = make_channel({RING, RING});
	{
		Loop_channel service(_loop);
		ASSERT_TRUE(service.adopt(std::move(pair.value().client), Side::SERVICE).ok());
		ASSERT_TRUE(wait(_serves, service.write(_serves, bytes_of("half of"))).ok());
	}
	ASSERT_TRUE(_caller.adopt(std::move(pair.value().server), Side::CALLER).ok());
	EXPECT_EQ(read(_asks, _caller), "half of [other end closed]");
	auto const code = wait(_asks, _caller.exit_code(_asks));
	ASSERT_FALSE(code.ok());
	EXPECT_EQ(code.error(), Error::BROKEN_PIPE);
	EXPECT_EQ(wait(_asks, _caller.write(_asks, bytes_of("x"))).error(), Error::BROKEN_PIPE);
}

Root wait_for_end(Job &job, Loop_channel &channel, std::optional<Attempt<size_t>> &result)
{
	std::array<uint8_t, 16> buffer;
	auto const n = co_await channel.read(job, buffer);
	result = n;
}

TEST_F(Loop_channel_test, who_waits_hears_of_a_death)
{
	auto pair = make_channel({RING, RING});
	std::optional<Attempt<size_t>> result;
	ASSERT_TRUE(_caller.adopt(std::move(pair.value().server), Side::CALLER).ok());
	Root root = wait_for_end(_asks, _caller, result);
	ASSERT_TRUE(root.start(_asks).ok());
	_loop.executor().run_ready();
	ASSERT_FALSE(result);
	pair.value().client = {}; // as the kernel does when a process is killed
	while (!result) {
		_loop.poll(NEVER_US);
		_loop.executor().run_ready();
	}
	ASSERT_FALSE(result->ok());
	EXPECT_EQ(result->error(), Error::BROKEN_PIPE);
}

TEST_F(Loop_channel_test, who_waits_is_told_of_a_cancel)
{
	open();
	std::optional<Attempt<size_t>> result;
	Root root = wait_for_end(_asks, _caller, result);
	ASSERT_TRUE(root.start(_asks).ok());
	_loop.executor().run_ready();
	bool closed = false;
	_caller.when_closed([&] { closed = true; });
	_caller.cancel();
	EXPECT_TRUE(closed);
	_loop.executor().run_ready();
	ASSERT_TRUE(result);
	EXPECT_EQ(result->error(), Error::CANCELLED);
	EXPECT_EQ(read(_serves, _service), " [other end closed]");
}

TEST_F(Loop_channel_test, a_wait_has_an_end)
{
	open();
	std::array<uint8_t, 16> buffer;
	auto const n = wait(_asks, _caller.read(_asks, buffer, _loop.clock().now_us() + 1000));
	ASSERT_FALSE(n.ok());
	EXPECT_EQ(n.error(), Error::TIMEOUT);
}

Root pour(Job &job, Loop_channel &channel, std::vector<uint8_t> const &all, bool &good)
{
	size_t at = 0, size = 1;
	while (at < all.size()) {
		size_t const n = std::min(size, all.size() - at);
		auto const written = co_await channel.write(job, Bytes(all).subspan(at, n));
		if (!written.ok()) co_return;
		at += n;
		size = size * 3 % 70001;
	}
	auto const finished = co_await channel.finish(job);
	good = finished.ok();
}

TEST_F(Loop_channel_test, carries_pieces_of_all_sizes_through_a_small_ring)
{
	for (uint32_t const ring : {256U, 4096U, 512U * 1024}) {
		open(ring);
		std::vector<uint8_t> all(1 << 20);
		for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint8_t>(i * 7 + i / 256);
		bool poured = false;
		Root root = pour(_asks, _caller, all, poured);
		ASSERT_TRUE(root.start(_asks).ok());
		std::vector<uint8_t> came;
		std::vector<uint8_t> buffer(1000);
		while (true) {
			auto const n = wait(_serves, _service.read(_serves, buffer));
			ASSERT_TRUE(n.ok()) << name_of(n.error());
			if (n.value() == 0) break;
			came.insert(came.end(), buffer.begin(), buffer.begin() + long(n.value()));
			buffer.resize(1 + buffer.size() * 5 % 9973);
		}
		_loop.executor().run_ready();
		EXPECT_TRUE(poured);
		EXPECT_EQ(came, all);
	}
}

std::vector<uint8_t> message(Type type, std::string_view body)
{
	std::vector<uint8_t> bytes(Header::BYTES + body.size());
	encode(Header{static_cast<uint32_t>(type), static_cast<uint32_t>(body.size())},
		std::span(bytes).first<Header::BYTES>());
	copy_bytes(std::span(bytes).subspan(Header::BYTES), bytes_of(body));
	return bytes;
}

std::vector<uint8_t> hello() { return message(Type::HELLO, {"\4\0\0\0", 4}); }

TEST_F(Loop_channel_test, what_is_written_in_one_turn_is_one_chunk)
{
	vchan::Endpoint &raw = open_raw();
	ASSERT_TRUE(wait(_asks, _caller.write(_asks, bytes_of("one "))).ok());
	auto const room = _caller.reserve(100);
	ASSERT_EQ(room.size(), 100U);
	copy_bytes(room.first, bytes_of("two "));
	_caller.commit(4);
	ASSERT_TRUE(wait(_asks, _caller.write(_asks, bytes_of("three"))).ok());
	EXPECT_EQ(raw.peek().value().size(), 0U);
	_loop.executor().run_ready(); // the turn is over
	std::array<uint8_t, 100> buffer;
	auto const n = raw.try_read(buffer);
	ASSERT_TRUE(n.ok());
	auto expected = hello();
	auto const chunk = message(Type::DATA_STDIN, "one two three");
	expected.insert(expected.end(), chunk.begin(), chunk.end());
	EXPECT_TRUE(equal(std::span(buffer).first(n.value()), expected));
}

TEST_F(Loop_channel_test, small_messages_can_be_read_where_they_lie)
{
	vchan::Endpoint &raw = open_raw();
	ASSERT_TRUE(raw.try_send(hello()).ok());
	ASSERT_TRUE(raw.try_send(message(Type::DATA_STDOUT, "abcdef")).ok());
	ASSERT_TRUE(raw.try_send(message(Type::DATA_STDOUT, "ghi")).ok());
	EXPECT_EQ(wait(_asks, _caller.wait_for_data(_asks)).value(), 6U);
	EXPECT_EQ(text_of(_caller.peek().value()), "abcdef");
	_caller.consume(2);
	EXPECT_EQ(text_of(_caller.peek().value()), "cdef");
	_caller.consume(4);
	EXPECT_EQ(text_of(_caller.peek().value()), "ghi");
	_caller.consume(3);
	EXPECT_TRUE(_caller.peek().value().empty());
	ASSERT_TRUE(raw.try_send(message(Type::DATA_STDOUT, "")).ok());
	EXPECT_EQ(wait(_asks, _caller.wait_for_data(_asks)).value(), 0U); // the end
}

TEST_F(Loop_channel_test, room_comes_back_when_it_was_read)
{
	open(1024);
	std::vector<uint8_t> const all(900, 1);
	ASSERT_TRUE(wait(_asks, _caller.write(_asks, all)).ok());
	_caller.flush();
	EXPECT_LT(_caller.reserve(200).size(), 200U);
	auto const now = _loop.clock().now_us();
	EXPECT_EQ(wait(_asks, _caller.wait_for_room(_asks, 200, now + 1000)).error(), Error::TIMEOUT);
	std::vector<uint8_t> buffer(900);
	ASSERT_TRUE(wait(_serves, _service.read(_serves, buffer)).ok());
	_loop.executor().run_ready();
	ASSERT_TRUE(wait(_asks, _caller.wait_for_room(_asks, 200)).ok());
	EXPECT_EQ(_caller.reserve(200).size(), 200U);
}

TEST_F(Loop_channel_test, complaints_go_to_who_wants_them)
{
	open();
	std::string errors;
	_caller.errors([&](Bytes bytes) { errors += text_of(bytes); });
	_service.complain("no such key");
	ASSERT_TRUE(wait(_serves, _service.exit(_serves, 1)).ok());
	_service.close();
	EXPECT_EQ(wait(_asks, _caller.exit_code(_asks)).value(), 1);
	EXPECT_EQ(errors, "no such key\n");
}

TEST_F(Loop_channel_test, who_breaks_the_protocol_is_an_error)
{
	vchan::Endpoint &raw = open_raw();
	ASSERT_TRUE(raw.try_send(message(Type::DATA_STDOUT, "no greeting")).ok());
	EXPECT_EQ(read(_asks, _caller), " [input/output error]");
	EXPECT_EQ(wait(_asks, _caller.opened(_asks)).error(), Error::IO);
	EXPECT_EQ(wait(_asks, _caller.write(_asks, bytes_of("x"))).error(), Error::IO);
}

TEST_F(Loop_channel_test, who_never_stops_complaining_keeps_nobody_busy)
{
	vchan::Endpoint &raw = open_raw();
	ASSERT_TRUE(raw.try_send(hello()).ok());
	auto const more = message(Type::DATA_STDERR, std::string(200, '!'));
	ASSERT_TRUE(raw.try_send(more).ok());
	_caller.errors([&](Bytes) {
		while (raw.try_send(more).ok()) {}
	});
	std::array<uint8_t, 16> buffer;
	auto const n = wait(_asks, _caller.read(_asks, buffer, _loop.clock().now_us() + 2000));
	ASSERT_FALSE(n.ok());
	EXPECT_EQ(n.error(), Error::TIMEOUT);
}

TEST_F(Loop_channel_test, an_end_is_used_again_for_another_call)
{
	for (int i = 0; i < 3; ++i) {
		open();
		unsigned closed = 0;
		_caller.when_closed([&] { ++closed; });
		ASSERT_TRUE(wait(_serves, _service.exit(_serves, i)).ok());
		_service.close();
		EXPECT_EQ(wait(_asks, _caller.exit_code(_asks)).value(), i);
		_caller.close();
		EXPECT_EQ(closed, 1U);
	}
	EXPECT_EQ(wait(_asks, _caller.write(_asks, bytes_of("x"))).error(), Error::INVALID);
}

TEST_F(Loop_channel_test, what_is_no_channel_is_refused)
{
	EXPECT_EQ(_caller.adopt({}, Side::CALLER).error(), Error::INVALID);
	auto pair = make_channel({RING, RING});
	pair.value().server.generation ^= 1;
	EXPECT_EQ(_caller.adopt(std::move(pair.value().server), Side::CALLER).error(), Error::INVALID);
}

} // namespace
} // namespace bulkhead::qrexec
