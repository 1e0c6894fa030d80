// The daemon and its three sides: the agent, programs of the host, and the policy.

#include "component/qrexec/test/world.h"

#include <filesystem>
#include <fstream>
#include <sys/stat.h>

namespace bulkhead::qrexec::test {
namespace {

namespace fs = std::filesystem;

constexpr int OWN = 42;

class Qrexec_daemon : public Programs
{
protected:
	Domain const vm = world.domain(OWN, "domain_name");
	Process *daemon = nullptr;
	Wire agent{};
	Wire policy{}; // who listens, and then the one question

	std::string socket() const { return world.socket_directory() + "/qrexec.42"; }

	void start(std::vector<std::string> const &options = {}, uint32_t version = 4)
	{
		agent = world.vchan_server(OWN, 0, 512, 4096);
		daemon = &world.start_daemon(vm, options);
		agent.accept();
		agent.greet(version);
	}

	/* A program of the host: the daemon speaks version 3 with it, and first. */
	Wire client()
	{
		Wire wire = Wire::connect(socket());
		EXPECT_EQ(wire.receive(), (Message{HELLO, packed({3})}));
		wire.send(HELLO, packed({3}));
		return wire;
	}

	uint32_t expect_port(Wire &client, uint32_t type)
	{
		auto const answer = client.receive();
		if (!answer || answer->body.size() != 8) {
			ADD_FAILURE() << "no port";
			return 0;
		}
		EXPECT_EQ(answer->type, type);
		EXPECT_EQ(number_at(answer->body, 0), static_cast<uint32_t>(OWN));
		return number_at(answer->body, 4);
	}

	static std::string call(uint32_t domain, std::string const &command, uint32_t port = 0)
	{
		return packed({domain, port}) + command + '\0';
	}

	/* Asks for a port, and leaves: the call goes on without the one who has asked. */
	uint32_t port_for(uint32_t domain)
	{
		Wire wire = client();
		wire.send(JUST_EXEC, call(domain, "DEFAULT:echo Hello world"));
		uint32_t const port = expect_port(wire, JUST_EXEC);
		EXPECT_EQ(
			agent.receive(), (Message{JUST_EXEC, call(domain, me() + ":echo Hello world", port)}));
		return port;
	}

	static Message trigger3(
		std::string const &target, std::string const &service, std::string const &ident)
	{
		return {TRIGGER_SERVICE3, field(target, 64) + field(ident, 32) + service + '\0'};
	}

	static Message trigger4(std::string const &source, std::string const &target,
		std::string const &service, std::string const &ident)
	{
		return {TRIGGER_SERVICE4,
			field(source, 64) + field(target, 64) + field(ident, 32) + service + '\0'};
	}

	static Message trigger2(
		std::string const &service, std::string const &target, std::string const &ident)
	{
		return {TRIGGER_SERVICE, field(service, 64) + field(target, 32) + field(ident, 32)};
	}

	void expect_refused(std::string const &ident)
	{
		EXPECT_EQ(agent.receive(), (Message{SERVICE_REFUSED, field(ident, 32)}));
	}

	void listen_for_questions() { policy = Wire::listen(world.policy_socket()); }

	/* One question, without its empty line. */
	std::string question()
	{
		policy.accept();
		std::string text;
		while (!text.ends_with("\n\n")) {
			std::string const byte = policy.receive_bytes(1);
			if (byte.empty()) break;
			text += byte;
		}
		EXPECT_TRUE(text.ends_with("\n\n")) << text;
		return text.substr(0, text.size() - 1);
	}

	void answer(std::string const &text)
	{
		policy.send_bytes(text);
		policy.close();
	}

	/* Everything after the question of what the policy must say. */
	void expect_question_and_deny(std::string const &asked, std::string const &ident)
	{
		EXPECT_EQ(question(), asked);
		answer("result=deny\n");
		expect_refused(ident);
	}

