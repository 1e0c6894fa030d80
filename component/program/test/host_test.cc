// A domain of real programs as pid 1 of a namespace of its own, and this test as its broker, as the
// callers of its services, and as the services that its programs call.

#include "component/program/host.h"
#include "domain/gate/message.h"
#include "sdk/libvchan/shm_transport.h"
#include "sdk/qrexec/local_socket.h"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::component {
namespace {

using namespace qrexec;
using linux_host::Gate;
using linux_host::Owned_fd;

constexpr int HANG_MS = 60'000;
constexpr uint32_t OTHER = 7; // the other domain's id

void wait_for(std::initializer_list<int> fds)
{
	std::vector<pollfd> entries;
	for (int const fd : fds) entries.push_back({.fd = fd, .events = POLLIN, .revents = 0});
	ASSERT_GT(poll(entries.data(), entries.size(), HANG_MS), 0) << "nothing happens";
}

std::string number(uint32_t value)
{
	uint8_t bytes[4];
	encode_number(value, bytes);
	return std::string(text_of(bytes));
}

/* The other side of a call of either kind: all that it sends, and what comes back. */
struct Conversation
{
	std::unique_ptr<Data_channel> channel{};
	std::string to_send{};
	bool end_to_send = true;
	std::string out{}, errors{};
	std::optional<int> exit_code{};
	bool ended = false; // what the other side sends, or the channel

	void step(Stream sends)
	{
		channel->look();
		for (bool armed = false;; armed = true) {
			while (!to_send.empty()) {
				size_t const n = channel->send(sends, bytes_of(to_send));
				if (n == 0) break;
				to_send.erase(0, n);
			}
			if (to_send.empty() && end_to_send) channel->send_end(sends);
			for (auto in = channel->peek(); in.kind != Data_channel::Kind::NOTHING;
				in = channel->peek())
				take(in);
			if (channel->state() == Data_channel::State::CLOSED) ended = true;
			if (armed) return;
			channel->arm(true, true);
		}
	}

	void take(Data_channel::Incoming const &in)
	{
		if (in.kind == Data_channel::Kind::BYTES) {
			(in.stream == Stream::ERR ? errors : out) += text_of(in.bytes);
			channel->consume(in.bytes.size());
		}
		if (in.kind == Data_channel::Kind::END && in.stream != Stream::ERR) ended = true;
		if (in.kind == Data_channel::Kind::EXIT_CODE) exit_code = in.exit_code;
	}
};

class Host_test : public testing::Test
{
protected:
	std::string _place = std::filesystem::temp_directory_path() / "bulkhead-host-XXXXXX";
	domain::Program_config _config{};
	Gate _gate{};
	pid_t _domain = -1;
	uint32_t _next_port = 513;
	std::vector<uint32_t> _terminated{};

	void SetUp() override
	{
		ASSERT_TRUE(mkdtemp(_place.data()));
		// Namespaces of users let anybody be pid 1.
		pid_t const child = fork();
		if (child == 0) _exit(unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0 ? 0 : 1);
		int status = 0;
		ASSERT_EQ(waitpid(child, &status, 0), child);
		if (WEXITSTATUS(status) != 0) GTEST_SKIP() << "needs namespaces of users";
	}

	void TearDown() override
	{
		if (_domain > 0) {
			_gate.close();
			EXPECT_GE(end(), 0);
		}
		std::filesystem::remove_all(_place);
	}

	std::string path(char const *name) const { return _place + "/" + name; }

	// In a process that is pid 1 of its own.
	[[noreturn]] void run(Owned_fd gate)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		linux_host::Loop loop;
		Env env(loop, {.grace_us = 0});
		if (!env.start(std::move(gate), "test")) _exit(env.fail());
		int code = 1;
		{
			Host host(loop, env, _config);
			if (!host.start(path("agent"))) _exit(101);
			code = env.run();
			host.stop();
		}
		_exit(code);
	}

