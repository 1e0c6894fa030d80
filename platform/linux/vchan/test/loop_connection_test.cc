#include "base/sync_wait.h"
#include "platform/linux/vchan/loop_connection.h"

#include <csignal>
#include <filesystem>
#include <functional>
#include <gtest/gtest.h>
#include <sys/wait.h>

namespace bulkhead::linux_host {
namespace {

constexpr size_t ROUNDS = 200;
constexpr Channel_name NAME{1, 2, 3};

class Loop_connection_test : public testing::Test
{
protected:
	Loop loop;
	std::string directory = []() -> std::string {
		char name[] = "/tmp/loop_connection_test.XXXXXX";
		return mkdtemp(name) ? name : "";
	}();

	~Loop_connection_test() override { std::filesystem::remove_all(directory); }
};

/* Sends each byte back until the end of the stream. */
Root echo(Job &job, Loop_connection &watched, Connection &connection, std::function<void()> ended)
{
	EXPECT_TRUE((co_await watched.joined(job)).ok()) << connection.message();
	size_t total = 0;
	uint8_t byte = 0;
	while (true) {
		auto const got = co_await connection.endpoint()->read(job, Mutable_bytes(&byte, 1));
		if (!got.ok() || got.value() == 0) break;
		++total;
		EXPECT_TRUE((co_await connection.endpoint()->write_all(job, Bytes(&byte, 1))).ok());
	}
	EXPECT_EQ(total, ROUNDS);
	connection.endpoint()->close();
	ended();
}

Root ask(Job &job, Loop_connection &watched, Connection &connection, std::function<void()> ended)
{
	EXPECT_TRUE((co_await watched.joined(job)).ok()) << connection.message();
	for (size_t i = 0; i < ROUNDS; ++i) {
		auto byte = static_cast<uint8_t>(i);
		EXPECT_TRUE((co_await connection.endpoint()->write_all(job, Bytes(&byte, 1))).ok());
		byte = 0;
		auto const got = co_await connection.endpoint()->read(job, Mutable_bytes(&byte, 1));
		EXPECT_TRUE(got.ok());
		EXPECT_EQ(byte, static_cast<uint8_t>(i));
	}
	connection.endpoint()->finish();
	uint8_t byte;
	auto const end = co_await connection.endpoint()->read(job, Mutable_bytes(&byte, 1));
	EXPECT_TRUE(end.ok() && end.value() == 0);
	ended();
}

TEST_F(Loop_connection_test, has_jobs_of_one_loop_talk_to_each_other)
{
	for (bool const client_first : {true, false}) {
		Loop own;
		Connection server, client;
		bool const early = client_first && client.connect(NAME, directory).ok();
		ASSERT_EQ(early, client_first);
		ASSERT_TRUE(server.listen(NAME, {4096, 4096}, directory).ok());
		ASSERT_TRUE(early || client.connect(NAME, directory).ok());
		Loop_connection serving(own, server), asking(own, client);
		ASSERT_TRUE(serving.start().ok());
		ASSERT_TRUE(asking.start().ok());
		unsigned left = 2;
		auto const done = [&] {
			if (--left == 0) own.stop();
		};
		Job_with_arena<2048> a{own.executor()}, b{own.executor()};
		Root first = echo(a, serving, server, done), second = ask(b, asking, client, done);
		ASSERT_TRUE(first.start(a).ok() && second.start(b).ok());
		own.run();
		EXPECT_EQ(left, 0u);
		EXPECT_EQ(server.fd(), -1) << "the loop watches the bell itself";
	}
}

TEST_F(Loop_connection_test, wakes_who_reads_when_the_peer_is_killed)
{
	auto ends = make_channel({4096, 4096});
	ASSERT_TRUE(ends.ok());
	pid_t const child = fork();
	if (child == 0) {
		Connection peer;
		ends.value().server = Channel_end{};
		if (!peer.adopt(std::move(ends.value().client)).ok()) _exit(1);
		(void)peer.endpoint()->try_write(Bytes(reinterpret_cast<uint8_t const *>("!"), 1));
		kill(getpid(), SIGKILL);
	}
	ends.value().client = Channel_end{};
	Connection connection;
	ASSERT_TRUE(connection.adopt(std::move(ends.value().server)).ok());
	Loop_connection watched(loop, connection);
	ASSERT_TRUE(watched.start().ok());
	Job_with_arena<2048> job{loop.executor()};
	uint8_t byte = 0;
	auto const got =
		sync_wait(job, connection.endpoint()->read(job, Mutable_bytes(&byte, 1)), loop);
	ASSERT_TRUE(got.ok());
	EXPECT_EQ(byte, '!');
	auto const end =
		sync_wait(job, connection.endpoint()->read(job, Mutable_bytes(&byte, 1)), loop);
	EXPECT_EQ(end.error(), vchan::Error::PEER_DEAD);
	waitpid(child, nullptr, 0);
}

TEST_F(Loop_connection_test, gives_up_waiting_in_time_and_when_the_search_fails)
{
	Connection searching;
	ASSERT_TRUE(searching.connect(NAME, directory).ok());
	Loop_connection watched(loop, searching);
	ASSERT_TRUE(watched.start().ok());
	Job_with_arena<2048> job{loop.executor()};
	auto const late = sync_wait(job, watched.joined(job, loop.clock().now_us() + 1000), loop);
	EXPECT_EQ(late.error(), Error::TIMEOUT);
	std::filesystem::remove_all(directory);
	auto const gone = sync_wait(job, watched.joined(job), loop);
	EXPECT_EQ(gone.error(), convert_error(Connect_error::NO_DIRECTORY, Into<Error>{}));
	EXPECT_NE(searching.message().find(directory), std::string::npos) << searching.message();
}

} // namespace
} // namespace bulkhead::linux_host
