// Questions and answers on the real sockets, against what upstream's program says and its tests
// expect.

#include "component/qrexec/policy_daemon/test/world.h"

#include <sys/socket.h>
#include <sys/stat.h>

namespace bulkhead::qrexec::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

constexpr char const *POLICY = "svc.Allow * work vault allow\n"
							   "svc.Allow +x work web allow user=root notify=no\n"
							   "svc.Named * work @default allow target=vault\n"
							   "svc.Disp * work @dispvm allow\n"
							   "svc.Deny * work vault deny notify=no\n"
							   "svc.Still * work vault allow autostart=no\n"
							   "svc.Still * work web allow autostart=no\n"
							   "svc.Self * work work allow\n"
							   "svc.Host * work dom0 allow\n"
							   "svc.Host * work @adminvm allow\n"
							   "svc.Far * work far allow\n"
							   "svc.From * far vault allow\n"
							   "svc.Ask * work @anyvm ask\n";

class Policy_daemon_protocol : public World
{
protected:
	Policy_daemon_protocol() { write("policy/30-user.policy", POLICY); }
};

TEST_F(Policy_daemon_protocol, answers_as_the_policy_says)
{
	start();
	struct Case
	{
		char const *service, *target, *source, *answer;
	};
	for (Case const &c : std::initializer_list<Case>{
			 {"svc.Allow", "vault", "work", ALLOWED},
			 {"svc.Allow+", "vault", "work", ALLOWED},
			 {"svc.Allow+any", "vault", "work", ALLOWED},
			 {"svc.Allow+x", "web", "work",
				 "user=root\nresult=allow\ntarget=web\nautostart=True\nrequested_target=web"},
			 {"svc.Allow+y", "web", "work", DENIED},
			 {"svc.Named", "", "work",
				 "user=DEFAULT\nresult=allow\ntarget=vault\nautostart=True\n"
				 "requested_target=@default"},
			 {"svc.Named", "no-such", "work",
				 "user=DEFAULT\nresult=allow\ntarget=vault\nautostart=True\n"
				 "requested_target=@default"},
			 {"svc.Disp", "@dispvm", "work",
				 "user=DEFAULT\nresult=allow\ntarget=@dispvm:dvm\nautostart=True\n"
				 "requested_target=@dispvm"},
			 {"svc.Deny", "vault", "work", DENIED},
			 {"svc.None", "vault", "work", DENIED},
			 {"svc.Still", "vault", "work", DENIED},
			 {"svc.Still", "web", "work",
				 "user=DEFAULT\nresult=allow\ntarget=web\nautostart=False\nrequested_target=web"},
			 {"svc.Self", "work", "work", DENIED},
			 {"svc.Host", "dom0", "work",
				 "user=DEFAULT\nresult=allow\ntarget=dom0\nautostart=True\nrequested_target=dom0"},
			 {"svc.Far+a", "far", "work",
				 "user=DEFAULT\nresult=allow\ntarget=relay\nautostart=True\nrequested_target=far\n"
				 "service=qubes.Ssh+far+svc.Far+a"},
			 {"svc.Allow", "vault", "stranger", DENIED},
			 {"svc.Allow", "work", "vault", DENIED},
		 })
		EXPECT_EQ(answer(c.service, c.target, c.source), c.answer)
			<< c.service << ' ' << c.source << ' ' << c.target;
}

TEST_F(Policy_daemon_protocol, lets_a_relay_call_for_a_remote_domain)
{
	start();
	EXPECT_EQ(answer("svc.From", "vault", "relay", "requested_source=far\n"),
		std::string(ALLOWED) + "\npolicy_source=far");
	EXPECT_EQ(answer("svc.From", "vault", "work", "requested_source=far\n"), DENIED);
	EXPECT_EQ(answer("svc.Allow", "vault", "relay", "requested_source=work\n"), DENIED);
}

TEST_F(Policy_daemon_protocol, only_evaluates_if_it_is_told_so)
{
	start();
	struct Case
	{
		char const *service, *target, *more, *answer;
	};
	for (Case const &c : std::initializer_list<Case>{
			 {"svc.Allow", "vault", "just_evaluate=yes\n", "result=allow"},
			 {"svc.Allow", "vault", "just_evaluate=no\n", ALLOWED},
			 {"svc.Deny", "vault", "just_evaluate=yes\n", DENIED},
			 {"svc.Ask", "vault", "just_evaluate=yes\n", DENIED},
			 {"svc.Ask", "vault", "assume_yes_for_ask=yes\njust_evaluate=yes\n", "result=allow"},
			 {"svc.Ask", "vault", "assume_yes_for_ask=yes\n", ALLOWED},
			 // A target that nobody could have chosen.
			 {"svc.Ask", "", "assume_yes_for_ask=yes\n", DENIED},
			 {"svc.Ask", "work", "assume_yes_for_ask=yes\njust_evaluate=yes\n", DENIED},
		 })
		EXPECT_EQ(answer(c.service, c.target, "work", c.more), c.answer)
			<< c.service << ' ' << c.target << ' ' << c.more;
}

