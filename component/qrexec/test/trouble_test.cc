// What goes wrong outside of the protocol: nobody there, remains of who has died, wrong use. Each
// has one message that names what is wrong, the right exit code, and nothing is left behind.

#include "component/qrexec/test/domains.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <sys/socket.h>
#include <sys/un.h>

namespace bulkhead::qrexec::test {
namespace {

namespace fs = std::filesystem;

/* A socket's name with nobody behind it. */
void leave_stale_socket(std::string const &path)
{
	sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
	path.copy(address.sun_path, sizeof(address.sun_path) - 1);
	Owned_fd const fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	EXPECT_EQ(bind(fd.value(), reinterpret_cast<sockaddr *>(&address), sizeof(address)), 0)
		<< strerror(errno);
}

class Qrexec_trouble : public Programs
{
protected:
	Domain const host = world.domain(0, "dom0");
	Domain const vm = world.domain(5, "work");

	static void expect_one_line(std::string const &errors, std::string const &about)
	{
		EXPECT_EQ(std::ranges::count(errors, '\n'), 1) << errors;
		EXPECT_NE(errors.find(about), std::string::npos) << errors;
	}

	/* A program that can't begin. */
	void expect_failure(Client client, int code, std::string const &about)
	{
		client.in.close();
		EXPECT_EQ(client.process->exit_code(), code);
		EXPECT_EQ(client.out.receive_rest(), "");
		expect_one_line(client.errors(), about);
	}

