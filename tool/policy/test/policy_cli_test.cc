// `bulkhead policy` as its users run it.

#include "tool/test/process.h"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

namespace bulkhead::tool {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

struct Policy_command : ::testing::Test
{
	fs::path folder;

	Policy_command()
	{
		std::string name = (fs::temp_directory_path() / "bulkhead-policy-XXXXXX").string();
		if (!mkdtemp(name.data())) abort();
		folder = name;
	}
	~Policy_command() override { fs::remove_all(folder); }

	void write(std::string const &name, std::string const &text)
	{
		fs::create_directories((folder / name).parent_path());
		std::ofstream(folder / name) << text;
	}

	Outcome run(std::vector<std::string> words)
	{
		words.insert(words.begin(), {BULKHEAD_PROGRAM, "policy"});
		Process process(words);
		return process.wait();
	}
};

TEST_F(Policy_command, check_tells_every_fault_with_its_place_and_a_remedy)
{
	write("p/30-user.policy", "svc * work web alow\nsvc * wrok\n");
	write("p/40-more.policy", "svc * @anvym web deny\n");
	Outcome const outcome = run({"check", folder / "p"});
	EXPECT_EQ(outcome.code, 10);
	EXPECT_THAT(outcome.out,
		HasSubstr("30-user.policy:1:16: there is no action 'alow'; did you mean 'allow'?"));
	EXPECT_THAT(outcome.out, HasSubstr("30-user.policy:2:1: too few fields; write: service"));
	EXPECT_THAT(outcome.out, HasSubstr("40-more.policy:1:7: there is no source '@anvym'"));
	EXPECT_THAT(outcome.out, HasSubstr("3 faults: this policy denies everything"));
}

TEST_F(Policy_command, check_warns_of_rules_that_never_decide)
{
	write("p/30.policy", "svc * @anyvm @anyvm deny\nsvc * work web allow\n");
	Outcome const outcome = run({"check", folder / "p"});
	EXPECT_EQ(outcome.code, 0);
	EXPECT_THAT(outcome.out, HasSubstr("30.policy:2:1: warning: this rule can never decide"));
	EXPECT_THAT(outcome.out, HasSubstr("2 rules, no fault, 1 warning"));
	EXPECT_EQ(run({"check", "--strict", folder / "p"}).code, 10);
}

TEST_F(Policy_command, check_of_two_directories_and_for_programs)
{
	write("run/30.policy", "svc * work web allow\n");
	write("etc/30.policy", "nonsense\n");
	write("domains.json", R"({"domains":{"work":{"type":"AppVM","tags":[]}}})");
	Outcome const outcome = run(
		{"check", folder / "run", folder / "etc", "--json", "--domains", folder / "domains.json"});
	EXPECT_EQ(outcome.code, 0);
	nlohmann::json const json = nlohmann::json::parse(outcome.out);
	EXPECT_EQ(json.at("rules"), 1);
	ASSERT_EQ(json.at("warnings").size(), 1);
	EXPECT_EQ(json.at("warnings")[0].at("message"), "nothing is 'web'");
}

TEST_F(Policy_command, check_of_what_isnt_there)
{
	Outcome const outcome = run({"check", folder / "none"});
	EXPECT_EQ(outcome.code, 10);
	EXPECT_THAT(outcome.out, HasSubstr("there is no policy"));
	write("p/30.policy", "");
	write("domains.json", "[]");
	Outcome const domains = run({"check", folder / "p", "--domains", folder / "domains.json"});
	EXPECT_EQ(domains.code, 1);
	EXPECT_THAT(domains.out, HasSubstr("internal.GetSystemInfo"));
	EXPECT_EQ(run({"check", folder / "p", "--domains", folder / "none.json"}).code, 1);
	EXPECT_EQ(run({"check", "--no-such-option"}).code, 2);
	EXPECT_EQ(run({}).code, 2);
}

TEST_F(Policy_command, explain_names_the_rule_and_why_earlier_ones_dont_match)
{
	write("p/30.policy",
		"other * * * deny\nsvc +x work web deny\nsvc * vault web deny\nsvc * work vault deny\n"
		"svc * work web ask default_target=web\n");
	Outcome const outcome = run({"explain", "work", "web", "svc+y", "--dir", folder / "p"});
	EXPECT_EQ(outcome.code, 0);
	EXPECT_THAT(outcome.out, HasSubstr("svc+y from work to web: ask"));
	EXPECT_THAT(outcome.out, HasSubstr("decided by 30.policy:5: svc * work web ask"));
	EXPECT_THAT(outcome.out, HasSubstr("the argument is +y, not +x"));
	EXPECT_THAT(outcome.out, HasSubstr("work isn't vault"));
	EXPECT_THAT(outcome.out, HasSubstr("web isn't vault"));
	EXPECT_THAT(outcome.out, HasSubstr("1 earlier is of other services"));
	EXPECT_THAT(outcome.out, HasSubstr("without --domains"));
}

TEST_F(Policy_command, explain_for_programs)
{
	write("p/30.policy", "svc * far web allow user=u\n");
	write("domains.json", R"({"domains":{"web":{"type":"AppVM"},"relay":{"type":"AppVM"},
		"far":{"type":"RemoteVM","relayvm":"relay"}}})");
	std::vector<std::string> const common{"explain", "far", "web", "svc", "--json", "--dir",
		folder / "p", "--domains", folder / "domains.json"};
	std::vector<std::string> words = common;
	words.insert(words.end(), {"--relay", "relay"});
	nlohmann::json json = nlohmann::json::parse(run(words).out);
	EXPECT_EQ(json.at("action"), "allow");
	EXPECT_EQ(json.at("decided_by").at("line"), 1);
	words.back() = "web";
	json = nlohmann::json::parse(run(words).out);
	EXPECT_EQ(json.at("action"), "deny");
	EXPECT_THAT(json.at("reason").get<std::string>(), HasSubstr("no relay"));
}

