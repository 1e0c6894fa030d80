// The fork server: calls that run within a user's session, handed over by the agent or by the test.

#include "component/qrexec/test/agent_world.h"

#include <csignal>
#include <filesystem>
#include <fstream>

namespace bulkhead::qrexec::test {
namespace {

namespace fs = std::filesystem;

class Qrexec_fork_server : public Agent_programs
{
protected:
	std::string const socket = vm.folder + "/server." + me() + ".sock";
	/* It goes into the background when it listens: it, and its workers, are our children then. */
	void start_server()
	{
		ASSERT_EQ(world.start({FORK_SERVER, socket}, vm, {"SESSION=of the user"}).exit_code(), 0);
	}

	/* How many processes that was. */
	int signal_server(int number) const
	{
		int signalled = 0;
		std::string const pid = std::to_string(getpid());
		std::ifstream file("/proc/" + pid + "/task/" + pid + "/children");
		for (pid_t child = 0; file >> child;)
			if (contents("/proc/" + std::to_string(child) + "/cmdline").find(socket) !=
				std::string::npos)
				signalled += kill(child, number) == 0;
		return signalled;
	}

	void start_agent_with_servers()
	{
		agent = &world.start({AGENT, "--agent-socket=" + vm.agent_socket(),
								 "--fork-server-socket=" + vm.folder + "/server.%s.sock"},
			vm);
		host = world.vchan_client(0, OWN, 512);
		host.greet();
	}

	void TearDown() override
	{
		(void)signal_server(SIGTERM);
		eventually("the fork server to remove its socket", [&] { return !fs::exists(socket); });
	}

	std::string handed_over(uint32_t type, std::string const &command) const
	{
		std::string const text = command + '\0';
		return packed({type, CALLER, CALL_PORT, static_cast<uint32_t>(text.size())}) + text;
	}

	void expect_session(std::string const &command, std::string const &expected)
	{
		ask_for(EXEC_CMDLINE, command);
		Wire wire = caller();
		wire.send(DATA_STDIN);
		EXPECT_EQ(wire.receive_output(), output(expected));
		wire.close();
		expect_terminated();
	}
};

INSTANTIATE_TEST_SUITE_P(, Qrexec_fork_server, testing::Values("socket", "shm"), transport_name);

TEST_P(Qrexec_fork_server, runs_what_it_is_handed)
{
	start_server();
	Wire agents_end = Wire::connect(socket);
	agents_end.send_bytes(handed_over(EXEC_CMDLINE, "echo \"$SESSION\"; cat; exit 7"));
	Wire wire = caller();
	wire.send(DATA_STDIN, "data");
	wire.send(DATA_STDIN);
	EXPECT_EQ(wire.receive_output(), output("of the user\ndata", "", 7));
	// So the agent knows that the call is over.
	EXPECT_TRUE(agents_end.ended());
}

TEST_P(Qrexec_fork_server, runs_services)
{
	world.script(vm, "rpc", "test.Session", "echo \"$SESSION, $1, $QREXEC_REMOTE_DOMAIN\"\n");
	start_server();
	Wire agents_end = Wire::connect(socket);
	agents_end.send_bytes(handed_over(EXEC_CMDLINE, "QUBESRPC test.Session+arg domX"));
	Wire wire = caller();
	wire.send(DATA_STDIN);
	EXPECT_EQ(wire.receive_output(), output("of the user, arg, domX\n"));
	EXPECT_TRUE(agents_end.ended());
}

TEST_P(Qrexec_fork_server, sends_an_agent_away_that_talks_nonsense)
{
	start_server();
	for (std::string const &bytes : {packed({0x299, 43, 1024, 5}) + "true" + '\0',
			 packed({EXEC_CMDLINE, 43, 1024, 0xffff'ffff}), packed({EXEC_CMDLINE, 43, 1024, 0}),
			 packed({EXEC_CMDLINE, 43, 1024, 4}) + "true"}) {
		Wire wire = Wire::connect(socket);
		wire.send_bytes(bytes);
		EXPECT_TRUE(wire.ended()) << testing::PrintToString(bytes);
	}
	Wire silent = Wire::connect(socket);
	Wire agents_end = Wire::connect(socket);
	agents_end.send_bytes(handed_over(EXEC_CMDLINE, "echo alive"));
	Wire wire = caller();
	wire.send(DATA_STDIN);
	EXPECT_EQ(wire.receive_output(), output("alive\n"));
}

TEST_P(Qrexec_fork_server, gets_calls_from_the_agent)
{
	start_server();
	start_agent_with_servers();
	expect_session(me() + ":echo \"$SESSION\"", "of the user\n");
	expect_session(me() + ":echo \"$SESSION\"", "of the user\n");
	// Nothing that wants no session.
	expect_session(me() + ":nogui:echo \"${SESSION-none}\"", "none\n");
}

TEST_P(Qrexec_fork_server, isnt_missed_where_there_is_none)
{
	start_agent_with_servers();
	expect_session(me() + ":echo \"${SESSION-none}\"", "none\n");
}

TEST_P(Qrexec_fork_server, isnt_missed_when_it_has_died)
{
	start_server();
	start_agent_with_servers();
	expect_session(me() + ":echo \"$SESSION\"", "of the user\n");
	EXPECT_GT(signal_server(SIGKILL), 0);
	eventually("it to die", [&] { return signal_server(0) == 0; });
	EXPECT_TRUE(fs::exists(socket));
	expect_session(me() + ":echo \"${SESSION-none}\"", "none\n");
	start_server();
	expect_session(me() + ":echo \"$SESSION\"", "of the user\n");
}

} // namespace
} // namespace bulkhead::qrexec::test