TEST_F(Policy_daemon_protocol, takes_questions_in_every_form_that_upstream_takes)
{
	start();
	for (char const *const text :
		{"source=work\nintended_target=vault\nservice_and_arg=svc.Allow\n\n",
			"service_and_arg=svc.Allow\nsource=work\nintended_target=vault\n\n",
			"source=work\nintended_target=vault\nservice_and_arg=svc.Allow\n\nand more",
			"source=work\nintended_target=vault\nservice_and_arg=svc.Allow\n",
			"source=work\nintended_target=vault\nservice_and_arg=svc.Allow"}) {
		Stream stream = ask(text);
		if (!std::string_view(text).contains("\n\n")) stream.end();
		EXPECT_EQ(stream.receive_all(), ALLOWED) << text;
	}
}

TEST_F(Policy_daemon_protocol, takes_a_question_byte_by_byte)
{
	start();
	Stream stream = Stream::connect(path("policy.sock"));
	for (char const c :
		std::string_view("source=work\nintended_target=vault\nservice_and_arg=svc.Allow\n\n"))
		ASSERT_TRUE(stream.send({&c, 1}));
	EXPECT_EQ(stream.receive_all(), ALLOWED);
}

TEST_F(Policy_daemon_protocol, closes_without_an_answer_what_is_no_question)
{
	start();
	for (std::string const &text : std::initializer_list<std::string>{"\n", "domain_id=None\n\n",
			 "source=b\nsource=b\nintended_target=c\nservice_and_arg=d\n\n",
			 "source=b\nintended_target=c\n\n", "intended_target=c\nservice_and_arg=d\n\n",
			 "source=b\nservice_and_arg=d\n\n",
			 "domain_id=a\nsource=b\nintended_target=c\nservice_and_arg=d\n\n",
			 "source=b\nintended_target=c\nservice_and_arg=d\njust_evaluate=maybe\n\n",
			 "source\n\n", std::string("source=a\0b\n\n", 12), "\xff\xfe\n\n"}) {
		EXPECT_EQ(ask(text).receive_all(), "") << text;
		EXPECT_THAT(journal("error parsing"), HasSubstr("error parsing policy request: "));
	}
	Stream unfinished = ask("unfinished");
	unfinished.end();
	EXPECT_EQ(unfinished.receive_all(), "");
}

TEST_F(Policy_daemon_protocol, keeps_its_limit_of_length)
{
	start();
	constexpr size_t LONGEST = 65536 + 512;
	std::string const before = "source=work\nintended_target=vault\nservice_and_arg=svc.Allow+";
	// The answer is short, as only a relay is told the service.
	for (size_t const size : {LONGEST - 1, LONGEST}) {
		std::string const text = before + std::string(size - before.size() - 2, 'a') + "\n\n";
		EXPECT_EQ(ask(text).receive_all(), ALLOWED) << size;
	}
	Stream longer = Stream::connect(path("policy.sock"));
	(void)longer.send(before + std::string(LONGEST + 1 - before.size() - 2, 'a') + "\n\n");
	EXPECT_EQ(longer.receive_all(), "");
	// Without any end.
	Stream endless = Stream::connect(path("policy.sock"));
	(void)endless.send(std::string(1'000'000, 'x'));
	EXPECT_EQ(endless.receive_all(), "");
}

TEST_F(Policy_daemon_protocol, refuses_an_answer_that_a_daemon_would_not_read)
{
	start();
	std::string const far = "svc.Far+";
	std::string const others = "user=DEFAULT\nresult=allow\ntarget=relay\nautostart=True\n"
							   "requested_target=far\nservice=qubes.Ssh+far+";
	size_t const fits = 4096 - others.size() - far.size();
	EXPECT_EQ(answer(far + std::string(fits, 'x'), "far").size(), 4096U);
	EXPECT_EQ(answer(far + std::string(fits + 1, 'x'), "far"), DENIED);
}

TEST_F(Policy_daemon_protocol, says_in_the_journal_what_upstream_says)
{
	start();
	std::string const at = path("policy/30-user.policy");
	for (auto const &[service, target, line] :
		std::initializer_list<std::tuple<char const *, char const *, std::string>>{
			{"svc.Allow", "vault", "qrexec: svc.Allow+: work -> vault: allowed to vault"},
			{"svc.Allow+x", "web", "qrexec: svc.Allow+x: work -> web: allowed to web"},
			{"svc.Named", "gone", "qrexec: svc.Named+: work -> @default: allowed to vault"},
			{"svc.Deny", "vault",
				"qrexec: svc.Deny: work -> vault: denied: denied by policy " + at + ":5"},
			{"svc.None+a", "web",
				"qrexec: svc.None+a: work -> web: denied: no matching rule found"},
			{"svc.Self", "work",
				"qrexec: svc.Self: work -> work: denied: loopback qrexec connection not supported"},
		}) {
		(void)answer(service, target);
		EXPECT_EQ(journal("qrexec: "), line);
	}
}