	void start()
	{
		auto pair = Gate::make_pair();
		ASSERT_TRUE(pair.ok());
		_domain = fork();
		if (_domain == 0) {
			pair.value().first.reset();
			if (unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) _exit(100);
			pid_t const first = fork();
			if (first == 0) run(std::move(pair.value().second));
			pair.value().second.reset();
			int status = 0;
			waitpid(first, &status, 0);
			_exit(exit_code_of(status));
		}
		_gate = Gate(std::move(pair.value().first), linux_host::Gate_takes::NOTHING);
		say(Type::HELLO, number(VERSION));
		EXPECT_EQ(hear(Type::HELLO), number(VERSION));
	}

	// Its exit code.
	int end()
	{
		int status = 0;
		EXPECT_EQ(waitpid(_domain, &status, 0), _domain);
		_domain = -1;
		return exit_code_of(status);
	}

	void say(Type type, std::string const &body, linux_host::Channel_end const *end = nullptr)
	{
		std::string const message =
			number(static_cast<uint32_t>(type)) + number(static_cast<uint32_t>(body.size())) + body;
		Bytes const bytes = bytes_of(message);
		std::vector<int> descriptors;
		if (end) descriptors = {end->memory.value(), end->bell.out(), end->bell.in()};
		ASSERT_TRUE(_gate.send({&bytes, 1}, descriptors).ok());
	}

	// The body of the next message, but for ends of calls, which are noted.
	std::string hear(Type type)
	{
		std::array<uint8_t, domain::PACKET_MAX> buffer;
		while (true) {
			auto const got = _gate.receive(buffer);
			if (!got.ok()) {
				wait_for({_gate.fd()});
				if (testing::Test::HasFatalFailure()) return {};
				continue;
			}
			if (got.value().bytes < Header::BYTES) return "closed";
			Bytes const message = std::span(buffer).first(got.value().bytes);
			Header const header = decode_header(message);
			if (Type(header.type) == type) return std::string(text_of(message.subspan(8)));
			EXPECT_EQ(Type(header.type), Type::CONNECTION_TERMINATED);
			_terminated.push_back(decode_exec_params(message.subspan(8)).port);
		}
	}

	std::unique_ptr<Data_channel> adopt(linux_host::Channel_end end, Side side)
	{
		auto transport = std::make_unique<sdk::Shm_transport>();
		EXPECT_EQ(transport->adopt(std::move(end)), 0);
		return std::make_unique<Data_channel>(std::move(transport), side);
	}

	linux_host::Channel_pair channel(uint32_t port)
	{
		auto pair = linux_host::make_channel({.to_client = 65536, .to_server = 65536}, port);
		EXPECT_TRUE(pair.ok());
		return std::move(pair.value());
	}

	Conversation call(std::string const &service, std::string input = {})
	{
		uint32_t const port = _next_port++;
		auto pair = channel(port);
		say(Type::EXEC_CMDLINE,
			number(OTHER) + number(port) + "DEFAULT:QUBESRPC " + service + " work" + '\0',
			&pair.client);
		return {
			.channel = adopt(std::move(pair.server), Side::CALLER), .to_send = std::move(input)};
	}

	void finish(Conversation &call)
	{
		while (!call.exit_code && !testing::Test::HasFatalFailure()) {
			call.step(Stream::IN);
			if (call.channel->state() == Data_channel::State::CLOSED) break;
			if (!call.exit_code) wait_for({call.channel->fd()});
		}
	}

	// A call that a program of the domain asks for.
	Conversation serve(std::string_view target, std::string_view service)
	{
		std::string const asked = hear(Type::TRIGGER_SERVICE4);
		auto const trigger = decode_trigger(Type::TRIGGER_SERVICE4, bytes_of(asked));
		EXPECT_TRUE(trigger);
		if (!trigger) return {};
		EXPECT_EQ(trigger->target, target);
		EXPECT_EQ(trigger->service, service);
		uint32_t const port = _next_port++;
		auto pair = channel(port);
		std::string const ident = std::string(trigger->ident) + '\0';
		say(Type::SERVICE_CONNECT, number(OTHER) + number(port) + ident, &pair.server);
		return {.channel = adopt(std::move(pair.client), Side::SERVICE)};
	}

