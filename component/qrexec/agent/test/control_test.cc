#include "component/qrexec/agent/control.h"

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <gtest/gtest.h>

namespace bulkhead::qrexec {
namespace {

using linux_host::Loop;

constexpr int AGENT = 42;

struct Place
{
	std::string transport{};
	std::string directory{};
};

// Where the two meet: an opener has no arguments of its own.
Place place;

std::unique_ptr<sdk::Transport> open_end(bool server, std::string &why)
{
	sdk::Wanted wanted{};
	wanted.server = server;
	wanted.own = server ? AGENT : 0;
	wanted.peer = server ? 0 : AGENT;
	wanted.port = CONTROL_PORT;
	wanted.read_bytes = wanted.write_bytes = CONTROL_RING_BYTES;
	wanted.directory = place.directory;
	int error = 0;
	return place.transport == "shm" ? sdk::open_shm(wanted, error, why)
									: sdk::open_socket(wanted, error, why);
}

std::unique_ptr<sdk::Transport> open_server(std::string &why) { return open_end(true, why); }

struct Noted final : Control::Events
{
	std::deque<std::string> what{};

	void daemon_came() override { what.emplace_back("came"); }
	void daemon_left(std::string_view why) override
	{
		what.push_back("left" + std::string(why.empty() ? "" : ": ") + std::string(why));
	}
	void told(Message_reader::Message const &message) override
	{
		std::string text = std::to_string(static_cast<uint32_t>(message.type)) + ":";
		text.append(reinterpret_cast<char const *>(message.body.data()), message.body.size());
		what.push_back(text);
	}
	void broken(std::string_view why) override { what.push_back("broken: " + std::string(why)); }
};

std::string message(Type type, std::string_view body)
{
	std::string text(Header::BYTES, '\0');
	auto *const bytes = reinterpret_cast<uint8_t *>(text.data());
	encode(Header{static_cast<uint32_t>(type), static_cast<uint32_t>(body.size())},
		std::span<uint8_t, Header::BYTES>(bytes, Header::BYTES));
	return text + std::string(body);
}

std::string hello(char version)
{
	return message(Type::HELLO, std::string(1, version) + std::string(3, '\0'));
}

class Controls : public testing::TestWithParam<char const *>
{
protected:
	Loop _loop{};
	Noted _noted{};
	std::optional<Control> _control{};

	void SetUp() override
	{
		char name[] = "/tmp/qrexec-control-test-XXXXXX";
		ASSERT_NE(mkdtemp(name), nullptr);
		place = {GetParam(), name};
		_control.emplace(_loop, _noted, open_server);
		std::string why;
		ASSERT_TRUE(_control->start(why).ok()) << why;
	}

	void TearDown() override
	{
		_control.reset();
		std::filesystem::remove_all(place.directory);
	}

	std::unique_ptr<sdk::Transport> daemon()
	{
		std::string why;
		auto end = open_end(false, why);
		EXPECT_TRUE(end) << why;
		return end;
	}

	// Has both sides go on, a little at a time.
	void turn(sdk::Transport &end)
	{
		_loop.poll(_loop.clock().now_us() + 1000);
		EXPECT_EQ(end.look(), 0) << end.message();
	}

	void say(sdk::Transport &end, std::string_view text)
	{
		while (!text.empty()) {
			Bytes const view{reinterpret_cast<uint8_t const *>(text.data()), text.size()};
			auto const sent = end.try_write({&view, 1});
			if (sent.ok()) text.remove_prefix(sent.value());
			end.arm(vchan::sleep_for::ROOM);
			turn(end);
		}
	}

	std::string hear(sdk::Transport &end, size_t size)
	{
		std::string text(size, '\0');
		for (size_t got = 0; got < size;) {
			Mutable_bytes const rest{reinterpret_cast<uint8_t *>(text.data()) + got, size - got};
			auto const read = end.try_read({&rest, 1});
			if (read.ok()) got += read.value();
			end.arm(vchan::sleep_for::DATA);
			turn(end);
		}
		return text;
	}