TEST_F(Policy_command, explain_and_graph_refuse_a_broken_policy)
{
	write("p/30.policy", "nonsense\n");
	EXPECT_EQ(run({"explain", "a", "b", "c", "--dir", folder / "p"}).code, 10);
	EXPECT_EQ(run({"graph", "--dir", folder / "p"}).code, 10);
	Outcome const outcome = run({"graph", "--json", "--dir", folder / "p"});
	EXPECT_THAT(outcome.out, HasSubstr("\"remedy\""));
}

TEST_F(Policy_command, graph_draws_dot_and_svg)
{
	write("p/30.policy", "svc * work web allow\nsvc * work vault ask\nnet * web vault allow\n");
	Outcome const dot = run({"graph", "--dir", folder / "p"});
	EXPECT_THAT(dot.out, HasSubstr("\"work\" -> \"web\" [label=\"svc\"];"));
	EXPECT_THAT(dot.out, HasSubstr("\"web\" -> \"vault\" [label=\"net\"];"));
	Outcome const some =
		run({"graph", "--dir", folder / "p", "--service", "svc", "--no-ask", "--source", "work"});
	EXPECT_THAT(some.out, Not(HasSubstr("vault")));
	fs::path const svg = folder / "policy.svg";
	EXPECT_EQ(run({"graph", "--dir", folder / "p", "--format", "svg", "-o", svg}).code, 0);
	std::ifstream file(svg);
	std::string const text{std::istreambuf_iterator<char>(file), {}};
	EXPECT_THAT(text, HasSubstr("<svg "));
	EXPECT_THAT(text, HasSubstr("work -&gt; web, allow:"));
	EXPECT_EQ(run({"graph", "--dir", folder / "p", "-o", folder / "none" / "x"}).code, 1);
}

TEST_F(Policy_command, eval_answers_before_the_input_ends)
{
	Process process({"bash", "-c",
		"coproc E { \"$1\" policy eval; }\n"
		"for id in 1 2; do echo \"{\\\"id\\\":$id,\\\"op\\\":\\\"x\\\"}\" >&${E[1]}\n"
		"read -r answer <&${E[0]}; echo \"got $answer\"; done",
		"bash", BULKHEAD_PROGRAM});
	Outcome const outcome = process.wait();
	EXPECT_EQ(outcome.code, 0);
	EXPECT_THAT(outcome.out, HasSubstr("got {\"id\":1,"));
	EXPECT_THAT(outcome.out, HasSubstr("got {\"id\":2,"));
}

TEST_F(Policy_command, a_pipe_in_place_of_a_policy_doesnt_make_it_wait)
{
	write("p/30.policy", "!include pipe\n");
	ASSERT_EQ(mkfifo((folder / "p/pipe").c_str(), 0600), 0);
	Outcome const outcome = run({"check", folder / "p"});
	EXPECT_EQ(outcome.code, 10);
	EXPECT_THAT(outcome.out, HasSubstr("there is no file"));
}

} // namespace
} // namespace bulkhead::tool
