#include "sdk/libvchan/libvchan.h"
#include "sdk/libvchan/test/support.h"
#include "sdk/libvchan/vchan.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <memory>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace bulkhead::sdk {
namespace {

using test::be;
using test::CLIENT;
using test::HANG_MS;
using test::Meeting_place;
using test::numbered;
using test::PORT;
using test::readable;
using test::SERVER;

struct Close
{
	void operator()(libvchan_t *channel) const { libvchan_close(channel); }
};
using Owned = std::unique_ptr<libvchan_t, Close>;

class Libvchan : public testing::TestWithParam<char const *>
{
protected:
	Meeting_place place{GetParam()};
	Owned server{};
	Owned client{};

	bool shm() const { return std::string(GetParam()) == "shm"; }

	void listen(size_t read_min = 4096, size_t write_min = 4096)
	{
		be(SERVER);
		server.reset(libvchan_server_init(CLIENT, PORT, read_min, write_min));
		ASSERT_TRUE(server) << bulkhead_vchan_last_error();
	}

	// Both ends in one thread.
	void meet(size_t read_min = 4096, size_t write_min = 4096)
	{
		listen(read_min, write_min);
		be(CLIENT);
		EVTCHN fd = -1;
		client.reset(libvchan_client_init_async(SERVER, PORT, &fd));
		ASSERT_TRUE(client) << bulkhead_vchan_last_error();
		int waiting = 1;
		while ((waiting = libvchan_client_init_async_finish(client.get(), true)) == 1)
			(void)libvchan_is_open(server.get());
		ASSERT_EQ(waiting, 0) << bulkhead_vchan_last_error();
		while (libvchan_is_open(server.get()) == VCHAN_WAITING) {}
		ASSERT_EQ(libvchan_is_open(server.get()), VCHAN_CONNECTED);
		settle(server.get());
		settle(client.get());
	}

	// Consumes the events that there are.
	static void settle(libvchan_t *channel)
	{
		while (readable(libvchan_fd_for_select(channel)))
			if (libvchan_wait(channel) < 0) break;
	}

	static std::string read(libvchan_t *channel, size_t size)
	{
		std::string bytes(size, '\0');
		size_t got = 0;
		while (got < size) {
			int const n = libvchan_read(channel, bytes.data() + got, size - got);
			if (n <= 0) break;
			got += static_cast<size_t>(n);
		}
		bytes.resize(got);
		return bytes;
	}

	static int write(libvchan_t *channel, std::string const &bytes)
	{
		return libvchan_write(channel, bytes.data(), bytes.size());
	}

	// Until there is no room, wherever it may be on the way.
	static size_t fill(libvchan_t *channel)
	{
		libvchan_set_blocking(channel, false);
		std::string const chunk = numbered(1000);
		size_t total = 0;
		while (int const n = write(channel, chunk)) {
			EXPECT_GT(n, 0);
			if (n < 0) break;
			total += static_cast<size_t>(n);
		}
		return total;
	}

	// Waits for an event as a program does.
	static void await(libvchan_t *channel)
	{
		ASSERT_TRUE(readable(libvchan_fd_for_select(channel), HANG_MS));
		ASSERT_EQ(libvchan_wait(channel), 0);
	}

