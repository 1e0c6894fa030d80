// The agent and its two sides: the daemon, and programs that ask for a call.

#include "component/qrexec/test/agent_world.h"

namespace bulkhead::qrexec::test {
namespace {

class Qrexec_agent : public Agent_programs
{
protected:
	static std::string request(std::string const &target, std::string const &service,
		std::string const &source = {}, std::string const &ident = "SOCKET")
	{
		return field(source, 64) + field(target, 64) + field(ident, 32) + service + '\0';
	}

	/* Whom the daemon is to answer; the rest of the message must be what the program has sent. */
	std::string forwarded(std::string const &sent)
	{
		auto const message = host.receive();
		if (!message) {
			ADD_FAILURE() << "no request has reached the daemon";
			return {};
		}
		EXPECT_EQ(message->type, TRIGGER_SERVICE4);
		std::string const ident = message->body.substr(128, 32);
		EXPECT_EQ(ident.substr(0, 6), "SOCKET");
		EXPECT_NE(ident[6], 0) << "nothing tells requests apart";
		EXPECT_EQ(message->body.substr(0, 128), sent.substr(0, 128));
		EXPECT_EQ(message->body.substr(160), sent.substr(160));
		return ident;
	}

	std::string ask(Wire &program, std::string const &target, std::string const &service,
		std::string const &source = {})
	{
		std::string const sent = request(target, service, source);
		program.send(TRIGGER_SERVICE4, sent);
		return forwarded(sent);
	}

	Wire program() { return Wire::connect(vm.agent_socket()); }

