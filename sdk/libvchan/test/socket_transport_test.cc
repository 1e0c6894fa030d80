#include "platform/linux/clock.h"
#include "sdk/libvchan/socket_transport.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <functional>
#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace bulkhead::sdk {
namespace {

namespace sleep_for = vchan::sleep_for;
using linux_host::Owned_fd;
using vchan::State;
using Verdict = vchan::Error;
using Block = std::vector<uint8_t>;

constexpr int SERVER = 1, CLIENT = 2, PORT = 513;
constexpr uint64_t PATIENCE_US = 60'000'000; // only so that a fault doesn't hang

uint64_t soon() { return deadline_after_us(linux_host::Monotonic_clock().now_us(), PATIENCE_US); }

// A stream in which every byte tells where it should be.
uint8_t byte_at(size_t i) { return static_cast<uint8_t>((i * 2654435761U) >> 13 ^ i >> 7); }

Block sample(size_t size, size_t from = 0)
{
	Block bytes(size);
	for (size_t i = 0; i < size; ++i) bytes[i] = byte_at(from + i);
	return bytes;
}

bool readable_now(int fd)
{
	pollfd one{fd, POLLIN, 0};
	return poll(&one, 1, 0) == 1;
}

size_t open_descriptors()
{
	size_t count = 0;
	DIR *const directory = opendir("/proc/self/fd");
	while (readdir(directory)) ++count;
	closedir(directory);
	return count;
}

/* What a program that is linked with vchan-socket does, in plain system calls. */
class Plain
{
private:
	Owned_fd _listener{};
	Owned_fd _socket{};

	static sockaddr_un _address(std::string const &path)
	{
		sockaddr_un address{};
		address.sun_family = AF_UNIX;
		path.copy(address.sun_path, sizeof(address.sun_path) - 1);
		return address;
	}

public:
	int fd() const { return _socket.value(); }

	void bind(std::string const &path)
	{
		unlink(path.c_str());
		_listener.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
		sockaddr_un const address = _address(path);
		ASSERT_EQ(::bind(_listener.value(), reinterpret_cast<sockaddr const *>(&address),
					  sizeof(address)),
			0);
	}
	void listen() { ASSERT_EQ(::listen(_listener.value(), 1), 0); }
	void serve(std::string const &path)
	{
		bind(path);
		listen();
	}
	void accept() { _socket.reset(::accept(_listener.value(), nullptr, nullptr)); }

	/* 0 or an errno. */
	int try_connect(std::string const &path, int flags = 0)
	{
		_socket.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
		sockaddr_un const address = _address(path);
		return ::connect(fd(), reinterpret_cast<sockaddr const *>(&address), sizeof(address)) == 0
			? 0
			: errno;
	}
	void connect(std::string const &path)
	{
		while (try_connect(path) != 0) usleep(100);
	}

	void send(Block const &bytes)
	{
		for (size_t at = 0; at < bytes.size();) {
			ssize_t const n = ::send(fd(), &bytes[at], bytes.size() - at, MSG_NOSIGNAL);
			if (n <= 0) return;
			at += static_cast<size_t>(n);
		}
	}

	/* Exactly so many, or fewer if the stream ends before. */
	Block receive(size_t size)
	{
		Block bytes(size);
		size_t at = 0;
		while (at < size) {
			ssize_t const n = recv(fd(), &bytes[at], size - at, 0);
			if (n <= 0) break;
			at += static_cast<size_t>(n);
		}
		bytes.resize(at);
		return bytes;
	}

	Block receive_all()
	{
		Block bytes, part;
		while (part = receive(65536), !part.empty())
			bytes.insert(bytes.end(), part.begin(), part.end());
		return bytes;
	}

	void close()
	{
		_socket.reset();
		_listener.reset();
	}
};

class Socket_transport_test : public testing::Test
{
protected:
	std::string directory;
	std::string path;
	int error = 0;
	std::string why;

	void SetUp() override
	{
		char name[] = "/tmp/vchan-socket-XXXXXX";
		ASSERT_NE(mkdtemp(name), nullptr);
		directory = name;
		path = directory + "/vchan.1.2.513.sock";
	}
	void TearDown() override
	{
		std::string const command = "rm -rf " + directory;
		ASSERT_EQ(std::system(command.c_str()), 0);
	}

	Wanted wanted(bool server, size_t bytes = 4096) const
	{
		return {server, server ? SERVER : CLIENT, server ? CLIENT : SERVER, PORT, bytes, bytes,
			directory};
	}
	std::unique_ptr<Transport> open(bool server, size_t bytes = 4096)
	{
		return open_socket(wanted(server, bytes), error, why);
	}

	std::vector<std::string> files() const
	{
		std::vector<std::string> names;
		DIR *const all = opendir(directory.c_str());
		while (dirent const *const entry = readdir(all))
			if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0)
				names.push_back(entry->d_name);
		closedir(all);
		return names;
	}

