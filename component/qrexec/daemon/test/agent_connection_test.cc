#include "component/qrexec/daemon/agent_connection.h"
#include "sdk/libvchan/rendezvous.h"

#include <array>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <gtest/gtest.h>

namespace bulkhead::qrexec {
namespace {

namespace fs = std::filesystem;
using linux_host::Loop;
using Loss = Agent_connection::Loss;

constexpr uint32_t OWN = 42;

struct Heard
{
	Type type;
	std::string body;

	bool operator==(Heard const &) const = default;
};

// The daemon's side: notes what it hears.
class Daemon_side final : public Agent_connection::Handler
{
public:
	std::vector<Heard> heard{};
	uint32_t version = 0;
	unsigned took = 0;
	std::optional<Loss> loss{};
	std::function<void()> when_said = [] {};

	void agent_came(uint32_t agreed) override { version = agreed; }
	void agent_said(Type type, Bytes body) override
	{
		heard.push_back({type, std::string(text_of(body))});
		when_said();
	}
	void agent_took() override { ++took; }
	void agent_lost(Loss how, std::string const &) override { loss = how; }
};

std::string message(Type type, std::string_view body)
{
	std::array<uint8_t, Header::BYTES> header{};
	encode(
		Header{static_cast<uint32_t>(type), static_cast<uint32_t>(body.size())}, std::span(header));
	return std::string(text_of(header)) + std::string(body);
}

std::string hello(uint32_t version)
{
	std::array<uint8_t, 4> body{};
	encode_number(version, body);
	return message(Type::HELLO, text_of(body));
}

class Agent_connection_with_a_ring : public testing::TestWithParam<char const *>
{
protected:
	fs::path directory{};
	Loop loop{};
	Daemon_side daemon{};
	Agent_connection connection{loop, daemon};
	std::unique_ptr<sdk::Transport> agent{};

	void SetUp() override
	{
		std::string path = fs::temp_directory_path() / "qrexec-daemon-XXXXXX";
		ASSERT_NE(mkdtemp(path.data()), nullptr);
		directory = path;
		setenv("BULKHEAD_VCHAN", GetParam(), 1);
		setenv("VCHAN_SOCKET_DIR", path.c_str(), 1);
		setenv("BULKHEAD_VCHAN_DIR", path.c_str(), 1);
		setenv("VCHAN_DOMAIN", "0", 1);
		listen();
		std::string why;
		ASSERT_TRUE(connection.start(OWN, why)) << why;
	}

	void TearDown() override
	{
		connection.close();
		agent.reset();
		fs::remove_all(directory);
		for (char const *name :
			{"BULKHEAD_VCHAN", "VCHAN_SOCKET_DIR", "BULKHEAD_VCHAN_DIR", "VCHAN_DOMAIN"})
			unsetenv(name);
	}

	void listen()
	{
		int error = 0;
		std::string why;
		agent = sdk::open_transport(nullptr,
			{.server = true,
				.own = OWN,
				.peer = 0,
				.port = CONTROL_PORT,
				.read_bytes = CONTROL_RING_BYTES,
				.write_bytes = CONTROL_RING_BYTES},
			error, why);
		ASSERT_NE(agent, nullptr) << why;
	}

	// Both sides, as long as it takes. What hangs is ended by the test's own limit.
	void until(std::function<bool()> const &done)
	{
		while (!done()) {
			agent->look();
			agent->arm(vchan::sleep_for::ANY);
			loop.poll(loop.clock().now_us() + 1000);
		}
	}

	void send(std::string_view bytes)
	{
		until([&] {
			Bytes const view = {reinterpret_cast<uint8_t const *>(bytes.data()), bytes.size()};
			auto const sent = agent->try_write({&view, 1});
			if (sent.ok()) bytes.remove_prefix(sent.value());
			return bytes.empty();
		});
	}

	std::string receive(size_t size)
	{
		std::string got;
		until([&] {
			std::array<uint8_t, 4096> buffer;
			Mutable_bytes const view =
				std::span(buffer).first(std::min(buffer.size(), size - got.size()));
			auto const n = agent->try_read({&view, 1});
			if (n.ok()) got += text_of(view.first(n.value()));
			return got.size() == size;
		});
		return got;
	}

	void greet(uint32_t version = VERSION)
	{
		send(hello(version));
		EXPECT_EQ(receive(12), hello(VERSION));
		until([&] { return daemon.version != 0; });
	}