	// Until a function of the channel says so.
	template <typename CONDITION>
	static void await(libvchan_t *channel, CONDITION const &condition)
	{
		while (!condition()) ASSERT_NO_FATAL_FAILURE(await(channel));
	}
};

INSTANTIATE_TEST_SUITE_P(
	Transports, Libvchan, testing::Values("shm", "socket"), test::transport_of);

TEST_P(Libvchan, rounds_sizes_up_to_powers_of_two)
{
	meet(1000, 3000);
	EXPECT_EQ(libvchan_buffer_space(server.get()), 4096);
	EXPECT_EQ(libvchan_buffer_space(client.get()), shm() ? 1024 : 65536) << "the wire has no sizes";
	listen(1 << 20, 1 << 20);
	EXPECT_EQ(libvchan_buffer_space(server.get()), 1 << 20);
}

TEST_P(Libvchan, refuses_sizes_that_cannot_be)
{
	be(SERVER);
	size_t const sizes[][2] = {{0, 4096}, {4096, 0}, {(1 << 20) + 1, 4096}, {4096, SIZE_MAX}};
	for (auto const &size : sizes) {
		errno = 0;
		EXPECT_EQ(libvchan_server_init(CLIENT, PORT, size[0], size[1]), nullptr);
		EXPECT_EQ(errno, EINVAL);
		EXPECT_STRNE(bulkhead_vchan_last_error(), "");
	}
}

TEST_P(Libvchan, says_whats_wrong_with_names)
{
	be(SERVER);
	EXPECT_EQ(libvchan_server_init(SERVER, PORT, 1, 1), nullptr);
	EXPECT_EQ(errno, ELOOP);
	EXPECT_EQ(libvchan_client_init(SERVER, PORT), nullptr);
	EXPECT_EQ(errno, ELOOP);
	EXPECT_EQ(libvchan_server_init(-1, PORT, 1, 1), nullptr);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(libvchan_client_init(CLIENT, -1), nullptr);
	EXPECT_EQ(errno, EINVAL);
	for (char const *own : {"", "one", "-1", "1x", "99999999999"}) {
		setenv("VCHAN_DOMAIN", own, 1);
		EXPECT_EQ(libvchan_client_init(CLIENT, PORT), nullptr);
		EXPECT_EQ(errno, EDESTADDRREQ) << own;
	}
	unsetenv("VCHAN_DOMAIN");
	EXPECT_EQ(libvchan_server_init(CLIENT, PORT, 1, 1), nullptr);
	EXPECT_EQ(errno, EDESTADDRREQ);
	EXPECT_NE(std::string(bulkhead_vchan_last_error()).find("VCHAN_DOMAIN"), std::string::npos);
}

TEST_P(Libvchan, says_whats_wrong_with_the_place)
{
	listen();
	EXPECT_EQ(libvchan_server_init(CLIENT, PORT, 1, 1), nullptr);
	EXPECT_EQ(errno, EADDRINUSE) << bulkhead_vchan_last_error();
	server.reset();
	setenv("BULKHEAD_VCHAN_DIR", "/no/such/place", 1);
	setenv("VCHAN_SOCKET_DIR", "/no/such/place", 1);
	EXPECT_EQ(libvchan_server_init(CLIENT, PORT, 1, 1), nullptr);
	EXPECT_EQ(errno, ENOENT) << bulkhead_vchan_last_error();
	EXPECT_EQ(libvchan_client_init(CLIENT, PORT), nullptr);
	EXPECT_EQ(errno, ENOENT) << bulkhead_vchan_last_error();
}

TEST_P(Libvchan, says_that_the_other_side_uses_another_transport)
{
	listen();
	be(CLIENT);
	setenv("BULKHEAD_VCHAN", shm() ? "socket" : "shm", 1);
	EXPECT_EQ(libvchan_client_init(SERVER, PORT), nullptr);
	EXPECT_EQ(errno, EPROTOTYPE) << bulkhead_vchan_last_error();
}

TEST_P(Libvchan, says_that_there_are_no_descriptors_and_leaks_none)
{
	be(SERVER);
	int const first_free = dup(0);
	close(first_free);
	rlimit usual{};
	ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &usual), 0);
	rlimit limit = usual;
	// Whichever of its descriptors is one too many.
	for (int more = 0; !server; ++more) {
		limit.rlim_cur = static_cast<rlim_t>(first_free + more);
		ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
		errno = 0;
		server.reset(libvchan_server_init(CLIENT, PORT, 4096, 4096));
		int const error = errno;
		ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &usual), 0);
		ASSERT_TRUE(server || error == EMFILE) << bulkhead_vchan_last_error();
		if (server) break;
		int const free_now = dup(0);
		close(free_now);
		EXPECT_EQ(free_now, first_free) << bulkhead_vchan_last_error();
		EXPECT_TRUE(std::filesystem::is_empty(place.path()));
	}
}

