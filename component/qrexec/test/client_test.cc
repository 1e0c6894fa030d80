// qrexec-client: calls of the host, and services that the host runs for a domain. Daemons and
// domains are the test.

#include "component/qrexec/test/world.h"

#include <filesystem>
#include <sys/socket.h>

namespace bulkhead::qrexec::test {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t TARGET = 42;
constexpr uint32_t TARGET_PORT = 513;
constexpr uint32_t SOURCE = 43;
constexpr uint32_t SOURCE_PORT = 42;

class Qrexec_client : public Programs
{
protected:
	Domain const host = world.domain(0, "dom0");
	Client client{};
	Wire target_daemon{};
	Wire source_daemon{};
	std::vector<std::string> links{};

	/* A daemon is there by number, and by a link for its name. */
	Wire daemon_of(std::string const &name)
	{
		std::string const folder = world.socket_directory();
		std::string const number = std::to_string(name == "src_domain" ? SOURCE : TARGET);
		unlink((folder + "/qrexec." + name).c_str());
		fs::create_symlink("qrexec." + number, folder + "/qrexec." + name);
		links.push_back(folder + "/qrexec." + name);
		return Wire::listen(folder + "/qrexec." + number);
	}

	~Qrexec_client() override
	{
		for (std::string const &link : links) unlink(link.c_str());
	}

	static void greet(Wire &daemon)
	{
		daemon.accept();
		daemon.send(HELLO, packed({3}));
		EXPECT_EQ(daemon.receive(), (Message{HELLO, packed({3})}));
	}

	void expect_asked(Wire &daemon, uint32_t type, uint32_t domain, std::string const &command)
	{
		greet(daemon);
		EXPECT_EQ(daemon.receive(), (Message{type, packed({domain, 0}) + command + '\0'}));
		daemon.send(type, packed({TARGET, TARGET_PORT}));
	}

	/* The target's end of a call that the host makes. */
	Wire run(std::vector<std::string> options, std::string const &command = "user:command")
	{
		target_daemon = daemon_of("target_domain");
		options.insert(options.begin(), {"-d", "target_domain"});
		options.push_back(command);
		client = world.start_host_client(options);
		expect_asked(target_daemon, EXEC_CMDLINE, 0, command);
		Wire target = world.vchan_client(TARGET, 0, TARGET_PORT);
		target.greet();
		return target;
	}

	/* The source's end of a call that the host answers. */
	Wire serve(std::string const &command, std::vector<std::string> options = {})
	{
		source_daemon = daemon_of("src_domain");
		Wire source = world.vchan_server(SOURCE, 0, SOURCE_PORT);
		options.insert(options.begin(), {"-d", "dom0", "-c", "SOCKET11,src_domain,43"});
		options.push_back(command);
		client = world.start_host_client(options);
		greet(source_daemon);
		EXPECT_EQ(source_daemon.receive(),
			(Message{SERVICE_CONNECT, packed({0, 0}) + field("SOCKET11", 32)}));
		source_daemon.send(SERVICE_CONNECT, packed({SOURCE, SOURCE_PORT}));
		source.accept();
		source.greet();
		return source;
	}

	static std::string service_command(std::string const &service)
	{
		return "QUBESRPC " + service + " src_domain name src_domain";
	}

	static std::vector<Message> answer(std::string const &out, uint32_t code = 0)
	{
		std::vector<Message> messages;
		if (!out.empty()) messages.push_back({DATA_STDOUT, out});
		messages.push_back({DATA_STDOUT});
		messages.push_back(exit_code(code));
		return messages;
	}

	void expect_failure(uint32_t code)
	{
		Wire source = serve(service_command("qubes.Service+arg"));
		EXPECT_EQ(source.receive_all(), answer("", code));
		EXPECT_EQ(client.process->exit_code(), static_cast<int>(code));
		EXPECT_NE(client.errors(), "");
	}

	Wire socket_service() { return Wire::listen(host.folder + "/rpc/qubes.SocketService+arg"); }

