#include "platform/linux/gate.h"
#include "sdk/libvchan/shm_transport.h"
#include "sdk/qrexec/call.h"
#include "sdk/qrexec/test/support.h"

namespace bulkhead::qrexec {
namespace {

using namespace test;
using Kind = Data_channel::Kind;
using State = Call::State;

class Call_test : public testing::TestWithParam<char const *>
{
protected:
	Place _place{};
	Fake_server _agent{_place.path() + "/agent"};
	Fake_server _daemon{_place.path() + "/qrexec.vault"};

	Wanted_call _wanted() const
	{
		return {.way = Wanted_call::Way::AGENT,
			.socket = _agent.path(),
			.target = "vault",
			.service = "test.Service+arg",
			.transport = GetParam(),
			.directory = _place.vchans(),
			.own_domain = CALLER_DOMAIN};
	}
	Wanted_call _wanted_of_host() const
	{
		Wanted_call wanted = _wanted();
		wanted.way = Wanted_call::Way::DAEMON;
		wanted.socket = _place.path();
		return wanted;
	}

	std::unique_ptr<Data_channel> _service(int port = PORT)
	{
		int error = 0;
		std::string why;
		auto transport = sdk::open_transport(GetParam(),
			{.server = false,
				.own = SERVICE_DOMAIN,
				.peer = CALLER_DOMAIN,
				.port = port,
				.directory = _place.vchans()},
			error, why);
		EXPECT_TRUE(transport) << why;
		return std::make_unique<Data_channel>(std::move(transport), Side::SERVICE);
	}

	// Up to the question's answer.
	Owned_fd _allow(Call &call, Wanted_call const &wanted, int port = PORT)
	{
		EXPECT_EQ(call.start(wanted), State::ASKING) << call.message();
		bool const daemon = wanted.way == Wanted_call::Way::DAEMON;
		Owned_fd peer = daemon ? _daemon.accept() : _agent.accept();
		std::string const answer = params(SERVICE_DOMAIN, static_cast<uint32_t>(port));
		say(peer, daemon ? hello(3) + message(Type::EXEC_CMDLINE, answer) : answer);
		until({call.fd()}, [&] { return call.look() != State::ASKING; });
		return peer;
	}

	void _meet(Call &call, Data_channel &service)
	{
		until({call.fd(), service.fd()}, [&] {
			call.look();
			service.look();
			return call.state() == State::OPEN && service.state() == Data_channel::State::OPEN;
		});
	}

