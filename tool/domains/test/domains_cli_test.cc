#include "tool/domains/test/fake_control.h"
#include "tool/test/process.h"

#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/mount.h>

namespace bulkhead::tool {
namespace {

using domain::Admin;
using linux_host::Gate;
using qrexec::Type;
using ::testing::HasSubstr;
using ::testing::StartsWith;

using Strings = std::vector<std::string>;

constexpr std::string_view SMALL_STATUS =
	R"({"system":"demo","pid":7,"now_us":9000000,"since_us":1000000,"weaker":[],"domains":[
{"name":"a","state":"running","log":"/nowhere/a.log"}],"calls":[],"refusals":[]})";

/* A run directory of its own, which the program is told of. */
class Domains_cli : public testing::Test
{
protected:
	std::string _folder;

	void SetUp() override
	{
		char name[] = "/tmp/bulkhead_domains_XXXXXX";
		ASSERT_NE(mkdtemp(name), nullptr);
		_folder = name;
		setenv("BULKHEAD_RUN_DIR", (_folder + "/run").c_str(), 1);
		setenv("BULKHEAD_BROKER", BULKHEAD_BROKER_PROGRAM, 1);
		setenv("BULKHEAD_COMPONENTS", BULKHEAD_COMPONENTS_DIRECTORY, 1);
		ASSERT_EQ(mkdir((_folder + "/run").c_str(), 0700), 0);
	}

	void TearDown() override { std::filesystem::remove_all(_folder); }

	std::string run_directory() const { return _folder + "/run"; }

	std::string write(std::string_view name, std::string_view text) const
	{
		std::string const path = _folder + "/" + std::string(name);
		std::ofstream(path) << text;
		return path;
	}

	static Outcome run(std::vector<std::string> words, std::string const &input = "/dev/null")
	{
		// A shell connects standard input.
		std::vector<std::string> all{
			"/bin/sh", "-c", "exec \"$0\" \"$@\" < " + input, BULKHEAD_PROGRAM};
		all.insert(all.end(), words.begin(), words.end());
		return Process(all).wait();
	}
};

using Tools = Domains_cli;

TEST_F(Tools, say_that_no_system_runs_and_how_to_start_one)
{
	for (std::vector<std::string> const &words :
		std::vector<std::vector<std::string>>{{"ps"}, {"top", "--once"}, {"graph"}, {"logs", "a"},
			{"stop", "a"}, {"stop", "--all"}, {"reload"}, {"mount", "a", "b", _folder}}) {
		Outcome const outcome = run(words);
		EXPECT_EQ(outcome.code, 11) << words[0];
		EXPECT_THAT(outcome.out,
			StartsWith("bulkhead: no system runs here\nbulkhead: try: "
					   "bulkhead run MANIFEST"))
			<< words[0];
	}
	EXPECT_EQ(run({"call", "a", "b"}).code, 125);
}

TEST_F(Tools, ask_which_of_several_systems_is_meant)
{
	auto const answer = Fake_control::after_hello([](Gate &gate, uint32_t, std::string_view) {
		Fake_control::status(gate, SMALL_STATUS);
		return true;
	});
	Fake_control const one(run_directory(), "demo", answer);
	Fake_control const two(run_directory(), "other", answer);
	Outcome const outcome = run({"ps"});
	EXPECT_EQ(outcome.code, 11);
	EXPECT_THAT(outcome.out, HasSubstr("several systems run here: demo, other"));
	EXPECT_EQ(run({"ps", "--system", "none"}).code, 11);
	EXPECT_THAT(run({"ps", "--system", "demo"}).out, HasSubstr("a       running"));
}

TEST_F(Tools, show_what_the_broker_says)
{
	Fake_control const broker(
		run_directory(), "demo", Fake_control::after_hello([](Gate &gate, uint32_t, auto) {
			Fake_control::status(gate, SMALL_STATUS);
			return true;
		}));
	EXPECT_THAT(run({"top", "--once"}).out, HasSubstr("demo: 1 of 1 domains run"));
	EXPECT_EQ(nlohmann::json::parse(run({"ps", "--json"}).out)["system"], "demo");
	EXPECT_THAT(run({"graph"}).out, StartsWith("<svg "));
	std::string const picture = _folder + "/x.svg";
	EXPECT_EQ(run({"graph", "-o", picture}).code, 0);
	EXPECT_GT(std::filesystem::file_size(picture), 100U);
	EXPECT_EQ(run({"graph", "-o", _folder + "/none/x.svg"}).code, 1);
	EXPECT_EQ(run({"logs", "a"}).out, "");
	EXPECT_THAT(run({"logs", "b"}).out, HasSubstr("there is no domain 'b'"));
}

