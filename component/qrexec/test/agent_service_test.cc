// What the agent makes of a service's name: where it looks, what it starts, what that gets to know.

#include "component/qrexec/test/agent_world.h"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace bulkhead::qrexec::test {
namespace {

namespace fs = std::filesystem;

/* Listens on a port of the loopback that is free. */
class Tcp_listener
{
private:
	Owned_fd _fd;
	unsigned _port = 0;

public:
	explicit Tcp_listener(int family) : _fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0))
	{
		sockaddr_in6 address{};
		socklen_t size = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
		address.sin6_family = static_cast<sa_family_t>(family);
		if (family == AF_INET6)
			address.sin6_addr = in6addr_loopback;
		else
			reinterpret_cast<sockaddr_in &>(address).sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		if (bind(_fd.value(), reinterpret_cast<sockaddr *>(&address), size) != 0) return;
		EXPECT_EQ(listen(_fd.value(), 1), 0) << strerror(errno);
		EXPECT_EQ(getsockname(_fd.value(), reinterpret_cast<sockaddr *>(&address), &size), 0);
		_port = ntohs(address.sin6_port); // at the same place in both kinds
	}

	/* 0: there is no such family here. */
	unsigned port() const { return _port; }

	Wire accept()
	{
		await(_fd.value(), POLLIN, "a connection over TCP");
		return Wire(Owned_fd(accept4(_fd.value(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)));
	}

	bool touched() const
	{
		pollfd entry{.fd = _fd.value(), .events = POLLIN, .revents = 0};
		return poll(&entry, 1, 0) == 1;
	}
};

constexpr char SHOWS_ARGUMENT[] = "echo \"arg: $1, remote domain: $QREXEC_REMOTE_DOMAIN\"\n";

class Qrexec_agent_service : public Agent_programs
{
protected:
	void expect_failure(std::string const &service, uint32_t code)
	{
		Wire wire = call(service);
		EXPECT_EQ(wire.receive_output(), output("", "", code));
		expect_terminated();
	}

	void expect_output(std::string const &service, std::string const &out)
	{
		Wire wire = call(service);
		wire.send(DATA_STDIN);
		EXPECT_EQ(wire.receive_output(), output(out));
		expect_terminated();
	}

	std::string rpc(std::string const &name) const { return vm.folder + "/rpc/" + name; }

	Wire socket_service(std::string const &name) const { return Wire::listen(rpc(name)); }

	/* Data both ways, and the end: what a service behind a socket does if nothing is special. */
	void expect_conversation(Wire &wire, Wire &service, std::string const &descriptor)
	{
		wire.send(DATA_STDIN, "stdin data");
		wire.send(DATA_STDIN);
		EXPECT_EQ(service.receive_rest(), descriptor + "stdin data");
		service.send_bytes("stdout data");
		service.close();
		EXPECT_EQ(wire.receive_output(), output("stdout data"));
		expect_terminated();
	}

	void expect_tcp(int family, std::string const &name, std::string const &link,
		std::string const &service, bool with_descriptor)
	{
		Tcp_listener listener(family);
		if (listener.port() == 0) GTEST_SKIP() << "no loopback of this family";
		auto const with_port = [&](std::string text) {
			size_t const at = text.find("PORT");
			return at == text.npos ? text : text.replace(at, 4, std::to_string(listener.port()));
		};
		std::string const full_name = with_port(service);
		fs::create_symlink(with_port(link), rpc(name));
		if (!with_descriptor)
			world.file(vm, "rpc-config", full_name, "skip-service-descriptor = true\n");
		Wire wire = call(full_name);
		Wire connection = listener.accept();
		expect_conversation(
			wire, connection, with_descriptor ? full_name + " domX" + '\0' : std::string());
	}

	void expect_wait_for_session(
		std::string const &setting, std::string const &service, std::string const &argument);
};

INSTANTIATE_TEST_SUITE_P(, Qrexec_agent_service, testing::Values("socket", "shm"), transport_name);

TEST_P(Qrexec_agent_service, runs_an_executable)
{
	world.script(
		vm, "rpc", "qubes.Service", SHOWS_ARGUMENT + std::string("printf 'in trouble' >&2\n"));
	Wire wire = call("qubes.Service+arg");
	wire.send(DATA_STDIN);
	EXPECT_EQ(wire.receive_output(), output("arg: arg, remote domain: domX\n", "in trouble"));
	expect_terminated();
}

