#include "tool/domains/graph.h"
#include "tool/domains/layout.h"
#include "tool/domains/logs.h"
#include "tool/domains/refusal.h"
#include "tool/domains/show.h"
#include "tool/domains/systems.h"
#include "tool/domains/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace bulkhead::tool {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view STATUS = R"({"system":"demo","pid":7,"manifest":"/m.toml",
"logs":"/l","policy":"","now_us":100000000,"since_us":10000000,"weaker":["memory_limit"],
"domains":[
{"name":"tpm","component":"files","id":1,"state":"running","pid":8,"starts":2,
 "last_end":"killed by signal 9","since_us":95000000,"tags":[],"needs":[],
 "services":["bulkhead.File"],"calls_made":0,"calls_served":900,"calls_refused":0,"live":1,
 "log":"/l/tpm.log","memory_bytes":2097152},
{"name":"vault","component":"","id":2,"state":"running","pid":9,"starts":1,"last_end":"",
 "since_us":10000000,"tags":["trusted"],"needs":["tpm"],"services":["vault.Sign","vault.List"],
 "calls_made":450,"calls_served":90,"calls_refused":0,"live":2,"log":"/l/vault.log",
 "memory_bytes":0},
{"name":"web","id":3,"state":"failed","pid":0,"starts":3,"last_end":"exit code 1",
 "since_us":10000000,"services":[],"calls_made":0,"calls_served":0,"calls_refused":4,"live":0}],
"calls":[{"port":5,"caller":"vault","target":"tpm","service":"bulkhead.File+dev",
 "since_us":40000000},{"port":6,"caller":"dom0","target":"vault","service":"vault.Sign+a",
 "since_us":99000000}],
"refusals":[{"caller":"web","target":"vault","service":"vault.Sign+<k>","count":4,
 "last_us":70000000,"reason":"denied by policy"}]})";

Status status_of(std::string_view json) { return read_status(json).value_or(Status{}); }

TEST(Status, is_read_as_the_broker_writes_it)
{
	Status const status = status_of(STATUS);
	EXPECT_EQ(status.system, "demo");
	ASSERT_EQ(status.domains.size(), 3U);
	EXPECT_EQ(status.domains[0].calls_served, 900U);
	EXPECT_THAT(status.domains[1].needs, ElementsAre("tpm"));
	EXPECT_EQ(status.find("vault")->log, "/l/vault.log");
	EXPECT_EQ(status.find("none"), nullptr);
	ASSERT_EQ(status.calls.size(), 2U);
	ASSERT_EQ(status.refusals.size(), 1U);
	EXPECT_EQ(status.refusals[0].reason, "denied by policy");
}

TEST(Status, of_another_version_is_read_as_far_as_it_is_known)
{
	EXPECT_FALSE(read_status("").has_value());
	EXPECT_FALSE(read_status("[]").has_value());
	Status const status = status_of(
		R"({"system":7,"domains":[{"name":"a","pid":-1,"tags":[1]},3],"calls":{},"refusals":null})");
	EXPECT_EQ(status.system, "");
	ASSERT_EQ(status.domains.size(), 2U);
	EXPECT_EQ(status.domains[0].name, "a");
	EXPECT_EQ(status.domains[0].pid, 0);
}

TEST(Ps, lists_domains_in_aligned_columns)
{
	EXPECT_EQ(ps_text(status_of(STATUS)),
		"demo: 2 of 3 domains run; broker 7, for 90 s\n"
		"weaker here, as the manifest permits: memory_limit\n"
		"\n"
		"DOMAIN  STATE    PID   FOR  STARTS  LIVE  MADE  SERVED  REFUSED   MEMORY  LAST END\n"
		"tpm     running    8   5 s       2     1     0     900        0  2.0 MiB  killed by "
		"signal 9\n"
		"vault   running    9  90 s       1     2   450      90        0        -\n"
		"web     failed     -  90 s       3     0     0       0        4        -  exit code 1\n");
}

TEST(Top, shows_rates_since_the_look_before)
{
	Status const before = status_of(STATUS);
	Status now = before;
	now.now_us += 2'000'000;
	now.domains[0].calls_served += 5;
	now.domains[1].calls_made += 500;
	std::string const text = top_text(now, &before);
	EXPECT_THAT(text, HasSubstr("vault   running    9        -     2     250       0.0"));
	EXPECT_THAT(text, HasSubstr("tpm     running    8  2.0 MiB     1     0.0       2.5"));
	EXPECT_LT(text.find("vault "), text.find("tpm "));
	EXPECT_THAT(text, HasSubstr("vault   tpm     bulkhead.File+dev  62 s\n"));
	EXPECT_THAT(
		text, HasSubstr("web      vault   vault.Sign+<k>      4  32 s ago  denied by policy"));
}

