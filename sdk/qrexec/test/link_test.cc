#include "platform/linux/gate.h"
#include "sdk/qrexec/link.h"
#include "sdk/qrexec/test/support.h"

#include <fcntl.h>
#include <sys/epoll.h>

namespace bulkhead::qrexec {
namespace {

using namespace test;

constexpr Exec_params NEW_PORT{.domain = 0, .port = 0};

class Link_test : public testing::Test
{
protected:
	Place _place{};
	Link _link{};
	Owned_fd _peer{};
	std::unique_ptr<Fake_server> _server{};

	void _ask_daemon(Type type = Type::EXEC_CMDLINE, Exec_params params = NEW_PORT,
		std::string_view command = "user:QUBESRPC a.B+c dom0")
	{
		_server = std::make_unique<Fake_server>(_place.path() + "/qrexec.vault");
		auto const asked = _link.ask_daemon(_place.path(), "vault", type, params, command);
		ASSERT_TRUE(asked.ok()) << _link.message();
		_peer = _server->accept();
	}
	void _ask_agent()
	{
		_server = std::make_unique<Fake_server>(_place.path() + "/agent");
		auto const asked =
			_link.ask_agent(_server->path(), {.target = "vault", .service = "a.B+c"});
		ASSERT_TRUE(asked.ok()) << _link.message();
		_peer = _server->accept();
	}

