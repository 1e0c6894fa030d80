// qrexec-client-vm: a program's call, with the agent and the service being the test.

#include "component/qrexec/test/world.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/socket.h>
#include <sys/stat.h>

namespace bulkhead::qrexec::test {
namespace {

class Qrexec_client_vm : public Programs
{
protected:
	static constexpr int OWN = 42;
	static constexpr int SERVICE = 43;
	static constexpr int CALL_PORT = 1024;

	Domain const vm = world.domain(OWN, "vm");
	Client client{};
	Wire agent{};

	/* The agent's end, asked for this. */
	void expect_asked(std::string const &source = {}, std::string const &target = "target_domain",
		std::string const &service = "qubes.ServiceName")
	{
		agent.accept();
		EXPECT_EQ(agent.receive(),
			(Message{TRIGGER_SERVICE4,
				field(source, 64) + field(target, 64) + field("SOCKET", 32) + service + '\0'}));
	}

	/* The service's end, once the agent has allowed the call. */
	Wire allow(uint32_t version = 4)
	{
		agent.send_bytes(packed({SERVICE, CALL_PORT}));
		Wire service = world.vchan_client(SERVICE, OWN, CALL_PORT);
		service.greet(version);
		return service;
	}

	Wire run(std::vector<std::string> const &local_program = {},
		std::vector<std::string> const &options = {}, std::string const &source = {})
	{
		agent = Wire::listen(vm.agent_socket());
		std::vector<std::string> arguments = options;
		arguments.insert(arguments.end(), {"target_domain", "qubes.ServiceName"});
		arguments.insert(arguments.end(), local_program.begin(), local_program.end());
		client = world.start_client_vm(vm, arguments);
		expect_asked(source);
		return allow();
	}

	/* With one socket for standard input and output: its other end. */
	Wire run_on_socket(Owned_fd &remote, Wire &service)
	{
		int ends[2];
		EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
		remote.reset(ends[0]);
		Wire local{Owned_fd(ends[1])};
		agent = Wire::listen(vm.agent_socket());
		client = world.start_client_on_socket(
			world.client_vm_command(
				vm, {"--use-stdin-socket", "target_domain", "qubes.ServiceName"}),
			vm, Owned_fd(fcntl(remote.value(), F_DUPFD_CLOEXEC, 0)));
		expect_asked();
		service = allow();
		return local;
	}

	/* Of a stream that comes in chunks as it likes. */
	static void expect_input(Wire &service, std::string const &bytes)
	{
		std::string got;
		while (got.size() < bytes.size()) {
			auto const message = service.receive();
			ASSERT_TRUE(message);
			ASSERT_EQ(message->type, DATA_STDIN);
			ASSERT_NE(message->body, "");
			got += message->body;
		}
		EXPECT_EQ(got, bytes);
	}

	static void expect_input_end(Wire &service)
	{
		EXPECT_EQ(service.receive(), (Message{DATA_STDIN}));
	}