TEST_P(Libvchan, says_which_transports_there_are)
{
	be(SERVER);
	setenv("BULKHEAD_VCHAN", "pigeon", 1);
	EXPECT_EQ(libvchan_server_init(CLIENT, PORT, 1, 1), nullptr);
	EXPECT_EQ(errno, EPROTONOSUPPORT);
	EXPECT_NE(std::string(bulkhead_vchan_last_error()).find("pigeon"), std::string::npos);
	setenv("BULKHEAD_VCHAN", "guest", 1);
	EXPECT_EQ(libvchan_client_init(CLIENT, PORT), nullptr);
	EXPECT_EQ(errno, EOPNOTSUPP);
}

TEST_P(Libvchan, tells_failures_on_standard_error_when_asked_to)
{
	be(SERVER);
	testing::internal::CaptureStderr();
	EXPECT_EQ(libvchan_client_init(SERVER, PORT), nullptr);
	EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
	setenv("BULKHEAD_VCHAN_DEBUG", "1", 1);
	testing::internal::CaptureStderr();
	EXPECT_EQ(libvchan_client_init(SERVER, PORT), nullptr);
	unsetenv("BULKHEAD_VCHAN_DEBUG");
	EXPECT_NE(testing::internal::GetCapturedStderr().find("channel to itself"), std::string::npos);
}

TEST_P(Libvchan, makes_a_client_wait_for_its_server)
{
	be(CLIENT);
	EVTCHN fd = -1;
	client.reset(libvchan_client_init_async(SERVER, PORT, &fd));
	ASSERT_TRUE(client) << bulkhead_vchan_last_error();
	EXPECT_EQ(libvchan_client_init_async_finish(client.get(), true), 1);
	EXPECT_EQ(libvchan_client_init_async_finish(client.get(), true), 1);
	EXPECT_EQ(libvchan_is_open(client.get()), VCHAN_WAITING);
	EXPECT_EQ(libvchan_data_ready(client.get()), 0);
	char byte = 0;
	EXPECT_EQ(libvchan_read(client.get(), &byte, 1), -1);
	EXPECT_EQ(errno, EAGAIN);

	listen();
	EXPECT_EQ(libvchan_is_open(server.get()), VCHAN_WAITING);
	EXPECT_EQ(write(server.get(), "early"), 5) << "a server may send before its client comes";
	std::thread serving([&] { EXPECT_EQ(read(server.get(), 4), "late"); });
	do EXPECT_TRUE(readable(fd, HANG_MS));
	while (libvchan_client_init_async_finish(client.get(), true) == 1);
	EXPECT_EQ(libvchan_is_open(client.get()), VCHAN_CONNECTED);
	EXPECT_EQ(read(client.get(), 5), "early");
	EXPECT_EQ(write(client.get(), "late"), 4);
	serving.join();
}

TEST_P(Libvchan, blocks_a_client_until_its_server_comes)
{
	be(CLIENT);
	std::thread coming([&] {
		Owned const own{libvchan_client_init(SERVER, PORT)};
		ASSERT_TRUE(own) << bulkhead_vchan_last_error();
		EXPECT_EQ(read(own.get(), 5), "hello");
	});
	// Said here, as the environment can't change while the other thread reads it.
	Bulkhead_vchan_options options = BULKHEAD_VCHAN_OPTIONS_INIT;
	options.own_domain = SERVER;
	Bulkhead_vchan *own = nullptr;
	ASSERT_EQ(bulkhead_vchan_listen(&own, CLIENT, PORT, &options), 0)
		<< bulkhead_vchan_last_error();
	EXPECT_EQ(bulkhead_vchan_connect_wait(own, HANG_MS), 0);
	EXPECT_EQ(bulkhead_vchan_write(own, "hello", 5, HANG_MS), 5);
	coming.join();
	bulkhead_vchan_close(own);
}