	// Up to an answer or an error.
	Attempt<Link::State, Link_error> _look()
	{
		Attempt<Link::State, Link_error> result = Link::State::ASKING;
		until({_link.fd()}, [&] {
			result = _link.look();
			return !result.ok() || result.value() != Link::State::ASKING;
		});
		return result;
	}
};

// With descriptors from the left on, of both ends of a channel's.
void say_with(Owned_fd const &to, std::string_view bytes, std::vector<int> const &descriptors)
{
	Bytes const message = bytes_of(bytes);
	ASSERT_TRUE(linux_host::send_with_descriptors(to.value(), {&message, 1}, descriptors).ok());
}

linux_host::Channel_pair channel(uint32_t generation)
{
	auto pair = linux_host::make_channel({.to_client = 4096, .to_server = 4096}, generation);
	EXPECT_TRUE(pair.ok());
	return std::move(pair.value());
}

std::vector<int> descriptors_of(linux_host::Channel_end const &end)
{
	return {end.memory.value(), end.bell.out(), end.bell.in()};
}

TEST_F(Link_test, asks_a_daemon_for_a_port)
{
	_ask_daemon();
	std::string const command("user:QUBESRPC a.B+c dom0\0", 25);
	std::string const question = hello(3) + message(Type::EXEC_CMDLINE, params(0, 0) + command);
	EXPECT_EQ(hear(_peer, question.size()), question);
	say(_peer, hello(3) + message(Type::EXEC_CMDLINE, params(7, 514)));
	EXPECT_EQ(_look().value(), Link::State::ANSWERED);
	EXPECT_EQ(_link.answer(), (Exec_params{7, 514}));
	EXPECT_EQ(_link.look().value(), Link::State::ANSWERED);
	_peer.reset();
	until({_link.fd()}, [&] { return _link.look().value() == Link::State::ENDED; });
}

TEST_F(Link_test, takes_an_answer_byte_by_byte)
{
	_ask_daemon();
	for (char const byte : hello(3) + message(Type::EXEC_CMDLINE, params(7, 514))) {
		EXPECT_EQ(_link.look().value(), Link::State::ASKING);
		say(_peer, {&byte, 1});
	}
	EXPECT_EQ(_look().value(), Link::State::ANSWERED);
}

TEST_F(Link_test, tells_a_daemon_where_a_caller_is_to_connect)
{
	_ask_daemon(Type::SERVICE_CONNECT, {7, 514}, "SOCKET11");
	std::string ident = "SOCKET11";
	ident.resize(32, '\0');
	std::string const question = hello(3) + message(Type::SERVICE_CONNECT, params(7, 514) + ident);
	EXPECT_EQ(hear(_peer, question.size()), question);
	EXPECT_EQ(_link.look().value(), Link::State::ASKING); // it hasn't greeted
	say(_peer, hello(3));
	EXPECT_EQ(_look().value(), Link::State::ANSWERED);
}

TEST_F(Link_test, asks_an_agent)
{
	_ask_agent();
	std::string body = std::string(64, '\0') + "vault";
	body.resize(128, '\0');
	body += "SOCKET";
	body.resize(160, '\0');
	body += std::string("a.B+c\0", 6);
	std::string const question = message(Type::TRIGGER_SERVICE4, body);
	EXPECT_EQ(hear(_peer, question.size()), question);
	say(_peer, params(7, 513).substr(0, 3));
	EXPECT_EQ(_link.look().value(), Link::State::ASKING);
	say(_peer, params(7, 513).substr(3));
	EXPECT_EQ(_look().value(), Link::State::ANSWERED);
	EXPECT_EQ(_link.answer(), (Exec_params{7, 513}));
}

TEST_F(Link_test, is_refused_by_the_end_of_the_stream)
{
	_ask_agent();
	say(_peer, "1234567");
	_peer.reset();
	EXPECT_EQ(_look().error(), Link_error::REFUSED);
	EXPECT_NE(_link.message(), "");
}

TEST_F(Link_test, is_refused_by_a_daemon_that_closes)
{
	_ask_daemon();
	say(_peer, hello(3));
	_peer.reset();
	EXPECT_EQ(_look().error(), Link_error::REFUSED);
	EXPECT_NE(_link.message().find(_server->path()), std::string::npos);
}

TEST_F(Link_test, is_not_through_with_a_daemon_that_closes_before_it_has_greeted)
{
	_ask_daemon(Type::SERVICE_CONNECT, {7, 514}, "SOCKET11");
	_peer.reset();
	EXPECT_EQ(_look().error(), Link_error::REFUSED);
}

TEST_F(Link_test, names_another_version)
{
	for (uint32_t const version : {0u, 1u, 2u}) {
		Link link;
		Fake_server server(_place.path() + "/qrexec.other");
		ASSERT_TRUE(link.ask_daemon(_place.path(), "other", Type::JUST_EXEC, NEW_PORT, "u:c").ok());
		Owned_fd const peer = server.accept();
		say(peer, hello(version));
		EXPECT_EQ(link.look().error(), Link_error::PEER_VERSION) << version;
		EXPECT_NE(link.message().find("version"), std::string::npos);
	}
}

TEST_F(Link_test, takes_the_answer_of_a_newer_daemon)
{
	_ask_daemon();
	say(_peer, hello(4) + message(Type::EXEC_CMDLINE, params(7, 514)));
	EXPECT_EQ(_look().value(), Link::State::ANSWERED);
}

TEST_F(Link_test, refuses_answers_that_make_no_sense)
{
	for (std::string const &answer : {
			 message(Type::EXEC_CMDLINE, params(7, 514)), // no greeting
			 hello(3) + hello(3),
			 hello(3) + message(Type::JUST_EXEC, params(7, 514)),
			 hello(3) + message(Type::EXEC_CMDLINE, params(7, 514) + 'x'),
			 hello(3) + message(Type::EXEC_CMDLINE, number(7)),
			 hello(3) + message(Type::SERVICE_REFUSED, std::string(32, '\0')),
			 hello(3) + message(Type::EXEC_CMDLINE, params(7, 514)) + 'x',
		 }) {
		Link link;
		Fake_server server(_place.path() + "/qrexec.other");
		ASSERT_TRUE(
			link.ask_daemon(_place.path(), "other", Type::EXEC_CMDLINE, NEW_PORT, "u:c").ok());
		Owned_fd const peer = server.accept();
		say(peer, answer);
		auto const looked = link.look();
		ASSERT_FALSE(looked.ok());
		EXPECT_EQ(looked.error(), Link_error::BAD_ANSWER);
		EXPECT_EQ(link.fd(), -1);
	}
	_ask_agent();
	say(_peer, params(7, 513) + "x");
	EXPECT_EQ(_look().error(), Link_error::BAD_ANSWER);
}

TEST_F(Link_test, finds_nobody)
{
	EXPECT_EQ(
		_link.ask_agent(_place.path() + "/none", {.service = "a"}).error(), Link_error::NOT_THERE);
	EXPECT_NE(_link.message().find("qrexec-agent"), std::string::npos);
	Link other;
	EXPECT_EQ(other.ask_daemon(_place.path(), "none", Type::JUST_EXEC, NEW_PORT, "u:c").error(),
		Link_error::NOT_THERE);
	EXPECT_NE(other.message().find("qrexec-daemon"), std::string::npos);
}

TEST_F(Link_test, finds_nobody_on_a_stale_socket)
{
	std::string const path = _place.path() + "/agent";
	{
		Owned_fd gone;
		ASSERT_EQ(listen_locally(path, 0600, gone), 0);
	}
	ASSERT_TRUE(std::filesystem::exists(path));
	EXPECT_EQ(_link.ask_agent(path, {.service = "a"}).error(), Link_error::NOT_THERE);
}

TEST_F(Link_test, refuses_names_that_can_not_be)
{
	auto const ask = [&](std::string_view domain, std::string_view command) {
		Link link;
		auto const asked =
			link.ask_daemon(_place.path(), domain, Type::EXEC_CMDLINE, NEW_PORT, command);
		EXPECT_NE(link.message(), "");
		return asked.error();
	};
	EXPECT_EQ(ask("", "u:c"), Link_error::BAD_NAME);
	EXPECT_EQ(ask("../x", "u:c"), Link_error::BAD_NAME);
	EXPECT_EQ(ask(std::string_view("a\0b", 3), "u:c"), Link_error::BAD_NAME);
	EXPECT_EQ(ask(std::string(200, 'a'), "u:c"), Link_error::BAD_NAME);
	EXPECT_EQ(ask("a", std::string_view("u:\0c", 4)), Link_error::BAD_NAME);
	EXPECT_EQ(ask("a", std::string(CONTROL_COMMAND_MAX + 1, 'c')), Link_error::TOO_LONG);
	EXPECT_EQ(ask("a", std::string(CONTROL_COMMAND_MAX, 'c')), Link_error::NOT_THERE);
}

TEST_F(Link_test, refuses_a_service_that_no_message_can_carry)
{
	auto const ask = [&](Trigger const &trigger) {
		Link link;
		return link.ask_agent(_place.path() + "/none", trigger).error();
	};
	std::string const longest(SERVICE_NAME_MAX, 's');
	EXPECT_EQ(ask({.service = ""}), Link_error::BAD_NAME);
	EXPECT_EQ(ask({.service = std::string_view("a\0b", 3)}), Link_error::BAD_NAME);
	EXPECT_EQ(ask({.service = longest}), Link_error::NOT_THERE);
	EXPECT_EQ(ask({.service = longest + 's'}), Link_error::TOO_LONG);
	std::string const domain(63, 'd');
	EXPECT_EQ(ask({.target = domain, .service = "a"}), Link_error::NOT_THERE);
	EXPECT_EQ(ask({.target = domain + 'd', .service = "a"}), Link_error::TOO_LONG);
	EXPECT_EQ(ask({.source = domain + 'd', .service = "a"}), Link_error::TOO_LONG);
}

TEST_F(Link_test, waits_where_too_many_wait)
{
	std::string const path = _place.path() + "/agent";
	Fake_server server(path);
	ASSERT_EQ(listen(server.fd(), 0), 0);
	std::vector<Owned_fd> crowd;
	int error = 0;
	while (error == 0) error = connect_to_local(path, crowd.emplace_back());
	ASSERT_EQ(error, EAGAIN);

	ASSERT_TRUE(_link.ask_agent(path, {.service = "a"}).ok());
	EXPECT_EQ(_link.state(), Link::State::ASKING);
	EXPECT_EQ(_link.wanted(), uint32_t{EPOLLIN});
	for (int i = 0; i < 3; ++i) {
		ASSERT_TRUE(readable(_link.fd(), HANG_MS));
		EXPECT_EQ(_link.look().value(), Link::State::ASKING);
	}
	while (crowd.size() > 1) {
		server.accept().reset();
		crowd.pop_back();
	}
	Owned_fd peer;
	until({_link.fd(), server.fd()}, [&] {
		EXPECT_TRUE(_link.look().ok());
		if (readable(server.fd())) peer = server.accept();
		return bool(peer);
	});
	say(peer, params(7, 513));
	EXPECT_EQ(_look().value(), Link::State::ANSWERED);
}

TEST_F(Link_test, keeps_a_listener_but_not_a_stale_socket)
{
	std::string const path = _place.path() + "/s";
	Owned_fd first, second;
	ASSERT_EQ(listen_locally(path, 0600, first), 0);
	EXPECT_EQ(listen_locally(path, 0600, second), EADDRINUSE);
	first.reset();
	EXPECT_EQ(listen_locally(path, 0600, second), 0);
	Owned_fd file(open((_place.path() + "/file").c_str(), O_CREAT | O_WRONLY, 0600));
	EXPECT_EQ(listen_locally(_place.path() + "/file", 0600, first), EADDRINUSE);
	EXPECT_EQ(listen_locally(_place.path() + "/no/s", 0600, first), ENOENT);
	EXPECT_EQ(listen_locally(std::string(120, 'x'), 0600, first), ENAMETOOLONG);
}

TEST_F(Link_test, takes_the_end_of_a_channel_that_comes_with_an_agents_answer)
{
	_ask_agent();
	auto const pair = channel(514);
	say_with(_peer, params(7, 514), descriptors_of(pair.server));
	ASSERT_EQ(_look().value(), Link::State::ANSWERED);
	EXPECT_EQ(_link.answer(), (Exec_params{7, 514}));
	auto const end = _link.take_end();
	ASSERT_TRUE(end);
	EXPECT_EQ(end->role, vchan::Role::SERVER);
	EXPECT_EQ(end->generation, 514U);
	EXPECT_TRUE(end->memory);
	EXPECT_FALSE(_link.take_end());
	_peer.reset();
	until({_link.fd()}, [&] { return _link.look().value() == Link::State::ENDED; });
}

TEST_F(Link_test, takes_an_end_with_any_byte_of_the_answer)
{
	_ask_agent();
	auto const pair = channel(514);
	std::string const answer = params(7, 514);
	for (size_t i = 0; i < answer.size(); ++i) {
		EXPECT_EQ(_link.look().value(), Link::State::ASKING);
		if (i == 3)
			say_with(_peer, {&answer[i], 1}, descriptors_of(pair.server));
		else
			say(_peer, {&answer[i], 1});
	}
	ASSERT_EQ(_look().value(), Link::State::ANSWERED);
	EXPECT_TRUE(_link.take_end());
}

TEST_F(Link_test, refuses_descriptors_that_are_no_end_of_a_channel)
{
	auto const pair = channel(514);
	std::vector<int> const good = descriptors_of(pair.server);
	std::vector<std::vector<int>> const bad{{good[0]}, {good[0], good[1]},
		{good[0], good[1], good[2], good[2]}, {good[1], good[0], good[0]}};
	for (auto const &descriptors : bad) {
		Fake_server server(_place.path() + "/agent");
		Link link;
		ASSERT_TRUE(link.ask_agent(server.path(), {.target = "vault", .service = "a.B"}).ok());
		Owned_fd const peer = server.accept();
		say_with(peer, params(7, 514), descriptors);
		auto const looked = link.look();
		ASSERT_FALSE(looked.ok());
		EXPECT_EQ(looked.error(), Link_error::BAD_ANSWER);
		EXPECT_FALSE(link.take_end());
	}
}

TEST_F(Link_test, takes_no_descriptors_from_a_daemon)
{
	_ask_daemon();
	auto const pair = channel(514);
	say_with(
		_peer, hello(3) + message(Type::EXEC_CMDLINE, params(7, 514)), descriptors_of(pair.server));
	auto const looked = _look();
	ASSERT_FALSE(looked.ok());
	EXPECT_EQ(looked.error(), Link_error::BAD_ANSWER);
}

} // namespace
} // namespace bulkhead::qrexec