	std::string text_of_file(char const *name) const
	{
		std::ifstream file(path(name));
		return {std::istreambuf_iterator<char>(file), {}};
	}
};

TEST_F(Host_test, runs_a_command_per_call)
{
	_config.commands = {{"test.Shell",
		{"/bin/sh", "-c",
			"cat; echo \"$0 $1 $QREXEC_REMOTE_DOMAIN $QREXEC_SERVICE_FULL_NAME "
			"$QREXEC_SERVICE_ARGUMENT $OF_MANIFEST\"; echo oh >&2; exit 5",
			"zero"}}};
	_config.environment = {"OF_MANIFEST=a b"};
	start();
	Conversation one = call("test.Shell+arg", "input,");
	finish(one);
	EXPECT_EQ(one.out, "input,zero arg work test.Shell+arg arg a b\n");
	EXPECT_EQ(one.errors, "oh\n");
	EXPECT_EQ(one.exit_code, 5);
	one.channel.reset();
	say(Type::HELLO, number(VERSION));
	(void)hear(Type::HELLO);
	// Told by the time that another one is over at the latest.
	Conversation two = call("test.Shell");
	finish(two);
	EXPECT_EQ(two.out, "zero  work test.Shell  a b\n");
	EXPECT_EQ(_terminated, std::vector<uint32_t>{513});
}

TEST_F(Host_test, passes_on_much_in_both_directions)
{
	_config.commands = {{"*", {"/bin/cat"}}};
	start();
	std::string input(1 << 20, 'x');
	for (size_t i = 0; i < input.size(); ++i) input[i] = static_cast<char>(i * 7 + i / 256);
	Conversation one = call("any.Thing", input);
	finish(one);
	EXPECT_TRUE(one.out == input);
	EXPECT_EQ(one.exit_code, 0);
}

TEST_F(Host_test, lets_a_call_that_stalls_stall_only_itself)
{
	_config.commands = {{"*", {"/bin/cat"}}};
	start();
	Conversation stalled = call("a.B");
	stalled.end_to_send = false;
	Conversation full = call("a.B", std::string(1 << 20, 'x'));
	for (int i = 0; i < 20; ++i) {
		Conversation other = call("a.B", "hello");
		finish(other);
		EXPECT_EQ(other.out, "hello");
	}
	stalled.end_to_send = true;
	finish(stalled);
	finish(full);
	EXPECT_EQ(stalled.exit_code, 0);
	EXPECT_EQ(full.out.size(), size_t{1} << 20);
}

TEST_F(Host_test, ends_the_input_of_a_service_whose_caller_has_gone)
{
	_config.commands = {
		{"*", {"/bin/sh", "-c", "cat; echo gone > " + path("gone") + "; exec cat"}}};
	start();
	Conversation one = call("a.B", "x");
	one.end_to_send = false;
	for (one.step(Stream::IN); one.out.empty() && !HasFatalFailure(); one.step(Stream::IN))
		wait_for({one.channel->fd()});
	one.channel.reset();
	std::string const terminated = hear(Type::CONNECTION_TERMINATED);
	EXPECT_EQ(terminated, number(OTHER) + number(513));
	EXPECT_EQ(text_of_file("gone"), "gone\n");
}

TEST_F(Host_test, refuses_what_it_does_not_serve)
{
	_config.commands = {{"a.B", {"/bin/cat"}}, {"a.None", {"/no/such/program"}}};
	start();
	for (char const *const service : {"a.C", "a.None", "A.B", "a"}) {
		Conversation one = call(service);
		finish(one);
		EXPECT_EQ(one.exit_code, EXIT_NO_SERVICE) << service;
		EXPECT_EQ(one.out + one.errors, "") << service;
	}
}

TEST_F(Host_test, ends_with_its_program)
{
	_config.program = {"/bin/sh", "-c", "exit 7"};
	start();
	EXPECT_EQ(hear(Type::HELLO), "closed");
	EXPECT_EQ(end(), 7);
}