	/* A policy program, as upstream's daemon can be told to use one: it notes what it was told,
	 * waits until the fifo is released, and ends with this exit code. */
	std::string policy_program(int code)
	{
		std::string const program = world.path("policy-program");
		{
			std::ofstream file(program);
			file << "#!/bin/sh\nprintf '%s\\n' \"$@\" >" << world.path("told") << ".new\nmv "
				 << world.path("told") << ".new " << world.path("told") << "\nread x <"
				 << world.fifo("go") << "\nexit " << code << "\n";
		}
		chmod(program.c_str(), 0700);
		return "--policy-program=" + program;
	}

	void expect_told(std::string const &arguments)
	{
		eventually("the policy program to be run", [&] { return fs::exists(world.path("told")); });
		EXPECT_EQ(contents(world.path("told")), arguments);
	}

	/* Still alive and well. */
	void expect_served()
	{
		Wire wire = client();
		wire.send(JUST_EXEC, call(77, "user:true"));
		uint32_t const port = expect_port(wire, JUST_EXEC);
		EXPECT_EQ(agent.receive(), (Message{JUST_EXEC, call(77, "user:true", port)}));
		agent.send(CONNECTION_TERMINATED, packed({77, port}));
		EXPECT_TRUE(wire.ended());
	}
};

INSTANTIATE_TEST_SUITE_P(, Qrexec_daemon, testing::Values("socket", "shm"), transport_name);

TEST_P(Qrexec_daemon, greets_the_agent) { start(); }

TEST_P(Qrexec_daemon, answers_the_agents_greeting)
{
	agent = world.vchan_server(OWN, 0, 512, 4096);
	daemon = &world.start_daemon(vm);
	agent.accept();
	agent.send(HELLO, packed({4}));
	EXPECT_EQ(agent.receive(), (Message{HELLO, packed({4})}));
	expect_served();
}

TEST_P(Qrexec_daemon, greets_programs_of_the_host)
{
	start();
	(void)client();
	expect_served();
}

TEST_P(Qrexec_daemon, is_there_under_number_name_and_uuid)
{
	start({"--uuid=3b1c4b1e-0000-4000-8000-000000000042"});
	for (char const *const name :
		{"42", "domain_name", "uuid:3b1c4b1e-0000-4000-8000-000000000042"}) {
		Wire wire = Wire::connect(world.socket_directory() + "/qrexec." + name);
		EXPECT_EQ(wire.receive(), (Message{HELLO, packed({3})})) << name;
	}
}

TEST_P(Qrexec_daemon, isnt_there_while_there_is_no_agent)
{
	start();
	agent.close();
	eventually("the socket to go", [&] { return !fs::exists(socket()); });
	agent = world.vchan_server(OWN, 0, 512, 4096);
	agent.accept();
	agent.greet();
	expect_served();
}

TEST_P(Qrexec_daemon, ends_while_there_is_no_agent)
{
	start();
	agent.close();
	eventually("the socket to go", [&] { return !fs::exists(socket()); });
	world.stop(*daemon);
}

TEST_P(Qrexec_daemon, replaces_the_socket_of_one_that_was_killed)
{
	start();
	expect_served();
	world.kill(*daemon);
	EXPECT_TRUE(fs::exists(socket()));
	agent.close();
	start();
	expect_served();
}

TEST_P(Qrexec_daemon, hands_a_command_to_the_agent)
{
	start();
	for (uint32_t const type : {JUST_EXEC, EXEC_CMDLINE}) {
		Wire wire = client();
		wire.send(type, call(0, "user:echo Hello world"));
		uint32_t const port = expect_port(wire, type);
		EXPECT_EQ(agent.receive(), (Message{type, call(0, "user:echo Hello world", port)}));
	}
}

TEST_P(Qrexec_daemon, puts_the_domains_user_for_the_default_one)
{
	start();
	EXPECT_EQ(port_for(0), 513u);
}

TEST_P(Qrexec_daemon, promises_no_call_that_its_agent_wouldnt_hear_of_if_it_were_killed)
{
	start();
	std::string const command = "user:" + std::string(3000, 'x'); // the agent's ring has 4096 bytes
	std::vector<Wire> clients;
	for (int i = 0; i < 6; ++i) clients.emplace_back(client()).send(EXEC_CMDLINE, call(0, command));
	for (int i = 0; i < 2; ++i) (void)client(); // it has looked at all of them
	world.kill(*daemon);
	std::vector<uint32_t> promised, heard;
	for (Wire &wire : clients)
		if (auto const answer = wire.receive()) promised.push_back(number_at(answer->body, 4));
	// The last of them may be cut off.
	size_t const bytes = 8 + call(0, command).size();
	std::string const rest = agent.receive_rest();
	for (size_t at = 0; at + bytes <= rest.size(); at += bytes)
		heard.push_back(number_at(rest, at + 8 + 4));
	EXPECT_FALSE(promised.empty());
	ASSERT_LE(promised.size(), heard.size());
	heard.resize(promised.size());
	EXPECT_EQ(promised, heard);
	agent.close();
	start();
	expect_served();
}

TEST_P(Qrexec_daemon, hands_out_ports_that_tell_directions_apart)
{
	start();
	EXPECT_EQ(port_for(OWN + 1), 514u);
	EXPECT_EQ(port_for(OWN + 2), 516u);
	uint32_t const lower = port_for(OWN - 1);
	EXPECT_EQ(lower % 2, 1u) << "calls the other way have the other ports";
}

TEST_P(Qrexec_daemon, hands_a_port_out_again_when_its_call_is_over)
{
	start();
	Wire wire = client();
	wire.send(JUST_EXEC, call(OWN + 1, "user:true"));
	EXPECT_EQ(expect_port(wire, JUST_EXEC), 514u);
	(void)agent.receive();
	agent.send(CONNECTION_TERMINATED, packed({OWN + 1, 514}));
	// Who has asked is told.
	EXPECT_TRUE(wire.ended());
	EXPECT_EQ(port_for(OWN + 2), 514u);
}

TEST_P(Qrexec_daemon, hands_a_port_to_the_same_caller_again_only_after_all_others)
{
	start();
	std::vector<uint32_t> ports;
	for (int i = 0; i < 100; ++i) {
		Wire wire = client();
		wire.send(JUST_EXEC, call(OWN + 1, "user:true"));
		uint32_t const port = expect_port(wire, JUST_EXEC);
		(void)agent.receive();
		ASSERT_EQ(std::count(ports.begin(), ports.end(), port), 0) << port;
		ports.push_back(port);
		agent.send(CONNECTION_TERMINATED, packed({OWN + 1, port}));
		ASSERT_TRUE(wire.ended());
	}
}

TEST_P(Qrexec_daemon, ignores_the_end_of_what_isnt_there)
{
	start();
	uint32_t const port = port_for(OWN + 1);
	for (uint32_t const other : {0u, 1u, 512u, 513u, 515u, 768u, 769u, 0xffff'ffffu})
		agent.send(CONNECTION_TERMINATED, packed({OWN + 1, other}));
	agent.send(CONNECTION_TERMINATED, packed({OWN + 2, port})); // somebody else's
	EXPECT_EQ(port_for(OWN + 2), 516u);
}

TEST_P(Qrexec_daemon, serves_more_than_256_calls_at_once)
{
	start();
	std::vector<Wire> clients;
	std::vector<uint32_t> ports;
	for (unsigned i = 0; i < 600; ++i) {
		Wire &wire = clients.emplace_back(client());
		wire.send(EXEC_CMDLINE, call(0, "user:true"));
		uint32_t const port = expect_port(wire, EXEC_CMDLINE);
		ASSERT_GE(port, 513u);
		ASSERT_EQ(std::count(ports.begin(), ports.end(), port), 0) << port;
		ports.push_back(port);
		ASSERT_EQ(agent.receive(), (Message{EXEC_CMDLINE, call(0, "user:true", port)}));
	}
	for (uint32_t const port : ports) agent.send(CONNECTION_TERMINATED, packed({0, port}));
	agent.flush();
	for (Wire &wire : clients) EXPECT_TRUE(wire.ended());
}

TEST_P(Qrexec_daemon, asks_the_policy_and_refuses)
{
	listen_for_questions();
	start();
	agent.send(trigger3("target_domain", "qubes.Forbidden", "SOCKET42"));
	expect_question_and_deny("source=domain_name\nintended_target=target_domain\n"
							 "service_and_arg=qubes.Forbidden\n",
		"SOCKET42");
	expect_served();
}

TEST_P(Qrexec_daemon, asks_the_policy_for_a_remote_qube)
{
	listen_for_questions();
	start();
	agent.send(trigger4("remote", "target_domain", "qubes.Forbidden+arg", "SOCKET42"));
	expect_question_and_deny("source=domain_name\nrequested_source=remote\n"
							 "intended_target=target_domain\nservice_and_arg=qubes.Forbidden+arg\n",
		"SOCKET42");
}

TEST_P(Qrexec_daemon, asks_the_policy_for_an_agent_of_version_2)
{
	listen_for_questions();
	start({}, 2);
	agent.send(trigger2("qubes.Forbidden+arg", "target_domain", "SOCKET42"));
	expect_question_and_deny("source=domain_name\nintended_target=target_domain\n"
							 "service_and_arg=qubes.Forbidden+arg\n",
		"SOCKET42");
}

TEST_P(Qrexec_daemon, asks_the_policy_for_an_agent_of_version_3)
{
	listen_for_questions();
	start({}, 3);
	// One of Qubes 4.3 sends the newest kind whatever its daemon has said.
	agent.send(trigger4("", "target_domain", "qubes.Forbidden+", "SOCKET42"));
	expect_question_and_deny("source=domain_name\nintended_target=target_domain\n"
							 "service_and_arg=qubes.Forbidden+\n",
		"SOCKET42");
}

TEST_P(Qrexec_daemon, asks_for_the_default_target)
{
	listen_for_questions();
	start();
	agent.send(trigger4("", "", "qubes.Service", "SOCKET42"));
	expect_question_and_deny(
		"source=domain_name\nintended_target=\nservice_and_arg=qubes.Service\n", "SOCKET42");
}

TEST_P(Qrexec_daemon, asks_in_clean_characters)
{
	listen_for_questions();
	start();
	agent.send(
		trigger4("", "@disp vm:a\n$b\x80", "qubes.Se/rvice+a b\nsource=x\xff@:", "SOCKET42"));
	expect_question_and_deny("source=domain_name\nintended_target=@disp_vm:a__b_\n"
							 "service_and_arg=qubes.Se_rvice+a_b_source_x___\n",
		"SOCKET42");
}

TEST_P(Qrexec_daemon, refuses_when_the_policy_cant_be_asked)
{
	start();
	agent.send(trigger4("", "target_domain", "qubes.Service", "SOCKET42"));
	expect_refused("SOCKET42");
	expect_served();
}

TEST_P(Qrexec_daemon, refuses_when_the_policys_answer_is_none)
{
	start();
	for (char const *const text : {"", "\n", "result=\n", "result=perhaps\n", "allow\n",
			 "result=allow\n", "result=allow\nresult=deny\n",
			 "result=allow\nuser=a\ntarget=b\nautostart=maybe\nrequested_target=b\n",
			 "result=allow\nuser=a\ntarget=b\nautostart=True\nrequested_target=b"}) {
		SCOPED_TRACE(text);
		listen_for_questions();
		agent.send(trigger4("", "target_domain", "qubes.Service", "SOCKET42"));
		(void)question();
		answer(text);
		expect_refused("SOCKET42");
	}
	listen_for_questions();
	agent.send(trigger4("", "target_domain", "qubes.Service", "SOCKET42"));
	(void)question();
	answer(std::string("result=deny\n").insert(0, 5000, 'a'));
	expect_refused("SOCKET42");
	expect_served();
}

TEST_P(Qrexec_daemon, connects_what_the_policy_allows)
{
	// The target's daemon is the test, too.
	Wire target = Wire::listen(world.socket_directory() + "/qrexec.target_domain");
	listen_for_questions();
	start();
	agent.send(trigger4("", "target_domain", "qubes.Service+arg", "SOCKET42"));
	(void)question();
	answer("result=allow\nuser=someone\ntarget=target_domain\nautostart=True\n"
		   "requested_target=target_domain\n");
	target.accept();
	target.send(HELLO, packed({3}));
	EXPECT_EQ(target.receive(), (Message{HELLO, packed({3})}));
	EXPECT_EQ(target.receive(),
		(Message{EXEC_CMDLINE, call(OWN, "someone:QUBESRPC qubes.Service+arg domain_name")}));
	target.send(EXEC_CMDLINE, packed({43, 600}));
	EXPECT_EQ(
		agent.receive(), (Message{SERVICE_CONNECT, packed({43, 600}) + field("SOCKET42", 32)}));
	expect_served();
}

TEST_P(Qrexec_daemon, gives_a_service_without_argument_an_empty_one)
{
	Wire target = Wire::listen(world.socket_directory() + "/qrexec.target_domain");
	listen_for_questions();
	start();
	agent.send(trigger4("", "target_domain", "qubes.Service", "SOCKET42"));
	(void)question();
	answer("result=allow\nuser=DEFAULT\ntarget=target_domain\nautostart=True\n"
		   "requested_target=target_domain\n");
	target.accept();
	target.send(HELLO, packed({3}));
	(void)target.receive();
	auto const message = target.receive();
	ASSERT_TRUE(message);
	EXPECT_EQ(message->type, EXEC_CMDLINE);
	std::string const command = message->body.substr(8);
	EXPECT_TRUE(command == std::string("DEFAULT:QUBESRPC qubes.Service domain_name") + '\0' ||
		command == std::string("DEFAULT:QUBESRPC qubes.Service+ domain_name") + '\0')
		<< command;
	target.close();
	expect_refused("SOCKET42");
}

TEST_P(Qrexec_daemon, refuses_when_the_targets_daemon_does)
{
	Wire target = Wire::listen(world.socket_directory() + "/qrexec.target_domain");
	listen_for_questions();
	start();
	agent.send(trigger4("", "target_domain", "qubes.Service+arg", "SOCKET42"));
	(void)question();
	answer("result=allow\nuser=someone\ntarget=target_domain\nautostart=True\n"
		   "requested_target=target_domain\n");
	target.accept();
	target.close();
	expect_refused("SOCKET42");
	expect_served();
}

TEST_P(Qrexec_daemon, asks_for_many_at_once)
{
	start();
	std::vector<Wire> questions;
	for (int i = 0; i < 300; ++i) {
		listen_for_questions();
		agent.send(trigger4(
			"", "target", "qubes.Service+" + std::to_string(i), "SOCKET" + std::to_string(i)));
		EXPECT_NE(question(), "");
		questions.push_back(std::move(policy));
	}
	expect_served();
	for (int i = 299; i >= 0; --i) {
		questions[static_cast<size_t>(i)].send_bytes("result=deny\n");
		questions[static_cast<size_t>(i)].close();
		expect_refused("SOCKET" + std::to_string(i));
	}
}

TEST_P(Qrexec_daemon, runs_a_policy_program_and_refuses)
{
	std::string const option = policy_program(1);
	start({option});
	agent.send(trigger3("target_domain", "qubes.Forbidden", "SOCKET42"));
	expect_told("--\ndomain_name\ntarget_domain\nqubes.Forbidden\n");
	release(world.path("go"));
	expect_refused("SOCKET42");
}

TEST_P(Qrexec_daemon, lets_a_program_connect_what_was_asked_for)
{
	std::string const option = policy_program(0);
	start({option});
	agent.send(trigger3("target_domain", "qubes.Service", "SOCKET11"));
	expect_told("--\ndomain_name\ntarget_domain\nqubes.Service\n");
	std::string const body = packed({OWN + 1, 513}) + "SOCKET11" + '\0';
	Wire wire = client();
	wire.send(SERVICE_CONNECT, body);
	EXPECT_EQ(agent.receive(), (Message{SERVICE_CONNECT, body}));
	// Once only.
	Wire second = client();
	second.send(SERVICE_CONNECT, body);
	EXPECT_TRUE(second.ended());
	release(world.path("go"));
	expect_served();
}

TEST_P(Qrexec_daemon, connects_nothing_that_wasnt_asked_for)
{
	start();
	Wire wire = client();
	wire.send(SERVICE_CONNECT, packed({OWN + 1, 513}) + "SOCKET11" + '\0');
	EXPECT_TRUE(wire.ended());
	expect_served(); // nothing came before that
}

TEST_P(Qrexec_daemon, hands_out_a_port_for_a_service_of_the_host)
{
	std::string const option = policy_program(0);
	start({option});
	agent.send(trigger3("dom0", "qubes.Service", "SOCKET11"));
	expect_told("--\ndomain_name\ndom0\nqubes.Service\n");
	Wire wire = client();
	wire.send(SERVICE_CONNECT, packed({0, 0}) + field("SOCKET11", 32));
	uint32_t const port = expect_port(wire, SERVICE_CONNECT);
	EXPECT_EQ(
		agent.receive(), (Message{SERVICE_CONNECT, packed({0, port}) + field("SOCKET11", 32)}));
	release(world.path("go"));
}

TEST_P(Qrexec_daemon, refuses_idents_that_an_agent_wouldnt_choose)
{
	start();
	for (std::string const &ident : {std::string("\1\2\3"), std::string(), std::string("a\0b", 3),
			 std::string("a/b"), std::string("a\n"), std::string(32, 'a')}) {
		SCOPED_TRACE(testing::PrintToString(ident));
		for (Message const &message : {trigger3("target_domain", "qubes.Service", ident),
				 trigger4("", "target_domain", "qubes.Service", ident)}) {
			agent.send(message);
			expect_refused(ident);
		}
	}
	expect_served();
}

TEST_P(Qrexec_daemon, refuses_services_that_have_no_name)
{
	start();
	Message unterminated = trigger3("target_domain", "a", "ab");
	unterminated.body.pop_back();
	agent.send(unterminated);
	expect_refused("ab");
	for (std::string const &service :
		{std::string("\0", 1), std::string(), std::string("a\0", 2), std::string("\0a", 2),
			std::string("\0+a", 3), std::string("+"), std::string("+a"), std::string("a\0a", 3)}) {
		SCOPED_TRACE(testing::PrintToString(service));
		agent.send(trigger3("target_domain", service, "ab"));
		expect_refused("ab");
		agent.send(trigger4("", "target_domain", service, "ab"));
		expect_refused("ab");
	}
	expect_served();
}

TEST_P(Qrexec_daemon, refuses_services_that_have_no_name_in_version_2)
{
	start({}, 2);
	for (std::string const &service : {std::string("\0", 1), std::string(), std::string("\0a", 2),
			 std::string("\0+a", 3), std::string("+"), std::string("+a")}) {
		SCOPED_TRACE(testing::PrintToString(service));
		agent.send(trigger2(service, "target_domain", "ab"));
		expect_refused("ab");
	}
}

TEST_P(Qrexec_daemon, ends_the_connection_with_an_agent_that_breaks_the_protocol)
{
	std::string const good3 = trigger3("target", "qubes.Service", "SOCKET1").body;
	std::string const good4 = trigger4("", "target", "qubes.Service", "SOCKET1").body;
	struct
	{
		char const *what;
		Message sent;
	} const wrong[] = {
		{"no service at all", {TRIGGER_SERVICE3, good3.substr(0, 96)}},
		{"less than a header", {TRIGGER_SERVICE3, good3.substr(0, 95)}},
		{"nothing", {TRIGGER_SERVICE3, ""}},
		{"no service at all, version 4", {TRIGGER_SERVICE4, good4.substr(0, 160)}},
		{"less than a header, version 4", {TRIGGER_SERVICE4, good4.substr(0, 159)}},
		{"version 2 where it isn't spoken", trigger2("qubes.Service", "target", "SOCKET1")},
		{"short parameters", {CONNECTION_TERMINATED, packed({1})}},
		{"long parameters", {CONNECTION_TERMINATED, packed({1, 513, 0})}},
		{"an unknown type", {0x299, "x"}},
		{"what only a daemon sends", {EXEC_CMDLINE, call(0, "user:true", 600)}},
		{"a refusal", {SERVICE_REFUSED, field("SOCKET1", 32)}},
		{"a second greeting", {HELLO, packed({4})}},
		{"data", {DATA_STDOUT, "x"}},
	};
	start();
	for (auto const &[what, sent] : wrong) {
		SCOPED_TRACE(what);
		agent.send(sent);
		EXPECT_TRUE(agent.ended());
		agent.close();
		// Upstream's ends, ours goes on with the next one.
		agent = world.vchan_server(OWN, 0, 512, 4096);
		agent.accept();
		agent.greet();
	}
	expect_served();
}

TEST_P(Qrexec_daemon, ends_the_connection_with_an_agent_of_a_huge_message)
{
	start();
	agent.send_bytes(packed({TRIGGER_SERVICE3, 0xffff'fff0}));
	EXPECT_TRUE(agent.ended());
}

TEST_P(Qrexec_daemon, sends_programs_away_that_break_the_protocol)
{
	start();
	struct
	{
		char const *what;
		Message sent;
	} const wrong[] = {
		{"what only an agent sends", trigger3("target", "qubes.Service", "SOCKET1")},
		{"the end of a call", {CONNECTION_TERMINATED, packed({0, 513})}},
		{"a refusal", {SERVICE_REFUSED, field("SOCKET1", 32)}},
		{"an unknown type", {0x299, "x"}},
		{"no parameters", {EXEC_CMDLINE, ""}},
		{"short parameters", {EXEC_CMDLINE, packed({0})}},
		{"no command", {EXEC_CMDLINE, packed({0, 0})}},
		{"no end of the command", {EXEC_CMDLINE, packed({0, 0}) + "user:true"}},
		{"a port beyond the range", {EXEC_CMDLINE, call(0, "user:true", 512)}},
		{"no ident", {SERVICE_CONNECT, packed({0, 0})}},
		{"a second greeting", {HELLO, packed({3})}},
	};
	for (auto const &[what, sent] : wrong) {
		Wire wire = client();
		wire.send(sent);
		EXPECT_TRUE(wire.ended()) << what;
		wire.close();
		expect_served();
	}
	Wire hello = Wire::connect(socket());
	(void)hello.receive();
	hello.send(EXEC_CMDLINE, call(0, "user:true"));
	EXPECT_TRUE(hello.ended()) << "no greeting";
	Wire old = Wire::connect(socket());
	(void)old.receive();
	old.send(HELLO, packed({2}));
	EXPECT_TRUE(old.ended()) << "version 2";
	Wire huge = client();
	huge.send_bytes(packed({EXEC_CMDLINE, 0xffff'fff0}));
	EXPECT_TRUE(huge.ended()) << "a huge message";
	expect_served();
}

TEST_P(Qrexec_daemon, isnt_held_up_by_a_program_that_says_nothing)
{
	start();
	Wire silent = Wire::connect(socket());
	Wire half = client();
	half.send_bytes(packed({EXEC_CMDLINE, 100}) + "ab");
	expect_served();
}

TEST_P(Qrexec_daemon, tells_programs_when_the_agent_has_gone)
{
	start();
	Wire wire = client();
	wire.send(EXEC_CMDLINE, call(0, "user:true"));
	(void)expect_port(wire, EXEC_CMDLINE);
	agent.close();
	EXPECT_TRUE(wire.ended());
}

TEST_P(Qrexec_daemon, refuses_an_agent_of_version_1)
{
	agent = world.vchan_server(OWN, 0, 512, 4096);
	daemon = &world.start_daemon(vm);
	agent.accept();
	agent.send(HELLO, packed({1}));
	(void)agent.receive_rest();
	eventually("a word about the version",
		[&] { return world.logs().find("version") != std::string::npos; });
	EXPECT_FALSE(fs::exists(socket()));
}

TEST_P(Qrexec_daemon, keeps_no_descriptor_of_a_call)
{
	start();
	for (int i = 0; i < 3; ++i) expect_served();
	size_t const before = daemon->descriptors();
	for (int i = 0; i < 50; ++i) {
		expect_served();
		listen_for_questions();
		agent.send(trigger4("", "target", "qubes.Service", "SOCKET1"));
		(void)question();
		answer("result=deny\n");
		expect_refused("SOCKET1");
	}
	eventually(
		"the descriptors of calls to be closed", [&] { return daemon->descriptors() <= before; });
}

} // namespace
} // namespace bulkhead::qrexec::test
