#pragma once

// What the tests of a relay share: the peer at the other end of a data connection, who writes down
// what he hears, and both in one loop.

#include "component/qrexec/host/process.h"
#include "component/qrexec/host/relay.h"
#include "component/qrexec/host/service.h"
#include "sdk/qrexec/test/support.h"

#include <deque>
#include <fcntl.h>
#include <gtest/gtest.h>

namespace bulkhead::qrexec::test {

using linux_host::Loop;

/* Says "out:text", "out end", "code 3" one after the other; text of a stream in one piece. */
class Peer final : private Loop::Source
{
private:
	std::unique_ptr<Data_channel> _channel;
	std::deque<std::string> _to_say{}; // empty: the end
	size_t _said = 0; // of the first
	Stream const _own;

	static char const *_name(Stream stream)
	{
		return stream == Stream::IN ? "in" : stream == Stream::OUT ? "out" : "err";
	}

	bool _say()
	{
		if (_to_say.empty()) return false;
		std::string const &now = _to_say.front();
		if (now.empty()) {
			if (!_channel->send_end(_own)) return false;
		} else {
			_said += _channel->send(_own, bytes_of(now).subspan(_said));
			if (_said < now.size()) return false;
		}
		_said = 0;
		_to_say.pop_front();
		return true;
	}

	bool _hear()
	{
		if (deaf) return false;
		Data_channel::Incoming const in = _channel->peek();
		switch (in.kind) {
		case Data_channel::Kind::NOTHING: return false;
		case Data_channel::Kind::BYTES: {
			std::string &all = text[size_t(in.stream)];
			if (all.empty()) heard.push_back(std::string(_name(in.stream)) + " begins");
			all += bulkhead::text_of(in.bytes);
			_channel->consume(in.bytes.size());
			return true;
		}
		case Data_channel::Kind::END:
			heard.push_back(std::string(_name(in.stream)) + " end");
			return true;
		case Data_channel::Kind::EXIT_CODE:
			heard.push_back("code " + std::to_string(in.exit_code));
			return true;
		}
		return false;
	}

	void ready(uint32_t) override { turn(); }

public:
	std::vector<std::string> heard{};
	std::string text[3]{};
	bool deaf = false;

	Peer(Loop &loop, std::unique_ptr<Data_channel> channel, Side side)
		: _channel(std::move(channel)), _own(side == Side::CALLER ? Stream::IN : Stream::OUT)
	{
		EXPECT_TRUE(loop.add(*this, _channel->fd(), EPOLLIN).ok());
	}

	void turn()
	{
		if (!_channel) return;
		_channel->look();
		while (_say() || _hear()) {}
		_channel->arm(!deaf, !_to_say.empty());
		if (_say() || _hear()) turn();
	}

	void say(std::string what)
	{
		_to_say.push_back(std::move(what));
		turn();
	}
	void say_end() { say({}); }

	bool said_all() const { return _to_say.empty(); }
	bool closed() const { return !_channel || _channel->state() == Data_channel::State::CLOSED; }
	Data_channel &channel() { return *_channel; }

	/* Of a service. */
	void exit_with(int code)
	{
		turn();
		EXPECT_TRUE(_channel->send_exit_code(code));
		turn();
	}

	void go()
	{
		if (loop()) loop()->remove(*this);
		_channel.reset();
	}
};

/* A relay on one side of a connection, a peer on the other. */
class Relay_fixture : public testing::TestWithParam<char const *>, public Relay::Finished
{
protected:
	Place _place{};
	Loop _loop{};
	std::unique_ptr<Relay> _relay{};
	std::unique_ptr<Peer> _peer{};
	std::optional<Ending> _ending{};

	Relay_fixture() { prepare_process(); }

	void finished(Relay &relay, Ending const &ending) override
	{
		EXPECT_EQ(&relay, _relay.get());
		_ending = ending;
		_relay.reset();
	}

	std::unique_ptr<Data_channel> _open(Side side, int port = PORT)
	{
		int error = 0;
		std::string why;
		bool const caller = side == Side::CALLER;
		auto transport = sdk::open_transport(GetParam(),
			{.server = caller,
				.own = caller ? CALLER_DOMAIN : SERVICE_DOMAIN,
				.peer = caller ? SERVICE_DOMAIN : CALLER_DOMAIN,
				.port = port,
				.read_bytes = Data_channel::RING_BYTES,
				.write_bytes = Data_channel::RING_BYTES,
				.directory = _place.vchans()},
			error, why);
		EXPECT_TRUE(transport) << why;
		return std::make_unique<Data_channel>(std::move(transport), side);
	}

	/* The relay is on this side. */
	void _begin(Side side, Local_end local, Relay_options options = {})
	{
		auto caller = _open(Side::CALLER);
		auto service = _open(Side::SERVICE);
		bool const calls = side == Side::CALLER;
		_peer = std::make_unique<Peer>(
			_loop, std::move(calls ? service : caller), calls ? Side::SERVICE : Side::CALLER);
		_relay = std::make_unique<Relay>(
			_loop, std::move(calls ? caller : service), side, std::move(local), options, *this);
		EXPECT_TRUE(_relay->start().ok());
		EXPECT_FALSE(_ending);
	}

	template <typename CONDITION>
	void _until(CONDITION condition)
	{
		while (!condition()) {
			// What a condition looks at besides the loop is looked at again soon.
			_loop.poll(_loop.clock().now_us() + 10'000);
			_peer->turn();
		}
	}

	void _until_heard(std::string const &what)
	{
		_until([&] { return std::ranges::find(_peer->heard, what) != _peer->heard.end(); });
	}

	void _until_ended()
	{
		_until([&] { return _ending.has_value(); });
		_until([&] { return _peer->closed(); });
	}

	/* What comes from a socket up to its end, while the relay works. */
	std::string _received(int socket)
	{
		std::string all;
		_until([&] {
			char buffer[65536];
			ssize_t n = 0;
			while ((n = ::recv(socket, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0)
				all.append(buffer, size_t(n));
			return n == 0;
		});
		return all;
	}

	static Local_end _shell(std::string const &script, Start_options const &options = {})
	{
		std::string const line = "user:" + script;
		auto const command = parse_command_line(line, true);
		EXPECT_TRUE(command.ok());
		auto started = start_command(command.value(), options);
		if (auto *failure = std::get_if<Service_failure>(&started)) {
			ADD_FAILURE() << failure->message;
			return {};
		}
		return std::move(std::get<Local_end>(started));
	}
};

/* Both ends of something. */
struct Ends
{
	Owned_fd first, second;
};

inline Ends make_pipe_ends()
{
	int fds[2];
	EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
	return {Owned_fd(fds[0]), Owned_fd(fds[1])};
}

inline Ends make_socket_ends()
{
	int fds[2];
	EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	return {Owned_fd(fds[0]), Owned_fd(fds[1])};
}

/* All up to the end, blocking. */
inline std::string read_all(int fd)
{
	std::string all;
	char buffer[65536];
	ssize_t n = 0;
	while ((n = ::read(fd, buffer, sizeof(buffer))) > 0) all.append(buffer, size_t(n));
	return all;
}

inline Owned_fd duplicate(Owned_fd const &fd) { return Owned_fd{::dup(fd.value())}; }

} // namespace bulkhead::qrexec::test
