// Where the domains come from: a file that changes, and qubesd, which is the test.

#include "component/qrexec/policy_daemon/test/world.h"

#include <csignal>

namespace bulkhead::qrexec::test {
namespace {

using ::testing::HasSubstr;
using namespace std::string_literals;

class Policy_daemon_domains : public World
{
protected:
	Policy_daemon_domains()
	{
		write("policy/30-user.policy",
			"svc.Red * @tag:red vault allow\nsvc.All * @anyvm vault allow\n");
	}

	static std::string question(std::string_view service, std::string_view source = "work")
	{
		return "source=" + std::string(source) +
			"\nintended_target=vault\nservice_and_arg=" + std::string(service) + "\n\n";
	}
};

TEST_F(Policy_daemon_domains, reads_their_file_again_when_it_changes)
{
	start();
	EXPECT_EQ(answer("svc.Red"), ALLOWED);
	std::string changed = DOMAINS;
	changed.replace(changed.find("red"), 3, "sad");
	replace("domains.json", changed);
	// There is no word in the journal for what went well: a fault after it is the mark.
	while (answer("svc.Red") == ALLOWED) {}
	EXPECT_EQ(answer("svc.All"), ALLOWED);
	write("domains.json", "{");
	EXPECT_THAT(journal("domains: "), HasSubstr("everything is denied until mended"));
	EXPECT_EQ(answer("svc.All"), DENIED);
	journal("svc.All: work -> vault: error getting system info: ");
	std::filesystem::remove(folder / "domains.json");
	journal("domains: ");
	EXPECT_EQ(answer("svc.All"), DENIED);
	write("domains.json", DOMAINS);
	while (answer("svc.All") == DENIED) {}
	EXPECT_EQ(answer("svc.Red"), ALLOWED);
}

TEST_F(Policy_daemon_domains, denies_everything_until_there_is_a_file)
{
	std::filesystem::remove(folder / "domains.json");
	start();
	EXPECT_EQ(answer("svc.All"), DENIED);
	replace("domains.json", DOMAINS);
	while (answer("svc.All") == DENIED) {}
	EXPECT_EQ(answer("svc.Red"), ALLOWED);
}

class Policy_daemon_qubesd : public Policy_daemon_domains
{
protected:
	Service_socket qubesd{path("qubesd.sock")};

	Policy_daemon_qubesd() { domains_from_file = false; }

	/* Answers the next request of the daemon's. */
	void tell(std::string const &text)
	{
		Stream stream = qubesd.accept();
		EXPECT_EQ(stream.receive_all(), "internal.GetSystemInfo+ dom0 name dom0\0"s);
		EXPECT_TRUE(stream.send(text));
	}
	void tell_domains() { tell("0\0"s + DOMAINS); }
};

TEST_F(Policy_daemon_qubesd, is_asked_for_each_question)
{
	start();
	for (unsigned i = 0; i < 3; ++i) {
		Stream asked = ask(question("svc.Red"));
		tell_domains();
		EXPECT_EQ(asked.receive_all(), ALLOWED);
	}
	// What has changed counts at once.
	std::string changed = DOMAINS;
	changed.replace(changed.find("red"), 3, "sad");
	Stream asked = ask(question("svc.Red"));
	tell("0\0"s + changed);
	EXPECT_EQ(asked.receive_all(), DENIED);
}

TEST_F(Policy_daemon_qubesd, is_asked_once_for_all_that_came_meanwhile)
{
	start();
	Stream first = ask(question("svc.Red"));
	Stream request = qubesd.accept();
	std::vector<Stream> others;
	for (unsigned i = 0; i < 100; ++i) others.push_back(ask(question("svc.All")));
	// They came after the request was made, so that its answer isn't theirs. All were taken before
	// this one, which needs no domains.
	EXPECT_EQ(ask("no question\n\n").receive_all(), "");
	EXPECT_FALSE(qubesd.somebody());
	EXPECT_TRUE(request.send("0\0"s + DOMAINS));
	request.close();
	EXPECT_EQ(first.receive_all(), ALLOWED);
	tell_domains();
	for (Stream &stream : others) EXPECT_EQ(stream.receive_all(), ALLOWED);
	EXPECT_FALSE(qubesd.somebody());
}

TEST_F(Policy_daemon_qubesd, is_asked_less_often_if_that_will_do)
{
	options = {"--system-info-max-age=86400000"};
	start();
	Stream first = ask(question("svc.Red"));
	tell_domains();
	EXPECT_EQ(first.receive_all(), ALLOWED);
	for (unsigned i = 0; i < 10; ++i) EXPECT_EQ(answer("svc.Red"), ALLOWED);
	EXPECT_FALSE(qubesd.somebody());
	signal(SIGHUP);
	journal("loaded");
	// The signal has come once qubesd is asked again.
	Stream again;
	while (!qubesd.somebody()) {
		again = ask(question("svc.Red"));
		while (!again.readable() && !qubesd.somebody()) {}
	}
	tell_domains();
	EXPECT_EQ(again.receive_all(), ALLOWED);
}

TEST_F(Policy_daemon_qubesd, that_fails_denies_everything)
{
	start();
	for (auto const &[text, reason] : std::initializer_list<std::pair<std::string, char const *>>{
			 {"2\0QubesDaemonNoResponseError\0\0no\0"s, "qubesd says QubesDaemonNoResponseError"},
			 {"2\0"s, "qubesd says"},
			 {"", "without an answer"},
			 {"0", "no answer"},
			 {"1\0"s, "no answer"},
			 {"0\0"s, "error"},
			 {"0\0{}"s, "domains"},
			 {"0\0{\"domains\":[]}"s, "domains"},
			 {"0\0{\"domains\":{\"a\":1}}"s, "domains"},
			 {"0\0{\"domains\":{\"a b\":{}}}"s, "'a b'"},
			 {"0\0{\"domains\":{\"a\":{\"type\":\"x\\ny\"}}}"s, "'x_y'"},
			 {"0\0{\"domains\":{\"a\":{\"tags\":[1]}}}"s, "error"},
			 {"0\0"s + DOMAINS + "x", "error"},
		 }) {
		Stream asked = ask(question("svc.All"));
		tell(text);
		EXPECT_EQ(asked.receive_all(), DENIED) << text;
		EXPECT_THAT(journal("error getting system info: "), HasSubstr(reason));
	}
	Stream asked = ask(question("svc.All"));
	tell_domains();
	EXPECT_EQ(asked.receive_all(), ALLOWED);
}

TEST_F(Policy_daemon_qubesd, that_isnt_there_denies_everything)
{
	options = {"--qubesd-socket=" + path("nowhere.sock")};
	start();
	EXPECT_EQ(answer("svc.All"), DENIED);
	EXPECT_THAT(journal("error getting system info: "), HasSubstr("is qubesd running?"));
}

TEST_F(Policy_daemon_qubesd, that_is_slow_stops_nobody_who_has_given_up)
{
	start();
	{
		Stream const gone = ask(question("svc.All"));
		Stream request = qubesd.accept();
		EXPECT_TRUE(request.send("0\0{\"domains\""s));
	}
	// That request has ended within the answer; the next question has its own.
	Stream asked = ask(question("svc.All"));
	tell_domains();
	EXPECT_EQ(asked.receive_all(), ALLOWED);
}

} // namespace
} // namespace bulkhead::qrexec::test
