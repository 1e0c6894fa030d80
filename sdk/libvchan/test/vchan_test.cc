#include "platform/linux/vchan/sealed_memory.h"
#include "sdk/libvchan/test/support.h"
#include "sdk/libvchan/vchan.h"
#include "vchan/layout.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace bulkhead::sdk {
namespace {

using test::CLIENT;
using test::HANG_MS;
using test::Meeting_place;
using test::numbered;
using test::PORT;
using test::readable;
using test::SERVER;

struct Close
{
	void operator()(Bulkhead_vchan *channel) const { bulkhead_vchan_close(channel); }
};
using Owned = std::unique_ptr<Bulkhead_vchan, Close>;

iovec piece(std::string &bytes, size_t start, size_t size) { return {bytes.data() + start, size}; }

class Vchan : public testing::TestWithParam<char const *>
{
protected:
	Meeting_place place{GetParam()};
	Bulkhead_vchan_options options = BULKHEAD_VCHAN_OPTIONS_INIT;
	Owned server{};
	Owned client{};

	int listen()
	{
		Bulkhead_vchan *own = nullptr;
		options.own_domain = SERVER;
		int const result = bulkhead_vchan_listen(&own, CLIENT, PORT, &options);
		server.reset(own);
		return result;
	}
	int connect()
	{
		Bulkhead_vchan *own = nullptr;
		options.own_domain = CLIENT;
		int const result = bulkhead_vchan_connect(&own, SERVER, PORT, &options);
		client.reset(own);
		return result;
	}