TEST_F(Policy_daemon_protocol, writes_one_harmless_line_whatever_a_name_has_in_it)
{
	start();
	EXPECT_EQ(answer("svc.None+" + std::string(5000, 'x'), "vault"), DENIED);
	std::string const line = journal("qrexec: ");
	EXPECT_LT(line.size(), 1000U);
	EXPECT_THAT(line, EndsWith("denied: no matching rule found"));
}

TEST_F(Policy_daemon_protocol, never_tells_a_caller_what_the_policy_says)
{
	start();
	EXPECT_EQ(answer("svc.Deny"), DENIED);
	EXPECT_EQ(answer("svc.None"), DENIED);
	EXPECT_EQ(answer("svc.Still"), DENIED);
	EXPECT_EQ(answer("svc.Allow", "vault", "stranger"), DENIED);
}

TEST_F(Policy_daemon_protocol, makes_its_sockets_for_its_group_only)
{
	start();
	for (char const *const name : {"policy.sock", "policy.EvalSimple", "policy.EvalGUI"}) {
		struct stat found{};
		ASSERT_EQ(stat(path(name).c_str(), &found), 0);
		EXPECT_EQ(found.st_mode & 07777, 0660U) << name;
	}
}

TEST_F(Policy_daemon_protocol, takes_the_place_of_a_stale_socket)
{
	{
		Service_socket const stale(path("policy.sock"));
	}
	start();
	EXPECT_EQ(answer("svc.Allow"), ALLOWED);
}

TEST_F(Policy_daemon_protocol, takes_the_socket_that_systemd_has_opened)
{
	// In another folder than it would make its own.
	std::filesystem::create_directory(folder / "systemd");
	Service_socket const opened(path("systemd/policy.sock"));
	handed_over = opened.fd();
	// Who comes before it has begun is answered, too.
	Stream early = Stream::connect(path("systemd/policy.sock"));
	EXPECT_TRUE(early.send("source=work\nintended_target=vault\nservice_and_arg=svc.Allow\n\n"));
	start();
	EXPECT_EQ(early.receive_all(), ALLOWED);
	EXPECT_FALSE(std::filesystem::exists(path("policy.sock")));
	EXPECT_TRUE(std::filesystem::exists(path("policy.EvalSimple")));
}

TEST_F(Policy_daemon_protocol, lets_a_domain_call_itself_if_it_is_told_so)
{
	options = {"--calls-within-domain"};
	start();
	EXPECT_EQ(answer("svc.Self", "work"),
		"user=DEFAULT\nresult=allow\ntarget=work\n"
		"target_uuid=uuid:6db4f5d2-0000-4000-8000-000000000001\n"
		"autostart=True\nrequested_target=work");
	EXPECT_EQ(answer("svc.None", "work"), DENIED);
}

TEST_F(Policy_daemon_protocol, answers_many_at_once_and_none_waits_for_another)
{
	start();
	std::vector<Stream> silent, asked;
	for (unsigned i = 0; i < 100; ++i) silent.push_back(Stream::connect(path("policy.sock")));
	for (unsigned i = 0; i < 100; ++i) silent.push_back(ask("source=wo"));
	for (unsigned i = 0; i < 200; ++i)
		asked.push_back(ask("source=work\nintended_target=vault\nservice_and_arg=svc.Allow+" +
			std::to_string(i) + "\n\n"));
	for (Stream &stream : asked) EXPECT_EQ(stream.receive_all(), ALLOWED);
	// Those that were silent can still ask.
	EXPECT_TRUE(
		silent[0].send("source=work\nintended_target=vault\nservice_and_arg=svc.Allow\n\n"));
	EXPECT_EQ(silent[0].receive_all(), ALLOWED);
	EXPECT_TRUE(silent[150].send("rk\nintended_target=vault\nservice_and_arg=svc.Allow\n\n"));
	EXPECT_EQ(silent[150].receive_all(), ALLOWED);
}

TEST_F(Policy_daemon_protocol, drops_the_one_that_was_silent_for_longest_if_there_are_too_many)
{
	start();
	constexpr size_t MOST = 1024;
	std::vector<Stream> silent;
	for (size_t i = 0; i < MOST; ++i) silent.push_back(Stream::connect(path("policy.sock")));
	EXPECT_EQ(answer("svc.Allow"), ALLOWED);
	EXPECT_EQ(silent[0].receive_all(), "");
	EXPECT_TRUE(
		silent[MOST - 1].send("source=work\nintended_target=vault\nservice_and_arg=svc.Allow\n\n"));
	EXPECT_EQ(silent[MOST - 1].receive_all(), ALLOWED);
}

