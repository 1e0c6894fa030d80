// What a hostile domain, or a hostile program of one, may try against all others.

#include "component/qrexec/test/agent_world.h"

#include <filesystem>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace bulkhead::qrexec::test {
namespace {

namespace fs = std::filesystem;

constexpr uid_t NOBODY = 65534;

/* The domain is the test, the daemon is its target. */
class Qrexec_hostile_domain : public Programs
{
protected:
	static constexpr int OWN = 42;

	Domain const vm = world.domain(OWN, "hostile");
	Wire agent{};

	void come()
	{
		agent = world.vchan_server(OWN, 0, 512, 4096);
		agent.accept();
		agent.greet();
	}

	void start()
	{
		agent = world.vchan_server(OWN, 0, 512, 4096);
		world.start_daemon(vm);
		agent.accept();
		agent.greet();
	}

	void ask(std::string const &service, std::string const &ident)
	{
		agent.send(TRIGGER_SERVICE4,
			field("", 64) + field("target", 64) + field(ident, 32) + service + '\0');
	}

	void expect_refused(std::string const &ident)
	{
		EXPECT_EQ(agent.receive(), (Message{SERVICE_REFUSED, field(ident, 32)}));
	}

	/* A domain of this name with an agent and a daemon. */
	struct Other
	{
		Process *daemon = nullptr;
		Wire agent{};
	};

	Other other(int id, std::string const &name)
	{
		Other made;
		made.agent = world.vchan_server(id, 0, 512, 4096);
		made.daemon = &world.start_daemon(world.domain(id, name));
		made.agent.accept();
		made.agent.greet();
		// Whoever greets it is served: its links are there.
		Wire::connect(world.socket_directory() + "/qrexec." + name).close();
		return made;
	}

	std::string link(std::string const &name) const
	{
		std::error_code error;
		return fs::read_symlink(world.socket_directory() + "/qrexec." + name, error);
	}
};

INSTANTIATE_TEST_SUITE_P(, Qrexec_hostile_domain, testing::Values("socket", "shm"), transport_name);

TEST_P(Qrexec_hostile_domain, cant_fill_the_memory_of_the_host_with_long_names)
{
	Wire const policy = Wire::listen(world.policy_socket()); // which never answers
	start();
	constexpr unsigned LONG = 60'000, PLACES = 1024 * 1024 / LONG, MANY = 40;
	for (unsigned i = 0; i < MANY; ++i) ask(std::string(LONG, 'a'), "SOCKET" + std::to_string(i));
	for (unsigned i = PLACES; i < MANY; ++i) expect_refused("SOCKET" + std::to_string(i));
}

TEST_P(Qrexec_hostile_domain, that_comes_and_goes_finds_its_daemon_again)
{
	start();
	for (int i = 0; i < 20; ++i) {
		agent.close();
		come();
	}
	ask("test.Service", "SOCKET1");
	expect_refused("SOCKET1");
}

TEST_P(Qrexec_hostile_domain, isn_t_found_by_the_name_of_another)
{
	Other const first = other(43, "work.new");
	Other const second = other(44, "work");
	EXPECT_EQ(link("work.new"), "qrexec.43");
	EXPECT_EQ(link("work"), "qrexec.44");
	Process &digits = world.start(
		{DAEMON, "--direct", "--socket-dir=" + world.socket_directory(), "45", "44", me()},
		world.domain(0, "dom0"));
	EXPECT_EQ(digits.exit_code(), 1);
}

TEST_P(Qrexec_hostile_domain, that_ends_late_leaves_the_name_to_its_successor)
{
	Other const first = other(43, "work");
	Other second;
	second.agent = world.vchan_server(44, 0, 512, 4096);
	second.daemon = &world.start_daemon(world.domain(44, "work"));
	second.agent.accept();
	second.agent.greet();
	eventually("the name to lead to the second", [&] { return link("work") == "qrexec.44"; });
	world.stop(*first.daemon);
	EXPECT_EQ(link("work"), "qrexec.44");
	EXPECT_FALSE(fs::exists(world.socket_directory() + "/qrexec.43"));
}

/* The caller is the test, the agent is its target. */
class Qrexec_hostile_caller : public Agent_programs
{};

INSTANTIATE_TEST_SUITE_P(, Qrexec_hostile_caller, testing::Values("socket", "shm"), transport_name);

TEST_P(Qrexec_hostile_caller, that_ends_its_input_for_ever_loses_its_call)
{
	world.script(vm, "rpc", "test.Echo", "cat; echo end\n");
	Wire wire = call("test.Echo");
	for (int i = 0; i < 100; ++i) wire.send(DATA_STDIN);
	expect_terminated();
	Wire another = call("test.Echo");
	another.send(DATA_STDIN);
	EXPECT_EQ(another.receive_output(), output("end\n"));
}

/* Listens as another user. */
Owned_fd listen_as_nobody(std::string const &path)
{
	Owned_fd made{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
	path.copy(address.sun_path, sizeof(address.sun_path) - 1);
	EXPECT_EQ(bind(made.value(), reinterpret_cast<sockaddr *>(&address), sizeof(address)), 0);
	EXPECT_EQ(seteuid(NOBODY), 0);
	EXPECT_EQ(listen(made.value(), 8), 0);
	EXPECT_EQ(seteuid(0), 0);
	return made;
}

TEST_P(Qrexec_hostile_caller, isn_t_served_by_a_fork_server_of_another_user)
{
	if (geteuid() != 0) GTEST_SKIP() << "needs another user's socket";
	std::string const path = world.path("server.%s.sock");
	Owned_fd const server = listen_as_nobody(world.path("server." + me() + ".sock"));
	agent = &world.start_agent(vm, {"--fork-server-socket=" + path});
	host = world.vchan_client(0, OWN, 512);
	host.greet();
	Wire wire = run("echo mine");
	wire.send(DATA_STDIN);
	EXPECT_EQ(wire.receive_output(), output("mine\n"));
}

} // namespace
} // namespace bulkhead::qrexec::test