TEST_F(Host_test, goes_on_after_a_program_that_prepares_services)
{
	_config.program = {"/bin/sh", "-c", "echo prepared > " + path("prepared")};
	_config.commands = {{"a.B", {"/bin/cat", path("prepared")}}};
	start();
	for (std::string out; out.empty();) {
		Conversation one = call("a.B");
		finish(one);
		out = one.out;
	}
}

TEST_F(Host_test, asks_its_processes_to_end_and_then_ends_them)
{
	// A daemon that ends when it is asked, and a child that doesn't.
	_config.program = {"/bin/sh", "-c",
		"(setsid sh -c 'trap \"echo asked > " + path("asked") + "; exit\" TERM; echo > " +
			path("daemon") + "; while :; do sleep 0.01; done' &);" + "(trap '' TERM; echo > " +
			path("child") + "; exec sleep 1000) & wait"};
	start();
	while (text_of_file("daemon").empty() || text_of_file("child").empty()) usleep(1000);
	_gate.close();
	EXPECT_GE(end(), 0);
	EXPECT_EQ(text_of_file("asked"), "asked\n");
}

TEST_F(Host_test, calls_for_programs_that_know_the_agent)
{
	_config.program = {"/bin/sh", "-c",
		std::string(BULKHEAD_QREXEC_CLIENT_VM) + " --agent-socket=" + path("agent") +
			" vault sign.Document+x < /dev/null > " + path("out") + "; exit $?"};
	start();
	Conversation one = serve("vault", "sign.Document+x");
	one.to_send = "signed";
	for (one.step(Stream::OUT); !one.ended && !HasFatalFailure(); one.step(Stream::OUT))
		wait_for({one.channel->fd()});
	EXPECT_TRUE(one.channel->send_exit_code(3));
	EXPECT_EQ(hear(Type::HELLO), "closed");
	EXPECT_EQ(end(), 3);
	EXPECT_EQ(text_of_file("out"), "signed");
	EXPECT_EQ(_terminated, std::vector<uint32_t>{513});
}

TEST_F(Host_test, tells_programs_that_their_call_is_refused)
{
	_config.program = {"/bin/sh", "-c",
		std::string(BULKHEAD_QREXEC_CLIENT_VM) + " --agent-socket=" + path("agent") +
			" '' sign.Document 2> " + path("errors")};
	start();
	std::string const asked = hear(Type::TRIGGER_SERVICE4);
	auto const trigger = decode_trigger(Type::TRIGGER_SERVICE4, bytes_of(asked));
	ASSERT_TRUE(trigger);
	EXPECT_EQ(trigger->target, "@default");
	std::string ident(trigger->ident);
	ident.resize(IDENT_BYTES, '\0');
	say(Type::SERVICE_REFUSED, ident);
	EXPECT_EQ(hear(Type::HELLO), "closed");
	EXPECT_EQ(end(), EXIT_REFUSED);
	EXPECT_EQ(text_of_file("errors"), "Request refused\n");
}

// Bytes that are no question, from programs that stay.
TEST_F(Host_test, is_not_impressed_by_programs_that_talk_nonsense)
{
	_config.commands = {{"*", {"/bin/cat"}}};
	start();
	std::vector<Owned_fd> sockets;
	for (int i = 0; i < 64; ++i) {
		Owned_fd socket;
		ASSERT_EQ(connect_to_local(path("agent"), socket), 0);
		std::string const nonsense = number(static_cast<uint32_t>(Type::TRIGGER_SERVICE4) + i % 3) +
			number(static_cast<uint32_t>(i * 67)) + std::string(static_cast<size_t>(i * 40), 'x');
		(void)send(socket.value(), nonsense.data(), nonsense.size(), MSG_NOSIGNAL);
		sockets.push_back(std::move(socket));
	}
	Conversation one = call("a.B", "hello");
	finish(one);
	EXPECT_EQ(one.out, "hello");
}

} // namespace
} // namespace bulkhead::component