TEST_P(Libvchan, writes_everything_when_it_blocks)
{
	meet(64, 64);
	std::string const sent = numbered(1 << 20);
	std::thread writing([&] { EXPECT_EQ(write(client.get(), sent), 1 << 20); });
	EXPECT_TRUE(read(server.get(), sent.size()) == sent);
	writing.join();
}

TEST_P(Libvchan, writes_and_reads_what_it_can_when_it_does_not_block)
{
	meet();
	libvchan_set_blocking(server.get(), false);
	char buffer[100];
	EXPECT_EQ(libvchan_read(server.get(), buffer, sizeof(buffer)), 0);
	EXPECT_EQ(libvchan_recv(server.get(), buffer, sizeof(buffer)), 0);
	size_t const total = fill(client.get());
	if (shm()) {
		EXPECT_EQ(total, 4096);
	}
	EXPECT_GE(total, 4096);
	EXPECT_EQ(libvchan_send(client.get(), "abc", 3), 0);
	EXPECT_EQ(libvchan_buffer_space(client.get()), 0);
	libvchan_set_blocking(server.get(), true);
	std::string got;
	while (got.size() < total) {
		std::string const more = read(server.get(), 1);
		ASSERT_EQ(more.size(), 1);
		got += more;
		(void)libvchan_is_open(client.get());
	}
	EXPECT_TRUE(got.substr(0, 1000) == numbered(1000));
}

TEST_P(Libvchan, sends_and_receives_all_or_nothing)
{
	meet();
	std::string const message = numbered(4096);
	EXPECT_EQ(libvchan_send(server.get(), message.data(), 3), 3);
	std::string got(4096, '\0');
	libvchan_set_blocking(client.get(), false);
	await(client.get(), [&] { return libvchan_data_ready(client.get()) == 3; });
	EXPECT_EQ(libvchan_recv(client.get(), got.data(), 4), 0);
	EXPECT_EQ(libvchan_data_ready(client.get()), 3);
	EXPECT_EQ(libvchan_recv(client.get(), got.data(), 3), 3);
	EXPECT_EQ(got.substr(0, 3), message.substr(0, 3));
	libvchan_set_blocking(client.get(), true);
	std::thread sending(
		[&] { EXPECT_EQ(libvchan_send(server.get(), message.data(), 4096), 4096); });
	EXPECT_EQ(libvchan_recv(client.get(), got.data(), 4096), 4096);
	EXPECT_TRUE(got == message);
	sending.join();
}

TEST_P(Libvchan, refuses_messages_that_the_ring_can_never_hold)
{
	meet();
	std::string message(65537, 'x');
	for (bool const blocking : {true, false}) {
		libvchan_set_blocking(server.get(), blocking);
		EXPECT_EQ(libvchan_send(server.get(), message.data(), 4097), -1);
		EXPECT_EQ(errno, EMSGSIZE);
		EXPECT_EQ(libvchan_recv(server.get(), message.data(), 4097), -1);
		EXPECT_EQ(errno, EMSGSIZE);
		libvchan_set_blocking(client.get(), blocking);
		EXPECT_EQ(libvchan_send(client.get(), message.data(), 65537), -1);
		EXPECT_EQ(libvchan_recv(client.get(), message.data(), 65537), -1);
	}
	EXPECT_EQ(libvchan_is_open(server.get()), VCHAN_CONNECTED) << "nothing has happened";
}