TEST_F(Tools, tell_what_the_broker_could_not_do)
{
	Fake_control const broker(run_directory(), "demo",
		Fake_control::after_hello([](Gate &gate, uint32_t type, std::string_view body) {
			bool const starts = type == static_cast<uint32_t>(Admin::START) && body == "a";
			Fake_control::done(gate, starts ? 0 : ENOENT, starts ? "" : "there is no such domain");
			return true;
		}));
	EXPECT_EQ(run({"start", "a"}).code, 0);
	Outcome const outcome = run({"stop", "b"});
	EXPECT_EQ(outcome.code, 1);
	EXPECT_EQ(outcome.out, "bulkhead: b: there is no such domain\n");
}

TEST_F(Tools, end_when_the_broker_does)
{
	{
		Fake_control const broker(run_directory(), "demo",
			Fake_control::after_hello([](Gate &, uint32_t, auto) { return false; }));
		Outcome const outcome = run({"ps"});
		EXPECT_EQ(outcome.code, 8);
		EXPECT_THAT(outcome.out, HasSubstr("the broker of 'demo' has closed the connection"));
		EXPECT_EQ(run({"call", "a", "b"}).code, 125);
	}
	Outcome const outcome = run({"ps"});
	EXPECT_EQ(outcome.code, 11);
	EXPECT_THAT(outcome.out, HasSubstr("the broker of 'demo' has ended"));
}

TEST_F(Tools, notice_a_broker_that_speaks_something_else)
{
	Fake_control const broker(run_directory(), "demo", [](Gate &gate, uint32_t, auto) {
		Fake_control::send(gate, 0x999, "what");
		return true;
	});
	EXPECT_EQ(run({"ps"}).code, 9);
}

TEST_F(Tools, a_refused_call_says_so_as_in_qubes)
{
	Fake_control const broker(run_directory(), "demo",
		Fake_control::after_hello([](Gate &gate, uint32_t, std::string_view) {
			Fake_control::send(gate, static_cast<uint32_t>(Type::SERVICE_REFUSED),
				std::string(qrexec::IDENT_BYTES, '\0'));
			return true;
		}));
	Outcome const outcome = run({"call", "a", "b"});
	EXPECT_EQ(outcome.code, 126);
	EXPECT_EQ(outcome.out, "Request refused\n");
	EXPECT_EQ(run({"call", std::string(100, 'a'), "b"}).code, 125);
}

TEST_F(Tools, their_help_has_an_example_and_exit_codes)
{
	for (std::string const command :
		{"ps", "top", "call", "logs", "start", "stop", "restart", "reload", "mount", "graph"}) {
		std::string const help = run({command, "--help"}).out;
		EXPECT_THAT(help, HasSubstr("Example: bulkhead " + command)) << command;
		EXPECT_THAT(help, HasSubstr("Exit codes: ")) << command;
		EXPECT_THAT(help, HasSubstr("See bulkhead-domains(1)")) << command;
	}
}

TEST_F(Tools, wrong_use_is_told)
{
	EXPECT_EQ(run({"stop"}).code, 2);
	EXPECT_EQ(run({"stop", "a", "--all"}).code, 2);
	EXPECT_EQ(run({"top", "-d", "0"}).code, 2);
	EXPECT_EQ(run({"call", "a"}).code, 2);
	EXPECT_EQ(run({"run"}).code, 2);
	setenv("BULKHEAD_BROKER", "/nowhere/broker", 1);
	Outcome const outcome = run({"run", "x.toml"});
	EXPECT_EQ(outcome.code, 1);
	EXPECT_THAT(outcome.out, HasSubstr("/nowhere/broker: No such file or directory"));
}

/* With the real broker. */
class Whole_system : public Domains_cli
{
protected:
	static constexpr std::string_view MANIFEST = R"(
[system]
name = "whole"
permit_weaker = ["memory_limit", "cpu_limit", "process_limit", "landlock"]
rules = '* * @anyvm @anyvm deny'
[domain.echo]
component = "echo"
services = ["bulkhead.Echo"]
[domain.work]
files = ["/bin", "/usr", "/lib", "/lib64"]
[domain.work.service."work.Upper"]
command = ["/usr/bin/tr", "a-z", "A-Z"]
[domain.work.service."work.Endless"]
command = ["/usr/bin/yes"]
[domain.work.service."work.Fail"]
command = ["/bin/sh", "-c", "echo $QREXEC_SERVICE_ARGUMENT >&2; exit 7"]
)";

	std::optional<Process> _system{};

	void start(std::string_view manifest = MANIFEST)
	{
		std::string const path = write("whole.toml", manifest);
		_system.emplace(std::vector<std::string>{"/bin/sh", "-c",
			"exec \"$0\" run --ready-fd 1 \"$1\" 2>\"$2\"", BULKHEAD_PROGRAM, path,
			_folder + "/said"});
		ASSERT_TRUE(_system->await("READY=1")) << said();
	}

	std::string said() const
	{
		std::ifstream file(_folder + "/said");
		return {std::istreambuf_iterator<char>(file), {}};
	}

	void TearDown() override
	{
		// Killed, it would still be clearing up.
		if (_system && _system->child() > 0) (void)_system->stop();
		Domains_cli::TearDown();
	}
};

