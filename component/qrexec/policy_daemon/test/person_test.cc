// Asking and telling people: the services policy.Ask and policy.Notify of this host are the test,
// and so is qrexec-client.

#include "component/qrexec/policy_daemon/test/world.h"

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

namespace bulkhead::qrexec::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class Policy_daemon_person : public World
{
protected:
	Service_socket asked{path("services/policy.Ask")};
	Service_socket told{path("services/policy.Notify")};

	Policy_daemon_person()
	{
		write("policy/30-user.policy",
			"svc.Ask +loud * @anyvm ask default_target=vault notify=yes\n"
			"svc.Ask * * web deny\n"
			"svc.Ask * * @anyvm ask\n"
			"svc.Ask * * @dispvm ask\n"
			"svc.Loud * work vault allow notify=yes\n"
			"svc.Deny * work vault deny\n"
			"svc.Still * work vault deny notify=no\n");
	}

	static std::string question(std::string_view argument = "", std::string_view source = "work",
		std::string_view target = "vault")
	{
		return "source=" + std::string(source) + "\nintended_target=" + std::string(target) +
			"\nservice_and_arg=svc.Ask" + std::string(argument) + "\n\n";
	}

	static json text_after_header(Stream &stream, std::string const &header)
	{
		std::string const text = stream.receive_all();
		size_t const nul = text.find('\0');
		EXPECT_EQ(text.substr(0, nul), header);
		return nul == std::string::npos ? json() : json::parse(text.substr(nul + 1));
	}
	static json expect_question(Stream &stream)
	{
		return text_after_header(stream, "policy.Ask dom0 name dom0");
	}
	json notice()
	{
		Stream stream = told.accept();
		return text_after_header(stream, "policy.Notify dom0 name dom0");
	}
};

TEST_F(Policy_daemon_person, is_asked_as_upstream_asks)
{
	start();
	Stream caller = ask(question("+loud"));
	Stream person = asked.accept();
	EXPECT_EQ(expect_question(person), json::parse(R"({
		"source": "work", "service": "svc.Ask", "argument": "+loud",
		"targets": ["@dispvm:dvm", "dvm", "far", "gui", "relay", "vault", "web"],
		"default_target": "vault",
		"icons": {"dom0": "adminvm-black", "work": "appvm-green", "vault": "appvm-black",
			"web": "appvm-red", "gui": "appvm-gray", "dvm": "appvm-red", "@dispvm:dvm": "dispvm-red",
			"relay": "", "far": ""}})"));
	EXPECT_FALSE(caller.readable());
	EXPECT_TRUE(person.send("allow:vault"));
	person.close();
	EXPECT_EQ(caller.receive_all(), ALLOWED);
	EXPECT_EQ(journal("qrexec: "), "qrexec: svc.Ask+loud: work -> vault: allowed to vault");
	EXPECT_EQ(notice(), json::parse(R"({"resolution": "allow", "service": "svc.Ask",
		"argument": "+loud", "source": "work", "target": "vault"})"));
}

TEST_F(Policy_daemon_person, decides_and_whatever_else_it_says_denies)
{
	start();
	std::string const at = path("policy/30-user.policy:");
	for (auto const &[said, answer, line] :
		std::initializer_list<std::tuple<std::string, std::string, std::string>>{
			{"allow:vault", ALLOWED, "allowed to vault"},
			{"allow:gui",
				"user=DEFAULT\nresult=allow\ntarget=gui\nautostart=True\nrequested_target=vault",
				"allowed to gui"},
			{"allow:@dispvm:dvm",
				"user=DEFAULT\nresult=allow\ntarget=@dispvm:dvm\nautostart=True\n"
				"requested_target=vault",
				"allowed to @dispvm:dvm"},
			{"deny", DENIED, "denied: denied by the user " + at + "3"},
			// Not on offer: denied by a rule, the source itself, unknown.
			{"allow:web", DENIED, "denied: target web is not a valid choice"},
			{"allow:work", DENIED, "denied: target work is not a valid choice"},
			{"allow:nobody", DENIED, "denied: target nobody is not a valid choice"},
			{"allow:", DENIED, "invalid answer"},
			{"allow", DENIED, "invalid answer"},
			{"allow:va ult", DENIED, "invalid answer"},
			{"allow:vault\n", DENIED, "invalid answer"},
			{"deny\n", DENIED, "invalid answer"},
			{"ALLOW:vault", DENIED, "invalid answer"},
			{"\xff\x00\n\x1b[2J", DENIED, "invalid answer"},
			{"", DENIED, "invalid answer"},
			{"allow:" + std::string(4090, 'v'), DENIED, "is not a valid choice"},
			{"allow:" + std::string(4091, 'v'), DENIED, "too long"},
			{std::string(1'000'000, 'v'), DENIED, "too long"},
		}) {
		Stream caller = ask(question());
		Stream person = asked.accept();
		(void)expect_question(person);
		(void)person.send(said);
		person.close();
		EXPECT_EQ(caller.receive_all(), answer) << said.substr(0, 40);
		EXPECT_THAT(journal("qrexec: "), HasSubstr(line));
	}
}