TEST_F(Policy_daemon_protocol, answers_even_if_nobody_reads_its_journal)
{
	start();
	for (unsigned i = 0; i < 2000; ++i) ASSERT_EQ(answer("svc.Allow"), ALLOWED);
	EXPECT_THAT(journal("allowed"), HasSubstr("work -> vault: allowed to vault"));
	// There is room again.
	for (unsigned i = 0; i < 200; ++i) (void)answer("svc.None");
	EXPECT_THAT(journal("missing"), HasSubstr("lines are missing here"));
}

TEST_F(Policy_daemon_protocol, answers_domains_that_only_want_to_know)
{
	start();
	using namespace std::string_view_literals;
	struct Case
	{
		std::string_view face, text, answer;
	};
	constexpr std::string_view SIMPLE = "policy.EvalSimple", GUI = "policy.EvalGUI";
	for (Case const &c : std::initializer_list<Case>{
			 {SIMPLE, "policy.EvalSimple+svc.Allow web keyword adminvm\0work\0vault"sv,
				 "result=allow\n"},
			 {SIMPLE, "policy.EvalSimple+svc.Allow+x web\0work\0web"sv, "result=allow\n"},
			 {SIMPLE, "policy.EvalSimple+svc.Ask web\0work\0vault"sv, "result=allow\n"},
			 {SIMPLE, "policy.EvalSimple+svc.None web\0work\0vault"sv, "result=deny\n"},
			 {GUI, "policy.EvalGUI+svc.Allow gui keyword adminvm\0work\0vault"sv, "result=allow\n"},
			 {GUI, "policy.EvalGUI+svc.None gui keyword adminvm\0work\0vault"sv, "result=deny\n"},
			 // Not the GUI of both.
			 {GUI, "policy.EvalGUI+svc.Allow work keyword adminvm\0work\0vault"sv, ""},
			 {GUI, "policy.EvalGUI+svc.Allow gui keyword adminvm\0work\0web"sv, ""},
			 {GUI, "policy.EvalGUI+svc.Allow gui keyword adminvm\0web\0work"sv, ""},
			 {GUI, "policy.EvalGUI+svc.Allow gui keyword adminvm\0nobody\0work"sv, ""},
			 // Not the service of this socket.
			 {GUI, "policy.EvalSimple+svc.Allow gui\0work\0vault"sv, ""},
			 {SIMPLE, "policy.EvalGUI+svc.Allow gui\0work\0vault"sv, ""},
			 // No question.
			 {SIMPLE, ""sv, ""},
			 {SIMPLE, "unfinished"sv, ""},
			 {SIMPLE, "policy.EvalSimple+svc.Allow web"sv, ""},
			 {SIMPLE, "policy.EvalSimple web\0work\0vault"sv, ""},
			 {SIMPLE, "policy.EvalSimple+ web\0work\0vault"sv, ""},
			 {SIMPLE, "policy.EvalSimple++a web\0work\0vault"sv, ""},
			 {SIMPLE, "policy.EvalSimple+svc.Allow web\0work"sv, ""},
			 {SIMPLE, "policy.EvalSimple+svc.Allow web\0\0vault"sv, ""},
			 {SIMPLE, "policy.EvalSimple+svc.Allow web\0work\0"sv, ""},
			 {SIMPLE, "policy.EvalSimple+svc.Allow web\0work\0va ult"sv, ""},
			 {SIMPLE, "policy.EvalSimple+svc.Allow web\0work\0vault\0"sv, ""},
		 })
		EXPECT_EQ(eval(c.face, c.text), c.answer) << c.text;
}

TEST_F(Policy_daemon_protocol, keeps_the_limits_of_names_of_domains_that_want_to_know)
{
	start();
	for (std::string_view const own : {"policy.EvalSimple", "policy.EvalGUI"}) {
		auto const question = [&](size_t source, size_t target, size_t service) {
			return std::string(own) + '+' + std::string(service, 's') + std::string(" gui\0", 5) +
				std::string(source, 'a') + '\0' + std::string(target, 'b');
		};
		bool const simple = own == "policy.EvalSimple";
		std::string const known = simple ? "result=deny\n" : "";
		EXPECT_EQ(eval(own, question(31, 63, 1)), known);
		EXPECT_EQ(eval(own, question(32, 63, 1)), "");
		EXPECT_EQ(eval(own, question(31, 64, 1)), "");
		EXPECT_EQ(eval(own, question(1, 1, 60'000)), known);
		EXPECT_EQ(eval(own, question(1, 1, 65'536)), "");
	}
}

} // namespace
} // namespace bulkhead::qrexec::test
