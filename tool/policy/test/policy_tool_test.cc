// What the subcommands work with: answers to lines, rules that never decide, pictures.

#include "tool/policy/coverage.h"
#include "tool/policy/eval.h"
#include "tool/policy/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sstream>

namespace bulkhead::tool {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char const *SYSTEM = R"({"domains":{
	"dom0":{"type":"AdminVM","tags":[],"default_dispvm":null,"power_state":"Running",
		"uuid":"00000000-0000-0000-0000-000000000000"},
	"work":{"type":"AppVM","tags":["red"],"default_dispvm":"dvm","template_for_dispvms":false,
		"power_state":"Running","uuid":"11111111-0000-4000-8000-000000000000","internal":false},
	"web":{"type":"AppVM","tags":["red"],"default_dispvm":null,"template_for_dispvms":false,
		"power_state":"Halted","uuid":"22222222-0000-4000-8000-000000000000"},
	"dvm":{"type":"AppVM","tags":[],"template_for_dispvms":true,"power_state":"Halted",
		"uuid":"33333333-0000-4000-8000-000000000000"},
	"far":{"type":"RemoteVM","tags":[],"relayvm":"work","transport_rpc":"net.Proxy",
		"power_state":"Running","uuid":"44444444-0000-4000-8000-000000000000"}},
	"uuid_aliases":true})";

json ask(json policy, json request)
{
	json const question{{"id", 7}, {"op", "evaluate"}, {"policy", std::move(policy)},
		{"system", json::parse(SYSTEM)}, {"request", std::move(request)}};
	json answer = json::parse(evaluate_line(question.dump()));
	EXPECT_EQ(answer.at("id"), 7);
	answer.erase("id");
	return answer;
}

json main_of(std::string const &text)
{
	return {{"files", {{"main", text}}}, {"main", "main"}, {"compat", json::object()}};
}

json call(std::string const &target, std::string const &source = "work")
{
	return {{"service", "svc"}, {"argument", "+"}, {"source", source}, {"target", target},
		{"requested_source", nullptr}};
}

TEST(Policy_eval, allows)
{
	EXPECT_EQ(ask(main_of("# x\nsvc * work web allow user=u notify=yes"), call("web")),
		json::parse(R"({"result":"allow","target":"web","user":"u","autostart":true,"notify":true,
			"rule":{"lineno":2,"filepath":"main"},"response":"user=u\nresult=allow\ntarget=web\ntarget_uuid=uuid:22222222-0000-4000-8000-000000000000\nautostart=True\nrequested_target=web"})"));
}

TEST(Policy_eval, allows_what_cant_be_called)
{
	json answer = ask(main_of("svc * work @anyvm allow autostart=no"), call("web"));
	EXPECT_EQ(answer.at("response"), nullptr);
	EXPECT_EQ(answer.at("result"), "allow");
	EXPECT_EQ(answer.at("autostart"), false);
	EXPECT_EQ(ask(main_of("svc * work @anyvm allow"), call("work")).at("response"), nullptr);
}

TEST(Policy_eval, asks)
{
	EXPECT_EQ(ask(main_of("svc * work @anyvm ask default_target=@dispvm"), call("")),
		json::parse(R"({"result":"ask","targets_for_ask":["@dispvm:dvm","dvm","far","web"],
			"default_target":"@dispvm:dvm","user":null,"autostart":true,"notify":false,
			"rule":{"lineno":1,"filepath":"main"}})"));
}

TEST(Policy_eval, denies)
{
	EXPECT_EQ(ask(main_of(""), call("web")), json::parse(R"({"result":"deny","notify":true})"));
	EXPECT_EQ(ask(main_of("svc * work web deny notify=no"), call("web")),
		json::parse(R"({"result":"deny","notify":false})"));
}

TEST(Policy_eval, tells_a_bad_requested_source)
{
	json request = call("web");
	request["requested_source"] = "web";
	EXPECT_EQ(ask(main_of(""), request), json::parse(R"({"result":"request_error"})"));
	request["requested_source"] = "far";
	json const answer = ask(main_of("svc * far web allow"), request);
	EXPECT_THAT(answer.at("response").get<std::string>(), HasSubstr("\npolicy_source=far"));
}

TEST(Policy_eval, tells_the_line_of_a_fault)
{
	EXPECT_EQ(ask(main_of("\nsvc * work"), call("web")),
		json::parse(R"({"result":"syntax_error","lineno":2})"));
	EXPECT_EQ(ask({{"dir_files", {{"Bad.policy", ""}}}}, call("web")),
		json::parse(R"({"result":"syntax_error","lineno":null})"));
	EXPECT_EQ(ask(main_of("svc * work web allow\n!include none"), call("web")).at("lineno"), 2);
}