TEST_F(Policy_daemon_person, that_hangs_up_denies)
{
	start();
	Stream caller = ask(question());
	asked.accept().close();
	EXPECT_EQ(caller.receive_all(), DENIED);
}

TEST_F(Policy_daemon_person, that_isnt_there_denies)
{
	std::filesystem::remove(folder / "services/policy.Ask");
	start();
	EXPECT_EQ(ask(question()).receive_all(), DENIED);
	EXPECT_THAT(journal("qrexec: "), HasSubstr("nobody can be asked at dom0"));
	// A source without a GUI domain.
	EXPECT_EQ(ask(question("", "web")).receive_all(), DENIED);
	EXPECT_THAT(journal("qrexec: "), HasSubstr("has no GUI domain"));
}

TEST_F(Policy_daemon_person, that_is_silent_stops_nobody_else)
{
	start();
	Stream silent = ask(question());
	Stream person = asked.accept();
	EXPECT_EQ(answer("svc.Loud"), ALLOWED);
	Stream other = ask(question());
	Stream next = asked.accept();
	EXPECT_TRUE(next.send("allow:vault"));
	next.close();
	EXPECT_EQ(other.receive_all(), ALLOWED);
	EXPECT_FALSE(silent.readable());
	EXPECT_TRUE(person.send("allow:vault"));
	person.close();
	EXPECT_EQ(silent.receive_all(), ALLOWED);
}

TEST_F(Policy_daemon_person, sees_a_question_withdrawn_whose_caller_has_gone)
{
	start();
	Stream caller = ask(question());
	Stream person = asked.accept();
	Stream patient = ask(question());
	Stream other = asked.accept();
	// Who has only ended his side still waits.
	patient.end();
	caller.close();
	person.wait_gone();
	EXPECT_TRUE(other.send("allow:vault"));
	other.close();
	EXPECT_EQ(patient.receive_all(), ALLOWED);
}

TEST_F(Policy_daemon_person, is_asked_many_questions_at_once_but_not_too_many)
{
	start();
	constexpr unsigned OF_ONE = 32;
	std::vector<Stream> callers, people;
	for (unsigned i = 0; i < OF_ONE; ++i) callers.push_back(ask(question()));
	for (unsigned i = 0; i < OF_ONE; ++i) people.push_back(asked.accept());
	EXPECT_EQ(ask(question()).receive_all(), DENIED);
	EXPECT_THAT(journal("denied: "), HasSubstr("too many questions are open"));
	// Another domain has its own.
	Stream other = ask(question("", "gui"));
	Stream others_person = asked.accept();
	EXPECT_TRUE(others_person.send("allow:vault"));
	others_person.close();
	EXPECT_EQ(other.receive_all(), ALLOWED);
	// Answered in another order than asked.
	for (unsigned i = OF_ONE; i-- > 0;) {
		EXPECT_TRUE(people[i].send("allow:vault"));
		people[i].close();
	}
	for (Stream &caller : callers) EXPECT_EQ(caller.receive_all(), ALLOWED);
	Stream again = ask(question());
	Stream person = asked.accept();
	EXPECT_TRUE(person.send("deny"));
	person.close();
	EXPECT_EQ(again.receive_all(), DENIED);
}

TEST_F(Policy_daemon_person, cant_allow_what_the_policy_denies_meanwhile)
{
	start();
	Stream caller = ask(question());
	Stream person = asked.accept();
	replace("policy/30-user.policy", "svc.Ask * * * deny notify=no\n");
	journal("loaded, 1 rules");
	EXPECT_TRUE(person.send("allow:vault"));
	person.close();
	EXPECT_EQ(caller.receive_all(), DENIED);
}