	// All of what comes, until the call has ended.
	std::string _read_all(Call &call)
	{
		std::string got;
		until({call.fd()}, [&] {
			call.look();
			auto next = call.peek();
			if (next.kind == Kind::NOTHING) {
				call.arm(true, false);
				next = call.peek();
			}
			for (; next.kind != Kind::NOTHING; next = call.peek()) {
				got += text_of(next.bytes);
				call.consume(next.bytes.size());
			}
			return call.state() != State::OPEN;
		});
		return got;
	}
};

TEST_P(Call_test, goes_from_the_question_to_the_exit_code)
{
	for (auto const &wanted : {_wanted(), _wanted_of_host()}) {
		Call call;
		EXPECT_EQ(call.state(), State::IDLE);
		Owned_fd const link = _allow(call, wanted);
		EXPECT_EQ(call.state(), State::CONNECTING);
		auto const service = _service();
		_meet(call, *service);
		EXPECT_EQ(call.channel().send(Stream::IN, bytes_of("in")), 2u);
		EXPECT_EQ(service->send(Stream::OUT, bytes_of("output")), 6u);
		EXPECT_TRUE(service->send_end(Stream::OUT));
		EXPECT_TRUE(service->send_end(Stream::ERR));
		EXPECT_TRUE(service->send_exit_code(42));
		EXPECT_EQ(_read_all(call), "output");
		EXPECT_EQ(call.state(), State::ENDED);
		EXPECT_EQ(call.exit_code(), 42);
		EXPECT_EQ(hear(link, 1'000).find("never"), std::string::npos); // up to our end
		EXPECT_EQ(call.look(), State::ENDED);
		EXPECT_EQ(call.peek().kind, Kind::NOTHING);
	}
}

TEST_P(Call_test, says_on_a_host_what_is_to_run)
{
	auto const asked = [&](Wanted_call wanted) {
		wanted.way = Wanted_call::Way::DAEMON;
		wanted.socket = _place.path();
		Call call;
		EXPECT_EQ(call.start(wanted), State::ASKING);
		Owned_fd const peer = _daemon.accept();
		call.cancel();
		return hear(peer, 10'000).substr(20);
	};
	std::string const own = params(CALLER_DOMAIN, 0);
	auto wanted = _wanted();
	EXPECT_EQ(asked(wanted), own + "DEFAULT:QUBESRPC test.Service+arg dom0" + std::string(1, '\0'));
	wanted.user = "joe";
	wanted.source = "work";
	EXPECT_EQ(asked(wanted), own + "joe:QUBESRPC test.Service+arg work" + std::string(1, '\0'));
	wanted.command = "root:id -u";
	EXPECT_EQ(asked(wanted), own + "root:id -u" + std::string(1, '\0'));
}

TEST_P(Call_test, is_refused)
{
	Call call;
	EXPECT_EQ(call.start(_wanted()), State::ASKING);
	_agent.accept().reset();
	until({call.fd()}, [&] { return call.look() != State::ASKING; });
	EXPECT_EQ(call.state(), State::REFUSED);
	EXPECT_EQ(call.exit_code(), EXIT_REFUSED);
	EXPECT_EQ(call.error_number(), EACCES);
	EXPECT_NE(call.message(), "");
}

TEST_P(Call_test, is_refused_where_no_message_can_carry_it)
{
	Call call;
	auto wanted = _wanted();
	wanted.service = std::string(SERVICE_NAME_MAX + 1, 's');
	EXPECT_EQ(call.start(wanted), State::REFUSED);
	EXPECT_EQ(call.exit_code(), EXIT_REFUSED);
}

TEST_P(Call_test, fails_where_nobody_is)
{
	for (auto wanted : {_wanted(), _wanted_of_host()}) {
		Call call;
		wanted.socket += "/none";
		EXPECT_EQ(call.start(wanted), State::FAILED);
		EXPECT_EQ(call.exit_code(), EXIT_TROUBLE);
		EXPECT_NE(call.message().find(_place.path()), std::string::npos);
	}
}

TEST_P(Call_test, fails_where_the_daemon_is_of_another_version)
{
	Call call;
	EXPECT_EQ(call.start(_wanted_of_host()), State::ASKING);
	Owned_fd const peer = _daemon.accept();
	say(peer, hello(2));
	until({call.fd()}, [&] { return call.look() != State::ASKING; });
	EXPECT_EQ(call.state(), State::FAILED);
	EXPECT_EQ(call.exit_code(), EXIT_TROUBLE);
	EXPECT_EQ(call.error_number(), EPROTOTYPE);
}

TEST_P(Call_test, fails_where_the_answer_makes_no_sense)
{
	for (std::string const &answer :
		{params(SERVICE_DOMAIN, 0), params(SERVICE_DOMAIN, 1U << 31), params(UINT32_MAX, PORT)}) {
		Call call;
		EXPECT_EQ(call.start(_wanted()), State::ASKING);
		Owned_fd const peer = _agent.accept();
		say(peer, answer);
		until({call.fd()}, [&] { return call.look() != State::ASKING; });
		EXPECT_EQ(call.state(), State::FAILED);
		EXPECT_EQ(call.exit_code(), EXIT_TROUBLE);
	}
}

TEST_P(Call_test, has_a_daemon_end_it_before_the_service_comes)
{
	Call call;
	Owned_fd link = _allow(call, _wanted_of_host());
	EXPECT_EQ(call.look(), State::CONNECTING);
	link.reset();
	until({call.fd()}, [&] { return call.look() != State::CONNECTING; });
	EXPECT_EQ(call.state(), State::FAILED);
	EXPECT_EQ(call.exit_code(), EXIT_DISCONNECTED);
}

TEST_P(Call_test, goes_on_without_its_daemon)
{
	for (auto const &wanted : {_wanted(), _wanted_of_host()}) {
		Call call;
		Owned_fd link = _allow(call, wanted);
		auto const service = _service();
		_meet(call, *service);
		link.reset();
		EXPECT_EQ(call.look(), State::OPEN);
		EXPECT_TRUE(service->send_exit_code(0));
		_read_all(call);
		EXPECT_EQ(call.state(), State::ENDED);
	}
}

TEST_P(Call_test, goes_on_without_its_agent_once_it_is_allowed)
{
	Call call;
	_allow(call, _wanted()).reset();
	EXPECT_FALSE(readable(call.fd()));
	auto const service = _service();
	_meet(call, *service);
}

TEST_P(Call_test, waits_no_longer_than_it_was_told)
{
	Call call;
	auto wanted = _wanted();
	wanted.connect_timeout_us = 1000;
	Owned_fd const link = _allow(call, wanted);
	until({call.fd()}, [&] { return call.look() != State::CONNECTING; });
	EXPECT_EQ(call.state(), State::FAILED);
	EXPECT_EQ(call.exit_code(), EXIT_TROUBLE);
}

TEST_P(Call_test, is_told_when_the_service_goes_without_an_exit_code)
{
	Call call;
	Owned_fd const link = _allow(call, _wanted());
	auto service = _service();
	_meet(call, *service);
	EXPECT_EQ(service->send(Stream::OUT, bytes_of("half")), 4u);
	service.reset();
	EXPECT_EQ(_read_all(call), "half");
	EXPECT_EQ(call.state(), State::FAILED);
	EXPECT_EQ(call.exit_code(), EXIT_DISCONNECTED);
}

TEST_P(Call_test, fails_where_the_service_breaks_the_protocol)
{
	Call call;
	Owned_fd const link = _allow(call, _wanted());
	Raw_end raw(GetParam(),
		{.server = false,
			.own = SERVICE_DOMAIN,
			.peer = CALLER_DOMAIN,
			.port = PORT,
			.directory = _place.vchans()});
	raw.send(hello(4) + message(Type::DATA_STDIN, "to whom?"), {call.fd()}, [&] { call.look(); });
	until({call.fd()}, [&] { return call.look() != State::CONNECTING; });
	_read_all(call);
	EXPECT_EQ(call.state(), State::FAILED);
	EXPECT_EQ(call.exit_code(), EXIT_TROUBLE);
	EXPECT_NE(call.message(), "");
}

TEST_P(Call_test, can_be_cancelled_in_each_state)
{
	auto const cancelled = [](Call &call) {
		call.cancel();
		EXPECT_EQ(call.state(), State::FAILED);
		EXPECT_EQ(call.exit_code(), EXIT_DISCONNECTED);
		EXPECT_EQ(call.message(), "cancelled");
		EXPECT_EQ(call.look(), State::FAILED);
		EXPECT_FALSE(readable(call.fd()));
		call.cancel();
	};
	{
		Call call;
		cancelled(call);
	}
	{
		Call call;
		EXPECT_EQ(call.start(_wanted()), State::ASKING);
		Owned_fd const peer = _agent.accept();
		cancelled(call);
		EXPECT_GT(hear(peer, 10'000).size(), 8u); // the question, and the end
	}
	{
		Call call;
		Owned_fd const link = _allow(call, _wanted());
		cancelled(call);
		EXPECT_TRUE(std::filesystem::is_empty(_place.vchans()));
	}
	{
		Call call;
		Owned_fd const link = _allow(call, _wanted());
		auto const service = _service();
		_meet(call, *service);
		std::string const bytes = numbered(65536);
		while (call.channel().send(Stream::IN, bytes_of(bytes)) > 0) {}
		cancelled(call);
		until({service->fd()}, [&] {
			service->look();
			return service->peer_gone();
		});
	}
	{
		Call call;
		Owned_fd const link = _allow(call, _wanted());
		auto const service = _service();
		_meet(call, *service);
		EXPECT_TRUE(service->send_exit_code(7));
		_read_all(call);
		call.cancel();
		EXPECT_EQ(call.state(), State::ENDED);
		EXPECT_EQ(call.exit_code(), 7);
	}
}

TEST_P(Call_test, gives_its_connection_away)
{
	Call call;
	Owned_fd const link = _allow(call, _wanted());
	auto const service = _service();
	_meet(call, *service);
	auto const channel = call.release_channel();
	std::string question(10'000, '\0');
	ASSERT_GT(recv(link.value(), question.data(), question.size(), 0), 0);
	EXPECT_EQ(call.look(), State::OPEN);
	EXPECT_TRUE(service->send_exit_code(3));
	until({channel->fd()}, [&] {
		channel->look();
		channel->arm(true, false);
		auto const next = channel->peek();
		return next.kind == Kind::EXIT_CODE && next.exit_code == 3;
	});
	EXPECT_FALSE(readable(call.fd()));
	EXPECT_FALSE(readable(link.value())); // still there
}

TEST_P(Call_test, goes_to_the_own_domain)
{
	if (std::string_view(GetParam()) != "shm" && std::string_view(GetParam()) != "socket") return;
	Call call;
	EXPECT_EQ(call.start(_wanted()), State::ASKING);
	Owned_fd const peer = _agent.accept();
	say(peer, params(CALLER_DOMAIN, PORT));
	until({call.fd()}, [&] { return call.look() != State::ASKING; });
	EXPECT_EQ(call.state(), State::CONNECTING) << call.message();
}

TEST_P(Call_test, runs_64_at_once_in_one_thread)
{
	constexpr int CALLS = 64;
	struct One
	{
		Call call{};
		Owned_fd link{};
		std::unique_ptr<Data_channel> service{};
		std::string got{}, wanted{};
		size_t sent = 0;
		bool done = false;
	};
	std::vector<std::unique_ptr<One>> calls;
	for (int i = 0; i < CALLS; ++i) {
		auto &one = *calls.emplace_back(std::make_unique<One>());
		EXPECT_EQ(one.call.start(_wanted()), State::ASKING);
		one.wanted = numbered(static_cast<size_t>(i) * 3001);
	}
	std::vector<int> fds;
	for (int i = 0; i < CALLS; ++i) {
		auto &one = *calls[static_cast<size_t>(i)];
		one.link = _agent.accept();
		say(one.link, params(SERVICE_DOMAIN, static_cast<uint32_t>(PORT + i)));
		one.service = _service(PORT + i);
		fds.push_back(one.call.fd());
		fds.push_back(one.service->fd());
	}
	// Each service sends its bytes and its number.
	auto const step = [&](One &one, int code) {
		one.call.look();
		one.service->look();
		while (one.sent < one.wanted.size()) {
			one.service->arm(false, true);
			size_t const n = one.service->send(Stream::OUT, bytes_of(one.wanted).subspan(one.sent));
			if (n == 0) break;
			one.sent += n;
		}
		if (one.sent == one.wanted.size()) one.service->send_exit_code(code);
		if (one.call.state() != State::OPEN) return;
		one.call.arm(true, false);
		for (auto in = one.call.peek(); in.kind == Kind::BYTES; in = one.call.peek()) {
			one.got += text_of(in.bytes);
			one.call.consume(in.bytes.size());
		}
	};
	until(fds, [&] {
		int done = 0;
		for (int i = 0; i < CALLS; ++i) {
			auto &one = *calls[static_cast<size_t>(i)];
			step(one, i);
			done += one.call.state() == State::ENDED;
		}
		return done == CALLS;
	});
	for (int i = 0; i < CALLS; ++i) {
		EXPECT_EQ(calls[static_cast<size_t>(i)]->call.exit_code(), i);
		EXPECT_EQ(calls[static_cast<size_t>(i)]->got, calls[static_cast<size_t>(i)]->wanted);
	}
}

// As in a domain of a broker, which has no directory and needs no environment.
TEST(Call_by_broker, uses_the_channel_that_the_answer_brings_along)
{
	Place const place;
	Fake_server agent(place.path() + "/agent");
	auto pair = linux_host::make_channel({.to_client = 65536, .to_server = 65536}, PORT);
	ASSERT_TRUE(pair.ok());
	Call call;
	call.start({.socket = agent.path(), .target = "vault", .service = "a.B"});
	Owned_fd link = agent.accept();
	{
		linux_host::Channel_end const end = std::move(pair.value().server);
		std::string const answer = params(SERVICE_DOMAIN, PORT);
		Bytes const message = bytes_of(answer);
		std::vector<int> const descriptors{end.memory.value(), end.bell.out(), end.bell.in()};
		ASSERT_TRUE(
			linux_host::send_with_descriptors(link.value(), {&message, 1}, descriptors).ok());
	}
	// The agent's end doesn't matter any more.
	link.reset();
	auto transport = std::make_unique<sdk::Shm_transport>();
	ASSERT_EQ(transport->adopt(std::move(pair.value().client)), 0);
	Data_channel service(std::move(transport), Side::SERVICE);
	until({call.fd(), service.fd()}, [&] {
		call.look();
		return service.look() == Data_channel::State::OPEN && call.state() == State::OPEN;
	});
	ASSERT_TRUE(service.send_exit_code(3));
	until({call.fd()}, [&] {
		if (call.look() != State::OPEN) return true;
		call.arm(true, false);
		call.peek();
		return call.state() != State::OPEN;
	});
	EXPECT_EQ(call.state(), State::ENDED);
	EXPECT_EQ(call.exit_code(), 3);
}

TEST(Call_by_broker, fails_with_what_is_no_channel)
{
	Place const place;
	Fake_server agent(place.path() + "/agent");
	auto pair = linux_host::make_channel({.to_client = 65536, .to_server = 65536}, PORT);
	ASSERT_TRUE(pair.ok());
	linux_host::Channel_end const &end = pair.value().server;
	Call call;
	call.start({.socket = agent.path(), .target = "vault", .service = "a.B"});
	Owned_fd const link = agent.accept();
	std::string const answer = params(SERVICE_DOMAIN, PORT);
	Bytes const message = bytes_of(answer);
	// A socket in the place of memory.
	std::vector<int> const descriptors{end.bell.in(), end.bell.out(), end.bell.in()};
	ASSERT_TRUE(linux_host::send_with_descriptors(link.value(), {&message, 1}, descriptors).ok());
	until({call.fd()}, [&] { return call.look() != State::ASKING; });
	EXPECT_EQ(call.state(), State::FAILED);
	EXPECT_EQ(call.error_number(), EPROTO);
}

INSTANTIATE_TEST_SUITE_P(Transports, Call_test, testing::Values("shm", "socket"), transport_of);

} // namespace
} // namespace bulkhead::qrexec