	void send_to_agent(std::string_view body)
	{
		connection.send(
			Type::EXEC_CMDLINE, {{reinterpret_cast<uint8_t const *>(body.data()), body.size()}});
	}
};

INSTANTIATE_TEST_SUITE_P(, Agent_connection_with_a_ring, testing::Values("socket", "shm"),
	[](auto const &transport) { return std::string(transport.param); });

TEST_P(Agent_connection_with_a_ring, agrees_upon_a_version)
{
	greet(3);
	EXPECT_EQ(daemon.version, 3U);
	EXPECT_TRUE(connection.present());
}

TEST_P(Agent_connection_with_a_ring, hears_messages_however_they_are_cut)
{
	greet();
	std::string const one =
		message(Type::CONNECTION_TERMINATED, std::string_view("\7\0\0\0\1\2\0\0", 8));
	for (char const c : one + one) send({&c, 1});
	send(one + one + one);
	until([&] { return daemon.heard.size() == 5; });
	for (Heard const &heard : daemon.heard)
		EXPECT_EQ(heard, (Heard{Type::CONNECTION_TERMINATED, one.substr(8)}));
}

TEST_P(Agent_connection_with_a_ring, keeps_what_a_full_ring_has_no_room_for)
{
	greet();
	// No client would send as much while there is no room, so none of it gets lost for that.
	std::string const body(1000, 'x');
	size_t count = 0;
	while (connection.room_for(Header::BYTES + body.size())) {
		send_to_agent(body);
		++count;
	}
	EXPECT_GE(count, Agent_connection::QUEUE_FOR_CLIENTS / (Header::BYTES + body.size()));
	for (size_t i = 0; i < count; ++i)
		EXPECT_EQ(receive(Header::BYTES + body.size()), message(Type::EXEC_CMDLINE, body));
	until([&] { return connection.queued() == 0; });
	EXPECT_GT(daemon.took, 0U);
	EXPECT_TRUE(connection.room_for(Header::BYTES + body.size()));
	EXPECT_FALSE(daemon.loss);
}

TEST_P(Agent_connection_with_a_ring, hears_an_agent_that_doesnt_read)
{
	greet();
	std::string const body(1000, 'x');
	for (unsigned i = 0; i < 100; ++i) send_to_agent(body);
	std::string const ended =
		message(Type::CONNECTION_TERMINATED, std::string_view("\7\0\0\0\1\2\0\0", 8));
	for (unsigned i = 0; i < 1000; ++i) send(ended);
	until([&] { return daemon.heard.size() == 1000; });
	EXPECT_FALSE(daemon.loss);
	for (unsigned i = 0; i < 100; ++i)
		EXPECT_EQ(receive(Header::BYTES + body.size()), message(Type::EXEC_CMDLINE, body));
}

TEST_P(Agent_connection_with_a_ring, ends_with_an_agent_that_never_reads_what_it_asks_for)
{
	greet();
	std::string const refusal(IDENT_BYTES, 'x');
	daemon.when_said = [&] {
		connection.send(Type::SERVICE_REFUSED,
			{{reinterpret_cast<uint8_t const *>(refusal.data()), refusal.size()}});
	};
	std::string const ended =
		message(Type::CONNECTION_TERMINATED, std::string_view("\7\0\0\0\1\2\0\0", 8));
	std::string many;
	for (unsigned i = 0; i < 200; ++i) many += ended;
	until([&] {
		Bytes const view = {reinterpret_cast<uint8_t const *>(many.data()), many.size()};
		// A piece of it may be cut off: then it is no message, and ends the connection as well.
		if (agent->writable().value_or(0) >= many.size()) (void)agent->try_write({&view, 1});
		return daemon.loss.has_value();
	});
	EXPECT_EQ(daemon.loss, Loss::MISBEHAVED);
}

TEST_P(Agent_connection_with_a_ring, tells_of_the_agents_end_after_its_last_word)
{
	greet();
	send(message(Type::CONNECTION_TERMINATED, std::string_view("\7\0\0\0\1\2\0\0", 8)));
	agent->close();
	while (!daemon.loss) loop.poll(loop.clock().now_us() + 1000);
	EXPECT_EQ(daemon.loss, Loss::GONE);
	EXPECT_EQ(daemon.heard.size(), 1U);
	EXPECT_FALSE(connection.present());
}

TEST_P(Agent_connection_with_a_ring, finds_the_next_agent)
{
	greet();
	agent->close();
	while (!daemon.loss) loop.poll(loop.clock().now_us() + 1000);
	agent.reset();
	daemon = {};
	listen();
	std::string why;
	ASSERT_TRUE(connection.start(OWN, why)) << why;
	greet();
	EXPECT_TRUE(connection.present());
}

TEST_P(Agent_connection_with_a_ring, ends_with_one_that_breaks_the_protocol)
{
	greet();
	send(message(Type::EXEC_CMDLINE, "nonsense"));
	until([&] { return daemon.loss.has_value(); });
	EXPECT_EQ(daemon.loss, Loss::MISBEHAVED);
	EXPECT_TRUE(daemon.heard.empty());
}

TEST_P(Agent_connection_with_a_ring, speaks_with_none_that_is_too_old)
{
	send(hello(1));
	until([&] { return daemon.loss.has_value(); });
	EXPECT_EQ(daemon.loss, Loss::OLD_VERSION);
	EXPECT_EQ(daemon.version, 0U);
}

} // namespace
} // namespace bulkhead::qrexec