TEST_F(Whole_system, is_run_watched_called_and_stopped)
{
	start();
	EXPECT_THAT(run({"ps"}).out, HasSubstr("whole: 2 of 2 domains run"));
	std::string const input = write("input", "some words\n");
	Outcome const upper = run({"call", "work", "work.Upper"}, input);
	EXPECT_EQ(upper.code, 0) << upper.out << said();
	EXPECT_EQ(upper.out, "SOME WORDS\n");
	EXPECT_EQ(run({"call", "echo", "bulkhead.Echo"}, input).out, "some words\n");
	Outcome const failed = run({"call", "work", "work.Fail+why"});
	EXPECT_EQ(failed.code, 7);
	EXPECT_EQ(failed.out, "why\n");
	EXPECT_EQ(run({"call", "work", "work.None"}).code, 126);
	Outcome const local = run({"call", "work", "work.Upper", "--", "/bin/sh", "-c",
		"echo to; exec 1>&-; cat > " + _folder + "/back"});
	EXPECT_EQ(local.code, 0) << local.out;
	std::ifstream back(_folder + "/back");
	EXPECT_EQ(std::string(std::istreambuf_iterator<char>(back), {}), "TO\n");

	auto const status = nlohmann::json::parse(run({"ps", "--json"}).out);
	EXPECT_EQ(status["refusals"][0]["service"], "work.None");
	EXPECT_THAT(run({"graph"}).out, HasSubstr("class=\"refused\""));

	EXPECT_EQ(run({"stop", "echo"}).code, 0);
	EXPECT_THAT(run({"ps"}).out, HasSubstr("echo    stopped"));
	EXPECT_EQ(run({"start", "echo"}).code, 0);
	EXPECT_EQ(run({"restart", "echo"}).code, 0);
	EXPECT_THAT(run({"ps"}).out, HasSubstr("2 of 2 domains run"));
	EXPECT_EQ(run({"reload"}).code, 0);
	EXPECT_EQ(run({"logs", "echo"}).code, 0);
	EXPECT_EQ(run({"stop", "--all"}).code, 0);
	EXPECT_EQ(_system->wait().code, 0);
	EXPECT_EQ(run({"ps"}).code, 11);
}

TEST_F(Whole_system, tells_the_operator_why_something_was_refused)
{
	start();
	auto const refused = [&](std::string const &domain, std::string const &service) {
		Outcome const outcome = run({"call", domain, service});
		EXPECT_EQ(outcome.code, 126);
		return outcome.out;
	};
	EXPECT_EQ(refused("wrok", "work.Upper"),
		"Request refused\nbulkhead: there is no domain 'wrok' in whole\n"
		"bulkhead: try: did you mean 'work'?\n");
	EXPECT_EQ(refused("work", "work.Uper"),
		"Request refused\nbulkhead: work doesn't offer work.Uper\n"
		"bulkhead: try: did you mean 'work.Upper'?\n");
	EXPECT_THAT(refused("work", "work/Upper"), HasSubstr("no service is called 'work/Upper'"));
	EXPECT_EQ(run({"stop", "work"}).code, 0);
	EXPECT_THAT(refused("work", "work.Upper"), HasSubstr("work isn't running (stopped"));
	EXPECT_THAT(run({"stop", "wrok"}).out, HasSubstr("did you mean 'work'?"));
	EXPECT_THAT(run({"mount", "wrok", "all", _folder}).out, HasSubstr("did you mean 'work'?"));
	EXPECT_THAT(run({"logs", "wrok"}).out, HasSubstr("did you mean 'work'?"));
}

TEST_F(Whole_system, loses_no_output_without_a_word)
{
	start();
	auto const shell = [&](std::string const &line) {
		return Process({"/bin/sh", "-c", line, BULKHEAD_PROGRAM}).wait();
	};
	std::string const input = write("input", "some words\n");
	for (std::string const &call : Strings{"work.Upper <" + input, "work.Endless </dev/null"}) {
		Outcome const outcome = shell("\"$0\" call work " + call + " >/dev/full");
		EXPECT_EQ(outcome.code, 125) << call;
		EXPECT_THAT(outcome.out, HasSubstr("standard output can't be written: No space left"));
	}
	Outcome const ps = shell("\"$0\" ps >/dev/full");
	EXPECT_EQ(ps.code, 1);
	EXPECT_THAT(ps.out, HasSubstr("standard output can't be written: No space left"));
	// Without a reader it ends as any filter does.
	std::string const code = _folder + "/code";
	Outcome const unread = shell("{ \"$0\" call work work.Endless </dev/null; echo $? >" + code +
		"; } | head -n 1; cat " + code);
	EXPECT_EQ(unread.out, "y\n141\n");
}