TEST_P(Libvchan, reads_what_was_sent_before_the_end)
{
	meet();
	EXPECT_EQ(write(client.get(), "last words"), 10);
	client.reset();
	await(server.get(), [&] { return libvchan_is_open(server.get()) == VCHAN_DISCONNECTED; });
	EXPECT_EQ(libvchan_data_ready(server.get()), 10);
	char buffer[100];
	EXPECT_EQ(libvchan_recv(server.get(), buffer, 11), -1) << "so many won't come";
	EXPECT_EQ(libvchan_recv(server.get(), buffer, 4), 4);
	EXPECT_EQ(libvchan_read(server.get(), buffer, sizeof(buffer)), 6);
	EXPECT_EQ(libvchan_read(server.get(), buffer, sizeof(buffer)), -1);
	EXPECT_EQ(errno, EPIPE);
	EXPECT_EQ(libvchan_write(server.get(), buffer, 1), -1);
	EXPECT_EQ(errno, EPIPE);
	EXPECT_EQ(libvchan_send(server.get(), buffer, 1), -1);
	libvchan_set_blocking(server.get(), false);
	EXPECT_EQ(libvchan_read(server.get(), buffer, 1), -1);
	EXPECT_EQ(libvchan_recv(server.get(), buffer, 1), -1);
	EXPECT_EQ(libvchan_data_ready(server.get()), 0);
	settle(server.get());
	EXPECT_EQ(libvchan_wait(server.get()), -1) << "nothing will come any more";
}

TEST_P(Libvchan, wakes_a_reader_and_a_writer_when_the_other_side_closes)
{
	for (bool const writes : {false, true}) {
		meet();
		std::thread blocked([&] {
			std::string bytes = numbered(10'000'000);
			if (writes)
				EXPECT_EQ(write(server.get(), bytes), -1);
			else
				EXPECT_EQ(libvchan_read(server.get(), bytes.data(), bytes.size()), -1);
		});
		client.reset();
		blocked.join();
	}
}

TEST_P(Libvchan, notices_a_death)
{
	listen();
	Bulkhead_vchan_options options = BULKHEAD_VCHAN_OPTIONS_INIT;
	options.own_domain = CLIENT;
	pid_t const child = fork();
	if (child == 0) {
		Bulkhead_vchan *own = nullptr;
		(void)bulkhead_vchan_connect(&own, SERVER, PORT, &options);
		(void)bulkhead_vchan_connect_wait(own, -1);
		(void)bulkhead_vchan_write(own, "x", 1, -1);
		while (true) pause();
	}
	EXPECT_EQ(read(server.get(), 1), "x");
	EXPECT_EQ(libvchan_is_open(server.get()), VCHAN_CONNECTED);
	EXPECT_EQ(libvchan_data_ready(server.get()), 0);
	kill(child, SIGKILL);
	char byte = 0;
	EXPECT_EQ(libvchan_read(server.get(), &byte, 1), -1);
	EXPECT_EQ(libvchan_is_open(server.get()), VCHAN_DISCONNECTED);
	EXPECT_EQ(waitpid(child, nullptr, 0), child);
}

TEST_P(Libvchan, says_so_when_a_death_is_all_that_happens)
{
	listen();
	Bulkhead_vchan_options options = BULKHEAD_VCHAN_OPTIONS_INIT;
	options.own_domain = CLIENT;
	pid_t const child = fork();
	if (child == 0) {
		Bulkhead_vchan *own = nullptr;
		(void)bulkhead_vchan_connect(&own, SERVER, PORT, &options);
		(void)bulkhead_vchan_connect_wait(own, -1);
		while (true) pause();
	}
	await(server.get(), [&] { return libvchan_is_open(server.get()) == VCHAN_CONNECTED; });
	settle(server.get());
	kill(child, SIGKILL);
	EXPECT_EQ(waitpid(child, nullptr, 0), child);
	// Without an event: the state alone is asked for.
	while (libvchan_is_open(server.get()) == VCHAN_CONNECTED) {}
	EXPECT_EQ(libvchan_is_open(server.get()), VCHAN_DISCONNECTED);
	EXPECT_TRUE(readable(libvchan_fd_for_select(server.get()))) << "and it is an event";
	EXPECT_EQ(libvchan_wait(server.get()), 0);
}