	void expect_start_fails(std::vector<std::string> const &command, Domain const &domain,
		std::string const &about, std::vector<std::string> const &environment = {})
	{
		Client client = world.start_client(command, domain, environment);
		client.in.close();
		int const code = client.process->exit_code();
		EXPECT_TRUE(code > 0 && code < KILLED) << code;
		std::string const said = client.out.receive_rest() + client.errors();
		EXPECT_NE(said.find(about), std::string::npos) << said;
	}
};

INSTANTIATE_TEST_SUITE_P(, Qrexec_trouble, testing::Values("socket", "shm"), transport_name);

TEST_P(Qrexec_trouble, a_domain_has_no_agent)
{
	expect_failure(world.start_client_vm(vm, {"target", "test.Echo"}), 125, vm.agent_socket());
}

TEST_P(Qrexec_trouble, a_domains_agent_has_died)
{
	leave_stale_socket(vm.agent_socket());
	expect_failure(world.start_client_vm(vm, {"target", "test.Echo"}), 125, vm.agent_socket());
	// The next one takes its place.
	Domains domains(world);
	(void)domains.start(vm.id, vm.name);
	EXPECT_EQ(domains.host_call("work", me() + ":echo alive"), (Domains::Result{0, "alive\n", ""}));
}

TEST_P(Qrexec_trouble, an_agent_answers_nonsense)
{
	for (std::string const &answer :
		{std::string(4, 'x'), packed({43, 0}), packed({0xffff'ffff, 513})}) {
		Wire agent = Wire::listen(vm.agent_socket());
		Client client = world.start_client_vm(vm, {"target", "test.Echo"});
		agent.accept();
		(void)agent.receive();
		agent.send_bytes(answer);
		agent.close();
		int const code = client.process->exit_code();
		EXPECT_TRUE(code == 125 || code == 126) << code;
		EXPECT_NE(client.errors(), "");
	}
}

TEST_P(Qrexec_trouble, a_local_program_is_missing)
{
	Wire agent = Wire::listen(vm.agent_socket());
	Client client = world.start_client_vm(vm, {"target", "test.Echo", "/no/such/program"});
	agent.accept();
	(void)agent.receive();
	agent.send_bytes(packed({43, 600}));
	client.in.close();
	int const code = client.process->exit_code();
	EXPECT_TRUE(code > 0 && code < KILLED) << code;
	EXPECT_NE(client.errors().find("/no/such/program"), std::string::npos) << client.errors();
}

TEST_P(Qrexec_trouble, a_service_names_an_interpreter_that_is_missing)
{
	Domains domains(world);
	auto const running = domains.start(vm.id, vm.name);
	world.file(running.domain, "rpc", "test.Broken", "#!/no/such/interpreter\n");
	fs::permissions(running.domain.folder + "/rpc/test.Broken", fs::perms::owner_all);
	auto const result = domains.host_call("work", me() + ":QUBESRPC test.Broken dom0");
	EXPECT_TRUE(result.exit_code == 125 || result.exit_code == 127) << result.exit_code;
	EXPECT_EQ(result.out, "");
}

TEST_P(Qrexec_trouble, a_service_may_not_be_executed)
{
	Domains domains(world);
	auto const running = domains.start(vm.id, vm.name);
	world.file(running.domain, "rpc", "test.Plain", "#!/bin/sh\necho ran\n");
	auto const result = domains.host_call("work", me() + ":QUBESRPC test.Plain dom0");
	EXPECT_TRUE(result.exit_code == 125 || result.exit_code == 127) << result.exit_code;
	EXPECT_EQ(result.out, "");
}

TEST_P(Qrexec_trouble, a_user_is_unknown)
{
	Domains domains(world);
	(void)domains.start(vm.id, vm.name);
	auto const result = domains.host_call("work", "no-such-user:echo ran");
	EXPECT_EQ(result.exit_code, 125);
	EXPECT_EQ(result.out, "");
}

TEST_P(Qrexec_trouble, a_daemons_socket_is_stale)
{
	leave_stale_socket(world.socket_directory() + "/qrexec.work");
	expect_failure(world.start_host_client({"-d", "work", me() + ":true"}), 125, "work");
	fs::remove(world.socket_directory() + "/qrexec.work");
	leave_stale_socket(world.socket_directory() + "/qrexec.5");
	Domains domains(world);
	(void)domains.start(vm.id, vm.name);
	EXPECT_EQ(domains.host_call("work", me() + ":echo alive"), (Domains::Result{0, "alive\n", ""}));
}

TEST_P(Qrexec_trouble, the_policys_socket_is_stale)
{
	leave_stale_socket(world.policy_socket());
	Domains domains(world);
	auto const running = domains.start(vm.id, vm.name);
	world.script(domains.host, "rpc", "test.Host", "cat\n");
	EXPECT_EQ(domains.call(running.domain, "dom0", "test.Host").exit_code, 126);
	domains.start_policy("test.Host * work dom0 allow\n");
	EXPECT_EQ(
		domains.call(running.domain, "dom0", "test.Host", "x"), (Domains::Result{0, "x", ""}));
}

TEST_P(Qrexec_trouble, a_domain_has_two_agents)
{
	Domains domains(world);
	auto const running = domains.start(vm.id, vm.name);
	Domain second = running.domain;
	second.folder = world.path("second");
	fs::create_directory(second.folder);
	// Whether it waits for its turn or gives up: the first one isn't disturbed.
	Process &other = world.start_agent(second);
	for (int i = 0; i < 5; ++i)
		EXPECT_EQ(
			domains.host_call("work", me() + ":echo alive"), (Domains::Result{0, "alive\n", ""}));
	world.stop(other);
	EXPECT_TRUE(running.agent->running());
	EXPECT_EQ(domains.host_call("work", me() + ":echo alive"), (Domains::Result{0, "alive\n", ""}));
}

TEST_P(Qrexec_trouble, a_domain_has_two_daemons)
{
	Domains domains(world);
	auto const running = domains.start(vm.id, vm.name);
	Process &other = world.start_daemon(running.domain);
	for (int i = 0; i < 5; ++i)
		EXPECT_EQ(
			domains.host_call("work", me() + ":echo alive"), (Domains::Result{0, "alive\n", ""}));
	world.stop(other);
	EXPECT_EQ(domains.host_call("work", me() + ":echo alive"), (Domains::Result{0, "alive\n", ""}));
}

TEST_P(Qrexec_trouble, folders_are_missing)
{
	std::string const nowhere = world.path("nowhere");
	expect_start_fails(
		{AGENT, "--no-fork-server", "--agent-socket=" + nowhere + "/agent.sock"}, vm, nowhere);
	expect_start_fails(
		{POLICY_DAEMON, "--socket-path=" + nowhere + "/policy.sock",
			"--eval-socket-path=" + nowhere + "/eval", "--gui-socket-path=" + nowhere + "/gui"},
		host, nowhere);
}

TEST_P(Qrexec_trouble, domains_have_nowhere_to_meet)
{
	std::string const nowhere = world.path("nowhere");
	std::vector<std::string> const environment{
		"VCHAN_SOCKET_DIR=" + nowhere, "BULKHEAD_VCHAN_DIR=" + nowhere};
	Wire agent = Wire::listen(vm.agent_socket());
	Client client =
		world.start_client(world.client_vm_command(vm, {"target", "test.Echo"}), vm, environment);
	agent.accept();
	(void)agent.receive();
	agent.send_bytes(packed({43, 600}));
	EXPECT_EQ(client.process->exit_code(), 125);
	EXPECT_NE(client.errors().find(nowhere), std::string::npos) << client.errors();
}

TEST_P(Qrexec_trouble, programs_are_used_wrongly)
{
	struct
	{
		char const *what;
		std::vector<std::string> command;
	} const wrong[] = {
		{"no arguments", {CLIENT_VM}},
		{"a target only", {CLIENT_VM, "target"}},
		{"an unknown option", {CLIENT_VM, "--no-such-option", "target", "test.Echo"}},
		{"an unknown option", {AGENT, "--no-such-option"}},
		{"an unknown option", {DAEMON, "--no-such-option", "5", "work"}},
		{"no domain", {DAEMON, "--direct"}},
		{"no name", {DAEMON, "--direct", "5"}},
		{"the host as a domain", {DAEMON, "--direct", "0", "dom0"}},
		{"a number that is none", {DAEMON, "--direct", "x5", "work"}},
		{"a number that is too great", {DAEMON, "--direct", "99999999999", "work"}},
		{"a name that is a path", {DAEMON, "--direct", "5", "../work"}},
		{"an unknown option", {FORK_SERVER, "--no-such-option"}},
		{"an unknown option", {POLICY_DAEMON, "--no-such-option"}},
	};
	for (auto const &[what, command] : wrong) {
		Client client = world.start_client(command, host);
		client.in.close();
		int const code = client.process->exit_code();
		EXPECT_TRUE(code > 0 && code < KILLED) << what << ": " << code;
		EXPECT_NE(client.errors(), "") << command[0] << ": " << what;
		EXPECT_EQ(client.out.receive_rest(), "") << command[0] << ": " << what;
	}
}

TEST_P(Qrexec_trouble, programs_say_how_they_are_used)
{
	for (std::string const &program :
		{AGENT, CLIENT_VM, DAEMON, HOST_CLIENT, FORK_SERVER, POLICY_DAEMON}) {
		std::string const name = fs::path(program).filename();
		for (char const *const option : {"--help", "--version"}) {
			Client client = world.start_client({program, option}, host);
			client.in.close();
			std::string const said = client.out.receive_rest();
			EXPECT_EQ(client.process->exit_code(), 0) << name << " " << option;
			EXPECT_NE(said.find(name), std::string::npos) << name << " " << option << ": " << said;
			EXPECT_EQ(client.errors(), "") << name << " " << option;
		}
		Client client = world.start_client({program, "--no-such-option"}, host);
		client.in.close();
		EXPECT_GT(client.process->exit_code(), 0) << name;
		std::string const errors = client.errors();
		EXPECT_TRUE(errors.starts_with(name + ": ")) << errors;
		EXPECT_TRUE(errors.contains("--no-such-option")) << errors;
		EXPECT_TRUE(errors.ends_with("\n" + name + ": see " + name + " --help\n")) << errors;
	}
}

TEST_P(Qrexec_trouble, standard_output_is_closed_early)
{
	Domains domains(world);
	(void)domains.start(vm.id, vm.name);
	// As upstream: what nobody wants is dropped, and the exit code counts.
	Client client = world.start_host_client(
		{"-d", "work", me() + ":echo begun; read x; head -c 1000000 /dev/zero; exit 3"});
	EXPECT_EQ(client.out.receive_bytes(6), "begun\n");
	client.out.close();
	client.in.send_bytes("\n");
	EXPECT_EQ(client.process->exit_code(), 3);
}

} // namespace
} // namespace bulkhead::qrexec::test