	std::string next(sdk::Transport &end)
	{
		while (_noted.what.empty()) turn(end);
		std::string const first = _noted.what.front();
		_noted.what.pop_front();
		return first;
	}

	// Without an end on the other side.
	std::string next()
	{
		while (_noted.what.empty()) _loop.poll(NEVER_US);
		std::string const first = _noted.what.front();
		_noted.what.pop_front();
		return first;
	}

	std::unique_ptr<sdk::Transport> greeted()
	{
		auto end = daemon();
		say(*end, hello(4));
		EXPECT_EQ(hear(*end, hello(4).size()), hello(4));
		EXPECT_EQ(next(*end), "came");
		return end;
	}
};

TEST_P(Controls, greet_and_take_messages)
{
	auto const end = greeted();
	EXPECT_EQ(_control->version(), 4u);
	std::string const body(40, 'x');
	say(*end,
		message(Type::SERVICE_CONNECT, body) + message(Type::SERVICE_REFUSED, body.substr(8)));
	EXPECT_EQ(next(*end), "514:" + body);
	EXPECT_EQ(next(*end), "515:" + body.substr(8));
}

TEST_P(Controls, take_a_command_longer_than_the_ring)
{
	auto const end = greeted();
	std::string const body = std::string(8, '\1') + std::string(COMMAND_MAX - 1, 'c') + '\0';
	say(*end, message(Type::EXEC_CMDLINE, body));
	EXPECT_EQ(next(*end), "512:" + body);
}

TEST_P(Controls, send_more_than_the_ring_holds_in_order)
{
	auto const end = greeted();
	std::string all;
	for (unsigned i = 0; i < 1000; ++i) {
		std::string const one =
			message(Type::CONNECTION_TERMINATED, std::to_string(10'000'000 + i));
		_control->send({reinterpret_cast<uint8_t const *>(one.data()), one.size()});
		all += one;
	}
	EXPECT_GT(_control->unsent(), 0u);
	EXPECT_EQ(hear(*end, all.size()), all);
	EXPECT_EQ(_control->unsent(), 0u);
}

TEST_P(Controls, listen_for_the_next_daemon_when_one_has_left)
{
	auto end = greeted();
	EXPECT_EQ(_control->daemon(), 1u);
	std::string const late = message(Type::CONNECTION_TERMINATED, "for-this");
	end.reset();
	EXPECT_EQ(next().substr(0, 4), "left");
	EXPECT_EQ(_control->version(), 0u);
	EXPECT_EQ(_control->daemon(), 0u);
	end = greeted();
	EXPECT_EQ(_control->daemon(), 2u);
}

TEST_P(Controls, act_upon_what_was_sent_before_the_daemon_left)
{
	auto end = greeted();
	say(*end, message(Type::SERVICE_REFUSED, std::string(32, 'r')));
	end.reset();
	EXPECT_EQ(next(), "515:" + std::string(32, 'r'));
	EXPECT_EQ(next().substr(0, 4), "left");
}

TEST_P(Controls, end_the_connection_when_the_protocol_is_broken)
{
	for (std::string const &wrong : {hello(1), message(Type::SERVICE_REFUSED, std::string(32, 'r')),
			 hello(4) + message(Type::TRIGGER_SERVICE, std::string(128, 't')),
			 hello(4) + message(Type::SERVICE_REFUSED, std::string(33, 'r')),
			 hello(4) + message(Type::EXEC_CMDLINE, std::string(8, 'e')), hello(4) + hello(4)}) {
		auto end = daemon();
		say(*end, wrong);
		std::string what = next(*end);
		if (what == "came") what = next(*end);
		EXPECT_EQ(what.substr(0, 6), "left: ");
		end.reset();
		_noted.what.clear();
	}
	greeted();
}

INSTANTIATE_TEST_SUITE_P(transports, Controls, testing::Values("socket", "shm"),
	[](auto const &each) { return std::string(each.param); });

} // namespace
} // namespace bulkhead::qrexec