TEST_P(Libvchan, keeps_its_descriptor_readable_until_an_event_is_consumed)
{
	meet();
	int const fd = libvchan_fd_for_select(server.get());
	EXPECT_EQ(libvchan_data_ready(server.get()), 0);
	EXPECT_FALSE(readable(fd));
	EXPECT_EQ(write(client.get(), "abc"), 3);
	EXPECT_TRUE(readable(fd, HANG_MS));
	// None of these consumes it.
	EXPECT_EQ(libvchan_is_open(server.get()), VCHAN_CONNECTED);
	await(server.get(), [&] { return libvchan_data_ready(server.get()) == 3; });
	EXPECT_EQ(write(client.get(), "d"), 1);
	EXPECT_TRUE(readable(fd, HANG_MS)) << "data_ready has asked for more";
	EXPECT_EQ(libvchan_is_open(server.get()), VCHAN_CONNECTED);
	EXPECT_EQ(libvchan_buffer_space(server.get()), 4096);
	EXPECT_TRUE(readable(fd));
	EXPECT_EQ(libvchan_wait(server.get()), 0);
	settle(server.get());
	EXPECT_EQ(libvchan_data_ready(server.get()), 4);
	EXPECT_FALSE(readable(fd)) << "what has been told isn't told again";
}

TEST_P(Libvchan, keeps_its_descriptor_readable_when_others_look_first)
{
	meet();
	for (bool const reads : {false, true}) {
		libvchan_set_blocking(client.get(), reads);
		EXPECT_EQ(libvchan_data_ready(client.get()), 0);
		ASSERT_EQ(libvchan_write(server.get(), "abc", 3), 3);
		EXPECT_TRUE(readable(libvchan_fd_for_select(client.get()), HANG_MS));
		if (!reads) {
			EXPECT_EQ(libvchan_data_ready(client.get()), 3);
		}
		EXPECT_TRUE(readable(libvchan_fd_for_select(client.get())));
		EXPECT_EQ(read(client.get(), 3), "abc");
		EXPECT_TRUE(readable(libvchan_fd_for_select(client.get())));
		ASSERT_EQ(libvchan_wait(client.get()), 0);
		EXPECT_EQ(libvchan_data_ready(client.get()), 0);
		EXPECT_FALSE(readable(libvchan_fd_for_select(client.get())));
	}
}

TEST_P(Libvchan, tells_a_client_that_did_not_block_of_what_was_there_first)
{
	listen();
	ASSERT_EQ(libvchan_write(server.get(), "abc", 3), 3);
	be(CLIENT);
	EVTCHN fd = -1;
	client.reset(libvchan_client_init_async(SERVER, PORT, &fd));
	ASSERT_TRUE(client);
	while (libvchan_client_init_async_finish(client.get(), true) == 1)
		(void)libvchan_is_open(server.get());
	while (libvchan_is_open(server.get()) == VCHAN_WAITING) {}
	EXPECT_TRUE(readable(fd, HANG_MS));
	ASSERT_EQ(libvchan_wait(client.get()), 0);
	while (libvchan_data_ready(client.get()) < 3) ASSERT_EQ(libvchan_wait(client.get()), 0);
	EXPECT_EQ(read(client.get(), 3), "abc");
}

TEST_P(Libvchan, tells_of_room_after_it_was_asked_for)
{
	meet();
	(void)fill(client.get());
	settle(client.get());
	ASSERT_EQ(libvchan_buffer_space(client.get()), 0);
	EXPECT_FALSE(readable(libvchan_fd_for_select(client.get())));
	while (int const there = libvchan_data_ready(server.get()))
		(void)read(server.get(), static_cast<size_t>(there));
	await(client.get(), [&] { return libvchan_buffer_space(client.get()) > 0; });
}