	void meet(size_t read_bytes = 4096, size_t write_bytes = 4096)
	{
		options.read_bytes = read_bytes;
		options.write_bytes = write_bytes;
		ASSERT_EQ(listen(), 0) << bulkhead_vchan_last_error();
		ASSERT_EQ(connect(), 0) << bulkhead_vchan_last_error();
		bulkhead_vchan_arm(server.get(), BULKHEAD_VCHAN_PEER);
		bulkhead_vchan_arm(client.get(), BULKHEAD_VCHAN_PEER);
		while (bulkhead_vchan_state(server.get()) == BULKHEAD_VCHAN_WAITING ||
			bulkhead_vchan_state(client.get()) == BULKHEAD_VCHAN_WAITING) {
			ASSERT_EQ(bulkhead_vchan_look(server.get()), 0);
			ASSERT_EQ(bulkhead_vchan_look(client.get()), 0);
		}
		EXPECT_EQ(
			bulkhead_vchan_wait(server.get(), BULKHEAD_VCHAN_PEER, HANG_MS), BULKHEAD_VCHAN_PEER);
		EXPECT_EQ(
			bulkhead_vchan_wait(client.get(), BULKHEAD_VCHAN_PEER, HANG_MS), BULKHEAD_VCHAN_PEER);
	}
};

INSTANTIATE_TEST_SUITE_P(Transports, Vchan, testing::Values("shm", "socket"), test::transport_of);

TEST_P(Vchan, says_that_nothing_is_there_or_that_time_has_passed)
{
	meet();
	char byte = 0;
	iovec const one{&byte, 1};
	EXPECT_EQ(bulkhead_vchan_read(server.get(), &byte, 1, 0), -EAGAIN);
	EXPECT_EQ(bulkhead_vchan_read(server.get(), &byte, 1, 1), -ETIMEDOUT);
	EXPECT_EQ(bulkhead_vchan_recvv(server.get(), &one, 1, 0), -EAGAIN);
	EXPECT_EQ(bulkhead_vchan_recvv(server.get(), &one, 1, 1), -ETIMEDOUT);
	EXPECT_EQ(bulkhead_vchan_wait(server.get(), BULKHEAD_VCHAN_DATA, 0), -EAGAIN);
	EXPECT_EQ(bulkhead_vchan_wait(server.get(), BULKHEAD_VCHAN_PEER, 1), -ETIMEDOUT);
	EXPECT_STREQ(bulkhead_vchan_error(server.get()), bulkhead_vchan_last_error());
	EXPECT_STRNE(bulkhead_vchan_last_error(), "");
	EXPECT_EQ(bulkhead_vchan_wait(server.get(), 8, 0), -EINVAL);
	EXPECT_EQ(bulkhead_vchan_wait(server.get(), 0, 0), -EINVAL);
}

TEST_P(Vchan, lets_a_search_take_its_time)
{
	ASSERT_EQ(connect(), 0);
	EXPECT_EQ(bulkhead_vchan_connect_wait(client.get(), 0), -EAGAIN);
	EXPECT_EQ(bulkhead_vchan_connect_wait(client.get(), 1), -ETIMEDOUT);
	EXPECT_EQ(bulkhead_vchan_state(client.get()), BULKHEAD_VCHAN_WAITING);
	EXPECT_EQ(bulkhead_vchan_write(client.get(), "x", 1, 0), -EAGAIN);
	uid_t user = 0;
	EXPECT_EQ(bulkhead_vchan_peer_uid(client.get(), &user), -ENOTCONN);
	ASSERT_EQ(listen(), 0) << bulkhead_vchan_last_error();
	std::thread serving([&] { EXPECT_EQ(bulkhead_vchan_connect_wait(server.get(), HANG_MS), 0); });
	EXPECT_EQ(bulkhead_vchan_connect_wait(client.get(), HANG_MS), 0);
	serving.join();
	ASSERT_EQ(bulkhead_vchan_peer_uid(client.get(), &user), 0);
	EXPECT_EQ(user, getuid());
}

TEST_P(Vchan, writes_and_reads_vectors)
{
	meet();
	std::string bytes = numbered(3000);
	// More than there is a place for without an allocation.
	std::vector<iovec> parts;
	for (size_t i = 0; i < 300; ++i) parts.push_back(piece(bytes, i * 10, 10));
	std::string got(3000, '\0');
	std::array const to{piece(got, 0, 1), piece(got, 1, 0), piece(got, 1, 2999)};
	EXPECT_EQ(bulkhead_vchan_writev(client.get(), parts.data(), 300, HANG_MS), 3000);
	EXPECT_EQ(bulkhead_vchan_recvv(server.get(), to.data(), 3, HANG_MS), 3000);
	EXPECT_TRUE(got == bytes);
	EXPECT_EQ(bulkhead_vchan_sendv(client.get(), parts.data(), 300, HANG_MS), 3000);
	size_t read = 0;
	while (read < 3000) {
		std::array const rest{piece(got, read, 1), piece(got, read + 1, 3000 - read - 1)};
		ssize_t const n = bulkhead_vchan_readv(server.get(), rest.data(), 2, HANG_MS);
		ASSERT_GT(n, 0);
		read += static_cast<size_t>(n);
	}
	EXPECT_TRUE(got == bytes);
	EXPECT_EQ(bulkhead_vchan_writev(client.get(), parts.data(), -1, 0), -EINVAL);
	EXPECT_EQ(bulkhead_vchan_readv(client.get(), parts.data(), 1025, 0), -EINVAL);
	iovec const huge[]{{bytes.data(), SIZE_MAX / 2}, {bytes.data(), SIZE_MAX / 2}};
	EXPECT_EQ(bulkhead_vchan_sendv(client.get(), huge, 2, 0), -EINVAL);
	EXPECT_EQ(bulkhead_vchan_recvv(client.get(), huge, 1, 0), -EMSGSIZE);
}

TEST_P(Vchan, streams_vectors_through_small_rings)
{
	meet(16, 16);
	std::string bytes = numbered(100'000);
	std::thread writing([&] {
		std::array const parts{piece(bytes, 0, 1), piece(bytes, 1, 50'000), piece(bytes, 0, 0),
			piece(bytes, 50'001, 49'999)};
		EXPECT_EQ(bulkhead_vchan_writev(client.get(), parts.data(), 4, HANG_MS), 100'000);
	});
	std::string got;
	std::array<char, 777> buffer;
	while (got.size() < bytes.size()) {
		ssize_t const n = bulkhead_vchan_read(server.get(), buffer.data(), buffer.size(), HANG_MS);
		ASSERT_GT(n, 0);
		got.append(buffer.data(), static_cast<size_t>(n));
	}
	writing.join();
	EXPECT_TRUE(got == bytes);
}

TEST_P(Vchan, says_how_much_was_written_when_time_had_passed)
{
	meet();
	std::string const bytes = numbered(10'000'000);
	ssize_t const n = bulkhead_vchan_write(client.get(), bytes.data(), bytes.size(), 1);
	EXPECT_GE(n, 4096);
	EXPECT_LT(n, 10'000'000);
	EXPECT_EQ(bulkhead_vchan_write(client.get(), bytes.data(), 1, 1), -ETIMEDOUT);
}

TEST_P(Vchan, lends_bytes_and_room_without_a_copy)
{
	meet(8, 8);
	std::string const sent = numbered(1000);
	std::string got;
	size_t written = 0;
	iovec pieces[2];
	EXPECT_EQ(bulkhead_vchan_peek(server.get(), pieces, 100), -EAGAIN);
	while (got.size() < sent.size()) {
		ssize_t const room = bulkhead_vchan_reserve(client.get(), pieces, sent.size() - written);
		ASSERT_TRUE(room >= 0 || room == -EAGAIN);
		if (room > 0) {
			memcpy(pieces[0].iov_base, sent.data() + written, pieces[0].iov_len);
			memcpy(
				pieces[1].iov_base, sent.data() + written + pieces[0].iov_len, pieces[1].iov_len);
			bulkhead_vchan_commit(client.get(), static_cast<size_t>(room));
			written += static_cast<size_t>(room);
		}
		ASSERT_EQ(bulkhead_vchan_look(server.get()), 0);
		ASSERT_EQ(bulkhead_vchan_look(client.get()), 0);
		ssize_t const there = bulkhead_vchan_peek(server.get(), pieces, 5);
		ASSERT_TRUE(there > 0 || there == -EAGAIN);
		if (there < 0) continue;
		EXPECT_LE(there, 5);
		got.append(static_cast<char *>(pieces[0].iov_base), pieces[0].iov_len);
		got.append(static_cast<char *>(pieces[1].iov_base), pieces[1].iov_len);
		bulkhead_vchan_consume(server.get(), static_cast<size_t>(there));
	}
	EXPECT_TRUE(got == sent);
}

TEST_P(Vchan, ends_one_direction_and_then_the_other)
{
	meet();
	char buffer[10];
	iovec pieces[2];
	EXPECT_EQ(bulkhead_vchan_write(client.get(), "bye", 3, 0), 3);
	bulkhead_vchan_finish(client.get());
	EXPECT_EQ(bulkhead_vchan_write(client.get(), "x", 1, 0), -ESHUTDOWN);
	EXPECT_EQ(bulkhead_vchan_recv(server.get(), buffer, 4, HANG_MS), -EPIPE);
	EXPECT_EQ(bulkhead_vchan_recv(server.get(), buffer, 3, HANG_MS), 3);
	EXPECT_EQ(bulkhead_vchan_read(server.get(), buffer, 1, HANG_MS), 0);
	EXPECT_EQ(bulkhead_vchan_peek(server.get(), pieces, 1), 0);
	EXPECT_EQ(bulkhead_vchan_wait(server.get(), BULKHEAD_VCHAN_DATA, HANG_MS), BULKHEAD_VCHAN_DATA)
		<< "the end counts as data";
	EXPECT_EQ(bulkhead_vchan_state(server.get()), BULKHEAD_VCHAN_HALF_CLOSED);
	EXPECT_EQ(bulkhead_vchan_peek(client.get(), pieces, 1), -EAGAIN) << "that was our own end";
	EXPECT_EQ(bulkhead_vchan_write(server.get(), "too", 3, 0), 3);
	bulkhead_vchan_finish(server.get());
	EXPECT_EQ(bulkhead_vchan_recv(client.get(), buffer, 3, HANG_MS), 3);
	EXPECT_EQ(bulkhead_vchan_read(client.get(), buffer, 1, HANG_MS), 0);
	EXPECT_EQ(bulkhead_vchan_peek(client.get(), pieces, 1), 0);
}

TEST_P(Vchan, tells_an_event_loop_when_to_look)
{
	meet();
	char byte = 0;
	int const fd = bulkhead_vchan_fd(server.get());
	for (char sent : {'a', 'b', 'c'}) {
		bulkhead_vchan_arm(server.get(), BULKHEAD_VCHAN_DATA);
		EXPECT_EQ(bulkhead_vchan_read(server.get(), &byte, 1, 0), -EAGAIN);
		EXPECT_EQ(bulkhead_vchan_write(client.get(), &sent, 1, HANG_MS), 1);
		do {
			ASSERT_TRUE(readable(fd, HANG_MS));
			ASSERT_EQ(bulkhead_vchan_look(server.get()), 0);
		} while (bulkhead_vchan_read(server.get(), &byte, 1, 0) == -EAGAIN);
		EXPECT_EQ(byte, sent);
	}
	client.reset();
	bulkhead_vchan_arm(server.get(), BULKHEAD_VCHAN_DATA | BULKHEAD_VCHAN_PEER);
	while (bulkhead_vchan_read(server.get(), &byte, 1, 0) == -EAGAIN) {
		ASSERT_TRUE(readable(fd, HANG_MS));
		ASSERT_EQ(bulkhead_vchan_look(server.get()), 0);
		bulkhead_vchan_arm(server.get(), BULKHEAD_VCHAN_DATA | BULKHEAD_VCHAN_PEER);
	}
	EXPECT_EQ(bulkhead_vchan_read(server.get(), &byte, 1, 0), 0);
	EXPECT_EQ(bulkhead_vchan_write(server.get(), &byte, 1, HANG_MS), -EPIPE);
}

TEST_P(Vchan, says_that_a_signal_has_come)
{
	meet();
	static std::atomic<bool> stopped;
	stopped = false;
	struct sigaction action{};
	action.sa_handler = [](int) {};
	struct sigaction before{};
	sigaction(SIGUSR1, &action, &before);
	std::thread blocked([&] {
		char byte = 0;
		EXPECT_EQ(bulkhead_vchan_read(server.get(), &byte, 1, -1), -EINTR);
		stopped = true;
	});
	// Again, as the first may have come before it slept.
	while (!stopped) {
		pthread_kill(blocked.native_handle(), SIGUSR1);
		std::this_thread::yield();
	}
	blocked.join();
	sigaction(SIGUSR1, &before, nullptr);
}

TEST_P(Vchan, takes_options_of_older_and_newer_programs)
{
	options.size = offsetof(Bulkhead_vchan_options, read_bytes);
	options.read_bytes = 0;
	EXPECT_EQ(listen(), 0) << "what an older program doesn't know is as usual";
	size_t read = 0;
	bulkhead_vchan_capacity(server.get(), &read, nullptr);
	EXPECT_EQ(read, 65536);
	server.reset();
	options.size = sizeof(options) + 1;
	EXPECT_EQ(listen(), -EINVAL);
	options.size = 0;
	EXPECT_EQ(listen(), -EINVAL);
}

TEST_P(Vchan, says_whats_wrong_with_what_is_asked_for)
{
	struct
	{
		size_t read_bytes, write_bytes;
		int spin;
	} const wrong[] = {{0, 0, -1}, {(64 << 20) + 1, 1, -1}, {1, SIZE_MAX, -1}, {1, 1, -2},
		{1, 1, BULKHEAD_VCHAN_SPIN_MAX + 1}};
	for (auto const &w : wrong) {
		options.read_bytes = w.read_bytes;
		options.write_bytes = w.write_bytes;
		options.spin = w.spin;
		EXPECT_EQ(listen(), -EINVAL);
		EXPECT_EQ(server, nullptr);
		EXPECT_STRNE(bulkhead_vchan_last_error(), "");
	}
	options = BULKHEAD_VCHAN_OPTIONS_INIT;
	options.transport = "pigeon";
	EXPECT_EQ(connect(), -EPROTONOSUPPORT);
	options.transport = nullptr;
	options.directory = "/no/such/place";
	EXPECT_EQ(connect(), -ENOENT) << bulkhead_vchan_last_error();
	EXPECT_EQ(bulkhead_vchan_connect(nullptr, SERVER, PORT, &options), -EINVAL);
	Bulkhead_vchan *own = nullptr;
	options.own_domain = -2;
	EXPECT_EQ(bulkhead_vchan_connect(&own, SERVER, PORT, &options), -EINVAL);
	bulkhead_vchan_close(nullptr);
}

class Vchan_shm : public Vchan
{};

INSTANTIATE_TEST_SUITE_P(Transports, Vchan_shm, testing::Values("shm"), test::transport_of);

TEST_P(Vchan_shm, goes_one_way)
{
	meet(64, 0);
	char byte = 0;
	EXPECT_EQ(bulkhead_vchan_write(server.get(), "x", 1, -1), -EOPNOTSUPP);
	EXPECT_EQ(bulkhead_vchan_read(client.get(), &byte, 1, -1), -EOPNOTSUPP);
	EXPECT_EQ(bulkhead_vchan_write(client.get(), "x", 1, -1), 1);
	EXPECT_EQ(bulkhead_vchan_read(server.get(), &byte, 1, -1), 1);
	size_t read = 1, write = 1;
	bulkhead_vchan_capacity(client.get(), &read, &write);
	EXPECT_EQ(read, 0);
	EXPECT_EQ(write, 64);
}

TEST_P(Vchan_shm, has_rings_of_64_mib)
{
	meet(64 << 20, 1);
	std::string const bytes = numbered(64 << 20);
	EXPECT_EQ(bulkhead_vchan_send(client.get(), bytes.data(), bytes.size(), 0), 64 << 20);
	std::string got(64 << 20, '\0');
	EXPECT_EQ(bulkhead_vchan_recv(server.get(), got.data(), got.size(), 0), 64 << 20);
	EXPECT_TRUE(got == bytes);
}

TEST_P(Vchan_shm, makes_no_system_call_to_answer_who_looks)
{
	options.spin = 0;
	meet();
	Bulkhead_vchan_stats before{.size = sizeof(before), .rings = 0, .sleeps = 0};
	bulkhead_vchan_stats(client.get(), &before);
	char byte = 0;
	for (int i = 0; i < 100; ++i) {
		EXPECT_EQ(bulkhead_vchan_write(client.get(), "x", 1, 0), 1);
		EXPECT_EQ(bulkhead_vchan_read(server.get(), &byte, 1, 0), 1);
	}
	Bulkhead_vchan_stats after = before;
	bulkhead_vchan_stats(client.get(), &after);
	EXPECT_LE(after.rings, before.rings + 1) << "the first may end what `meet` has armed";
	EXPECT_EQ(after.sleeps, before.sleeps);
	// A program that knows less of it.
	after.size = offsetof(Bulkhead_vchan_stats, sleeps);
	after.sleeps = 12345;
	bulkhead_vchan_stats(client.get(), &after);
	EXPECT_EQ(after.sleeps, 12345);
}

TEST_P(Vchan_shm, takes_up_ends_that_a_broker_has_made)
{
	vchan::Sizes const sizes{64, 64};
	auto memory = linux_host::Sealed_memory::create(vchan::region_bytes(sizes)).value();
	auto const mapped = linux_host::Sealed_memory::map(memory.value()).value();
	auto &control = *::new (mapped.bytes().data()) vchan::Control{};
	ASSERT_TRUE(vchan::format(control, sizes, 5).ok());
	int to_client[2], to_server[2];
	ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, to_client), 0);
	ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, to_server), 0);
	Bulkhead_vchan *own = nullptr;
	ASSERT_EQ(bulkhead_vchan_adopt(
				  &own, dup(memory.value()), to_client[0], to_server[0], BULKHEAD_VCHAN_SERVER, 5),
		0)
		<< bulkhead_vchan_last_error();
	server.reset(own);
	ASSERT_EQ(bulkhead_vchan_adopt(
				  &own, dup(memory.value()), to_server[1], to_client[1], BULKHEAD_VCHAN_CLIENT, 5),
		0)
		<< bulkhead_vchan_last_error();
	client.reset(own);
	std::thread answering([&] {
		char byte = 0;
		EXPECT_EQ(bulkhead_vchan_read(server.get(), &byte, 1, HANG_MS), 1);
		EXPECT_EQ(bulkhead_vchan_write(server.get(), &byte, 1, HANG_MS), 1);
	});
	char byte = 0;
	EXPECT_EQ(bulkhead_vchan_write(client.get(), "y", 1, HANG_MS), 1);
	EXPECT_EQ(bulkhead_vchan_read(client.get(), &byte, 1, HANG_MS), 1);
	EXPECT_EQ(byte, 'y');
	answering.join();
	uid_t user = 0;
	EXPECT_EQ(bulkhead_vchan_peer_uid(client.get(), &user), -EOPNOTSUPP);
}

TEST_P(Vchan_shm, refuses_ends_that_are_none)
{
	Bulkhead_vchan *own = nullptr;
	int bells[2];
	ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, bells), 0);
	EXPECT_EQ(bulkhead_vchan_adopt(&own, -1, bells[0], bells[1], 2, 5), -EINVAL);
	EXPECT_EQ(fcntl(bells[0], F_GETFD), -1) << "they were the channel's";
	ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, bells), 0);
	int const no_memfd = dup(bells[0]);
	EXPECT_EQ(bulkhead_vchan_adopt(&own, no_memfd, bells[0], bells[1], BULKHEAD_VCHAN_CLIENT, 5),
		-EPROTO);
	auto const memory = linux_host::Sealed_memory::create(8192).value();
	EXPECT_EQ(bulkhead_vchan_adopt(
				  &own, dup(memory.value()), dup(memory.value()), -1, BULKHEAD_VCHAN_CLIENT, 5),
		-EPROTO);
	EXPECT_EQ(own, nullptr);
	EXPECT_STRNE(bulkhead_vchan_last_error(), "");
}

} // namespace
} // namespace bulkhead::sdk
