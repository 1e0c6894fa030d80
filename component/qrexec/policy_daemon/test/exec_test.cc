// qrexec-policy-exec, and the command lines of both programs.

#include "component/qrexec/policy_daemon/test/world.h"

#include <sys/socket.h>
#include <thread>

namespace bulkhead::qrexec::test {
namespace {

using ::testing::HasSubstr;

class Policy_exec : public World
{
protected:
	Policy_exec()
	{
		write("policy/30-user.policy", "svc.Allow * work vault allow\nsvc.Ask * work @anyvm ask\n");
	}

	Printed exec(std::vector<std::string> arguments) const
	{
		std::vector<std::string> command{POLICY_EXEC, "--path=" + path("policy"),
			"--system-info=" + path("domains.json"), "--service-path=" + path("services")};
		command.insert(command.end(), arguments.begin(), arguments.end());
		return run(command);
	}
};

TEST_F(Policy_exec, answers_without_a_daemon)
{
	struct Case
	{
		std::vector<std::string> arguments;
		int code;
		std::string text;
	};
	for (Case const &c : std::initializer_list<Case>{
			 {{"--", "work", "vault", "svc.Allow+x"}, 0, std::string(ALLOWED) + '\n'},
			 {{"work", "vault", "svc.Allow"}, 0, std::string(ALLOWED) + '\n'},
			 {{"work", "web", "svc.Allow"}, 1, "result=deny\n"},
			 {{"work", "vault", "svc.Ask"}, 1, "result=deny\n"},
			 {{"--assume-yes-for-ask", "work", "vault", "svc.Ask"}, 0, std::string(ALLOWED) + '\n'},
			 {{"--just-evaluate", "work", "vault", "svc.Allow"}, 0, "result=allow\n"},
			 {{"--just-evaluate", "work", "vault", "svc.Ask"}, 1, "result=deny\n"},
			 {{"--just-evaluate", "--assume-yes-for-ask", "work", "vault", "svc.Ask"}, 0,
				 "result=allow\n"},
		 }) {
		Printed const printed = exec(c.arguments);
		EXPECT_EQ(printed.code, c.code) << c.arguments[0];
		EXPECT_EQ(printed.text, c.text);
	}
}

TEST_F(Policy_exec, asks_a_person)
{
	Service_socket asked(path("services/policy.Ask"));
	std::thread person([&] {
		Stream stream = asked.accept();
		(void)stream.receive_all();
		EXPECT_TRUE(stream.send("allow:vault"));
	});
	EXPECT_EQ(exec({"work", "vault", "svc.Ask"}).text, std::string(ALLOWED) + '\n');
	person.join();
}

TEST_F(Policy_exec, denies_by_a_broken_policy)
{
	write("policy/20-broken.policy", "x\n");
	EXPECT_EQ(exec({"work", "vault", "svc.Allow"}).code, 1);
}

TEST_F(Policy_exec, says_what_is_wrong_with_its_arguments)
{
	EXPECT_EQ(exec({"work", "vault"}).code, 2);
	EXPECT_THAT(exec({"work", "vault"}).text, HasSubstr("see qrexec-policy-exec --help"));
	EXPECT_THAT(exec({"3", "work", "vault", "svc.Allow", "SOCKET11"}).text,
		HasSubstr("let qrexec-daemon make it"));
	EXPECT_EQ(exec({"--nonsense", "work", "vault", "svc.Allow"}).code, 2);
	EXPECT_EQ(exec({"--system-info-max-age=1x", "work", "vault", "svc.Allow"}).code, 2);
	EXPECT_EQ(exec({"work\nresult=allow", "vault", "svc.Allow"}).code, 1);
	EXPECT_EQ(exec({"--help"}).code, 0);
}

TEST_F(Policy_exec, has_its_daemon_say_why_it_cant_begin)
{
	Printed const help = run({POLICY_DAEMON, "--help"});
	EXPECT_EQ(help.code, 0);
	EXPECT_THAT(help.text, HasSubstr("--eval-socket-path"));
	EXPECT_THAT(run({POLICY_DAEMON, "--version"}).text, HasSubstr("qrexec-policy-daemon "));
	EXPECT_EQ(run({POLICY_DAEMON, "argument"}).code, 2);
	Printed const nowhere = run({POLICY_DAEMON, "--policy-path=" + path("policy"),
		"--eval-socket-path=" + path("no/such/place")});
	EXPECT_EQ(nowhere.code, 1);
	EXPECT_THAT(nowhere.text, HasSubstr("no/such/place: there is no such directory"));
	Printed const longer = run({POLICY_DAEMON, "--policy-path=" + path("policy"),
		"--eval-socket-path=/" + std::string(108, 'x')});
	EXPECT_EQ(longer.code, 1);
	EXPECT_THAT(longer.text, HasSubstr("File name too long"));
}

TEST_F(Policy_exec, has_its_daemon_leave_the_socket_of_another_one_alone)
{
	Service_socket const other(path("taken"));
	Printed const second =
		run({POLICY_DAEMON, "--policy-path=" + path("policy"), "--eval-socket-path=" + path("e"),
			"--gui-socket-path=" + path("g"), "--socket-path=" + path("taken")});
	EXPECT_EQ(second.code, 1);
	EXPECT_THAT(second.text, HasSubstr("taken: another policy daemon listens there"));
}

} // namespace
} // namespace bulkhead::qrexec::test