TEST_P(Libvchan, remembers_an_event_that_came_while_a_call_was_blocked)
{
	meet(64, 64);
	std::string const bytes = numbered(1'000'000);
	EXPECT_EQ(libvchan_data_ready(server.get()), 0);
	int const fd = libvchan_fd_for_select(server.get());
	std::thread peer([&] {
		EXPECT_EQ(write(client.get(), "abc"), 3);
		EXPECT_TRUE(read(client.get(), bytes.size()) == bytes);
	});
	EXPECT_EQ(write(server.get(), bytes), 1'000'000);
	peer.join();
	EXPECT_TRUE(readable(fd, HANG_MS));
	await(server.get(), [&] { return libvchan_data_ready(server.get()) == 3; });
}

TEST_P(Libvchan, tells_a_server_of_its_client)
{
	listen();
	int const fd = libvchan_fd_for_select(server.get());
	EXPECT_EQ(libvchan_is_open(server.get()), VCHAN_WAITING);
	EXPECT_FALSE(readable(fd));
	be(CLIENT);
	EVTCHN watched = -1;
	client.reset(libvchan_client_init_async(SERVER, PORT, &watched));
	ASSERT_TRUE(client);
	std::thread serving([&] {
		await(server.get(), [&] { return libvchan_is_open(server.get()) == VCHAN_CONNECTED; });
	});
	do EXPECT_TRUE(readable(watched, HANG_MS));
	while (libvchan_client_init_async_finish(client.get(), false) == 1);
	serving.join();
	char byte = 0;
	EXPECT_EQ(libvchan_read(client.get(), &byte, 1), 0) << "as `finish` was told, it doesn't block";
}

TEST_P(Libvchan, answers_a_ping_with_events_only)
{
	meet();
	std::thread peer([&] {
		for (int i = 0; i < 1000; ++i) {
			await(server.get(), [&] { return libvchan_data_ready(server.get()) > 0; });
			EXPECT_EQ(write(server.get(), read(server.get(), 1)), 1);
		}
	});
	for (int i = 0; i < 1000; ++i) {
		EXPECT_EQ(write(client.get(), std::string(1, static_cast<char>(i))), 1);
		await(client.get(), [&] { return libvchan_data_ready(client.get()) > 0; });
		EXPECT_EQ(read(client.get(), 1)[0], static_cast<char>(i));
	}
	peer.join();
}

std::atomic<int> signals_seen = 0;

TEST_P(Libvchan, goes_on_after_a_signal)
{
	meet();
	struct sigaction action{};
	action.sa_handler = [](int) { ++signals_seen; };
	struct sigaction before{};
	sigaction(SIGUSR1, &action, &before);
	signals_seen = 0;
	std::thread blocked([&] { EXPECT_EQ(read(server.get(), 2), "ab"); });
	for (int i = 0; i < 100; ++i) {
		pthread_kill(blocked.native_handle(), SIGUSR1);
		while (signals_seen <= i) std::this_thread::yield();
	}
	EXPECT_EQ(write(client.get(), "ab"), 2);
	blocked.join();
	sigaction(SIGUSR1, &before, nullptr);
}

TEST_P(Libvchan, does_nothing_for_no_bytes)
{
	meet();
	for (bool const blocking : {true, false}) {
		libvchan_set_blocking(server.get(), blocking);
		EXPECT_EQ(libvchan_read(server.get(), nullptr, 0), 0);
		EXPECT_EQ(libvchan_recv(server.get(), nullptr, 0), 0);
		EXPECT_EQ(libvchan_write(server.get(), nullptr, 0), 0);
		EXPECT_EQ(libvchan_send(server.get(), nullptr, 0), 0);
	}
}

} // namespace
} // namespace bulkhead::sdk