TEST_F(Policy_daemon_person, is_told_of_denials_and_nobody_waits_for_that)
{
	start();
	EXPECT_EQ(answer("svc.Deny+x"), DENIED);
	EXPECT_EQ(notice(), json::parse(R"({"resolution": "deny", "service": "svc.Deny",
		"argument": "+x", "source": "work", "target": "vault"})"));
	EXPECT_EQ(answer("svc.Still"), DENIED);
	EXPECT_EQ(answer("svc.Deny", "vault", "work", "just_evaluate=yes\n"), DENIED);
	EXPECT_FALSE(told.somebody());
	EXPECT_EQ(answer("svc.None", "gone"), DENIED);
	EXPECT_EQ(notice().at("target"), "gone");
	// Many, and nobody takes them.
	for (unsigned i = 0; i < 200; ++i) EXPECT_EQ(answer("svc.Deny"), DENIED);
	EXPECT_EQ(answer("svc.Loud"), ALLOWED);
}

TEST_F(Policy_daemon_person, isn_t_told_of_so_much_of_one_domain_that_others_are_hidden)
{
	start();
	for (unsigned i = 0; i < 40; ++i) EXPECT_EQ(answer("svc.Deny"), DENIED);
	EXPECT_EQ(answer("svc.None", "vault", "relay"), DENIED);
	unsigned of_work = 0;
	json last;
	for (last = notice(); last.at("source") == "work" && of_work < 40; last = notice()) ++of_work;
	EXPECT_EQ(last.at("source"), "relay");
	EXPECT_EQ(of_work, 8U);
	EXPECT_FALSE(told.somebody());
}

class Policy_daemon_gui_domain : public Policy_daemon_person
{
protected:
	/* What stands in for qrexec-client. */
	void client(std::string const &does)
	{
		write("client",
			"#!/bin/sh\nprintf '%s\\n' \"$@\" >" + path("arguments") + "\ncat >" +
				path("question") + "\n" + does + "\n");
		chmod(path("client").c_str(), 0700);
	}
	std::string content(std::string_view name) const
	{
		std::ifstream file(folder / name);
		return {std::istreambuf_iterator<char>(file), {}};
	}
};

TEST_F(Policy_daemon_gui_domain, is_asked_through_qrexec_client)
{
	client("printf allow:relay");
	start();
	EXPECT_EQ(ask(question("", "vault", "gui")).receive_all(),
		"user=DEFAULT\nresult=allow\ntarget=relay\nautostart=True\nrequested_target=gui");
	EXPECT_EQ(content("arguments"), "-d\ngui\nDEFAULT:QUBESRPC policy.Ask dom0\n");
	json const text = json::parse(content("question"));
	EXPECT_EQ(text.at("source"), "vault");
	EXPECT_EQ(text.at("default_target"), "");
}

TEST_F(Policy_daemon_gui_domain, that_fails_denies)
{
	for (char const *const does :
		{"printf allow:web; exit 1", "exit 126", "kill -9 $$", "exit 0"}) {
		client(does);
		if (std::string_view(does).starts_with("printf")) start();
		EXPECT_EQ(ask(question("+loud", "vault", "web")).receive_all(), DENIED) << does;
		EXPECT_THAT(journal("qrexec: "), HasSubstr("denied: ask: "));
	}
	std::filesystem::remove(folder / "client");
	EXPECT_EQ(ask(question("+loud", "vault", "web")).receive_all(), DENIED);
	EXPECT_THAT(journal("denied: "), HasSubstr("nobody can be asked at gui"));
}

TEST_F(Policy_daemon_gui_domain, has_its_program_ended_if_the_caller_has_gone)
{
	ASSERT_EQ(mkfifo(path("alive").c_str(), 0600), 0);
	client("exec 3>" + path("alive") + "; echo here >&3; exec sleep 1000");
	start();
	Stream caller = ask(question("+loud", "vault", "web"));
	std::ifstream alive(folder / "alive");
	std::string line;
	ASSERT_TRUE(std::getline(alive, line));
	caller.close();
	// Ends when the last of the program's descriptors is closed.
	EXPECT_FALSE(std::getline(alive, line));
}

} // namespace
} // namespace bulkhead::qrexec::test
