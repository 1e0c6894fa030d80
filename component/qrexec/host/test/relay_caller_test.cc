// The side of a call that makes it.

#include "component/qrexec/host/test/support.h"

#include <sys/stat.h>

namespace bulkhead::qrexec {
namespace {

using namespace test;
using Strings = std::vector<std::string>;

class Relay_caller : public Relay_fixture
{
protected:
	Ends _in = make_pipe_ends(), _out = make_pipe_ends();

	void _begin_with_pipes(Relay_options options = {})
	{
		_begin(Side::CALLER, {.to = std::move(_out.second), .from = std::move(_in.first)}, options);
	}

	void _begin_with(Strings const &program)
	{
		auto started = start_local_program(program);
		if (auto *failure = std::get_if<Service_failure>(&started))
			GTEST_FAIL() << failure->message;
		_begin(Side::CALLER, std::move(std::get<Local_end>(started)));
	}
};

INSTANTIATE_TEST_SUITE_P(transports, Relay_caller, testing::Values("shm", "socket"));

TEST_P(Relay_caller, returns_the_service_s_exit_code)
{
	_begin_with_pipes();
	EXPECT_EQ(::write(_in.second.value(), "stdin data\n", 11), 11);
	_until([&] { return _peer->text[0] == "stdin data\n"; });
	_peer->say("stdout data\n");
	_peer->say_end();
	_until([&] { return _peer->said_all(); });
	_peer->exit_with(42);
	_until_ended();
	EXPECT_EQ(read_all(_out.first.value()), "stdout data\n");
	EXPECT_EQ(_ending->exit_code, 42);
	EXPECT_FALSE(_ending->disconnected);
	// Nobody reads it any more, and it is told so.
	EXPECT_EQ(_peer->heard, (Strings{"in begins", "in end"}));
}

TEST_P(Relay_caller, needs_no_end_of_output_before_an_exit_code)
{
	_begin_with_pipes();
	_peer->say("text");
	_until(
		[&] { return _peer->said_all() && _peer->channel().state() == Data_channel::State::OPEN; });
	_peer->exit_with(1);
	_until_ended();
	EXPECT_EQ(read_all(_out.first.value()), "text");
	EXPECT_EQ(_ending->exit_code, 1);
}

TEST_P(Relay_caller, makes_no_success_of_a_strange_exit_code)
{
	_begin_with_pipes();
	_until([&] { return _peer->channel().state() == Data_channel::State::OPEN; });
	_peer->exit_with(256);
	_until_ended();
	EXPECT_EQ(_ending->exit_code, 255);
}

TEST_P(Relay_caller, returns_255_when_the_service_s_side_goes)
{
	_begin_with_pipes();
	_peer->say("stdout data\n");
	_peer->say_end();
	_until([&] { return _peer->said_all(); });
	_peer->go();
	_until([&] { return _ending.has_value(); });
	EXPECT_EQ(read_all(_out.first.value()), "stdout data\n");
	EXPECT_EQ(_ending->exit_code, 255);
	EXPECT_TRUE(_ending->disconnected);
}

TEST_P(Relay_caller, goes_on_without_input_and_output)
{
	_begin_with_pipes();
	_in.second.reset();
	_out.first.reset();
	_until_heard("in end");
	_peer->say(numbered(1 << 20));
	_peer->say_end();
	_until([&] { return _peer->said_all(); });
	_peer->exit_with(0);
	_until_ended();
	EXPECT_EQ(_ending->exit_code, 0);
}

TEST_P(Relay_caller, ends_without_a_reader_if_that_is_wanted)
{
	_begin_with_pipes({.ends_without_reader = true});
	_out.first.reset();
	_peer->say(numbered(1 << 20));
	_until([&] { return _ending.has_value(); });
	EXPECT_EQ(_ending->unwritten, EPIPE);
	EXPECT_EQ(_ending->message, "");
	EXPECT_FALSE(_ending->disconnected);
}

TEST_P(Relay_caller, makes_no_success_of_output_that_is_lost)
{
	_begin(Side::CALLER,
		{.to = Owned_fd{::open("/dev/full", O_WRONLY | O_CLOEXEC)},
			.from = Owned_fd{::open("/dev/null", O_RDONLY | O_CLOEXEC)}});
	_peer->say(numbered(200'000));
	_until([&] { return _peer->said_all(); });
	_peer->exit_with(0);
	_until_ended();
	EXPECT_EQ(_ending->exit_code, EXIT_TROUBLE);
	EXPECT_EQ(_ending->unwritten, ENOSPC);
	EXPECT_EQ(_ending->message, "standard output can't be written: No space left on device");
}

TEST_P(Relay_caller, replaces_characters)
{
	Ends errors = make_pipe_ends();
	_begin_with_pipes({.replace_characters = true, .errors_to = errors.second.value()});
	_peer->say(std::string("hello\0world\xff\t\n\r\b\a\x1b", 18));
	_peer->say_end();
	_until([&] { return _peer->said_all(); });
	_peer->exit_with(0);
	_until_ended();
	EXPECT_EQ(read_all(_out.first.value()), "hello_world_\t\n\r\b\a_");
}

TEST_P(Relay_caller, writes_errors_where_it_is_told)
{
	Ends errors = make_pipe_ends();
	_begin_with_pipes({.replace_error_characters = true, .errors_to = errors.second.value()});
	_until([&] { return _peer->channel().state() == Data_channel::State::OPEN; });
	EXPECT_EQ(_peer->channel().send(Stream::ERR, bytes_of("bad\x1b[m")), 6U);
	EXPECT_TRUE(_peer->channel().send_end(Stream::ERR));
	_peer->exit_with(0);
	_until_ended();
	errors.second.reset();
	EXPECT_EQ(read_all(errors.first.value()), "bad_[m");
	EXPECT_EQ(read_all(_out.first.value()), "");
}

TEST_P(Relay_caller, reads_files_and_writes_them)
{
	std::string const bytes = numbered(3 << 20);
	std::string const from = _place.path() + "/from", to = _place.path() + "/to";
	{
		Owned_fd const file{::open(from.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
		ASSERT_EQ(::write(file.value(), bytes.data(), bytes.size()), ssize_t(bytes.size()));
	}
	_begin(Side::CALLER,
		{.to = Owned_fd{::open(to.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)},
			.from = Owned_fd{::open(from.c_str(), O_RDONLY | O_CLOEXEC)}});
	_peer->say(bytes);
	_peer->say_end();
	_until_heard("in end");
	EXPECT_TRUE(_peer->text[0] == bytes);
	_until([&] { return _peer->said_all(); });
	_peer->exit_with(0);
	_until_ended();
	Owned_fd const written{::open(to.c_str(), O_RDONLY | O_CLOEXEC)};
	EXPECT_TRUE(read_all(written.value()) == bytes);
}

TEST_P(Relay_caller, takes_dev_null)
{
	_begin(Side::CALLER,
		{.to = Owned_fd{::open("/dev/null", O_WRONLY | O_CLOEXEC)},
			.from = Owned_fd{::open("/dev/null", O_RDONLY | O_CLOEXEC)}});
	_until_heard("in end");
	_peer->say(numbered(200'000));
	_until([&] { return _peer->said_all(); });
	_peer->exit_with(7);
	_until_ended();
	EXPECT_EQ(_ending->exit_code, 7);
}

TEST_P(Relay_caller, does_not_spin_while_a_file_waits_for_room)
{
	_begin(Side::CALLER,
		{.to = Owned_fd{::open("/dev/null", O_WRONLY | O_CLOEXEC)},
			.from = Owned_fd{::open("/dev/zero", O_RDONLY | O_CLOEXEC)}});
	_until_heard("in begins");
	_peer->deaf = true;
	// Until the ring is full: then nothing is left to do, and the loop sleeps until its time.
	for (int i = 0; i < 100; ++i) _loop.poll(0);
	uint64_t const begun = _loop.clock().now_us();
	_peer->turn();
	_loop.poll(begun + 20'000);
	_loop.poll(begun + 20'000);
	EXPECT_GE(_loop.clock().now_us(), begun + 20'000);
	_peer->deaf = false;
	_peer->go();
	_until([&] { return _ending.has_value(); });
}

TEST_P(Relay_caller, leaves_the_flags_of_shared_descriptors_alone)
{
	Owned_fd const in = duplicate(_in.first), out = duplicate(_out.second);
	_begin_with_pipes();
	EXPECT_EQ(::write(_in.second.value(), "a", 1), 1);
	_until_heard("in begins");
	_peer->say("b");
	_until([&] { return _peer->said_all(); });
	EXPECT_EQ(::fcntl(in.value(), F_GETFL) & O_NONBLOCK, 0);
	EXPECT_EQ(::fcntl(out.value(), F_GETFL) & O_NONBLOCK, 0);
	_peer->exit_with(0);
	_until_ended();
	EXPECT_EQ(::fcntl(in.value(), F_GETFL) & O_NONBLOCK, 0);
	EXPECT_EQ(::fcntl(out.value(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_P(Relay_caller, does_not_shut_down_a_socket_that_it_shares)
{
	Ends in = make_socket_ends(), out = make_socket_ends();
	Owned_fd const shared = duplicate(out.second);
	_begin(Side::CALLER, {.to = std::move(out.second), .from = std::move(in.first)});
	_peer->say_end();
	_until([&] { return _peer->said_all(); });
	_peer->exit_with(0);
	_until_ended();
	EXPECT_EQ(::send(shared.value(), "later", 5, MSG_NOSIGNAL), 5);
}

TEST_P(Relay_caller, shuts_down_a_socket_that_is_both)
{
	Ends ends = make_socket_ends();
	Owned_fd const shared = duplicate(ends.first);
	_begin(Side::CALLER, {.to = std::move(ends.first), .socket = true});
	EXPECT_EQ(::write(ends.second.value(), "in", 2), 2);
	_until([&] { return _peer->text[0] == "in"; });
	_peer->say("out");
	_peer->say_end();
	_until([&] { return _peer->said_all(); });
	_until([&] { return ::send(shared.value(), "a", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE; });
	_peer->exit_with(42);
	_until_ended();
	EXPECT_EQ(_ending->exit_code, 42);
	EXPECT_EQ(_peer->heard, (Strings{"in begins", "in end"}));
}

TEST_P(Relay_caller, has_a_local_program)
{
	_begin_with({"/bin/cat"});
	_peer->say("stdout data\n");
	_peer->say_end();
	_until_heard("in end");
	EXPECT_EQ(_peer->text[0], "stdout data\n");
	_peer->exit_with(42);
	_until_ended();
	EXPECT_EQ(_ending->exit_code, 42);
}

TEST_P(Relay_caller, whose_failure_is_no_success)
{
	_begin_with({"/bin/false"});
	_peer->say_end();
	_until([&] { return _peer->said_all(); });
	_peer->exit_with(0);
	_peer->go();
	_until([&] { return _ending.has_value(); });
	EXPECT_EQ(_ending->exit_code, 1);
	EXPECT_FALSE(_ending->disconnected);
}

TEST_P(Relay_caller, whose_failure_counts_after_the_service_s)
{
	_begin_with({"/bin/false"});
	_until([&] { return _peer->channel().state() == Data_channel::State::OPEN; });
	_peer->exit_with(125);
	_until_ended();
	EXPECT_EQ(_ending->exit_code, 125);
}

TEST_P(Relay_caller, whose_end_is_awaited_after_the_service_s)
{
	std::string const fifo = _place.path() + "/fifo";
	ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
	_begin_with({"/bin/sh", "-c", "read x <" + fifo + "; exit 3"});
	_peer->say_end();
	_until([&] { return _peer->said_all(); });
	_peer->exit_with(0);
	_peer->go();
	for (int i = 0; i < 50; ++i) _loop.poll(0);
	EXPECT_FALSE(_ending);
	Owned_fd const fd{::open(fifo.c_str(), O_WRONLY | O_CLOEXEC)};
	EXPECT_EQ(::write(fd.value(), "\n", 1), 1);
	_until([&] { return _ending.has_value(); });
	EXPECT_EQ(_ending->exit_code, 3);
}

TEST_P(Relay_caller, with_a_local_program_returns_255_when_the_service_s_side_goes)
{
	_begin_with({"/bin/cat"});
	_peer->say("stdout data\n");
	_until([&] { return _peer->text[0] == "stdout data\n"; });
	_peer->go();
	_until([&] { return _ending.has_value(); });
	EXPECT_EQ(_ending->exit_code, 255);
	EXPECT_TRUE(_ending->disconnected);
}

TEST_P(Relay_caller, returns_125_when_the_service_s_side_talks_nonsense)
{
	auto const wanted = sdk::Wanted{.server = false,
		.own = SERVICE_DOMAIN,
		.peer = CALLER_DOMAIN,
		.port = PORT,
		.directory = _place.vchans()};
	_relay = std::make_unique<Relay>(_loop, _open(Side::CALLER), Side::CALLER,
		Local_end{.to = std::move(_out.second), .from = std::move(_in.first)}, Relay_options{},
		*this);
	ASSERT_TRUE(_relay->start().ok());
	auto raw = std::make_unique<Raw_end>(GetParam(), wanted);
	raw->send(hello(4) + message(Type::DATA_STDIN, "wrong way"), {}, [&] { _loop.poll(0); });
	while (!_ending) _loop.poll(_loop.clock().now_us() + uint64_t{HANG_MS} * 1000);
	EXPECT_EQ(_ending->exit_code, 125);
}

/* Two relays and no peer. */
class Both final : public Relay::Finished
{
public:
	std::unique_ptr<Relay> relay{};
	std::optional<Ending> ending{};

	void finished(Relay &, Ending const &how) override
	{
		ending = how;
		relay.reset();
	}
};

TEST_P(Relay_caller, meets_a_relay_of_the_other_side)
{
	std::string const bytes = numbered(10 << 20);
	std::string const from = _place.path() + "/from", to = _place.path() + "/to";
	{
		Owned_fd const file{::open(from.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
		ASSERT_EQ(::write(file.value(), bytes.data(), bytes.size()), ssize_t(bytes.size()));
	}
	Both caller, service;
	caller.relay = std::make_unique<Relay>(_loop, _open(Side::CALLER), Side::CALLER,
		Local_end{.to = Owned_fd{::open(to.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)},
			.from = Owned_fd{::open(from.c_str(), O_RDONLY | O_CLOEXEC)}},
		Relay_options{}, caller);
	service.relay = std::make_unique<Relay>(_loop, _open(Side::SERVICE), Side::SERVICE,
		_shell("cat; exit 6"), Relay_options{}, service);
	ASSERT_TRUE(caller.relay->start().ok());
	ASSERT_TRUE(service.relay->start().ok());
	while (!caller.ending || !service.ending)
		_loop.poll(_loop.clock().now_us() + uint64_t{HANG_MS} * 1000);
	EXPECT_EQ(caller.ending->exit_code, 6);
	EXPECT_EQ(service.ending->exit_code, 6);
	Owned_fd const written{::open(to.c_str(), O_RDONLY | O_CLOEXEC)};
	EXPECT_TRUE(read_all(written.value()) == bytes);
}

} // namespace
} // namespace bulkhead::qrexec