TEST_P(Qrexec_agent_service, runs_an_executable_behind_a_link)
{
	world.script(vm, "rpc", ".qubes.Service", SHOWS_ARGUMENT);
	fs::create_symlink(".qubes.Service", rpc("qubes.Service"));
	expect_output("qubes.Service+arg", "arg: arg, remote domain: domX\n");
}

TEST_P(Qrexec_agent_service, lets_a_service_open_its_errors_by_name)
{
	world.script(vm, "rpc", "qubes.Service", "echo out\nprintf 'in trouble' >/proc/self/fd/2\n");
	Wire wire = call("qubes.Service+arg");
	wire.send(DATA_STDIN);
	EXPECT_EQ(wire.receive_output(), output("out\n", "in trouble"));
	expect_terminated();
}

TEST_P(Qrexec_agent_service, says_nothing_of_an_argument_or_target_that_isnt_there)
{
	world.script(vm, "rpc", "qubes.Service",
		"echo \"$#,${QREXEC_SERVICE_ARGUMENT-none},${QREXEC_REQUESTED_TARGET-none},"
		"${QREXEC_REQUESTED_TARGET_KEYWORD-none},'${QREXEC_REQUESTED_TARGET_TYPE-none}'\"\n");
	expect_output("qubes.Service", "0,none,none,none,''\n");
}

TEST_P(Qrexec_agent_service, tells_a_service_what_it_was_called_for)
{
	world.script(vm, "rpc", "qubes.Service",
		"echo \"$QREXEC_SERVICE_FULL_NAME,$QREXEC_SERVICE_ARGUMENT,$QREXEC_REQUESTED_TARGET_TYPE,"
		"${QREXEC_REQUESTED_TARGET-none},${QREXEC_REQUESTED_TARGET_KEYWORD-none},"
		"$QREXEC_REMOTE_DOMAIN\"\n");
	Wire named = run("QUBESRPC qubes.Service+a+b domX name domY");
	named.send(DATA_STDIN);
	EXPECT_EQ(named.receive_output(), output("qubes.Service+a+b,a+b,name,domY,none,domX\n"));
	named.close();
	expect_terminated();
	Wire keyword = run("QUBESRPC qubes.Service+ domX keyword adminvm");
	keyword.send(DATA_STDIN);
	EXPECT_EQ(keyword.receive_output(), output("qubes.Service+,,keyword,none,adminvm,domX\n"));
	expect_terminated();
}

TEST_P(Qrexec_agent_service, prefers_the_service_with_the_argument)
{
	world.script(vm, "local-rpc", "qubes.Service+arg", "echo specific\n");
	world.script(vm, "rpc", "qubes.Service", "echo general\n");
	expect_output("qubes.Service+arg", "specific\n");
	expect_output("qubes.Service+other", "general\n");
}

TEST_P(Qrexec_agent_service, prefers_the_earlier_folder)
{
	world.script(vm, "local-rpc", "qubes.Service", "echo earlier\n");
	world.script(vm, "rpc", "qubes.Service", "echo later\n");
	expect_output("qubes.Service", "earlier\n");
}

TEST_P(Qrexec_agent_service, finds_the_service_for_an_empty_argument_if_there_is_none)
{
	world.script(vm, "local-rpc", "qubes.Service+", "echo \"empty: $QREXEC_SERVICE_FULL_NAME\"\n");
	world.script(vm, "rpc", "qubes.Service", "echo general\n");
	expect_output("qubes.Service", "empty: qubes.Service\n");
}

TEST_P(Qrexec_agent_service, doesnt_look_further_than_a_broken_link)
{
	fs::create_symlink("/dev/null/invalid", rpc("qubes.Service+arg"));
	world.script(vm, "rpc", "qubes.Service", "echo general\n");
	expect_failure("qubes.Service+arg", 125);
}

TEST_P(Qrexec_agent_service, says_that_there_is_no_such_service)
{
	expect_failure("qubes.Service+arg", 127);
}

TEST_P(Qrexec_agent_service, says_that_a_service_cant_be_executed)
{
	world.file(vm, "rpc", "qubes.Service", std::string(1, '\0'));
	fs::permissions(rpc("qubes.Service"), fs::perms::owner_all);
	Wire wire = call("qubes.Service+arg");
	wire.send(DATA_STDIN);
	Output const got = wire.receive_output();
	EXPECT_EQ(got.out, "");
	EXPECT_TRUE(got.out_ended && got.err_ended);
	EXPECT_EQ(got.exit_code, 125u);
	expect_terminated();
}