TEST(Top, begins_with_rates_since_the_broker_began)
{
	Status const status = status_of(STATUS);
	EXPECT_THAT(top_text(status, nullptr),
		HasSubstr("tpm     running    8  2.0 MiB     1     0.0      10.0"));
	Status other = status;
	other.pid = 77; // the next broker counts anew
	other.domains[0].calls_served = 9;
	EXPECT_THAT(top_text(other, &status), HasSubstr("     0.1"));
}

TEST(Top, has_a_line_of_json_for_each_look)
{
	auto const json = nlohmann::json::parse(top_json(status_of(STATUS), nullptr));
	EXPECT_EQ(json["system"], "demo");
	EXPECT_EQ(json["live"], 2);
	EXPECT_EQ(json["domains"][0]["served_per_s"], 10.0);
	EXPECT_EQ(json["domains"][2]["state"], "failed");
}

TEST(Graph, shows_domains_live_calls_and_refusals)
{
	std::string const svg = svg_of(composition_of(status_of(STATUS)));
	EXPECT_THAT(svg, HasSubstr("<rect class=\"box running\""));
	EXPECT_THAT(svg, HasSubstr("<rect class=\"box failed\""));
	EXPECT_THAT(svg, HasSubstr(">vault.Sign</text>"));
	EXPECT_THAT(svg, HasSubstr("<title>vault → tpm\nbulkhead.File+dev ×1</title>"));
	EXPECT_THAT(svg, HasSubstr("<path class=\"refused\""));
	EXPECT_THAT(svg, HasSubstr("vault.Sign+&#60;k&#62; ×4"));
	EXPECT_THAT(svg, HasSubstr(">the operator</text>"));
	EXPECT_THAT(svg, Not(HasSubstr("<k>")));
}

TEST(Graph, is_the_same_for_the_same_status)
{
	Status status = status_of(STATUS);
	std::string const svg = svg_of(composition_of(status));
	std::swap(status.domains[0], status.domains[2]);
	std::swap(status.calls[0], status.calls[1]);
	EXPECT_EQ(svg_of(composition_of(status)), svg);
}

TEST(Graph, is_told_to_programs_too)
{
	auto const json = nlohmann::json::parse(json_of(composition_of(status_of(STATUS))));
	EXPECT_EQ(json["domains"].size(), 4U);
	EXPECT_EQ(json["calls"][1]["services"]["bulkhead.File+dev"], 1);
	EXPECT_EQ(json["refusals"][0]["caller"], "web");
	EXPECT_EQ(json["refusals"][0]["services"]["vault.Sign+<k>"], 4);
}

TEST(Layout, callers_lie_left_of_those_they_call)
{
	Layout const layout(composition_of(status_of(STATUS)));
	auto const &boxes = layout.boxes();
	EXPECT_LT(boxes.at("dom0").x, boxes.at("vault").x);
	EXPECT_LT(boxes.at("web").x, boxes.at("vault").x);
	EXPECT_LT(boxes.at("vault").x, boxes.at("tpm").x);
	for (auto const &[name, box] : boxes) {
		EXPECT_GE(box.y, 0) << name;
		EXPECT_LE(box.y + box.height, layout.height()) << name;
		EXPECT_LE(box.x + box.width, layout.width()) << name;
		for (auto const &[other, below] : boxes)
			if (name != other && box.column == below.column && box.y <= below.y) {
				EXPECT_LE(box.y + box.height, below.y) << name << " and " << other;
			}
	}
}

TEST(Layout, takes_circles_and_many_domains)
{
	Status status;
	for (int i = 0; i < 200; ++i) {
		std::string const name = "d" + std::to_string(i);
		status.domains.push_back({.name = name, .state = "running"});
		status.calls.push_back({name, "d" + std::to_string((i + 1) % 200), "a.B", 0});
		status.calls.push_back({name, name, "a.B", 0});
	}
	for (int i = 0; i < 100; ++i)
		status.domains.push_back({.name = "e" + std::to_string(i), .state = "stopped"});
	Layout const layout(composition_of(status));
	EXPECT_EQ(layout.boxes().size(), 300U);
	Layout const nothing(composition_of(Status{}));
	EXPECT_GT(nothing.width(), 0);
}

TEST(Systems, the_only_one_is_meant)
{
	EXPECT_EQ(choose_system({"demo"}, "").value(), "demo");
	EXPECT_EQ(choose_system({"a", "demo"}, "demo").value(), "demo");
	EXPECT_EQ(choose_system({}, "").error().what, "no system runs here");
	EXPECT_THAT(choose_system({}, "").error().remedy, HasSubstr("bulkhead run MANIFEST"));
	EXPECT_EQ(choose_system({"a", "b"}, "").error().what, "several systems run here: a, b");
	EXPECT_EQ(choose_system({"a", "b"}, "c").error().what, "no system 'c' runs here");
}