	// As every caller does: look, arm, look again, sleep.
	static void until(Transport &transport, uint32_t reasons, std::function<bool()> const &done)
	{
		uint64_t const end = soon();
		while (!done()) {
			transport.arm(reasons);
			if (done()) return;
			ASSERT_EQ(transport.wait(end), 0) << transport.message();
			ASSERT_LT(linux_host::Monotonic_clock().now_us(), end) << "waited in vain";
		}
	}
	static void until_state(Transport &transport, State state)
	{
		until(transport, sleep_for::ANY, [&] { return transport.state() == state; });
	}
	static Block read_exactly(Transport &transport, size_t size)
	{
		Block bytes(size);
		size_t at = 0;
		until(transport, sleep_for::DATA, [&] {
			Mutable_bytes const rest = Mutable_bytes(bytes).subspan(at);
			auto const got = transport.try_read({&rest, 1});
			if (!got.ok() && got.error() == Verdict::WOULD_BLOCK) return false;
			at += got.ok() ? got.value() : 0;
			return at == size || !got.ok() || got.value() == 0;
		});
		bytes.resize(at);
		return bytes;
	}
	static void write_all(Transport &transport, Bytes bytes)
	{
		until(transport, sleep_for::ROOM, [&] {
			auto const put = transport.try_write({&bytes, 1});
			if (!put.ok()) {
				EXPECT_EQ(put.error(), Verdict::WOULD_BLOCK);
				return put.error() != Verdict::WOULD_BLOCK;
			}
			bytes = bytes.subspan(put.value());
			return bytes.empty();
		});
	}
	// Until nothing more is taken.
	static Block write_until_full(Transport &transport, size_t step)
	{
		Block written;
		while (true) {
			Block const more = sample(step, written.size());
			Bytes const view = more;
			auto const put = transport.try_write({&view, 1});
			if (!put.ok()) break;
			written.insert(
				written.end(), more.begin(), more.begin() + static_cast<ptrdiff_t>(put.value()));
		}
		return written;
	}
	static Attempt<size_t, Verdict> write(Transport &transport, Bytes bytes)
	{
		return transport.try_write({&bytes, 1});
	}
	static Attempt<size_t, Verdict> send(Transport &transport, Bytes bytes)
	{
		return transport.try_send({&bytes, 1});
	}
	static Attempt<size_t, Verdict> read(Transport &transport, Mutable_bytes to)
	{
		return transport.try_read({&to, 1});
	}
	static Attempt<size_t, Verdict> receive(Transport &transport, Mutable_bytes to)
	{
		return transport.try_receive({&to, 1});
	}

	// A server of ours and its plain client.
	std::unique_ptr<Transport> serve(Plain &client, size_t bytes = 4096)
	{
		auto server = open(true, bytes);
		EXPECT_NE(server, nullptr) << why;
		client.connect(path);
		until_state(*server, State::CONNECTED);
		return server;
	}
};

TEST_F(Socket_transport_test, serves_a_program_with_vchan_socket)
{
	auto const server = open(true);
	ASSERT_NE(server, nullptr) << why;
	EXPECT_EQ(files(), std::vector<std::string>{"vchan.1.2.513.sock"});
	EXPECT_EQ(server->state(), State::WAITING);
	EXPECT_FALSE(readable_now(server->fd()));
	Plain client;
	ASSERT_EQ(client.try_connect(path), 0);
	EXPECT_TRUE(readable_now(server->fd()));
	EXPECT_EQ(server->look(), 0);
	EXPECT_EQ(server->state(), State::CONNECTED);
	client.send(sample(5000));
	EXPECT_EQ(read_exactly(*server, 5000), sample(5000));
	write_all(*server, sample(7000));
	EXPECT_EQ(client.receive(7000), sample(7000));
}