TEST_P(Qrexec_agent_service, passes_no_name_to_a_shell)
{
	// A name that a shell would expand is only a name.
	world.script(vm, "rpc", "qubes.Service", "printf '%s\\n' \"$1\"\n");
	for (char const *const argument : {"$HOME", "`id`", "$(id)", "*", "a;id", "a|id", "'\"", "\\"})
		expect_output("qubes.Service+" + std::string(argument), std::string(argument) + "\n");
}

TEST_P(Qrexec_agent_service, leaves_the_folders_of_services_for_nobody)
{
	world.file(vm, ".", "outside", "#!/bin/sh\necho outside\n");
	fs::permissions(vm.folder + "/outside", fs::perms::owner_all);
	fs::create_directory(rpc("folder"));
	for (char const *const name : {"../outside", "a+../../outside", "folder/../../outside",
			 "/bin/true", ".", "..", "folder"}) {
		Wire wire = call(name);
		Output const got = wire.receive_output();
		EXPECT_EQ(got.out, "") << name;
		EXPECT_TRUE(got.exit_code == 125u || got.exit_code == 127u) << name;
		wire.close();
		expect_terminated();
	}
}

TEST_P(Qrexec_agent_service, takes_settings_of_sockets_for_an_executable_as_nothing)
{
	world.script(vm, "rpc", "qubes.Service", SHOWS_ARGUMENT);
	world.file(vm, "rpc-config", "qubes.Service+arg",
		"wait-for-session = 0\n# for sockets only\nexit-on-service-eof = true\n"
		"exit-on-client-eof = true\nskip-service-descriptor = true\n");
	expect_output("qubes.Service+arg", "arg: arg, remote domain: domX\n");
}

TEST_P(Qrexec_agent_service, starts_nothing_whose_settings_it_cant_read)
{
	world.script(vm, "rpc", "qubes.Service", SHOWS_ARGUMENT);
	for (char const *const settings : {"wait-for-session = 00\n", "wait-for-session = 01\n",
			 "wait-for-session = \n", "wait-for-session = \"a\"\n", "wait-for-session\n",
			 "wait-for-session = 1\nwait-for-session = 1\n", "force-user = \"me\"\n"}) {
		SCOPED_TRACE(settings);
		world.file(vm, "rpc-config", "qubes.Service+arg", settings);
		expect_failure("qubes.Service+arg", 125);
	}
	fs::remove(vm.folder + "/rpc-config/qubes.Service+arg");
	fs::create_symlink("/dev/null/nowhere", vm.folder + "/rpc-config/qubes.Service+arg");
	expect_failure("qubes.Service+arg", 125);
}

TEST_P(Qrexec_agent_service, ignores_settings_that_it_doesnt_know)
{
	world.script(vm, "rpc", "qubes.Service", SHOWS_ARGUMENT);
	world.file(vm, "rpc-config", "qubes.Service+arg", "of-another-version = 'yes'\n");
	expect_output("qubes.Service+arg", "arg: arg, remote domain: domX\n");
}

TEST_P(Qrexec_agent_service, starts_nothing_without_its_folder_of_settings)
{
	world.script(vm, "rpc", "qubes.Service", SHOWS_ARGUMENT);
	fs::remove(vm.folder + "/rpc-config");
	fs::create_symlink("/dev/null/nowhere", vm.folder + "/rpc-config");
	expect_failure("qubes.Service+arg", 125);
}

void Qrexec_agent_service::expect_wait_for_session(
	std::string const &setting, std::string const &service, std::string const &argument)
{
	std::string const log = vm.folder + "/session";
	world.script(vm, "rpc", "qubes.WaitForSession",
		"read user\necho \"session: $1, $QREXEC_REMOTE_DOMAIN, $user\" >" + log + "\n");
	world.script(vm, "rpc", service,
		"cat " + log + "\nread input\necho \"$1, $QREXEC_REMOTE_DOMAIN, $input\"\n");
	world.file(vm, "rpc-config", setting,
		"\n# settings\nforce-user = '" + me() + "'\nwait-for-session = 1 # comment\n");
	Wire wire = call(service + "+" + argument);
	EXPECT_EQ(wire.receive(), (Message{DATA_STDOUT, "session: , domX, " + me() + "\n"}));
	wire.send(DATA_STDIN, "stdin data\n");
	// Without the end of its input: the exit code doesn't wait for that.
	EXPECT_EQ(wire.receive_output(), output(argument + ", domX, stdin data\n"));
	expect_terminated();
}