	void expect_served()
	{
		Wire another = program();
		std::string const ident = ask(another, "other", "qubes.Other");
		host.send(SERVICE_REFUSED, ident);
		EXPECT_TRUE(another.ended());
	}
};

INSTANTIATE_TEST_SUITE_P(, Qrexec_agent, testing::Values("socket", "shm"), transport_name);

TEST_P(Qrexec_agent, greets_the_daemon) { start_agent(); }

TEST_P(Qrexec_agent, greets_first)
{
	agent = &world.start_agent(vm);
	host = world.vchan_client(0, OWN, 512);
	EXPECT_EQ(host.receive(), (Message{HELLO, packed({4})}));
	host.send(HELLO, packed({4}));
	expect_served();
}

TEST_P(Qrexec_agent, serves_a_daemon_of_version_2_or_3)
{
	for (uint32_t const version : {2, 3}) {
		Domain const domain = world.domain(OWN + static_cast<int>(version), "old");
		world.start_agent(domain);
		Wire daemon = world.vchan_client(0, domain.id, 512);
		daemon.greet(version);
		uint32_t const caller = CALLER;
		uint32_t const port = CALL_PORT;
		daemon.send(EXEC_CMDLINE, packed({caller, port}) + me() + ":echo old" + '\0');
		Wire wire = world.vchan_server(CALLER, domain.id, CALL_PORT);
		wire.accept();
		wire.greet(version);
		wire.send(DATA_STDIN);
		EXPECT_EQ(wire.receive_output(), output("old\n"));
	}
}

TEST_P(Qrexec_agent, ends_the_connection_with_a_daemon_of_version_1)
{
	agent = &world.start_agent(vm);
	host = world.vchan_client(0, OWN, 512);
	host.greet(1);
	EXPECT_TRUE(host.ended());
}

TEST_P(Qrexec_agent, serves_the_next_daemon)
{
	start_agent();
	host.close();
	host = world.vchan_client(0, OWN, 512);
	host.greet();
	expect_served();
}

TEST_P(Qrexec_agent, serves_the_next_daemon_after_one_that_broke_the_protocol)
{
	struct
	{
		char const *what;
		Message sent;
	} const wrong[] = {
		{"an unknown type", {0x299, "body"}},
		{"what only an agent may send", {TRIGGER_SERVICE4, request("target", "service")}},
		{"a second greeting", {HELLO, packed({4})}},
		{"a short body", {EXEC_CMDLINE, packed({1})}},
		{"no command", {EXEC_CMDLINE, packed({43, 600})}},
		{"a long ident", {SERVICE_REFUSED, std::string(33, 'a')}},
		{"data", {DATA_STDIN, "data"}},
	};
	agent = &world.start_agent(vm);
	for (auto const &[what, sent] : wrong) {
		host = world.vchan_client(0, OWN, 512);
		host.greet();
		host.send(sent);
		EXPECT_TRUE(host.ended()) << what;
		host.close();
	}
	host = world.vchan_client(0, OWN, 512);
	host.greet();
	expect_served();
}

TEST_P(Qrexec_agent, runs_a_command_without_streams)
{
	std::string const fifo = world.fifo("done");
	start_agent();
	ask_for(JUST_EXEC, me() + ":echo a >" + fifo);
	Wire wire = caller();
	EXPECT_EQ(wire.receive_all(), std::vector{exit_code(0)});
	EXPECT_EQ(drained(fifo), "a\n");
	expect_terminated();
}

TEST_P(Qrexec_agent, runs_a_service_without_streams_or_exit_code)
{
	std::string const fifo = world.fifo("done");
	world.script(vm, "rpc", "qubes.Service",
		"printf %s \"$QREXEC_SERVICE_FULL_NAME\" >" + fifo + "\nexit 1\n");
	start_agent();
	ask_for(JUST_EXEC, me() + ":QUBESRPC qubes.Service+ domX");
	Wire wire = caller();
	EXPECT_EQ(wire.receive_all(), std::vector{exit_code(0)});
	EXPECT_EQ(drained(fifo), "qubes.Service+");
	expect_terminated();
}

TEST_P(Qrexec_agent, tells_a_socket_service_of_a_call_without_streams)
{
	Wire service = Wire::listen(vm.folder + "/rpc/qubes.SocketService+");
	start_agent();
	ask_for(JUST_EXEC, me() + ":QUBESRPC qubes.SocketService a");
	Wire wire = caller();
	service.accept();
	EXPECT_EQ(service.receive_rest(), std::string("qubes.SocketService a") + '\0');
	EXPECT_EQ(wire.receive_all(), std::vector{exit_code(0)});
	expect_terminated();
}

TEST_P(Qrexec_agent, says_that_a_service_without_streams_is_missing)
{
	start_agent();
	ask_for(JUST_EXEC, me() + ":QUBESRPC qubes.Service+ domX");
	Wire wire = caller();
	EXPECT_EQ(wire.receive_all(), std::vector{exit_code(127)});
	expect_terminated();
}

TEST_P(Qrexec_agent, runs_a_command)
{
	Wire wire = run("echo Hello world");
	wire.send(DATA_STDIN);
	EXPECT_EQ(wire.receive_output(), output("Hello world\n"));
	expect_terminated();
}

TEST_P(Qrexec_agent, hands_a_request_on_and_the_connection_back)
{
	start_agent();
	Wire one = program();
	std::string const ident = ask(one, "target_domain", "qubes.ServiceName");
	host.send(SERVICE_CONNECT, packed({43, 1024}) + ident);
	EXPECT_EQ(one.receive_bytes(8), packed({43, 1024}));
	one.close();
	expect_terminated();
}

TEST_P(Qrexec_agent, hands_on_what_a_relay_says_of_its_source)
{
	start_agent();
	Wire one = program();
	std::string const ident = ask(one, "target", "qubes.ServiceName+a", "remote-vm");
	host.send(SERVICE_REFUSED, ident);
	EXPECT_TRUE(one.ended());
}

TEST_P(Qrexec_agent, takes_a_request_of_version_3)
{
	start_agent();
	Wire one = program();
	std::string const sent = request("target", "qubes.ServiceName");
	one.send(TRIGGER_SERVICE3, sent.substr(64));
	host.send(SERVICE_REFUSED, forwarded(sent));
	EXPECT_TRUE(one.ended());
}

TEST_P(Qrexec_agent, tells_a_program_that_it_was_refused)
{
	start_agent();
	Wire one = program();
	std::string const ident = ask(one, "target_domain", "qubes.ServiceName");
	host.send(SERVICE_REFUSED, ident);
	EXPECT_TRUE(one.ended());
}

TEST_P(Qrexec_agent, answers_the_program_that_was_meant)
{
	start_agent();
	Wire programs[5];
	std::string idents[5];
	for (unsigned i = 0; i < 5; ++i) {
		programs[i] = program();
		idents[i] = ask(programs[i], "target", "qubes.Service+" + std::to_string(i));
	}
	for (unsigned const i : {3u, 0u, 4u})
		host.send(SERVICE_CONNECT, packed({43, 600 + i}) + idents[i]);
	for (unsigned const i : {2u, 1u}) host.send(SERVICE_REFUSED, idents[i]);
	for (unsigned const i : {0u, 3u, 4u})
		EXPECT_EQ(programs[i].receive_bytes(8), packed({43, 600 + i}));
	for (unsigned const i : {1u, 2u}) EXPECT_TRUE(programs[i].ended());
}

TEST_P(Qrexec_agent, ignores_answers_that_nobody_waits_for)
{
	start_agent();
	Wire one = program();
	std::string const ident = ask(one, "target", "qubes.Service");
	one.close();
	host.send(SERVICE_CONNECT, packed({43, 600}) + ident);
	host.send(SERVICE_REFUSED, field("SOCKET999", 32));
	host.send(SERVICE_REFUSED, field("", 32));
	// It may say that the connection has ended which nobody has taken.
	Wire another = program();
	another.send(TRIGGER_SERVICE4, request("other", "qubes.Other"));
	auto message = host.receive();
	if (message && message->type == CONNECTION_TERMINATED) message = host.receive();
	ASSERT_TRUE(message);
	ASSERT_EQ(message->type, TRIGGER_SERVICE4);
	host.send(SERVICE_REFUSED, message->body.substr(128, 32));
	EXPECT_TRUE(another.ended());
}

TEST_P(Qrexec_agent, isnt_held_up_by_a_program_that_says_nothing)
{
	start_agent();
	Wire silent = program();
	expect_served();
}

TEST_P(Qrexec_agent, isnt_held_up_by_a_program_that_goes_in_the_middle)
{
	start_agent();
	Wire gone = program();
	gone.send_bytes(std::string(4, '\0'));
	gone.close();
	expect_served();
}

TEST_P(Qrexec_agent, sends_a_program_away_that_breaks_the_protocol)
{
	std::string const good = request("target", "qubes.Service");
	std::string unterminated = good;
	unterminated.pop_back();
	Message const wrong[] = {
		{TRIGGER_SERVICE4, ""},
		{TRIGGER_SERVICE4, good.substr(0, 160)},
		{TRIGGER_SERVICE4, unterminated},
		{TRIGGER_SERVICE4, request(std::string(64, 'a'), "qubes.Service")},
		{TRIGGER_SERVICE4, request("target", "")},
		{TRIGGER_SERVICE4, request("target", std::string("a\0b", 3))},
		{EXEC_CMDLINE, packed({43, 600}) + "user:cmd" + '\0'},
		{CONNECTION_TERMINATED, packed({43, 600})},
		{0, ""},
	};
	start_agent();
	for (Message const &message : wrong) {
		Wire invalid = program();
		invalid.send(message);
		EXPECT_TRUE(invalid.ended()) << testing::PrintToString(message);
	}
	Wire huge = program();
	huge.send_bytes(packed({TRIGGER_SERVICE4, 0x7fff'ffff}));
	EXPECT_TRUE(huge.ended());
	expect_served();
}

TEST_P(Qrexec_agent, takes_a_request_in_pieces)
{
	start_agent();
	Wire slow = program();
	std::string const sent = request("target_domain", "qubes.ServiceName");
	std::string const bytes = packed({TRIGGER_SERVICE4, static_cast<uint32_t>(sent.size())}) + sent;
	size_t at = 0;
	for (size_t const cut : {size_t{4}, size_t{8}, size_t{100}, bytes.size() - 1}) {
		slow.send_bytes(bytes.substr(at, cut - at));
		at = cut;
		expect_served();
	}
	slow.send_bytes(bytes.substr(at));
	host.send(SERVICE_REFUSED, forwarded(sent));
	EXPECT_TRUE(slow.ended());
}

TEST_P(Qrexec_agent, refuses_a_program_while_there_is_no_daemon)
{
	start_agent();
	Wire waiting = program();
	(void)ask(waiting, "target", "qubes.Service");
	host.close();
	Wire late = program();
	late.send(TRIGGER_SERVICE4, request("target", "qubes.Late"));
	// Whether asked again of the next daemon or refused: they are answered.
	host = world.vchan_client(0, OWN, 512);
	host.greet();
	Wire marker = program();
	marker.send(TRIGGER_SERVICE4, request("target", "qubes.Marker"));
	for (bool marked = false; !marked;) {
		auto const message = host.receive();
		ASSERT_TRUE(message);
		ASSERT_EQ(message->type, TRIGGER_SERVICE4);
		marked = message->body.find("qubes.Marker") != std::string::npos;
		host.send(SERVICE_REFUSED, message->body.substr(128, 32));
	}
	for (Wire *const one : {&waiting, &late, &marker}) EXPECT_TRUE(one->ended());
}

TEST_P(Qrexec_agent, ends_a_call_whose_caller_goes)
{
	std::string const fifo = world.fifo("gone");
	{
		Wire wire = run("cat; echo over >" + fifo);
		wire.send(DATA_STDIN, "some");
		EXPECT_EQ(wire.receive(), (Message{DATA_STDOUT, "some"}));
	}
	EXPECT_EQ(drained(fifo), "over\n");
	expect_terminated();
}

TEST_P(Qrexec_agent, ends_a_call_whose_caller_breaks_the_protocol)
{
	struct
	{
		char const *what;
		Message sent;
	} const wrong[] = {
		{"the wrong direction: output", {DATA_STDOUT, "data"}},
		{"the wrong direction: errors", {DATA_STDERR, "data"}},
		{"the wrong direction: an exit code", exit_code(0)},
		{"too long a chunk", {DATA_STDIN, std::string(65537, 'a')}},
		{"a control message", {EXEC_CMDLINE, packed({1, 2}) + "a:b" + '\0'}},
		{"a second greeting", {HELLO, packed({4})}},
	};
	start_agent();
	int port = CALL_PORT;
	for (auto const &[what, sent] : wrong) {
		ask_for(EXEC_CMDLINE, me() + ":cat", ++port);
		Wire wire = caller(port);
		wire.send(sent);
		(void)wire.receive_rest();
		wire.close();
		SCOPED_TRACE(what);
		expect_terminated(port);
	}
}

TEST_P(Qrexec_agent, ends_a_call_with_a_caller_of_version_1)
{
	start_agent();
	ask_for(EXEC_CMDLINE, me() + ":cat");
	Wire wire = world.vchan_server(CALLER, OWN, CALL_PORT);
	wire.accept();
	wire.send(HELLO, packed({1}));
	(void)wire.receive_rest();
	expect_terminated();
}

TEST_P(Qrexec_agent, keeps_no_descriptor_of_a_call)
{
	start_agent();
	auto const one_call = [&] {
		ask_for(EXEC_CMDLINE, me() + ":cat");
		Wire wire = caller();
		wire.send(DATA_STDIN, "data");
		wire.send(DATA_STDIN);
		EXPECT_EQ(wire.receive_output(), output("data"));
		expect_terminated();
		expect_served();
	};
	for (int i = 0; i < 3; ++i) one_call();
	size_t const before = agent->descriptors();
	for (int i = 0; i < 20; ++i) one_call();
	// The last ones may be on their way out.
	eventually("the descriptors of calls to be closed", [&] {
		expect_served();
		return agent->descriptors() <= before;
	});
}

TEST_P(Qrexec_agent, leaves_no_child_behind_when_calls_are_over)
{
	Wire wire = run("cat");
	wire.send(DATA_STDIN);
	EXPECT_EQ(wire.receive_output(), output(""));
	expect_terminated();
	// Who stops an agent as upstream's tests do waits for that.
	eventually("the agent's children to end", [&] { return agent->children().empty(); });
}

} // namespace
} // namespace bulkhead::qrexec::test