TEST_F(Socket_transport_test, finds_a_server_with_vchan_socket)
{
	Plain server;
	server.serve(path);
	auto const client = open(false);
	ASSERT_NE(client, nullptr) << why;
	EXPECT_EQ(client->state(), State::CONNECTED); // as soon as it is in the queue
	EXPECT_EQ(client->read_capacity(), 65536U);
	EXPECT_EQ(client->write_capacity(), 65536U);
	server.accept();
	write_all(*client, sample(100'000));
	EXPECT_EQ(server.receive(100'000), sample(100'000));
	server.send(sample(100));
	EXPECT_EQ(read_exactly(*client, 100), sample(100));
	EXPECT_EQ(files().size(), 1U); // theirs stays
}

TEST_F(Socket_transport_test, takes_the_directory_from_the_environment)
{
	setenv("VCHAN_SOCKET_DIR", directory.c_str(), 1);
	Wanted from_environment = wanted(true);
	from_environment.directory.clear();
	auto const server = open_socket(from_environment, error, why);
	unsetenv("VCHAN_SOCKET_DIR");
	ASSERT_NE(server, nullptr) << why;
	EXPECT_EQ(files().size(), 1U);
	EXPECT_EQ(Socket_name("", 0, 7, 3).path(), "/var/run/vchan/vchan.0.7.3.sock");
}

TEST_F(Socket_transport_test, joins_two_of_ours)
{
	auto const client = open(false);
	ASSERT_NE(client, nullptr) << why;
	EXPECT_EQ(client->state(), State::WAITING);
	EXPECT_EQ(client->read_capacity(), 0U);
	EXPECT_EQ(client->writable().value(), 0U);
	EXPECT_EQ(client->readable().value(), 0U);
	EXPECT_EQ(write(*client, sample(1)).error(), Verdict::WOULD_BLOCK);
	auto const server = open(true);
	ASSERT_NE(server, nullptr) << why;
	until_state(*client, State::CONNECTED);
	until_state(*server, State::CONNECTED);
	EXPECT_TRUE(files().empty());
	EXPECT_EQ(write(*client, sample(10)).value(), 10U);
	EXPECT_EQ(read_exactly(*server, 10), sample(10));
}

TEST_F(Socket_transport_test, waits_for_a_server_that_binds_before_it_listens)
{
	auto const client = open(false);
	ASSERT_NE(client, nullptr) << why;
	Plain server;
	server.bind(path);
	// Time to see the bound socket; nothing must depend on whether it has.
	EXPECT_EQ(client->wait(linux_host::Monotonic_clock().now_us() + 20'000), 0);
	EXPECT_EQ(client->state(), State::WAITING);
	server.listen();
	until_state(*client, State::CONNECTED);
}

TEST_F(Socket_transport_test, waits_where_a_dead_server_has_left_its_socket)
{
	{
		Plain dead;
		dead.serve(path);
	}
	auto const client = open(false);
	ASSERT_NE(client, nullptr) << why;
	EXPECT_EQ(client->look(), 0);
	EXPECT_EQ(client->state(), State::WAITING);
	EXPECT_FALSE(readable_now(client->fd()));
	Plain server;
	server.serve(path);
	until_state(*client, State::CONNECTED);
}

TEST_F(Socket_transport_test, waits_while_the_queue_of_a_server_is_full)
{
	Plain server, first, second;
	server.serve(path);
	ASSERT_EQ(first.try_connect(path), 0);
	ASSERT_EQ(second.try_connect(path), 0);
	auto const client = open(false);
	ASSERT_NE(client, nullptr) << why;
	EXPECT_EQ(client->state(), State::WAITING);
	server.accept();
	until_state(*client, State::CONNECTED);
}

TEST_F(Socket_transport_test, keeps_what_a_server_sends_before_its_client_comes)
{
	auto server = open(true, 4096);
	ASSERT_NE(server, nullptr) << why;
	EXPECT_EQ(send(*server, sample(4000)).value(), 4000U);
	EXPECT_EQ(server->writable().value(), 96U);
	EXPECT_EQ(send(*server, sample(97)).error(), Verdict::WOULD_BLOCK);
	EXPECT_EQ(write(*server, sample(200, 4000)).value(), 96U);
	EXPECT_EQ(write(*server, sample(1)).error(), Verdict::WOULD_BLOCK);
	Plain client;
	client.connect(path);
	until_state(*server, State::CONNECTED);
	EXPECT_EQ(server->writable().value(), 4096U);
	EXPECT_EQ(client.receive(4096), sample(4096));
}

TEST_F(Socket_transport_test, sends_what_was_written_also_if_it_closes_before_it_looks)
{
	auto server = open(true);
	ASSERT_NE(server, nullptr) << why;
	EXPECT_EQ(write(*server, sample(1000)).value(), 1000U);
	Plain client;
	ASSERT_EQ(client.try_connect(path), 0);
	server.reset();
	EXPECT_EQ(client.receive_all(), sample(1000));
}

TEST_F(Socket_transport_test, rounds_sizes_up_to_powers_of_two)
{
	Wanted odd = wanted(true);
	odd.read_bytes = 4097;
	odd.write_bytes = 1;
	auto const server = open_socket(odd, error, why);
	ASSERT_NE(server, nullptr) << why;
	EXPECT_EQ(server->read_capacity(), 8192U);
	EXPECT_EQ(server->write_capacity(), 1U);
	EXPECT_EQ(server->writable().value(), 1U);
}

TEST_F(Socket_transport_test, sends_and_receives_all_or_nothing)
{
	Plain client;
	auto const server = serve(client);
	EXPECT_EQ(send(*server, sample(4097)).error(), Verdict::TOO_LONG);
	Block room(5000);
	EXPECT_EQ(receive(*server, room).error(), Verdict::TOO_LONG);
	client.send(sample(2000));
	EXPECT_EQ(receive(*server, Mutable_bytes(room).first(2001)).error(), Verdict::WOULD_BLOCK);
	EXPECT_EQ(server->readable().value(), 2000U);
	EXPECT_EQ(receive(*server, Mutable_bytes(room).first(2000)).value(), 2000U);
	EXPECT_EQ(Block(room.begin(), room.begin() + 2000), sample(2000));
	EXPECT_EQ(send(*server, sample(4096)).value(), 4096U);
	EXPECT_EQ(client.receive(4096), sample(4096));
	// What is full takes no part of a message.
	Block const written = write_until_full(*server, 1000);
	EXPECT_EQ(send(*server, sample(1)).error(), Verdict::WOULD_BLOCK);
	std::thread reader([&] {
		EXPECT_EQ(client.receive(written.size()), written);
		EXPECT_EQ(client.receive(4096), sample(4096));
	});
	until(*server, sleep_for::ROOM, [&] { return send(*server, sample(4096)).ok(); });
	reader.join();
}

TEST_F(Socket_transport_test, gathers_and_scatters_any_number_of_views)
{
	Plain client;
	auto const server = serve(client);
	Block const all = sample(300);
	std::vector<Bytes> from;
	for (size_t i = 0; i < 100; ++i) from.push_back(Bytes(all).subspan(3 * i, 3));
	from.insert(from.begin() + 7, Bytes{});
	EXPECT_EQ(server->try_write(from).value(), 300U);
	EXPECT_EQ(client.receive(300), all);
	EXPECT_EQ(server->try_send(std::span(from).first(5)).value(), 15U);
	EXPECT_EQ(client.receive(15), sample(15));
	EXPECT_EQ(server->try_write({}).value(), 0U);

	Block got(300);
	std::vector<Mutable_bytes> to;
	for (size_t i = 0; i < 100; ++i) to.push_back(Mutable_bytes(got).subspan(3 * i, 3));
	client.send(all);
	EXPECT_EQ(server->try_read(std::span(to).first(2)).value(), 6U); // the rest goes to the ring
	EXPECT_EQ(server->readable().value(), 294U);
	EXPECT_EQ(server->try_receive(std::span(to).subspan(2, 3)).value(), 9U);
	EXPECT_EQ(server->try_read(std::span(to).subspan(5)).value(), 285U);
	EXPECT_EQ(got, all);
	client.send(all);
	EXPECT_EQ(server->try_read(to).value(), 300U);
	EXPECT_EQ(got, all);
	EXPECT_EQ(server->try_read({}).value(), 0U);
}

TEST_F(Socket_transport_test, works_without_copies_across_the_seam_of_a_ring)
{
	Plain client;
	auto const server = serve(client, 1024);
	for (size_t at = 0; at < 20'000; at += 700) {
		auto const room = server->reserve(700);
		ASSERT_EQ(room.value().size(), 700U);
		Block const bytes = sample(700, at);
		size_t const n = copy_bytes(room.value().first, bytes);
		copy_bytes(room.value().second, Bytes(bytes).subspan(n));
		server->commit_written(700);
		ASSERT_EQ(client.receive(700), bytes);
		client.send(bytes);
		auto const there = server->peek(vchan::ALL);
		ASSERT_EQ(there.value().size(), 700U);
		Block seen(there.value().first.begin(), there.value().first.end());
		seen.insert(seen.end(), there.value().second.begin(), there.value().second.end());
		ASSERT_EQ(seen, bytes);
		server->commit_read(700);
	}
	EXPECT_EQ(server->peek(10).value().size(), 0U);
	write_until_full(*server, 1000);
	EXPECT_EQ(server->reserve(10).value().size(), 0U);
}

TEST_F(Socket_transport_test, carries_a_long_stream_both_ways)
{
	constexpr size_t LENGTH = 100 << 20;
	Plain client;
	auto const server = serve(client, 65536);
	std::atomic<size_t> wrong = 0;
	auto const check = [&](Bytes bytes, size_t from) {
		for (size_t i = 0; i < bytes.size(); ++i) wrong += bytes[i] != byte_at(from + i);
	};
	std::thread reader([&] {
		Block part;
		for (size_t at = 0; at < LENGTH; at += part.size()) {
			part = client.receive(std::min<size_t>(100'000, LENGTH - at));
			if (part.empty()) break;
			check(part, at);
		}
	});
	std::thread writer([&] {
		for (size_t at = 0; at < LENGTH; at += 50'000)
			client.send(sample(std::min<size_t>(50'000, LENGTH - at), at));
	});
	size_t written = 0, got = 0;
	Block next = sample(70'000), to(60'000);
	size_t used = 0;
	uint64_t const end = soon();
	while ((written < LENGTH || got < LENGTH) && linux_host::Monotonic_clock().now_us() < end) {
		size_t const before = written + got;
		if (written < LENGTH) {
			if (used == next.size())
				next = sample(std::min<size_t>(70'000, LENGTH - written), written), used = 0;
			auto const put = write(*server, Bytes(next).subspan(used));
			if (put.ok()) written += put.value(), used += put.value();
		}
		if (auto const n = read(*server, to); n.ok() && n.value() > 0) {
			check(Bytes(to).first(n.value()), got);
			got += n.value();
		}
		if (written + got > before) continue;
		server->arm(sleep_for::DATA | sleep_for::ROOM);
		if (server->readable().value() > 0) continue;
		if (written < LENGTH && server->writable().value() > 0) continue;
		ASSERT_EQ(server->wait(end), 0);
	}
	writer.join();
	reader.join();
	EXPECT_EQ(got, LENGTH);
	EXPECT_EQ(written, LENGTH);
	EXPECT_EQ(wrong, 0U);
}

TEST_F(Socket_transport_test, loses_nothing_when_it_closes_before_the_peer_has_read)
{
	for (size_t const step : {size_t{1}, size_t{1000}, size_t{65536}, size_t{200'000}}) {
		Plain client;
		auto server = serve(client, 65536);
		Block const written = write_until_full(*server, step);
		EXPECT_EQ(server->writable().value(), 0U);
		server.reset(); // nobody reads as yet
		EXPECT_EQ(client.receive_all(), written) << step;
	}
}

TEST_F(Socket_transport_test, gives_a_large_ring_to_a_reader_when_it_closes)
{
	Plain client;
	auto server = serve(client, 1 << 20);
	Block const written = write_until_full(*server, 1 << 20);
	Block got;
	std::thread reader([&] { got = client.receive_all(); });
	server->close();
	EXPECT_EQ(server->state(), State::CLOSED);
	EXPECT_EQ(write(*server, sample(1)).error(), Verdict::CLOSED);
	EXPECT_EQ(server->readable().error(), Verdict::CLOSED);
	EXPECT_FALSE(readable_now(server->fd()));
	reader.join();
	EXPECT_EQ(got, written);
}

TEST_F(Socket_transport_test, reads_what_came_before_the_peer_closed)
{
	Plain client;
	auto const server = serve(client);
	client.send(sample(6000));
	client.close();
	until_state(*server, State::CLOSED);
	EXPECT_EQ(write(*server, sample(1)).error(), Verdict::PEER_CLOSED);
	EXPECT_EQ(server->writable().error(), Verdict::PEER_CLOSED);
	EXPECT_EQ(server->readable().value(), 4096U);
	EXPECT_EQ(read_exactly(*server, 5990), sample(5990));
	Block rest(11);
	EXPECT_EQ(receive(*server, rest).error(), Verdict::PEER_CLOSED);
	EXPECT_EQ(receive(*server, Mutable_bytes(rest).first(10)).value(), 10U);
	EXPECT_EQ(read(*server, rest).value(), 0U);
	EXPECT_EQ(server->peek(1).value().size(), 0U);
	EXPECT_EQ(server->readable().value(), 0U);
}

TEST_F(Socket_transport_test, notices_the_end_when_it_writes)
{
	Plain client;
	auto const server = serve(client);
	client.close();
	EXPECT_EQ(write(*server, sample(1)).error(), Verdict::PEER_CLOSED); // and no SIGPIPE
	EXPECT_EQ(send(*server, sample(1)).error(), Verdict::PEER_CLOSED);
	EXPECT_EQ(server->reserve(1).error(), Verdict::PEER_CLOSED);
	EXPECT_EQ(server->state(), State::CLOSED);
}

TEST_F(Socket_transport_test, takes_a_peer_that_leaves_bytes_unread_for_dead)
{
	Plain client;
	auto const server = serve(client);
	EXPECT_EQ(write(*server, sample(100)).value(), 100U);
	client.send(sample(50));
	client.close(); // with 100 bytes unread: a reset
	until_state(*server, State::DEAD);
	EXPECT_EQ(write(*server, sample(1)).error(), Verdict::PEER_DEAD);
	EXPECT_EQ(read_exactly(*server, 50), sample(50));
	Block more(1);
	EXPECT_EQ(read(*server, more).error(), Verdict::PEER_DEAD);
	EXPECT_EQ(receive(*server, more).error(), Verdict::PEER_DEAD);
	EXPECT_EQ(server->readable().error(), Verdict::PEER_DEAD);
	EXPECT_EQ(server->peek(1).error(), Verdict::PEER_DEAD);
	EXPECT_FALSE(server->message().empty());
}

TEST_F(Socket_transport_test, notices_a_reset_when_it_reads_or_writes)
{
	for (bool const by_reading : {true, false}) {
		Plain client;
		auto const server = serve(client);
		EXPECT_EQ(write(*server, sample(100)).value(), 100U);
		client.close();
		Block to(1);
		auto const result = by_reading ? read(*server, to) : write(*server, to);
		EXPECT_EQ(result.error(), Verdict::PEER_DEAD);
		EXPECT_EQ(server->state(), State::DEAD);
	}
}

TEST_F(Socket_transport_test, closes_in_half)
{
	Plain client;
	auto const server = serve(client);
	Block const written = write_until_full(*server, 1000);
	server->finish();
	EXPECT_EQ(server->state(), State::HALF_CLOSED);
	EXPECT_EQ(write(*server, sample(1)).error(), Verdict::CLOSED);
	// What had no place in the kernel goes there as the peer reads; only then comes the end.
	std::thread looker([&] { EXPECT_EQ(client.receive_all(), written); });
	client.send(sample(3000));
	EXPECT_EQ(read_exactly(*server, 3000), sample(3000));
	shutdown(client.fd(), SHUT_WR);
	until(*server, sleep_for::ANY, [&] { return server->state() == State::CLOSED; });
	looker.join();
	Block to(1);
	EXPECT_EQ(read(*server, to).value(), 0U);
}

TEST_F(Socket_transport_test, goes_on_sending_to_a_peer_that_has_finished)
{
	Plain client;
	auto const server = serve(client);
	client.send(sample(5));
	shutdown(client.fd(), SHUT_WR);
	until_state(*server, State::HALF_CLOSED);
	EXPECT_EQ(read_exactly(*server, 6), sample(5));
	write_all(*server, sample(300));
	EXPECT_EQ(client.receive(300), sample(300));
}

TEST_F(Socket_transport_test, finishes_before_the_client_has_come)
{
	auto const server = open(true);
	EXPECT_EQ(write(*server, sample(9)).value(), 9U);
	server->finish();
	Plain client;
	ASSERT_EQ(client.try_connect(path), 0);
	EXPECT_EQ(server->look(), 0);
	EXPECT_EQ(client.receive_all(), sample(9));
}

TEST_F(Socket_transport_test, refuses_a_second_client)
{
	auto const server = open(true);
	Plain first, second;
	ASSERT_EQ(first.try_connect(path), 0);
	EXPECT_EQ(second.try_connect(path, SOCK_NONBLOCK), EAGAIN); // the queue is for one
	int late = 0;
	std::thread blocked([&] { late = second.try_connect(path); });
	until_state(*server, State::CONNECTED);
	blocked.join();
	EXPECT_TRUE(late == ECONNREFUSED || late == ENOENT) << late;
	EXPECT_EQ(second.try_connect(path), ENOENT);
	first.send(sample(3));
	EXPECT_EQ(read_exactly(*server, 3), sample(3));
	// The name is free for a server that comes after.
	auto const next = open(true);
	ASSERT_NE(next, nullptr) << why;
	EXPECT_EQ(second.try_connect(path), 0);
}

TEST_F(Socket_transport_test, lets_a_living_server_keep_its_name)
{
	auto server = open(true);
	EXPECT_EQ(open(true), nullptr);
	EXPECT_EQ(error, EADDRINUSE);
	EXPECT_NE(why.find("another server"), std::string::npos) << why;
	EXPECT_EQ(files().size(), 1U);
	EXPECT_EQ(server->look(), 0);
	EXPECT_EQ(server->state(), State::WAITING); // the other hasn't used up its one client
	server.reset();
	EXPECT_TRUE(files().empty());
	Plain theirs;
	theirs.serve(path);
	EXPECT_EQ(open(true), nullptr);
	EXPECT_EQ(error, EADDRINUSE);
}

TEST_F(Socket_transport_test, replaces_what_a_dead_server_has_left)
{
	{
		Plain dead;
		dead.serve(path);
	}
	auto const server = open(true);
	ASSERT_NE(server, nullptr) << why;
	EXPECT_EQ(files(), std::vector<std::string>{"vchan.1.2.513.sock"});
	Plain client;
	EXPECT_EQ(client.try_connect(path), 0);
}

TEST_F(Socket_transport_test, leaves_alone_what_is_no_socket)
{
	ASSERT_EQ(mkdir(path.c_str(), 0700), 0);
	EXPECT_EQ(open(true), nullptr);
	EXPECT_EQ(error, EADDRINUSE);
	EXPECT_EQ(files().size(), 1U);
}

TEST_F(Socket_transport_test, leaves_alone_the_socket_that_has_replaced_its_own)
{
	auto server = open(true);
	Plain other;
	other.serve(path); // vchan-socket unlinks whatever is there
	server.reset();
	Plain client;
	EXPECT_EQ(client.try_connect(path), 0);
}

TEST_F(Socket_transport_test, gives_a_name_to_one_of_many_servers)
{
	for (int round = 0; round < 50; ++round) {
		{
			Plain dead;
			dead.serve(path);
		}
		std::array<std::unique_ptr<Transport>, 4> servers{};
		std::array<int, 4> errors{};
		std::vector<std::thread> threads;
		for (size_t i = 0; i < servers.size(); ++i) {
			threads.emplace_back([&, i] {
				std::string text;
				servers[i] = open_socket(wanted(true), errors[i], text);
			});
		}
		for (std::thread &thread : threads) thread.join();
		int const winners = static_cast<int>(
			std::ranges::count_if(servers, [](auto const &server) { return server != nullptr; }));
		EXPECT_LE(winners, 1);
		for (size_t i = 0; i < servers.size(); ++i)
			EXPECT_TRUE(servers[i] || errors[i] == EADDRINUSE) << errors[i];
		EXPECT_TRUE(winners != 1 || files().size() == 1);
	}
}

TEST_F(Socket_transport_test, says_what_is_wrong)
{
	auto const verdict = [&](Wanted const &asked) {
		why.clear();
		EXPECT_EQ(open_socket(asked, error, why), nullptr);
		EXPECT_FALSE(why.empty());
		return error;
	};
	for (bool const server : {true, false}) {
		Wanted asked = wanted(server);
		asked.directory += "/none";
		EXPECT_EQ(verdict(asked), ENOENT);
		EXPECT_NE(why.find("VCHAN_SOCKET_DIR"), std::string::npos) << why;
		asked.directory = directory + '/' + std::string(100, 'x');
		EXPECT_EQ(verdict(asked), ENAMETOOLONG);
		asked = wanted(server);
		asked.peer = asked.own;
		EXPECT_EQ(verdict(asked), ELOOP);
		asked = wanted(server);
		asked.port = -1;
		EXPECT_EQ(verdict(asked), EINVAL);
	}
	EXPECT_EQ(verdict(wanted(true, 0)), EINVAL);
	EXPECT_EQ(verdict(wanted(true, (64 << 20) + 1)), EINVAL);
	Wanted asked = wanted(true);
	asked.read_bytes = 0;
	EXPECT_EQ(verdict(asked), EOPNOTSUPP);
	EXPECT_TRUE(files().empty());
}

TEST_F(Socket_transport_test, gives_up_when_the_directory_goes)
{
	auto const client = open(false);
	ASSERT_EQ(rmdir(directory.c_str()), 0);
	EXPECT_EQ(client->wait(soon()), ENOENT);
	EXPECT_NE(client->message().find(directory), std::string::npos);
	EXPECT_EQ(client->look(), ENOENT);
	EXPECT_EQ(client->wait(soon()), ENOENT);
	EXPECT_EQ(client->state(), State::CLOSED);
	EXPECT_EQ(client->readable().error(), Verdict::CLOSED);
	EXPECT_FALSE(readable_now(client->fd()));
}

TEST_F(Socket_transport_test, wakes_for_what_is_armed_and_does_not_spin_for_the_rest)
{
	Plain client;
	auto const server = serve(client);
	EXPECT_EQ(server->look(), 0);
	EXPECT_FALSE(readable_now(server->fd()));
	client.send(sample(10)); // nobody has asked
	EXPECT_FALSE(readable_now(server->fd()));
	server->arm(sleep_for::DATA);
	EXPECT_TRUE(readable_now(server->fd()));
	EXPECT_EQ(server->look(), 0);
	EXPECT_FALSE(readable_now(server->fd())); // though nothing has been read
	Block to(100);
	EXPECT_EQ(read(*server, to).value(), 10U);
	server->arm(sleep_for::DATA);
	EXPECT_FALSE(readable_now(server->fd()));
	client.send(sample(10));
	EXPECT_TRUE(readable_now(server->fd()));
	EXPECT_EQ(server->look(), 0);
	EXPECT_EQ(server->readable().value(), 10U);
	EXPECT_FALSE(readable_now(server->fd()));
}

TEST_F(Socket_transport_test, sleeps_while_a_flood_is_not_read)
{
	Plain client;
	auto const server = serve(client);
	std::thread flood([&] { client.send(sample(1 << 20)); });
	int looks = 0;
	// Asks for data again and again, but takes none: woken at most when there is something new.
	until(*server, sleep_for::DATA, [&] { return server->readable().value() == 4096; });
	for (int i = 0; i < 1000; ++i) {
		server->arm(sleep_for::DATA);
		if (readable_now(server->fd())) ++looks;
		EXPECT_EQ(server->look(), 0);
		EXPECT_EQ(server->readable().value(), 4096U);
	}
	EXPECT_LE(looks, 20); // the kernel's buffer is filled in few pieces
	EXPECT_FALSE(readable_now(server->fd()));
	EXPECT_EQ(read_exactly(*server, 1 << 20), sample(1 << 20));
	flood.join();
}

TEST_F(Socket_transport_test, keeps_what_was_armed_for_when_there_is_room_again)
{
	Plain client;
	auto const server = serve(client);
	client.send(sample(4096));
	EXPECT_EQ(server->readable().value(), 4096U);
	server->arm(sleep_for::DATA);
	EXPECT_EQ(read_exactly(*server, 4096), sample(4096));
	EXPECT_FALSE(readable_now(server->fd()));
	client.send(sample(1));
	EXPECT_TRUE(readable_now(server->fd()));
}

TEST_F(Socket_transport_test, wakes_for_the_end_once)
{
	Plain client;
	auto const server = serve(client);
	EXPECT_EQ(server->look(), 0);
	client.close();
	EXPECT_TRUE(readable_now(server->fd()));
	EXPECT_EQ(server->look(), 0);
	EXPECT_EQ(server->state(), State::CLOSED);
	for (int i = 0; i < 10; ++i) {
		EXPECT_FALSE(readable_now(server->fd()));
		EXPECT_EQ(server->look(), 0);
	}
}

TEST_F(Socket_transport_test, carries_single_bytes)
{
	constexpr size_t COUNT = 20'000;
	Plain client;
	auto const server = serve(client, 65536);
	std::thread peer([&] {
		for (size_t i = 0; i < COUNT; ++i) client.send(sample(1, i));
	});
	Block got;
	for (size_t i = 0; i < COUNT; ++i) {
		Block const one = read_exactly(*server, 1);
		ASSERT_EQ(one.size(), 1U);
		got.push_back(one[0]);
	}
	peer.join();
	EXPECT_EQ(got, sample(COUNT));
	// Nobody reads: what the kernel has no place for is in the ring.
	for (size_t i = 0; i < COUNT; ++i) ASSERT_EQ(send(*server, sample(1, i)).value(), 1U);
	EXPECT_LT(server->writable().value(), 65536U);
	std::thread reader([&] { EXPECT_EQ(client.receive(COUNT), sample(COUNT)); });
	until(*server, sleep_for::ROOM, [&] { return server->writable().value() == 65536; });
	reader.join();
}

TEST_F(Socket_transport_test, survives_a_peer_that_is_killed)
{
	auto const server = open(true);
	ASSERT_NE(server, nullptr) << why;
	pid_t const child = fork();
	if (child == 0) {
		Plain client;
		client.connect(path);
		client.send(sample(100));
		while (true) pause();
	}
	EXPECT_EQ(read_exactly(*server, 50), sample(50));
	kill(child, SIGKILL);
	until_state(*server, State::CLOSED);
	EXPECT_EQ(read_exactly(*server, 51), sample(50, 50));
	EXPECT_EQ(write(*server, sample(1)).error(), Verdict::PEER_CLOSED);
	waitpid(child, nullptr, 0);
}

TEST_F(Socket_transport_test, ends_for_the_peer_when_it_is_killed)
{
	pid_t const child = fork();
	if (child == 0) {
		auto const server = open(true);
		if (!write(*server, sample(1000)).ok()) _exit(1);
		until_state(*server, State::CONNECTED);
		while (true) pause();
	}
	Plain client;
	client.connect(path);
	EXPECT_EQ(client.receive(1000), sample(1000));
	kill(child, SIGKILL);
	EXPECT_TRUE(client.receive_all().empty());
	waitpid(child, nullptr, 0);
}

TEST_F(Socket_transport_test, replaces_a_server_that_was_killed_while_a_client_waits)
{
	pid_t const child = fork();
	if (child == 0) {
		auto const server = open(true);
		while (true) pause();
	}
	Plain probe;
	while (files().size() != 1 || files()[0][0] == '.') usleep(100);
	kill(child, SIGKILL);
	waitpid(child, nullptr, 0);
	auto const client = open(false);
	ASSERT_NE(client, nullptr) << why;
	EXPECT_EQ(client->state(), State::WAITING);
	auto const server = open(true);
	ASSERT_NE(server, nullptr) << why;
	until_state(*client, State::CONNECTED);
}

TEST_F(Socket_transport_test, does_not_wake_for_what_a_forked_process_keeps_open)
{
	auto const client = open(false);
	pid_t const child = fork();
	if (child == 0) {
		while (true) pause();
	}
	Plain server;
	server.serve(path);
	until_state(*client, State::CONNECTED);
	EXPECT_EQ(mkdir((directory + "/news").c_str(), 0700), 0); // for an inotify that lives on
	EXPECT_FALSE(readable_now(client->fd()));
	kill(child, SIGKILL);
	waitpid(child, nullptr, 0);
}

TEST_F(Socket_transport_test, waits_no_longer_than_allowed_and_for_no_signal)
{
	auto const server = open(true);
	EXPECT_EQ(server->wait(0), 0);
	EXPECT_EQ(server->wait(linux_host::Monotonic_clock().now_us() + 1000), 0);
	struct sigaction action{}, before{};
	action.sa_handler = [](int) {};
	sigaction(SIGUSR1, &action, &before);
	std::atomic<bool> woken = false;
	pthread_t const self = pthread_self();
	std::thread alarm([&] {
		while (!woken) {
			pthread_kill(self, SIGUSR1);
			usleep(1000);
		}
	});
	EXPECT_EQ(server->wait(soon()), EINTR);
	woken = true;
	alarm.join();
	sigaction(SIGUSR1, &before, nullptr);
	EXPECT_EQ(server->state(), State::WAITING);
}

TEST_F(Socket_transport_test, leaves_no_descriptor_open)
{
	size_t const before = open_descriptors();
	for (int i = 0; i < 20; ++i) {
		Plain peer;
		auto server = serve(peer);
		auto const waiting = open(false);
		auto const unmet = open(true);
		EXPECT_EQ(open(true), nullptr);
		waiting->look();
		server->close();
	}
	EXPECT_EQ(open_descriptors(), before);
	EXPECT_TRUE(files().empty());
}

} // namespace
} // namespace bulkhead::sdk