TEST(Policy_eval, takes_files_directories_and_old_files)
{
	json const policy{
		{"files", {{"main", "!include sub/x\n!compat-4.0"}, {"sub/x", "svc * work far allow"}}},
		{"main", "main"}, {"compat", {{"svc+", "work web allow"}, {"svc", "$anyvm $anyvm allow"}}}};
	EXPECT_EQ(ask(policy, call("far")).at("rule").at("filepath"), "x");
	EXPECT_EQ(ask(policy, call("web")).at("rule").at("filepath"), "svc+");
	EXPECT_EQ(ask(policy, call("dvm")).at("result"), "deny");
	json const directory{{"dir_files",
		{{"30-user.policy", "!include include/x"}, {"20-first.policy", "svc * work web deny"},
			{"include/x", "svc * work @anyvm allow"}, {"README", "?"}}}};
	EXPECT_EQ(ask(directory, call("web")).at("result"), "deny");
	EXPECT_EQ(ask(directory, call("far")).at("rule").at("filepath"), "x");
}

TEST(Policy_eval, answers_each_line_whatever_it_holds)
{
	std::istringstream from("{\"id\":1,\"op\":\"x\"}\n\nnonsense\n[]\n{\"id\":\"a\",\"op\":"
							"\"evaluate\"}\n{\"id\":2,\"op\":\"evaluate\",\"policy\":7}\n");
	std::ostringstream to;
	EXPECT_EQ(evaluate_lines(from, to), 0);
	std::istringstream answers(to.str());
	std::vector<json> lines;
	for (std::string line; std::getline(answers, line);) lines.push_back(json::parse(line));
	ASSERT_EQ(lines.size(), 5);
	for (json const &line : lines) EXPECT_TRUE(line.contains("error")) << line;
	EXPECT_EQ(lines[0].at("id"), 1);
	EXPECT_EQ(lines[1].at("id"), nullptr);
	EXPECT_EQ(lines[3].at("id"), "a");
}

/* A policy of one file. */
struct Loaded
{
	linux_host::Heap heap{};
	Sent_files files{};
	Owned<policy::Policy> policy{};

	explicit Loaded(std::string const &text)
	{
		files.policy["main"] = text;
		std::string_view const directories[] = {"p"};
		policy = policy::Policy::load(heap, files, directories, "c", "main").value();
		EXPECT_FALSE(policy->broken());
	}
};

std::string idle(std::string const &text)
{
	Loaded const loaded(text);
	std::string result;
	for (Idle_rule const &rule : idle_rules(*loaded.policy)) {
		result += std::to_string(rule.rule + 1);
		if (rule.why == Idle_rule::Why::NO_SUCH_SOURCE) result += "!";
		if (rule.why == Idle_rule::Why::COVERED) result += "<" + std::to_string(rule.by + 1);
		if (rule.why == Idle_rule::Why::COVERED_BUT_FOR_DOM0)
			result += "~" + std::to_string(rule.by + 1);
		result += " ";
	}
	return result;
}

TEST(Policy_coverage, finds_rules_that_never_decide)
{
	EXPECT_EQ(idle("a * work web deny\na * work web allow\n"), "2<1 ");
	EXPECT_EQ(idle("a * @anyvm @anyvm deny\na +x work @dispvm:@tag:x allow\nb * work web deny\n"),
		"2<1 ");
	EXPECT_EQ(idle("* * @anyvm web deny\na * work web allow\na * work far allow\n"), "2<1 ");
	EXPECT_EQ(idle("a * @anyvm @anyvm deny\na * @tag:x web allow\na * work @type:AppVM ask\n"),
		"2~1 3<1 ");
	EXPECT_EQ(idle("a * * * deny\na * @tag:x dom0 allow\n"), "2<1 ");
	EXPECT_EQ(idle("a * work dom0 deny\na * work @adminvm allow\n"), "2<1 ");
	EXPECT_EQ(idle("a * @dispvm:x web deny\n"), "1! ");
}

TEST(Policy_coverage, leaves_rules_alone_that_may_decide)
{
	EXPECT_EQ(idle("a +x work web deny\na * work web allow\na +y work web allow\n"
				   "b * work web deny\n* * work web deny\n"),
		"3<2 ");
	EXPECT_EQ(idle("a * @anyvm @anyvm deny\na * work dom0 allow\na * work @type:AdminVM allow\n"
				   "a * dom0 web allow\n"),
		"");
	EXPECT_EQ(idle("a * @tag:x web deny\na * work web allow\na * work @dispvm deny\n"
				   "a * work @dispvm:x deny\n"),
		"");
}

TEST(Policy_graph, draws_who_may_call_whom)
{
	Call_graph graph;
	graph.calls[{"work", "a\"<&b"}].allowed = {"svc.A", "svc.B", "svc.C", "svc.D"};
	graph.calls[{"work", "web"}].asked = {"svc.E"};
	std::string const dot = dot_of(graph);
	EXPECT_THAT(dot, HasSubstr(R"("work" -> "a\"<&b" [label="svc.A\nsvc.B\nsvc.C\nand 1 more"];)"));
	EXPECT_THAT(dot, HasSubstr(R"("work" -> "web" [label="svc.E", style=dashed)"));
	std::string const svg = svg_of(graph);
	EXPECT_THAT(svg, HasSubstr("a&#34;&#60;&#38;b"));
	EXPECT_THAT(svg, HasSubstr("svc.D"));
	EXPECT_THAT(svg, Not(HasSubstr("nan")));
	EXPECT_THAT(svg_of({}), HasSubstr("</svg>"));
}

} // namespace
} // namespace bulkhead::tool