	static std::string descriptor()
	{
		return std::string("qubes.SocketService+arg src_domain name src_domain") + '\0';
	}
};

INSTANTIATE_TEST_SUITE_P(, Qrexec_client, testing::Values("socket", "shm"), transport_name);

TEST_P(Qrexec_client, runs_a_command_in_a_domain)
{
	Wire target = run({});
	target.send(DATA_STDOUT, "stdout data\n");
	target.send(DATA_STDOUT);
	EXPECT_EQ(client.out.receive_rest(), "stdout data\n");
	target.send(exit_code(42));
	EXPECT_EQ(client.process->exit_code(), 42);
	EXPECT_EQ(client.errors(), "");
}

TEST_P(Qrexec_client, passes_on_input_output_and_errors)
{
	Wire target = run({});
	client.in.send_bytes("stdin data");
	EXPECT_EQ(target.receive(), (Message{DATA_STDIN, "stdin data"}));
	client.in.close();
	EXPECT_EQ(target.receive(), (Message{DATA_STDIN}));
	target.send(DATA_STDERR, "in trouble");
	target.send(DATA_STDOUT, "stdout data");
	target.send(DATA_STDERR);
	target.send(DATA_STDOUT);
	target.send(exit_code(0));
	EXPECT_EQ(client.process->exit_code(), 0);
	EXPECT_EQ(client.out.receive_rest(), "stdout data");
	EXPECT_EQ(client.errors(), "in trouble");
}

TEST_P(Qrexec_client, connects_a_command_with_a_local_one)
{
	Wire target = run({"-l", "while read x; do echo input: $x; done; exit 44"});
	target.send(DATA_STDOUT, "stdout data\n");
	EXPECT_EQ(target.receive(), (Message{DATA_STDIN, "input: stdout data\n"}));
	target.send(DATA_STDOUT);
	EXPECT_EQ(target.receive(), (Message{DATA_STDIN}));
	target.send(exit_code(42));
	// The remote one's, whatever the local one has returned.
	EXPECT_EQ(client.process->exit_code(), 42);
}

TEST_P(Qrexec_client, only_starts_a_command)
{
	target_daemon = daemon_of("target_domain");
	client = world.start_host_client({"-d", "target_domain", "-e", "user:command"});
	expect_asked(target_daemon, JUST_EXEC, 0, "user:command");
	Wire target = world.vchan_client(TARGET, 0, TARGET_PORT);
	target.greet();
	target.send(exit_code(0));
	EXPECT_EQ(client.process->exit_code(), 0);
}

TEST_P(Qrexec_client, connects_two_domains)
{
	target_daemon = daemon_of("target_domain");
	source_daemon = daemon_of("src_domain");
	client = world.start_host_client(
		{"-d", "target_domain", "-c", "SOCKET11,src_domain,43", "user:command"});
	expect_asked(target_daemon, EXEC_CMDLINE, SOURCE, "user:command");
	greet(source_daemon);
	EXPECT_EQ(source_daemon.receive(),
		(Message{SERVICE_CONNECT, packed({TARGET, TARGET_PORT}) + field("SOCKET11", 32)}));
	EXPECT_EQ(client.process->exit_code(), 0);
}

TEST_P(Qrexec_client, waits_for_the_end_of_a_call_if_told_so)
{
	target_daemon = daemon_of("target_domain");
	source_daemon = daemon_of("src_domain");
	client = world.start_host_client(
		{"-W", "-d", "target_domain", "-c", "SOCKET11,src_domain,43", "user:command"});
	expect_asked(target_daemon, EXEC_CMDLINE, SOURCE, "user:command");
	greet(source_daemon);
	(void)source_daemon.receive();
	source_daemon.close();
	EXPECT_TRUE(client.process->running());
	target_daemon.close();
	EXPECT_EQ(client.process->exit_code(), 0);
}

TEST_P(Qrexec_client, replaces_characters_that_terminals_obey)
{
	Wire target = run({"-t", "-T"});
	target.send(DATA_STDOUT, std::string("a\0b\xff", 4));
	target.send(DATA_STDERR,
		"c\x1b"
		"d\n");
	target.send(DATA_STDOUT);
	target.send(exit_code(0));
	EXPECT_EQ(client.process->exit_code(), 0);
	EXPECT_EQ(client.out.receive_rest(), "a_b_");
	EXPECT_EQ(client.errors(), "c_d\n");
}

TEST_P(Qrexec_client, returns_0_whatever_the_command_returns_if_told_so)
{
	Wire target = run({"-E"});
	target.send(DATA_STDOUT);
	target.send(exit_code(42));
	EXPECT_EQ(client.process->exit_code(), 0);
}

TEST_P(Qrexec_client, says_that_the_domain_has_gone)
{
	Wire target = run({});
	target.send(DATA_STDOUT, "some");
	target.close();
	EXPECT_EQ(client.process->exit_code(), 255);
	EXPECT_EQ(client.out.receive_rest(), "some");
}

TEST_P(Qrexec_client, ends_when_the_domain_breaks_the_protocol)
{
	struct
	{
		char const *what;
		Message sent;
	} const wrong[] = {
		{"the wrong direction", {DATA_STDIN, "data"}},
		{"too long a chunk", {DATA_STDOUT, std::string(65537, 'a')}},
		{"a control message", {SERVICE_REFUSED, field("SOCKET", 32)}},
	};
	for (auto const &[what, sent] : wrong) {
		Wire target = run({});
		target.send(sent);
		int const code = client.process->exit_code();
		EXPECT_TRUE(code == 125 || code == 255) << what << ": " << code;
		EXPECT_NE(client.errors(), "") << what;
		target.close();
		target_daemon.close();
	}
}

TEST_P(Qrexec_client, says_that_nobody_serves_a_domain)
{
	client = world.start_host_client({"-d", "nowhere", "user:command"});
	int const code = client.process->exit_code();
	EXPECT_EQ(code, 125);
	EXPECT_NE(client.errors().find("nowhere"), std::string::npos) << client.errors();
}

TEST_P(Qrexec_client, says_that_a_daemon_has_refused)
{
	target_daemon = daemon_of("target_domain");
	client = world.start_host_client({"-d", "target_domain", "user:command"});
	greet(target_daemon);
	(void)target_daemon.receive();
	target_daemon.close();
	EXPECT_EQ(client.process->exit_code(), 125);
	EXPECT_NE(client.errors(), "");
}

TEST_P(Qrexec_client, says_that_a_daemon_is_too_old)
{
	target_daemon = daemon_of("target_domain");
	client = world.start_host_client({"-d", "target_domain", "user:command"});
	target_daemon.accept();
	target_daemon.send(HELLO, packed({2}));
	EXPECT_EQ(client.process->exit_code(), 125);
	EXPECT_NE(client.errors().find("version"), std::string::npos) << client.errors();
}

TEST_P(Qrexec_client, gives_up_when_the_domain_doesnt_come)
{
	target_daemon = daemon_of("target_domain");
	client = world.start_host_client({"-w", "1", "-d", "target_domain", "user:command"});
	expect_asked(target_daemon, EXEC_CMDLINE, 0, "user:command");
	EXPECT_EQ(client.process->exit_code(), 125);
	EXPECT_NE(client.errors(), "");
}

TEST_P(Qrexec_client, runs_a_command_of_the_host_for_a_domain)
{
	Wire source = serve("echo Hello world");
	EXPECT_EQ(source.receive_all(), answer("Hello world\n"));
	EXPECT_EQ(client.process->exit_code(), 0);
}

TEST_P(Qrexec_client, runs_a_service_of_the_host_for_a_domain)
{
	world.script(host, "rpc", "qubes.Service",
		"read input\necho \"arg: $1, remote domain: $QREXEC_REMOTE_DOMAIN, input: $input\"\n");
	for (char const *const prefix : {"", "nogui:"}) {
		Wire source = serve(prefix + service_command("qubes.Service+arg"));
		source.send(DATA_STDIN, "stdin data\n");
		source.send(DATA_STDIN);
		EXPECT_EQ(source.receive_all(),
			answer("arg: arg, remote domain: src_domain, input: stdin data\n"));
		EXPECT_EQ(client.process->exit_code(), 0);
		source.close();
	}
}

TEST_P(Qrexec_client, returns_what_the_service_returns)
{
	world.script(host, "rpc", "qubes.Service", "echo out; echo err >&2; exit 42\n");
	Wire source = serve(service_command("qubes.Service+arg"));
	source.send(DATA_STDIN);
	// Its errors are the host's.
	EXPECT_EQ(source.receive_all(), answer("out\n", 42));
	EXPECT_EQ(client.process->exit_code(), 42);
	EXPECT_EQ(client.errors(), "err\n");
}

TEST_P(Qrexec_client, says_that_there_is_no_such_service) { expect_failure(127); }

TEST_P(Qrexec_client, starts_nothing_whose_settings_it_cant_read)
{
	world.script(host, "rpc", "qubes.Service", "echo never\n");
	for (char const *const settings : {"wait-for-session = 00\n", "wait-for-session = 01\n",
			 "wait-for-session = \n", "wait-for-session = \"a\"\n", "wait-for-session\n"}) {
		SCOPED_TRACE(settings);
		world.file(host, "rpc-config", "qubes.Service+arg", settings);
		expect_failure(125);
	}
	fs::remove(host.folder + "/rpc-config/qubes.Service+arg");
	fs::create_symlink("/dev/null/nowhere", host.folder + "/rpc-config/qubes.Service+arg");
	expect_failure(125);
}

TEST_P(Qrexec_client, waits_for_the_session)
{
	std::string const log = host.folder + "/session";
	world.script(host, "rpc", "qubes.WaitForSession",
		"echo \"session: $QREXEC_REMOTE_DOMAIN\" >" + log + "\n");
	world.script(
		host, "rpc", "qubes.Service", "cat " + log + "\nread input\necho \"$1, $input\"\n");
	world.file(host, "rpc-config", "qubes.Service+arg", "wait-for-session=1");
	Wire source = serve(service_command("qubes.Service+arg"));
	EXPECT_EQ(source.receive(), (Message{DATA_STDOUT, "session: src_domain\n"}));
	source.send(DATA_STDIN, "stdin data\n");
	source.send(DATA_STDIN);
	EXPECT_EQ(source.receive_all(), answer("arg, stdin data\n"));
	EXPECT_EQ(client.process->exit_code(), 0);
}

TEST_P(Qrexec_client, connects_a_domain_with_a_socket)
{
	Wire service = socket_service();
	Wire source = serve(service_command("qubes.SocketService+arg"));
	service.accept();
	EXPECT_EQ(service.receive_bytes(descriptor().size()), descriptor());
	source.send(DATA_STDIN, "stdin data");
	source.send(DATA_STDIN);
	EXPECT_EQ(service.receive_rest(), "stdin data");
	service.send_bytes("stdout data");
	service.close();
	EXPECT_EQ(source.receive_all(), answer("stdout data"));
	EXPECT_EQ(client.process->exit_code(), 0);
}

TEST_P(Qrexec_client, keeps_quiet_towards_a_socket_if_told_so)
{
	world.file(host, "rpc-config", "qubes.SocketService+arg", "skip-service-descriptor = true\n");
	Wire service = socket_service();
	Wire source = serve(service_command("qubes.SocketService+arg"));
	service.accept();
	source.send(DATA_STDIN, "stdin data");
	source.send(DATA_STDIN);
	EXPECT_EQ(service.receive_rest(), "stdin data");
	service.send_bytes("stdout data");
	service.close();
	EXPECT_EQ(source.receive_all(), answer("stdout data"));
	EXPECT_EQ(client.process->exit_code(), 0);
}

TEST_P(Qrexec_client, ends_with_a_socket_that_doesnt_read)
{
	Wire service = socket_service();
	Wire source = serve(service_command("qubes.SocketService+arg"));
	service.accept();
	service.send_bytes("stdout data");
	service.close();
	source.send(DATA_STDIN, "stdin data");
	source.send(DATA_STDIN);
	EXPECT_EQ(source.receive_all(), answer("stdout data"));
	EXPECT_EQ(client.process->exit_code(), 0);
}

TEST_P(Qrexec_client, ends_with_a_socket_that_closes)
{
	Wire service = socket_service();
	Wire source = serve(service_command("qubes.SocketService+arg"));
	service.accept();
	service.send_bytes("stdout data");
	service.close();
	EXPECT_EQ(source.receive_all(), answer("stdout data"));
	EXPECT_EQ(client.process->exit_code(), 0);
}

TEST_P(Qrexec_client, ends_with_a_socket_that_reads_no_more_and_then_writes_no_more)
{
	Wire service = socket_service();
	Wire source = serve(service_command("qubes.SocketService+arg"), {"-w0"});
	service.accept();
	EXPECT_EQ(service.receive_bytes(descriptor().size()), descriptor());
	source.send(DATA_STDIN, "stdin data\n");
	EXPECT_EQ(service.receive_bytes(11), "stdin data\n");
	service.end_reading();
	service.send_bytes("stdout data\n");
	EXPECT_EQ(source.receive(), (Message{DATA_STDOUT, "stdout data\n"}));
	service.end_writing();
	EXPECT_EQ(by_type(source.receive_all()), answer(""));
	EXPECT_EQ(client.process->exit_code(), 0);
}

TEST_P(Qrexec_client, ends_with_a_socket_that_writes_no_more_and_then_reads_no_more)
{
	Wire service = socket_service();
	Wire source = serve(service_command("qubes.SocketService+arg"));
	service.accept();
	EXPECT_EQ(service.receive_bytes(descriptor().size()), descriptor());
	service.send_bytes("stdout data\n");
	EXPECT_EQ(source.receive(), (Message{DATA_STDOUT, "stdout data\n"}));
	service.end_writing();
	EXPECT_EQ(source.receive(), (Message{DATA_STDOUT}));
	source.send(DATA_STDIN, "stdin data\n");
	EXPECT_EQ(service.receive_bytes(11), "stdin data\n");
	service.end_reading();
	EXPECT_EQ(source.receive_all(), std::vector{exit_code(0)});
	EXPECT_EQ(client.process->exit_code(), 0);
}

TEST_P(Qrexec_client, survives_a_command_that_reads_no_more)
{
	std::string const fifo = world.fifo("go");
	Wire source = serve("read x; exec <&-; echo closed stdin; read x <" + fifo);
	source.send(DATA_STDIN, "data 1\n");
	EXPECT_EQ(source.receive(), (Message{DATA_STDOUT, "closed stdin\n"}));
	source.send(DATA_STDIN, "data 2\n");
	source.send(DATA_STDIN);
	source.flush();
	release(fifo);
	EXPECT_EQ(by_type(source.receive_all()), answer(""));
}

TEST_P(Qrexec_client, waits_for_a_command_that_doesnt_read_yet)
{
	std::string const fifo = world.fifo("go");
	Wire source = serve("read x <" + fifo + "; cat");
	std::string sent;
	for (unsigned i = 0; i < 8; ++i) {
		std::string const chunk(32768, static_cast<char>('a' + i));
		sent += chunk;
		source.send(DATA_STDIN, chunk);
	}
	source.send(DATA_STDIN);
	release(fifo);
	Output const got = source.receive_output();
	EXPECT_TRUE(got.out == sent);
	EXPECT_TRUE(got.out_ended);
	EXPECT_EQ(got.exit_code, 0u);
	EXPECT_EQ(client.process->exit_code(), 0);
}

TEST_P(Qrexec_client, ends_when_the_source_has_gone)
{
	Wire source = serve("cat");
	source.send(DATA_STDIN, "some");
	EXPECT_EQ(source.receive(), (Message{DATA_STDOUT, "some"}));
	source.close();
	(void)client.process->exit_code();
}

TEST_P(Qrexec_client, is_told_how_it_is_used)
{
	for (std::vector<std::string> const &arguments : {std::vector<std::string>{}, {"-d", "domain"},
			 {"user:command"}, {"-d", "dom0", "command"}, {"-d", "domain", "-c", "x", "a:b"},
			 {"-d", "domain", "-c", "a,b,-1", "a:b"}, {"-d", "a/../b", "user:command"},
			 {"-d", "domain", "-w", "x", "a:b"}, {"--no-such-option"}, {"-d", "domain", ""}}) {
		client = world.start_host_client(arguments);
		int const code = client.process->exit_code();
		EXPECT_TRUE(code == 1 || code == 125) << code << testing::PrintToString(arguments);
		EXPECT_NE(client.errors(), "") << testing::PrintToString(arguments);
		EXPECT_EQ(client.out.receive_rest(), "");
	}
}

} // namespace
} // namespace bulkhead::qrexec::test