TEST_P(Qrexec_agent_service, waits_for_the_session)
{
	expect_wait_for_session("qubes.Service+arg", "qubes.Service", "arg");
}

TEST_P(Qrexec_agent_service, waits_for_the_session_if_the_service_says_so_for_all_arguments)
{
	expect_wait_for_session("qubes.Service", "qubes.Service", "arg");
}

TEST_P(Qrexec_agent_service, waits_for_the_session_however_long_the_name)
{
	std::string const argument(255 - strlen("qubes.Service+"), 'a');
	expect_wait_for_session("qubes.Service+" + argument, "qubes.Service", argument);
}

TEST_P(Qrexec_agent_service, connects_to_a_socket)
{
	Wire service = socket_service("qubes.SocketService+arg");
	Wire wire = call("qubes.SocketService+arg");
	service.accept();
	expect_conversation(wire, service, std::string("qubes.SocketService+arg domX") + '\0');
}

TEST_P(Qrexec_agent_service, tells_a_socket_all_that_the_command_says)
{
	Wire service = socket_service("qubes.SocketService+arg");
	Wire wire = run("QUBESRPC qubes.SocketService+arg domX name domY");
	service.accept();
	expect_conversation(
		wire, service, std::string("qubes.SocketService+arg domX name domY") + '\0');
}

TEST_P(Qrexec_agent_service, connects_to_the_socket_for_an_empty_argument_if_there_is_none)
{
	Wire right = socket_service("qubes.SocketService+");
	Wire wrong = socket_service("qubes.SocketService");
	Wire wire = call("qubes.SocketService");
	right.accept();
	expect_conversation(wire, right, std::string("qubes.SocketService domX") + '\0');
}

TEST_P(Qrexec_agent_service, takes_no_user_for_a_socket_with_settings_of_sockets)
{
	for (char const *const key :
		{"skip-service-descriptor", "exit-on-client-eof", "exit-on-service-eof"}) {
		SCOPED_TRACE(key);
		world.file(vm, "rpc-config", "qubes.SocketService+arg2",
			key + (" = true\nforce-user = '" + me()) + "'\n");
		Wire service = socket_service("qubes.SocketService+arg2");
		expect_failure("qubes.SocketService+arg2", 125);
	}
}

TEST_P(Qrexec_agent_service, ends_with_its_caller_if_told_so)
{
	world.file(vm, "rpc-config", "qubes.SocketService+arg2",
		"skip-service-descriptor = true\nexit-on-client-eof = true\n");
	Wire service = socket_service("qubes.SocketService+arg2");
	Wire wire = call("qubes.SocketService+arg2");
	service.accept();
	wire.send(DATA_STDIN, "stdin data");
	wire.send(DATA_STDIN);
	EXPECT_EQ(service.receive_rest(), "stdin data");
	EXPECT_EQ(wire.receive_output(), output(""));
	expect_terminated();
}

TEST_P(Qrexec_agent_service, ends_with_its_service_if_told_so)
{
	world.file(vm, "rpc-config", "qubes.SocketService+arg2",
		"skip-service-descriptor = true\nexit-on-service-eof = true\n");
	Wire service = socket_service("qubes.SocketService+arg2");
	Wire wire = call("qubes.SocketService+arg2");
	service.accept();
	wire.send(DATA_STDIN, "stdin data");
	EXPECT_EQ(service.receive_bytes(10), "stdin data");
	service.end_writing();
	EXPECT_EQ(wire.receive_output(), output(""));
	expect_terminated();
}

TEST_P(Qrexec_agent_service, keeps_quiet_towards_a_socket_if_told_so)
{
	world.file(vm, "rpc-config", "qubes.SocketService+arg2", "skip-service-descriptor = true\n");
	Wire service = socket_service("qubes.SocketService+arg2");
	Wire wire = call("qubes.SocketService+arg2");
	service.accept();
	expect_conversation(wire, service, "");
}