	void expect_answer_passed_on(Wire &service)
	{
		service.send(DATA_STDOUT, "stdout data\n");
		service.send(DATA_STDOUT);
		EXPECT_EQ(client.out.receive_rest(), "stdout data\n");
		service.send(exit_code(42));
		EXPECT_EQ(client.process->exit_code(), 42);
		EXPECT_EQ(client.errors(), "");
	}
};

INSTANTIATE_TEST_SUITE_P(, Qrexec_client_vm, testing::Values("socket", "shm"), transport_name);

TEST_P(Qrexec_client_vm, passes_on_what_the_service_says)
{
	Wire service = run();
	expect_answer_passed_on(service);
}

TEST_P(Qrexec_client_vm, asks_in_the_name_of_a_remote_qube)
{
	Wire service = run({}, {"--source-qube=toto"}, "toto");
	expect_answer_passed_on(service);
}

TEST_P(Qrexec_client_vm, passes_on_what_it_reads)
{
	Wire service = run();
	client.in.send_bytes("some ");
	expect_input(service, "some ");
	client.in.send_bytes("data");
	expect_input(service, "data");
	client.in.close();
	expect_input_end(service);
	expect_answer_passed_on(service);
}

TEST_P(Qrexec_client_vm, passes_on_errors)
{
	Wire service = run();
	service.send(DATA_STDERR, "in trouble\n");
	service.send(DATA_STDERR);
	service.send(DATA_STDOUT);
	service.send(exit_code(3));
	EXPECT_EQ(client.process->exit_code(), 3);
	EXPECT_EQ(client.errors(), "in trouble\n");
	EXPECT_EQ(client.out.receive_rest(), "");
}

TEST_P(Qrexec_client_vm, speaks_to_a_service_of_version_2_or_3)
{
	for (uint32_t const version : {2, 3}) {
		agent = Wire::listen(vm.agent_socket());
		client = world.start_client_vm(vm, {"target_domain", "qubes.ServiceName"});
		expect_asked();
		Wire service = allow(version);
		std::string const data(10'000, 'a');
		client.in.send_bytes(data);
		client.in.close();
		std::string got;
		while (auto const message = service.receive()) {
			EXPECT_LE(message->body.size(), version == 2 ? 4096u : 65536u);
			got += message->body;
			if (message->body.empty()) break;
		}
		EXPECT_EQ(got, data);
		expect_answer_passed_on(service);
		service.close();
	}
}

TEST_P(Qrexec_client_vm, ends_a_socket_when_the_service_ends_its_output)
{
	Owned_fd remote;
	Wire service;
	Wire local = run_on_socket(remote, service);
	remote.reset();
	service.send(DATA_STDOUT, "stdout data\n");
	EXPECT_EQ(local.receive_bytes(12), "stdout data\n");
	local.send_bytes("stdin data\n");
	expect_input(service, "stdin data\n");
	service.send(DATA_STDOUT);
	EXPECT_TRUE(local.ended());
	local.close();
	expect_input_end(service);
	service.send(exit_code(42));
	EXPECT_EQ(client.process->exit_code(), 42);
}

TEST_P(Qrexec_client_vm, shuts_a_socket_down_that_others_hold_too)
{
	Owned_fd remote;
	Wire service;
	Wire local = run_on_socket(remote, service);
	service.send(DATA_STDOUT, "stdout data\n");
	EXPECT_EQ(local.receive_bytes(12), "stdout data\n");
	local.send_bytes("stdin data\n");
	local.end_writing();
	expect_input(service, "stdin data\n");
	expect_input_end(service);
	service.send(DATA_STDOUT);
	// We still have the descriptor that it has: it must have been shut down.
	EXPECT_TRUE(local.ended());
	EXPECT_EQ(write(remote.value(), "a", 1), -1);
	EXPECT_EQ(errno, EPIPE);
	service.send(exit_code(42));
	EXPECT_EQ(client.process->exit_code(), 42);
}

TEST_P(Qrexec_client_vm, returns_the_exit_code_when_its_own_input_has_ended_late)
{
	Owned_fd remote;
	Wire service;
	Wire local = run_on_socket(remote, service);
	service.send(DATA_STDOUT, "stdout data\n");
	EXPECT_EQ(local.receive_bytes(12), "stdout data\n");
	local.send_bytes("stdin data\n");
	expect_input(service, "stdin data\n");
	service.send(DATA_STDOUT);
	EXPECT_TRUE(local.ended());
	EXPECT_EQ(write(remote.value(), "a", 1), -1);
	service.send(exit_code(42));
	local.end_writing();
	expect_input_end(service);
	EXPECT_EQ(client.process->exit_code(), 42);
}

TEST_P(Qrexec_client_vm, replaces_characters_that_terminals_obey)
{
	Wire service = run({}, {"-t"});
	service.send(DATA_STDOUT, std::string("hello\0world\xff", 12));
	service.send(DATA_STDOUT);
	EXPECT_EQ(client.out.receive_rest(), "hello_world_");
	service.send(exit_code(42));
	EXPECT_EQ(client.process->exit_code(), 42);
}

TEST_P(Qrexec_client_vm, replaces_characters_of_errors)
{
	Wire service = run({}, {"-T"});
	service.send(DATA_STDERR, std::string("hello\0wor\x1bld\n", 13));
	service.send(DATA_STDOUT, "\xff");
	service.send(DATA_STDOUT);
	EXPECT_EQ(client.out.receive_rest(), "\xff");
	service.send(exit_code(42));
	EXPECT_EQ(client.process->exit_code(), 42);
	EXPECT_EQ(client.errors(), "hello_wor_ld\n");
}

TEST_P(Qrexec_client_vm, says_that_it_was_refused)
{
	agent = Wire::listen(vm.agent_socket());
	client = world.start_client_vm(vm, {"target_domain", "qubes.ServiceName"});
	expect_asked();
	agent.close();
	EXPECT_EQ(client.process->exit_code(), 126);
	EXPECT_EQ(client.out.receive_rest(), "");
	EXPECT_EQ(client.errors(), "Request refused\n");
}

TEST_P(Qrexec_client_vm, starts_no_local_program_when_it_was_refused)
{
	agent = Wire::listen(vm.agent_socket());
	std::string const flag = world.path("flag");
	client = world.start_client_vm(vm, {"target_domain", "qubes.ServiceName", "/bin/touch", flag});
	expect_asked();
	agent.close();
	EXPECT_EQ(client.process->exit_code(), 126);
	EXPECT_EQ(client.out.receive_rest(), "");
	EXPECT_EQ(client.errors(), "Request refused\n");
	EXPECT_FALSE(std::filesystem::exists(flag));
}

TEST_P(Qrexec_client_vm, returns_what_qrexec_had_trouble_with)
{
	Wire service = run();
	service.send(DATA_STDOUT);
	service.send(exit_code(125));
	client.in.close();
	auto const rest = service.receive_all();
	if (!rest.empty()) {
		EXPECT_EQ(rest, std::vector{Message{DATA_STDIN}});
	}
	EXPECT_EQ(client.out.receive_rest(), "");
	EXPECT_EQ(client.process->exit_code(), 125);
}

TEST_P(Qrexec_client_vm, runs_a_local_program)
{
	Wire service = run({"/bin/cat"});
	service.send(DATA_STDOUT, "stdout data\n");
	service.send(DATA_STDOUT);
	expect_input(service, "stdout data\n");
	expect_input_end(service);
	service.send(exit_code(42));
	EXPECT_EQ(service.receive_all(), std::vector<Message>{});
	EXPECT_EQ(client.out.receive_rest(), "");
	EXPECT_EQ(client.process->exit_code(), 42);
	EXPECT_EQ(client.errors(), "");
}

TEST_P(Qrexec_client_vm, gives_a_local_program_its_callers_streams)
{
	// It finds what the client's own standard input and output were, as upstream's file copy needs.
	Wire service = run({"/bin/bash", "-c",
		"read x <&$SAVED_FD_0; echo \"$x\" >&$SAVED_FD_1; echo \"to service\"; echo err >&2"});
	client.in.send_bytes("from caller\n");
	expect_input(service, "to service\n");
	expect_input_end(service);
	service.send(DATA_STDOUT);
	service.send(exit_code(0));
	EXPECT_EQ(client.out.receive_rest(), "from caller\n");
	EXPECT_EQ(client.process->exit_code(), 0);
	EXPECT_EQ(client.errors(), "err\n");
}

TEST_P(Qrexec_client_vm, lets_a_local_program_use_its_input_for_output)
{
	Wire service = run({"/bin/sh", "-c",
		"kill -USR1 $QREXEC_AGENT_PID\necho hello world >&0\nread x\necho \"received: $x\" >&0\n"});
	expect_input(service, "hello world\n");
	service.send(DATA_STDOUT, "stdin\n");
	service.send(DATA_STDOUT);
	expect_input(service, "received: stdin\n");
	expect_input_end(service);
	service.send(exit_code(42));
	EXPECT_EQ(client.process->exit_code(), 42);
}

TEST_P(Qrexec_client_vm, lets_a_local_program_use_its_input_for_output_when_that_has_ended)
{
	std::string const fifo = world.fifo("go");
	Wire service = run({"/bin/sh", "-euc",
		"echo hello world\nread -r x\ncat\nkill -USR1 \"$QREXEC_AGENT_PID\"\n"
		"echo \"received: $x\" >&0\nread y <\"$1\"\n",
		"sh", fifo});
	expect_input(service, "hello world\n");
	service.send(DATA_STDOUT, "stdin\n");
	service.send(DATA_STDOUT);
	expect_input(service, "received: stdin\n");
	release(fifo);
	expect_input_end(service);
	service.send(exit_code(42));
	EXPECT_EQ(client.process->exit_code(), 42);
}

TEST_P(Qrexec_client_vm, returns_trouble_whatever_the_local_program_returns)
{
	Wire service = run({"/bin/cat"});
	service.send(DATA_STDOUT);
	service.send(exit_code(125));
	EXPECT_EQ(service.receive_all(), std::vector{Message{DATA_STDIN}});
	service.close();
	EXPECT_EQ(client.out.receive_rest(), "");
	EXPECT_EQ(client.process->exit_code(), 125);
}

TEST_P(Qrexec_client_vm, fails_when_the_local_program_fails)
{
	Wire service = run({"/bin/false"});
	service.send(DATA_STDOUT);
	service.send(exit_code(0));
	auto const messages = service.receive_all();
	if (!messages.empty()) {
		EXPECT_EQ(messages, std::vector{Message{DATA_STDIN}});
	}
	service.close();
	EXPECT_EQ(client.out.receive_rest(), "");
	// Who moves files deletes them otherwise.
	EXPECT_EQ(client.process->exit_code(), 1);
}

TEST_P(Qrexec_client_vm, says_that_the_service_has_gone)
{
	Wire service = run();
	client.in.send_bytes("stdin data\n");
	expect_input(service, "stdin data\n");
	service.send(DATA_STDOUT, "stdout data\n");
	service.send(DATA_STDOUT);
	EXPECT_EQ(client.out.receive_rest(), "stdout data\n");
	service.close();
	EXPECT_EQ(client.process->exit_code(), 255);
}

TEST_P(Qrexec_client_vm, ends_its_local_program_when_the_service_has_gone)
{
	Wire service = run({"/bin/cat"});
	service.send(DATA_STDOUT, "stdout data\n");
	expect_input(service, "stdout data\n");
	service.close();
	EXPECT_EQ(client.process->exit_code(), 255);
}

TEST_P(Qrexec_client_vm, ends_when_the_service_breaks_the_protocol)
{
	struct
	{
		char const *what;
		Message sent;
	} const wrong[] = {
		{"the wrong direction", {DATA_STDIN, "data"}},
		{"too long a chunk", {DATA_STDOUT, std::string(65537, 'a')}},
		{"a short exit code", {DATA_EXIT_CODE, "abc"}},
		{"a control message", {SERVICE_REFUSED, field("SOCKET", 32)}},
		{"a second greeting", {HELLO, packed({4})}},
	};
	for (auto const &[what, sent] : wrong) {
		Wire service = run();
		service.send(sent);
		int const code = client.process->exit_code();
		EXPECT_TRUE(code == 125 || code == 255) << what << ": " << code;
		EXPECT_NE(client.errors(), "") << what;
		EXPECT_EQ(client.out.receive_rest(), "") << what;
		service.close();
	}
}

TEST_P(Qrexec_client_vm, ends_when_the_service_has_version_1)
{
	agent = Wire::listen(vm.agent_socket());
	client = world.start_client_vm(vm, {"target_domain", "qubes.ServiceName"});
	expect_asked();
	agent.send_bytes(packed({SERVICE, CALL_PORT}));
	Wire service = world.vchan_client(SERVICE, OWN, CALL_PORT);
	service.send(HELLO, packed({1}));
	EXPECT_EQ(client.process->exit_code(), 125);
	EXPECT_NE(client.errors(), "");
}

TEST_P(Qrexec_client_vm, carries_much_data_both_ways)
{
	Wire service = run({"/bin/cat"});
	std::string sent, got;
	for (unsigned i = 0; i < 100; ++i) {
		std::string const chunk(40'000 + i, static_cast<char>('a' + i % 26));
		sent += chunk;
		service.send(DATA_STDOUT, chunk);
	}
	service.send(DATA_STDOUT);
	while (auto const message = service.receive()) {
		ASSERT_EQ(message->type, DATA_STDIN);
		if (message->body.empty()) break;
		got += message->body;
	}
	EXPECT_TRUE(got == sent);
	service.send(exit_code(0));
	EXPECT_EQ(client.process->exit_code(), 0);
}

TEST_P(Qrexec_client_vm, reads_and_writes_files)
{
	std::string const data(300'000, 'x');
	std::string const from = world.path("from"), to = world.path("to");
	{
		std::ofstream(from) << data;
	}
	agent = Wire::listen(vm.agent_socket());
	client = world.start_client(
		{"/bin/sh", "-c",
			world.client_vm_command(vm, {})[0] + " --agent-socket=" + vm.agent_socket() +
				" target_domain qubes.ServiceName <" + from + " >" + to},
		vm);
	expect_asked();
	Wire service = allow();
	std::string got;
	while (auto const message = service.receive()) {
		if (message->body.empty()) break;
		got += message->body;
	}
	EXPECT_TRUE(got == data);
	service.send(DATA_STDOUT, "answer");
	service.send(DATA_STDOUT);
	service.send(exit_code(7));
	EXPECT_EQ(client.process->exit_code(), 7);
	EXPECT_EQ(contents(to), "answer");
}

} // namespace
} // namespace bulkhead::qrexec::test