TEST_F(Whole_system, is_completed_by_the_shell)
{
	if (access("/bin/bash", X_OK) != 0) GTEST_SKIP() << "needs bash";
	start();
	EXPECT_EQ(run({"ps", "--services", "echo"}).out, "bulkhead.Echo\n");
	EXPECT_EQ(run({"ps", "--services", "none"}).code, 1);
	auto const completed = [&](std::string const &words) {
		return Process({"/bin/bash", "-c",
						   "bulkhead() { " BULKHEAD_PROGRAM " \"$@\"; }\n"
						   ". <(bulkhead completion bash)\n"
						   "COMP_WORDS=(" +
							   words +
							   ") COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n"
							   "_bulkhead; echo \"${COMPREPLY[*]}\""})
			.wait()
			.out;
	};
	for (std::string const command : {"call", "logs", "start", "stop", "restart", "mount"})
		EXPECT_EQ(completed("bulkhead " + command + " ''"), "echo work\n") << command;
	EXPECT_EQ(completed("bulkhead call work work.U"), "work.Upper\n");
	EXPECT_EQ(completed("bulkhead call --system whole echo ''"), "bulkhead.Echo\n");
	EXPECT_EQ(completed("bulkhead ps --services w"), "work\n");
}

TEST_F(Whole_system, is_checked_without_being_started)
{
	std::string const good = write("good.toml", MANIFEST);
	Outcome const outcome = run({"run", "--check", good});
	EXPECT_EQ(outcome.code, 0) << outcome.out;
	std::string const bad = write("bad.toml", "[domain.a]\ncomponent = 'x'\nneed = ['b']\n");
	Outcome const faults = run({"run", "--check", bad});
	EXPECT_EQ(faults.code, 3) << faults.out;
	EXPECT_THAT(faults.out,
		HasSubstr("bad.toml:3:1: unknown key 'need' in [domain.a]; did you mean 'needs'?"));
}

TEST_F(Whole_system, runs_once)
{
	start();
	Outcome const second = run({"run", _folder + "/whole.toml"});
	EXPECT_EQ(second.code, 13) << second.out;
	EXPECT_THAT(second.out, HasSubstr("runs already"));
	EXPECT_EQ(_system->stop().code, 0);
}

TEST_F(Whole_system, its_files_are_mounted_while_servers_come_and_go)
{
	if (geteuid() != 0 || access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "needs FUSE";
	start(R"(
[system]
permit_weaker = ["memory_limit", "cpu_limit", "process_limit", "landlock"]
rules = '* * @anyvm @anyvm deny'
[domain.store]
component = "files"
services = ["bulkhead.File"]
config = '''
[file."/hello"]
plugin = "inline"
text = "hello\n"
[export.all]
path = "/"
'''
)");
	std::string const place = _folder + "/mnt";
	ASSERT_EQ(mkdir(place.c_str(), 0700), 0);
	Outcome const none = run({"mount", "store", "none", place});
	EXPECT_EQ(none.code, 1);
	EXPECT_THAT(none.out, HasSubstr("store doesn't serve 'none': there is no export 'none' here"));
	EXPECT_EQ(run({"mount", "store", "all", _folder + "/nowhere"}).code, 4);
	Process mount({BULKHEAD_PROGRAM, "mount", "store", "all", place});
	auto const hello = [&] {
		std::ifstream file(place + "/hello");
		return std::string(std::istreambuf_iterator<char>(file), {});
	};
	auto const awaited = [&] {
		for (int i = 0; i < 1000 && hello() != "hello\n"; ++i) usleep(10'000);
		return hello();
	};
	EXPECT_EQ(awaited(), "hello\n");
	EXPECT_EQ(run({"restart", "store"}).code, 0);
	EXPECT_EQ(awaited(), "hello\n");
	int const held = open((place + "/hello").c_str(), O_RDONLY | O_CLOEXEC);
	EXPECT_GE(held, 0);
	Outcome const outcome = mount.stop();
	close(held);
	EXPECT_EQ(outcome.code, 0) << outcome.out;
	EXPECT_EQ(hello(), "");
	EXPECT_EQ(run({"stop", "--all"}).code, 0);
}

} // namespace
} // namespace bulkhead::tool