TEST_P(Qrexec_agent_service, carries_much_data_to_and_from_a_socket)
{
	Wire service = socket_service("qubes.SocketService+arg");
	Wire wire = call("qubes.SocketService+arg");
	service.accept();
	std::string const descriptor = std::string("qubes.SocketService+arg domX") + '\0';
	EXPECT_EQ(service.receive_bytes(descriptor.size()), descriptor);
	std::string sent, received;
	for (unsigned i = 0; i < 64; ++i) {
		std::string const chunk(32768 + i, static_cast<char>('a' + i % 26));
		sent += chunk;
		wire.send(DATA_STDIN, chunk);
		std::string const got = service.receive_bytes(chunk.size());
		EXPECT_EQ(got, chunk);
		service.send_bytes(got);
		while (received.size() < sent.size()) {
			auto const message = wire.receive();
			ASSERT_TRUE(message);
			// The end of its errors, of which a socket has none, may come at any time.
			if (message->type == DATA_STDERR) continue;
			ASSERT_EQ(message->type, DATA_STDOUT);
			received += message->body;
		}
	}
	EXPECT_EQ(received, sent);
	service.close();
	wire.send(DATA_STDIN);
	Output const rest = wire.receive_output();
	EXPECT_EQ(rest.out, "");
	EXPECT_TRUE(rest.out_ended);
	EXPECT_EQ(rest.exit_code, 0u);
	expect_terminated();
}

TEST_P(Qrexec_agent_service, says_that_nobody_listens_on_a_socket)
{
	{
		// A name without anybody behind it: what remains of a service that has died.
		sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
		rpc("qubes.SocketService").copy(address.sun_path, sizeof(address.sun_path) - 1);
		Owned_fd const fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
		ASSERT_EQ(bind(fd.value(), reinterpret_cast<sockaddr *>(&address), sizeof(address)), 0);
	}
	expect_failure("qubes.SocketService", 125);
}

TEST_P(Qrexec_agent_service, connects_to_an_address)
{
	expect_tcp(
		AF_INET, "qubes.SocketService+", "/dev/tcp/127.0.0.1/PORT", "qubes.SocketService", false);
}

TEST_P(Qrexec_agent_service, connects_to_the_port_in_the_argument)
{
	expect_tcp(
		AF_INET, "qubes.SocketService", "/dev/tcp/127.0.0.1", "qubes.SocketService+PORT", false);
}

TEST_P(Qrexec_agent_service, connects_to_host_and_port_in_the_argument)
{
	expect_tcp(
		AF_INET, "qubes.SocketService", "/dev/tcp", "qubes.SocketService+127.0.0.1+PORT", false);
}

TEST_P(Qrexec_agent_service, connects_to_an_address_of_ip_version_6)
{
	expect_tcp(AF_INET6, "qubes.SocketService", "/dev/tcp", "qubes.SocketService+++1+PORT", false);
}

TEST_P(Qrexec_agent_service, tells_an_address_what_the_command_says)
{
	expect_tcp(AF_INET6, "qubes.SocketService", "/dev/tcp", "qubes.SocketService+++1+PORT", true);
}

TEST_P(Qrexec_agent_service, takes_no_host_from_the_argument_if_the_link_has_one)
{
	Tcp_listener const listener(AF_INET);
	fs::create_symlink("/dev/tcp/127.0.0.1", rpc("qubes.SocketService"));
	fs::create_symlink("/dev/tcp/", rpc("qubes.EmptyHost"));
	expect_failure("qubes.SocketService+127.0.0.1+" + std::to_string(listener.port()), 125);
	expect_failure("qubes.EmptyHost++" + std::to_string(listener.port()), 125);
	EXPECT_FALSE(listener.touched());
}

TEST_P(Qrexec_agent_service, says_that_an_address_lacks_a_host_or_a_port)
{
	fs::create_symlink("/dev/tcp", rpc("qubes.Any"));
	fs::create_symlink("/dev/tcp/127.0.0.1", rpc("qubes.Port"));
	fs::create_symlink("/dev/tcp/::1", rpc("qubes.Port6"));
	for (char const *const service :
		{"qubes.Any+", "qubes.Any+127.0.0.1", "qubes.Port", "qubes.Port6"}) {
		SCOPED_TRACE(service);
		expect_failure(service, 125);
	}
}

TEST_P(Qrexec_agent_service, says_that_nobody_is_at_an_address)
{
	unsigned const port = Tcp_listener(AF_INET).port(); // and closed again
	fs::create_symlink("/dev/tcp/127.0.0.1/" + std::to_string(port), rpc("qubes.Gone"));
	expect_failure("qubes.Gone", 125);
}

} // namespace
} // namespace bulkhead::qrexec::test
