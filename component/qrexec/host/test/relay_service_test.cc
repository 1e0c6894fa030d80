// The side of a call that runs the service.

#include "component/qrexec/host/test/support.h"
#include "platform/linux/signals.h"

#include <arpa/inet.h>
#include <csignal>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

namespace bulkhead::qrexec {
namespace {

using namespace test;
using Strings = std::vector<std::string>;

class Relay_service : public Relay_fixture
{};

INSTANTIATE_TEST_SUITE_P(transports, Relay_service, testing::Values("shm", "socket"));

TEST_P(Relay_service, tells_both_ends_before_the_exit_code)
{
	_begin(Side::SERVICE, _shell("echo stdout; echo stderr >&2; exit 3"));
	_until_ended();
	EXPECT_EQ(_peer->text[1], "stdout\n");
	EXPECT_EQ(_peer->text[2], "stderr\n");
	ASSERT_EQ(_peer->heard.size(), 5U);
	EXPECT_EQ(_peer->heard.back(), "code 3");
	EXPECT_EQ(_ending->exit_code, 3);
	EXPECT_FALSE(_ending->disconnected);
}

TEST_P(Relay_service, passes_input_on_as_it_comes)
{
	_begin(Side::SERVICE, _shell("cat"));
	_peer->say("data 1");
	_until([&] { return _peer->text[1] == "data 1"; });
	_peer->say("data 2");
	_until([&] { return _peer->text[1] == "data 1data 2"; });
	EXPECT_FALSE(_ending);
	_peer->say_end();
	_until_ended();
	EXPECT_EQ(_ending->exit_code, 0);
}

TEST_P(Relay_service, carries_10_mib_both_ways_at_once)
{
	std::string const bytes = numbered(10 << 20);
	_begin(Side::SERVICE, _shell("cat"));
	_peer->say(bytes);
	_peer->say_end();
	_until_ended();
	EXPECT_TRUE(_peer->text[1] == bytes);
	EXPECT_EQ(_ending->exit_code, 0);
}

TEST_P(Relay_service, carries_output_and_errors_at_once)
{
	std::string const script = "head -c 3000000 /dev/zero & head -c 3000000 /dev/zero >&2; wait";
	_begin(Side::SERVICE, _shell(script));
	_until_ended();
	EXPECT_EQ(_peer->text[1], std::string(3'000'000, '\0'));
	EXPECT_EQ(_peer->text[2], std::string(3'000'000, '\0'));
}

TEST_P(Relay_service, tells_of_a_signal_as_a_shell_does)
{
	_begin(Side::SERVICE, _shell("kill -KILL $$"));
	_until_ended();
	EXPECT_EQ(_peer->heard.back(), "code 137");
}

TEST_P(Relay_service, throws_away_what_a_service_does_not_read)
{
	std::string const fifo = _place.path() + "/fifo";
	ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
	_begin(Side::SERVICE, _shell("read x; exec </dev/null; echo closed; read y <" + fifo));
	_peer->say("line\n");
	_until_heard("out begins");
	_peer->say(numbered(1 << 20));
	_until([&] { return _peer->said_all(); });
	_peer->say_end();
	Owned_fd const fd{::open(fifo.c_str(), O_WRONLY | O_CLOEXEC)};
	EXPECT_EQ(::write(fd.value(), "\n", 1), 1);
	_until_ended();
	EXPECT_EQ(_peer->text[1], "closed\n");
}

TEST_P(Relay_service, ends_although_the_peer_goes_on_talking)
{
	_begin(Side::SERVICE, _shell("read x; exit 5"));
	_peer->say("a\n");
	_peer->say(numbered(1 << 20));
	_until_ended();
	EXPECT_EQ(_peer->heard.back(), "code 5");
}

TEST_P(Relay_service, tells_of_each_stream_s_end_when_it_ends)
{
	_begin(Side::SERVICE,
		_shell("read x; echo a; exec >&-; read x; echo b >&2; exec 2>&-; read code; exit $code"));
	_peer->say("\n");
	_until_heard("out end");
	EXPECT_EQ(_peer->heard, (Strings{"out begins", "out end"}));
	_peer->say("\n");
	_until_heard("err end");
	_peer->say("42\n");
	_peer->say_end();
	_until_ended();
	EXPECT_EQ(_peer->heard, (Strings{"out begins", "out end", "err begins", "err end", "code 42"}));
}

TEST_P(Relay_service, waits_for_streams_that_outlive_the_process)
{
	std::string const fifo = _place.path() + "/fifo";
	ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
	_begin(Side::SERVICE,
		_shell("exec 3<&0; (read x <&3; echo stdin closed; read x <" + fifo +
			"; echo child ends) & echo process waits; read x <" + fifo + "; echo bye; exit 42"));
	auto const poke = [&] {
		Owned_fd const fd{::open(fifo.c_str(), O_WRONLY | O_CLOEXEC)};
		EXPECT_EQ(::write(fd.value(), "1\n", 2), 2);
	};
	_until([&] { return _peer->text[1] == "process waits\n"; });
	poke();
	// Its input is closed with the process, for those as well who have it still.
	_until([&] { return _peer->text[1] == "process waits\nbye\nstdin closed\n"; });
	poke();
	_until_ended();
	EXPECT_EQ(_peer->text[1], "process waits\nbye\nstdin closed\nchild ends\n");
	EXPECT_EQ(_peer->heard.back(), "code 42");
}

TEST_P(Relay_service, closes_the_streams_when_the_peer_goes_and_waits)
{
	_begin(Side::SERVICE, _shell("trap '' PIPE; echo begun; cat >/dev/null; echo x; exit 9"));
	_until_heard("out begins");
	_peer->go();
	_until([&] { return _ending.has_value(); });
	EXPECT_TRUE(_ending->disconnected);
	EXPECT_EQ(_ending->exit_code, 9);
	EXPECT_FALSE(_ending->message.empty());
}

TEST_P(Relay_service, ends_a_talkative_service_whose_peer_has_gone)
{
	_begin(Side::SERVICE, _shell("cat /dev/zero"));
	_until_heard("out begins");
	_peer->go();
	_until([&] { return _ending.has_value(); });
	EXPECT_EQ(_ending->exit_code, 128 + SIGPIPE);
}

TEST_P(Relay_service, delivers_what_a_peer_had_said_before_it_went)
{
	std::string const file = _place.path() + "/got";
	_begin(Side::SERVICE, _shell("cat >" + file));
	_peer->say("data");
	_peer->say_end();
	_until([&] { return _peer->said_all(); });
	_peer->go();
	_until([&] { return _ending.has_value(); });
	Owned_fd const got{::open(file.c_str(), O_RDONLY | O_CLOEXEC)};
	EXPECT_EQ(read_all(got.value()), "data");
}

TEST_P(Relay_service, a_peer_that_does_not_read_stops_only_its_own_service)
{
	_begin(Side::SERVICE, _shell("head -c 1000000 /dev/zero; exit 4"));
	_peer->deaf = true;
	for (int i = 0; i < 200; ++i) _loop.poll(0);
	EXPECT_FALSE(_ending);
	_peer->deaf = false;
	_until_ended();
	EXPECT_EQ(_peer->text[1].size(), 1'000'000U);
	EXPECT_EQ(_peer->heard.back(), "code 4");
}

TEST_P(Relay_service, does_not_spin_when_the_peer_has_gone_and_the_service_is_slow)
{
	std::string const fifo = _place.path() + "/fifo", count = _place.path() + "/count";
	ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
	_begin(Side::SERVICE, _shell("echo a; read x <" + fifo + "; wc -c >" + count));
	_until_heard("out begins");
	size_t said = 0;
	std::string const block(16384, 'x');
	// More than the service's socket takes, no more than it and the channel do.
	while (said < 13 * block.size()) {
		said += _peer->channel().send(
			Stream::IN, bytes_of(block).first(block.size() - said % block.size()));
		_loop.poll(0);
	}
	_until([&] { return _peer->channel().delivered(); });
	_peer->go();
	for (int i = 0; i < 50; ++i) _loop.poll(0);
	uint64_t const begun = _loop.clock().now_us();
	_loop.poll(begun + 20'000);
	_loop.poll(begun + 20'000);
	EXPECT_GE(_loop.clock().now_us(), begun + 20'000);
	EXPECT_FALSE(_ending);
	{
		Owned_fd const fd{::open(fifo.c_str(), O_WRONLY | O_CLOEXEC)};
		EXPECT_EQ(::write(fd.value(), "\n", 1), 1);
	}
	_until([&] { return _ending.has_value(); });
	Owned_fd const got{::open(count.c_str(), O_RDONLY | O_CLOEXEC)};
	EXPECT_EQ(read_all(got.value()), std::to_string(said) + "\n");
}

TEST_P(Relay_service, ends_when_the_peer_talks_nonsense)
{
	auto const wanted = sdk::Wanted{.server = true,
		.own = CALLER_DOMAIN,
		.peer = SERVICE_DOMAIN,
		.port = PORT,
		.read_bytes = 65536,
		.write_bytes = 65536,
		.directory = _place.vchans()};
	auto raw = std::make_unique<Raw_end>(GetParam(), wanted);
	_relay = std::make_unique<Relay>(_loop, _open(Side::SERVICE), Side::SERVICE,
		_shell("cat >/dev/null; exit 3"), Relay_options{}, *this);
	ASSERT_TRUE(_relay->start().ok());
	raw->send(hello(4) + message(Type::DATA_STDOUT, "wrong way"), {}, [&] { _loop.poll(0); });
	while (!_ending) _loop.poll(_loop.clock().now_us() + uint64_t{HANG_MS} * 1000);
	EXPECT_TRUE(_ending->disconnected);
	EXPECT_EQ(_ending->exit_code, 3);
	EXPECT_NE(_ending->message.find("protocol"), std::string::npos) << _ending->message;
}

/* SIGUSR1, as a worker takes it. */
class Switch final : public linux_host::Signals
{
private:
	std::unique_ptr<Relay> &_relay;
	void signalled(int) override
	{
		if (_relay) _relay->use_stdin_for_output();
	}

public:
	explicit Switch(std::unique_ptr<Relay> &relay) : _relay(relay) {}
};

TEST_P(Relay_service, reads_output_from_standard_input_if_asked_to)
{
	Switch on_signal{_relay};
	ASSERT_TRUE(on_signal.start(_loop, {SIGUSR1}).ok());
	_begin(Side::SERVICE,
		_shell("echo before; kill -USR1 $QREXEC_AGENT_PID; echo hello >&0; read x; echo \"got $x\" "
			   ">&0"));
	_until([&] { return _peer->text[1] == "before\nhello\n"; });
	_peer->say("line\n");
	_peer->say_end();
	_until_ended();
	EXPECT_EQ(_peer->text[1], "before\nhello\ngot line\n");
	EXPECT_EQ(_peer->heard.back(), "code 0");
}

TEST_P(Relay_service, reads_it_after_the_end_of_input_and_of_the_process)
{
	Switch on_signal{_relay};
	ASSERT_TRUE(on_signal.start(_loop, {SIGUSR1}).ok());
	_begin(Side::SERVICE, _shell("cat >/dev/null; kill -USR1 $QREXEC_AGENT_PID; echo bye >&0"));
	_peer->say_end();
	_until_ended();
	EXPECT_EQ(_peer->text[1], "bye\n");
}

TEST_P(Relay_service, sends_a_failure_as_a_service_that_says_nothing)
{
	_begin(Side::SERVICE, {}, {.exit_code = EXIT_NO_SERVICE});
	_until_ended();
	EXPECT_EQ(_peer->heard, (Strings{"out end", "err end", "code 127"}));
}

TEST_P(Relay_service, of_a_host_never_speaks_of_errors)
{
	_begin(Side::SERVICE, {}, {.tells_of_errors = false, .exit_code = EXIT_TROUBLE});
	_until_ended();
	EXPECT_EQ(_peer->heard, (Strings{"out end", "code 125"}));
}

TEST_P(Relay_service, just_executes)
{
	Local_end local = _shell("exit 1", {.discard_streams = true});
	pid_t const process = local.process;
	_begin(Side::SERVICE, std::move(local), {.just_exec = true});
	_until_ended();
	EXPECT_EQ(_peer->heard, (Strings{"code 0"}));
	int status = 0;
	EXPECT_EQ(::waitpid(process, &status, 0), process);
	EXPECT_EQ(exit_code_of(status), 1);
}

TEST_P(Relay_service, just_connects)
{
	Ends ends = make_socket_ends();
	Local_end local{.to = std::move(ends.first), .socket = true, .prefix = "qubes.Service a"};
	_begin(Side::SERVICE, std::move(local), {.just_exec = true});
	_until_ended();
	EXPECT_EQ(_peer->heard, (Strings{"code 0"}));
	EXPECT_EQ(_received(ends.second.value()), "qubes.Service a");
}

TEST_P(Relay_service, carries_a_socket_with_its_prefix)
{
	Ends ends = make_socket_ends();
	_begin(Side::SERVICE, {.to = std::move(ends.first), .socket = true, .prefix = "descriptor"});
	_peer->say("stdin data");
	_peer->say_end();
	_until([&] { return _peer->said_all(); });
	_until_heard("err end");
	EXPECT_EQ(_received(ends.second.value()), "descriptorstdin data");
	EXPECT_EQ(::write(ends.second.value(), "stdout data", 11), 11);
	ends.second.reset();
	_until_ended();
	EXPECT_EQ(_peer->text[1], "stdout data");
	EXPECT_EQ(_peer->heard, (Strings{"err end", "out begins", "out end", "code 0"}));
}

TEST_P(Relay_service, a_socket_that_closes_ends_the_call)
{
	Ends ends = make_socket_ends();
	_begin(Side::SERVICE, {.to = std::move(ends.first), .socket = true});
	_until_heard("err end");
	ends.second.reset();
	_until_ended();
	EXPECT_EQ(_peer->heard, (Strings{"err end", "out end", "code 0"}));
}

TEST_P(Relay_service, a_socket_that_only_writes_no_more_does_not)
{
	Ends ends = make_socket_ends();
	_begin(Side::SERVICE, {.to = std::move(ends.first), .socket = true});
	::shutdown(ends.second.value(), SHUT_WR);
	_until_heard("out end");
	_peer->say("more");
	_peer->say_end();
	_until_ended();
	EXPECT_EQ(_received(ends.second.value()), "more");
	EXPECT_EQ(_peer->heard.back(), "code 0");
}

TEST_P(Relay_service, exits_on_the_client_s_end)
{
	Ends ends = make_socket_ends();
	_begin(
		Side::SERVICE, {.to = std::move(ends.first), .socket = true}, {.exit_on_client_eof = true});
	_peer->say("stdin data");
	_peer->say_end();
	_until_ended();
	EXPECT_EQ(_received(ends.second.value()), "stdin data");
	EXPECT_EQ(_peer->heard, (Strings{"err end", "out end", "code 0"}));
}

TEST_P(Relay_service, exits_on_the_service_s_end)
{
	Ends ends = make_socket_ends();
	_begin(Side::SERVICE, {.to = std::move(ends.first), .socket = true},
		{.exit_on_service_eof = true});
	::shutdown(ends.second.value(), SHUT_WR);
	_until_ended();
	EXPECT_EQ(_peer->heard, (Strings{"err end", "out end", "code 0"}));
}

TEST_P(Relay_service, carries_10_mib_through_a_socket_both_ways)
{
	Ends ends = make_socket_ends();
	int const echo = ends.second.value();
	std::string const bytes = numbered(10 << 20);
	_begin(Side::SERVICE, {.to = std::move(ends.first), .socket = true});
	// The service: a thread's loop would do as well; here it is a copy of ourselves.
	pid_t const child = ::fork();
	if (child == 0) {
		char buffer[65536];
		ssize_t n = 0;
		while ((n = ::read(echo, buffer, sizeof(buffer))) > 0)
			for (ssize_t done = 0; done < n;)
				done += ::write(echo, buffer + done, size_t(n - done));
		::_exit(0);
	}
	ends.second.reset();
	_peer->say(bytes);
	_peer->say_end();
	// The copy has our end as well: it can't see its end before we do.
	_until([&] { return _peer->text[1].size() == bytes.size(); });
	EXPECT_TRUE(_peer->text[1] == bytes);
	::kill(child, SIGKILL);
	::waitpid(child, nullptr, 0);
	_until_ended();
}

TEST_P(Relay_service, waits_for_a_full_queue_of_a_unix_socket)
{
	std::string const path = _place.path() + "/service";
	Owned_fd server{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	sockaddr_un name{.sun_family = AF_UNIX, .sun_path = {}};
	path.copy(name.sun_path, path.size());
	ASSERT_EQ(::bind(server.value(), reinterpret_cast<sockaddr *>(&name), sizeof(name)), 0);
	ASSERT_EQ(::listen(server.value(), 0), 0);
	std::vector<Owned_fd> waiting;
	Owned_fd socket;
	int error = 0;
	while ((error = connect_to_service(path, socket)) == 0) waiting.push_back(std::move(socket));
	ASSERT_EQ(error, EAGAIN);

	Found_service const service{.kind = Found_service::Kind::SOCKET, .path = path};
	auto const command = parse_command_line("QUBESRPC a+b dom", false);
	auto started = start_service(service, command.value(), {});
	auto *local = std::get_if<Local_end>(&started);
	ASSERT_TRUE(local);
	EXPECT_EQ(local->connect_again, path);
	_begin(Side::SERVICE, std::move(*local));
	for (int i = 0; i < 20; ++i) _loop.poll(_loop.clock().now_us() + 1000);
	EXPECT_TRUE(_peer->heard.empty());
	for (size_t i = 0; i < waiting.size(); ++i)
		Owned_fd const first{::accept(server.value(), nullptr, nullptr)};
	_until_heard("err end");
	Owned_fd const ours{::accept(server.value(), nullptr, nullptr)};
	_peer->say_end();
	EXPECT_EQ(_received(ours.value()), std::string("a+b dom\0", 8));
	::shutdown(ours.value(), SHUT_RDWR);
	_until_ended();
	EXPECT_EQ(_peer->heard, (Strings{"err end", "out end", "code 0"}));
}

/* A TCP port of this machine. */
struct Tcp_server
{
	Owned_fd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	std::string port{};

	Tcp_server()
	{
		sockaddr_in name{};
		name.sin_family = AF_INET;
		name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		socklen_t size = sizeof(name);
		auto *const any = reinterpret_cast<sockaddr *>(&name);
		EXPECT_EQ(::bind(socket.value(), any, size), 0);
		EXPECT_EQ(::getsockname(socket.value(), any, &size), 0);
		port = std::to_string(ntohs(name.sin_port));
	}
};

std::variant<Local_end, Service_failure> start_tcp(std::string const &host, std::string const &port)
{
	Found_service const service{
		.kind = Found_service::Kind::TCP, .path = "/x", .host = host, .port = port};
	return start_service(service, parse_command_line("QUBESRPC a+b dom", false).value(), {});
}

TEST_P(Relay_service, connects_to_tcp)
{
	Tcp_server server;
	ASSERT_EQ(::listen(server.socket.value(), 1), 0);
	auto started = start_tcp("127.0.0.1", server.port);
	ASSERT_TRUE(std::get_if<Local_end>(&started));
	_begin(Side::SERVICE, std::move(std::get<Local_end>(started)));
	_peer->say("data");
	_peer->say_end();
	_until_heard("err end");
	Owned_fd ours{::accept(server.socket.value(), nullptr, nullptr)};
	EXPECT_EQ(_received(ours.value()), std::string("a+b dom\0data", 12));
	EXPECT_EQ(::write(ours.value(), "answer", 6), 6);
	ours.reset();
	_until_ended();
	EXPECT_EQ(_peer->text[1], "answer");
	EXPECT_EQ(_peer->heard, (Strings{"err end", "out begins", "out end", "code 0"}));
}

TEST_P(Relay_service, fails_if_nobody_listens_at_a_tcp_port)
{
	Tcp_server server; // it doesn't listen
	auto started = start_tcp("127.0.0.1", server.port);
	if (auto *local = std::get_if<Local_end>(&started)) {
		_begin(Side::SERVICE, std::move(*local));
		_until_ended();
		EXPECT_EQ(_peer->heard, (Strings{"out end", "err end", "code 125"}));
		EXPECT_NE(_ending->message.find("refused"), std::string::npos) << _ending->message;
	} else {
		EXPECT_EQ(std::get<Service_failure>(started).exit_code, EXIT_TROUBLE);
	}
}

} // namespace
} // namespace bulkhead::qrexec