TEST(Table, says_times_and_sizes_as_people_do)
{
	EXPECT_EQ(duration_text(119'000'000), "119 s");
	EXPECT_EQ(duration_text(120'000'000), "2 min");
	EXPECT_EQ(duration_text(7'200'000'000), "2 h");
	EXPECT_EQ(duration_text(172'800'000'000), "2 d");
	EXPECT_EQ(size_text(512), "512 B");
	EXPECT_EQ(size_text(1536), "1.5 KiB");
	EXPECT_EQ(size_text(999 << 20), "999 MiB");
	EXPECT_EQ(size_text(1000ULL << 20), "1.0 GiB");
}

/* Why the operator's call was refused, "what; remedy". */
std::string why(std::string_view target, std::string_view service, std::string_view reason = "no")
{
	Status status = status_of(STATUS);
	status.refusals.push_back(
		{"dom0", std::string(target), std::string(service), std::string(reason), 1, 99000000});
	auto const trouble = why_refused(status, target, service);
	return trouble ? trouble->what + "; " + trouble->remedy : "";
}

TEST(Refusal, of_an_unknown_domain_names_those_there_are)
{
	EXPECT_EQ(
		why("valt", "vault.Sign"), "there is no domain 'valt' in demo; did you mean 'vault'?");
	EXPECT_EQ(why("x", "vault.Sign"), "there is no domain 'x' in demo; there are: tpm, vault, web");
	EXPECT_THAT(why("dom0", "vault.Sign"), HasSubstr("dom0 is the operator and no domain"));
	EXPECT_EQ(no_domain(Status{.system = "none"}, "x").remedy, "");
}

TEST(Refusal, of_an_unknown_service_names_those_that_are_offered)
{
	EXPECT_EQ(
		why("vault", "vault.Sing+k"), "vault doesn't offer vault.Sing; did you mean 'vault.Sign'?");
	EXPECT_EQ(why("tpm", "x"), "tpm doesn't offer x; there are: bulkhead.File");
	EXPECT_EQ(why("web", "web.Get"),
		"web offers no services; [domain.web.service.\"web.Get\"] in the manifest");
}

TEST(Refusal, tells_the_brokers_reason_where_names_are_right)
{
	EXPECT_EQ(why("vault", "vault.Sign", "too many calls to its target are live"),
		"too many calls to vault are live; bulkhead top shows live calls; more are permitted by "
		"`calls` in [domain.vault]");
	EXPECT_EQ(why("vault", "vault.Sign", "its target wasn't ready in time"),
		"vault wasn't ready in time; bulkhead logs vault");
	EXPECT_THAT(why("vault", "vault.Sign", "its caller has half of all calls"),
		HasSubstr("dom0 has half of all calls"));
}

TEST(Refusal, of_a_domain_that_has_ended_says_how)
{
	Status status = status_of(STATUS);
	status.domains[1].state = "failed";
	status.domains[1].last_end = "exit code 3";
	status.refusals.push_back({"dom0", "vault", "vault.Sign", "its target isn't running", 1, 9});
	auto const trouble = why_refused(status, "vault", "vault.Sign");
	ASSERT_TRUE(trouble);
	EXPECT_EQ(trouble->what, "vault isn't running (failed: exit code 3)");
	EXPECT_EQ(trouble->remedy, "bulkhead start vault; what it has said: bulkhead logs vault");
}

TEST(Refusal, is_only_explained_if_it_was_the_operators)
{
	// That of web is none of ours.
	EXPECT_FALSE(why_refused(status_of(STATUS), "vault", "vault.Sign+<k>"));
	// The status shows the beginning of a long name, and no characters that names don't have.
	Status status = status_of(STATUS);
	status.refusals.push_back({"dom0", "a_b", std::string(64, 'x'), "no", 1, 9});
	EXPECT_TRUE(why_refused(status, "a/b", std::string(100, 'x')));
	status.refusals.push_back({"dom0", "vault", "a_b", "no", 1, 9});
	auto const trouble = why_refused(status, "vault", "a/b");
	EXPECT_EQ(trouble.value().what, "no service is called 'a/b'");
}

TEST(Logs, the_last_lines_are_cut_off)
{
	EXPECT_EQ(last_lines("a\nb\nc\n", 2), "b\nc\n");
	EXPECT_EQ(last_lines("a\nb\nc", 2), "b\nc");
	EXPECT_EQ(last_lines("a\nb\n", 7), "a\nb\n");
	EXPECT_EQ(last_lines("\n\n", 1), "\n");
	EXPECT_EQ(last_lines("a\n", 0), "");
	EXPECT_EQ(last_lines("", 3), "");
}

} // namespace
} // namespace bulkhead::tool
