#include "component/broker/test/support.h"

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

namespace bulkhead::broker::test {
namespace {

using domain::Admin;

constexpr std::string_view TWO = R"(
rules = '''
bulkhead.Echo * client server allow
* * @adminvm @anyvm allow
'''
[domain.server]
component = "echo"
services = ["*"]
[domain.client]
component = "echo"
services = ["*"]
)";

constexpr std::string_view RULES = "rules = '* * @anyvm @anyvm allow'\n";

std::string misbehaving(std::string_view name, std::string_view how, std::string_view more = {})
{
	return "[domain." + std::string(name) + "]\ncomponent = \"misbehave\"\nconfig = \"" +
		std::string(how) + "\"\nservices = [\"*\"]\n" + std::string(more);
}

std::string text_of_file(std::string const &path)
{
	std::ifstream file(path);
	std::string text;
	std::getline(file, text, '\0');
	return text;
}

/* The process of a broker's that writes logs, or 0. */
int writer_of(int broker)
{
	for (auto const &each : std::filesystem::directory_iterator("/proc")) {
		std::string const stat = text_of_file(each.path() / "stat");
		if (!stat.contains("(bulkhead-log-wr) S " + std::to_string(broker) + " ")) continue;
		return std::stoi(each.path().filename());
	}
	return 0;
}

class A_broker : public System
{};

TEST_F(A_broker, connects_calls_as_the_policy_says)
{
	ASSERT_TRUE(start_with(TWO));
	Operator operated(socket());
	ASSERT_TRUE(operated.connected());
	int code = -1;
	std::string const done =
		outcome(operated.call("client", "bulkhead.Caller+server+10+1+bulkhead.Echo"), code);
	EXPECT_EQ(code, 0);
	EXPECT_TRUE(done.starts_with("calls 10 failed 0 ")) << done;
	std::string const refused =
		outcome(operated.call("server", "bulkhead.Caller+client+10+1+bulkhead.Echo"), code);
	EXPECT_TRUE(refused.starts_with("calls 10 failed 10 ")) << refused;
	auto const client = operated.status_of("client");
	EXPECT_EQ(client["calls_made"], 10);
	EXPECT_EQ(operated.status_of("server")["calls_refused"], 10);
	EXPECT_EQ(operated.status()["refusals"][0]["caller"], "server");
	EXPECT_EQ(stop(), 0);
}

TEST_F(A_broker, starts_what_has_failed_anew_but_not_without_end)
{
	std::string const restarts = "restart = \"always\"\n";
	ASSERT_TRUE(start_with(std::string(RULES) + misbehaving("bad", "fail", restarts)));
	Operator operated(socket());
	ASSERT_TRUE(until([&] { return operated.status_of("bad")["starts"] >= 3; }));
	EXPECT_EQ(operated.status_of("bad")["last_end"], "exit code 3");
	EXPECT_LT(operated.status_of("bad")["starts"], 20) << "it waits longer each time";
	EXPECT_EQ(stop(), 0);
}

TEST_F(A_broker, stops_and_starts_as_the_operator_says)
{
	ASSERT_TRUE(start_with(TWO));
	Operator operated(socket());
	auto const pid = operated.status_of("server")["pid"];
	EXPECT_EQ(operated.ask(Admin::STOP, "server").error, 0);
	EXPECT_FALSE(alive(pid));
	EXPECT_EQ(operated.status_of("server")["state"], "stopped");
	EXPECT_EQ(operated.ask(Admin::START, "server").error, 0);
	EXPECT_EQ(operated.status_of("server")["state"], "running");
	EXPECT_EQ(operated.ask(Admin::RESTART, "server").error, 0);
	EXPECT_EQ(operated.status_of("server")["starts"], 3);
	EXPECT_NE(operated.ask(Admin::START, "nobody").error, 0);
	EXPECT_EQ(operated.ask(Admin::SHUT_DOWN).error, 0);
	EXPECT_EQ(exit_code(), 0);
}

TEST_F(A_broker, that_is_killed_leaves_domains_and_calls_running)
{
	ASSERT_TRUE(start_with(TWO));
	Operator before(socket());
	linux_host::Channel_end open = before.call("server", "bulkhead.Source+100000");
	auto const status = before.status(); // it has told the server, too, when it answers this
	auto const server = before.status_of("server")["pid"];
	ASSERT_EQ(kill(status["pid"], SIGKILL), 0);
	int code = -1;
	EXPECT_EQ(outcome(std::move(open), code).size(), 100'000U);
	EXPECT_EQ(code, 0);
	ASSERT_TRUE(until([&] { return Operator(socket()).connected(); }));
	Operator after(socket());
	ASSERT_TRUE(until_state(after, "server", "running"));
	ASSERT_TRUE(until_state(after, "client", "running"));
	EXPECT_NE(after.status()["pid"], status["pid"]);
	EXPECT_EQ(after.status_of("server")["pid"], server);
	std::string const done =
		outcome(after.call("client", "bulkhead.Caller+server+10+1+bulkhead.Echo"), code);
	EXPECT_TRUE(done.starts_with("calls 10 failed 0 ")) << done;
	ASSERT_EQ(kill(server, SIGKILL), 0);
	ASSERT_TRUE(until([&] { return after.status_of("server")["starts"] == 1; }))
		<< "the new one starts anew what it has adopted";
	EXPECT_EQ(stop(), 0);
}

TEST_F(A_broker, that_takes_over_leaves_alone_what_was_stopped)
{
	ASSERT_TRUE(start_with(TWO));
	Operator before(socket());
	ASSERT_EQ(before.ask(Admin::STOP, "client").error, 0);
	ASSERT_EQ(kill(before.status()["pid"], SIGKILL), 0);
	ASSERT_TRUE(until([&] { return Operator(socket()).connected(); }));
	Operator after(socket());
	ASSERT_TRUE(until_state(after, "server", "running"));
	EXPECT_EQ(after.status_of("client")["state"], "stopped");
	EXPECT_EQ(after.ask(Admin::START, "client").error, 0);
	EXPECT_EQ(stop(), 0);
}

TEST_F(A_broker, that_takes_over_again_and_again_has_no_more_kept)
{
	ASSERT_TRUE(start_with(TWO));
	ASSERT_EQ(Operator(socket()).ask(Admin::STOP, "client").error, 0);
	int pid = Operator(socket()).status()["pid"];
	for (unsigned i = 0; i < 2; ++i) {
		ASSERT_EQ(kill(pid, SIGKILL), 0);
		ASSERT_TRUE(until([&] { return Operator(socket()).connected(); }));
		pid = Operator(socket()).status()["pid"];
	}
	// What it was given by its keeper.
	std::ifstream variables("/proc/" + std::to_string(pid) + "/environ");
	std::string const all{std::istreambuf_iterator<char>(variables), {}};
	size_t const first = all.find("client.down");
	ASSERT_NE(first, all.npos);
	EXPECT_EQ(all.find("client.down", first + 1), all.npos);
	EXPECT_EQ(stop(), 0);
}

TEST_F(A_broker, ends_what_an_earlier_one_has_left_and_no_manifest_has)
{
	ASSERT_TRUE(start_with(std::string(TWO) + misbehaving("gone", "")));
	Operator before(socket());
	auto const gone = before.status_of("gone")["pid"];
	write_manifest(TWO);
	ASSERT_EQ(kill(before.status()["pid"], SIGKILL), 0);
	ASSERT_TRUE(until([&] { return Operator(socket()).connected(); }));
	EXPECT_TRUE(until([&] { return !alive(gone); }));
	EXPECT_EQ(stop(), 0);
}

TEST_F(A_broker, leaves_nothing_behind_but_logs)
{
	ASSERT_TRUE(start_with(std::string(TWO) + misbehaving("talks", "say hello\\nyou\\u001b[31m")));
	Operator operated(socket());
	auto const status = operated.status();
	EXPECT_EQ(stop(), 0);
	for (auto const &each : status["domains"]) EXPECT_FALSE(alive(each["pid"]));
	EXPECT_FALSE(alive(status["pid"]));
	std::vector<std::string> left;
	for (auto const &each : std::filesystem::directory_iterator(path("run/test")))
		left.push_back(each.path().filename());
	EXPECT_EQ(left, std::vector<std::string>{"talks.log"});
	std::string const log = read_file("run/test/talks.log");
	EXPECT_NE(log.find("Z hello\n2"), log.npos) << log;
	EXPECT_NE(log.find("Z you?[31m\n"), log.npos) << log;
}

TEST_F(A_broker, says_who_runs_the_system_already)
{
	ASSERT_TRUE(start_with(TWO));
	auto const pid = Operator(socket()).status()["pid"].get<int>();

	std::string const command = std::string(BROKER) + " --run-dir=" + path("run") + " " +
		path("test.toml") + " 2>" + path("second");
	int const status = system(command.c_str());
	EXPECT_EQ(WEXITSTATUS(status), 13);
	EXPECT_NE(read_file("second").find("process " + std::to_string(pid) + ";"), std::string::npos);
	EXPECT_EQ(stop(), 0);
}

TEST_F(A_broker, tells_all_faults_of_a_manifest_before_it_starts_anything)
{
	write_manifest(R"(rules = "* * work @anyvm allwo"
[domain.a]
component = "no_such"
[domain.b]
component = "echo"
[domain.b.device.wire]
path = "/dev/no_such"
[domain.c]
program = ["/usr/bin/no_such"]
files = ["/usr"]
[domain.c.service."a.Call"]
command = ["/usr/bin/no_such_service"]
)");
	EXPECT_EQ(run(), 3);
	std::string const faults = said();
	EXPECT_NE(faults.find("test.toml:5:"), faults.npos) << faults;
	EXPECT_NE(faults.find("no_such.toml"), faults.npos) << faults;
	EXPECT_NE(faults.find("/dev/no_such"), faults.npos) << faults;
	EXPECT_NE(faults.find("test.toml:14:"), faults.npos) << "the service's own line " << faults;
	EXPECT_FALSE(std::filesystem::exists(path("run"))) << "nothing was made";
}

TEST_F(A_broker, tells_faults_of_a_policy)
{
	write_manifest("rules = '''\n* * work @anyvm allwo\n'''\n[domain.a]\ncomponent = \"echo\"\n");
	EXPECT_EQ(run(), 3);
	EXPECT_NE(said().find("test.toml:5:"), std::string::npos) << said();
}

TEST_F(A_broker, only_looks_for_faults_if_that_is_asked_for)
{
	write_manifest(TWO);
	EXPECT_EQ(run({"--check"}), 0);
	EXPECT_NE(said().find("test.toml: no faults, 2 domains\n"), std::string::npos);
	EXPECT_FALSE(std::filesystem::exists(path("run")));
}

TEST_F(A_broker, reads_the_manifest_again_without_disturbing_what_is_the_same)
{
	ASSERT_TRUE(start_with(TWO));
	Operator operated(socket());
	auto const server = operated.status_of("server")["pid"];
	auto const client = operated.status_of("client")["pid"];
	write_manifest(std::string(TWO) + "tags = [\"changed\"]\n" + misbehaving("new", ""));
	EXPECT_EQ(operated.ask(Admin::RELOAD).error, 0);
	ASSERT_TRUE(until_state(operated, "new", "running"));
	ASSERT_TRUE(until_state(operated, "client", "running"));
	EXPECT_EQ(operated.status_of("server")["pid"], server);
	write_manifest("nonsense");
	auto const answer = operated.ask(Admin::RELOAD);
	EXPECT_NE(answer.error, 0);
	EXPECT_NE(answer.text.find("test.toml:4"), std::string::npos) << answer.text;
	EXPECT_EQ(operated.status_of("new")["state"], "running") << "what was before stays";
	write_manifest(TWO);
	signal(SIGHUP);
	EXPECT_TRUE(until([&] { return operated.status_of("new").is_null(); }));
	EXPECT_EQ(stop(), 0);
}

TEST_F(A_broker, ends_a_domain_that_breaks_the_protocol)
{
	std::string const never = "restart = \"never\"\n";
	ASSERT_TRUE(start_with(
		std::string(RULES) + misbehaving("bad", "wrong message", never) + misbehaving("good", "")));
	Operator operated(socket());
	EXPECT_TRUE(until_state(operated, "bad", "failed"));
	EXPECT_EQ(operated.status_of("good")["state"], "running");
	EXPECT_EQ(stop(), 0);
}

TEST_F(A_broker, serves_others_while_some_flood_it)
{
	ASSERT_TRUE(start_with(std::string(TWO) + misbehaving("flood", "flood gate") +
		misbehaving("quiet", "") + misbehaving("loud", "flood log", "log = \"64 KiB\"\n")));
	Operator operated(socket());
	int code = -1;
	std::string const done =
		outcome(operated.call("client", "bulkhead.Caller+server+100+1+bulkhead.Echo"), code);
	EXPECT_TRUE(done.starts_with("calls 100 failed 0 ")) << done;
	std::string const log = path("run/test/loud.log");
	EXPECT_TRUE(until([&] { return std::filesystem::exists(log + ".1"); })) << "it is rotated";
	EXPECT_EQ(stop(), 0);
	EXPECT_LE(std::filesystem::file_size(log) + std::filesystem::file_size(log + ".1"), 3 * 65536U);
}

TEST_F(A_broker, kills_a_domain_that_does_not_end)
{
	ASSERT_TRUE(start_with(std::string(RULES) + misbehaving("stays", "stubborn")));
	auto const pid = Operator(socket()).status_of("stays")["pid"];
	EXPECT_EQ(stop(), 0);
	EXPECT_FALSE(alive(pid));
}

TEST_F(A_broker, ends_with_its_keeper)
{
	ASSERT_TRUE(start_with(TWO));
	Operator operated(socket());
	auto const status = operated.status();
	signal(SIGKILL);
	EXPECT_EQ(exit_code(), -SIGKILL);
	EXPECT_TRUE(until([&] { return !alive(status["pid"]); }));
	for (auto const &each : status["domains"]) EXPECT_FALSE(alive(each["pid"]));
	EXPECT_FALSE(std::filesystem::exists(socket()));
}

TEST_F(A_broker, that_is_away_when_it_is_to_end_is_followed_by_one_that_leaves_nothing_behind)
{
	ASSERT_TRUE(start_with(TWO));
	auto const status = Operator(socket()).status();
	// The keeper hears of both at once.
	signal(SIGSTOP);
	ASSERT_EQ(kill(status["pid"], SIGKILL), 0);
	signal(SIGTERM);
	signal(SIGCONT);
	EXPECT_EQ(exit_code(), 0);
	for (auto const &each : status["domains"]) EXPECT_FALSE(alive(each["pid"]));
	EXPECT_FALSE(std::filesystem::exists(path("run/test")));
}

TEST_F(A_broker, ends_what_is_left_when_an_earlier_one_was_killed_with_its_keeper)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	ASSERT_TRUE(start_with(std::string(RULES) + misbehaving("stays", "stubborn")));
	auto const status = Operator(socket()).status();
	int const broker = status["pid"], stays = status["domains"][0]["pid"];
	ASSERT_EQ(kill(broker, SIGSTOP), 0);
	signal(SIGKILL);
	EXPECT_EQ(exit_code(), -SIGKILL);
	ASSERT_EQ(kill(broker, SIGKILL), 0);
	ASSERT_EQ(waitpid(broker, nullptr, 0), broker);
	ASSERT_EQ(waitpid(stays, nullptr, WNOHANG), 0) << "it has ended by itself";
	// A number that another process has by now.
	write_file("run/test/other.process", std::to_string(getpid()) + " 1");
	ASSERT_TRUE(start_with(std::string(RULES) + misbehaving("stays", "")));
	EXPECT_EQ(waitpid(stays, nullptr, WNOHANG), stays);
	EXPECT_TRUE(said().contains("stays was left by an earlier broker")) << said();
	EXPECT_NE(Operator(socket()).status_of("stays")["pid"], stays);
	EXPECT_EQ(stop(), 0);
	EXPECT_FALSE(std::filesystem::exists(path("run/test/other.process")));
	EXPECT_FALSE(std::filesystem::exists(path("run/test/stays.process")));
}

TEST_F(A_broker, starts_a_writer_of_logs_again_and_again)
{
	ASSERT_TRUE(start_with(std::string(RULES) + misbehaving("loud", "flood log")));
	int const broker = Operator(socket()).status()["pid"];
	int writer = 0;
	for (unsigned i = 0; i < 3; ++i) {
		ASSERT_TRUE(until([&] { return (writer = writer_of(broker)) > 0; })) << i;
		ASSERT_EQ(kill(writer, SIGKILL), 0);
		ASSERT_TRUE(until([&] { return !alive(writer); }));
	}
	std::string const log = path("run/test/loud.log");
	ASSERT_TRUE(until([&] { return writer_of(broker) > 0; }));
	std::filesystem::remove(log);
	EXPECT_TRUE(until([&] { return std::filesystem::exists(log); })) << "nothing is written";
	EXPECT_EQ(stop(), 0);
}

TEST_F(A_broker, refuses_for_want_of_descriptors_and_goes_on_when_there_are_some)
{
	ASSERT_TRUE(start_with(TWO));
	Operator operated(socket());
	int const broker = operated.status()["pid"];
	std::string const open = "/proc/" + std::to_string(broker) + "/fd/";
	auto const lowest_free = [&] {
		rlim_t number = 0;
		while (std::filesystem::is_symlink(open + std::to_string(number))) ++number;
		return number;
	};
	rlim_t const at_first = lowest_free();
	rlimit before{};
	ASSERT_EQ(prlimit(broker, RLIMIT_NOFILE, nullptr, &before), 0);
	int code = -1;
	auto const ten_calls = [&] {
		return outcome(operated.call("client", "bulkhead.Caller+server+10+1+bulkhead.Echo"), code);
	};
	auto const allow = [&](rlim_t more) {
		rlimit const few{.rlim_cur = lowest_free() + more, .rlim_max = before.rlim_max};
		ASSERT_EQ(prlimit(broker, RLIMIT_NOFILE, &few, nullptr), 0);
	};
	for (rlim_t more = 0; more < 12; ++more) {
		allow(more);
		(void)ten_calls();
		EXPECT_NE(operated.ask(Admin::RESTART, "server").error, 0) << more;
		(void)operated.ask(Admin::RELOAD);
		EXPECT_FALSE(operated.status_of("server")["last_end"].get<std::string>().contains("lacks"))
			<< "it is no lack of the machine";
		ASSERT_EQ(prlimit(broker, RLIMIT_NOFILE, &before, nullptr), 0);
		EXPECT_EQ(operated.ask(Admin::START, "server").error, 0) << more;
		EXPECT_TRUE(ten_calls().starts_with("calls 10 failed 0 ")) << more;
	}
	EXPECT_TRUE(said().contains("memory or descriptors are lacking")) << said();
	EXPECT_TRUE(said().contains("Too many open files; raise ulimit -n")) << said();
	allow(0);
	// Whom it can't take in it sends away, rather than to look for ever who it is.
	EXPECT_FALSE(Operator(socket()).connected());
	ASSERT_EQ(prlimit(broker, RLIMIT_NOFILE, &before, nullptr), 0);
	EXPECT_TRUE(Operator(socket()).connected());
	EXPECT_TRUE(until([&] { return lowest_free() <= at_first; })) << lowest_free();
	EXPECT_EQ(stop(), 0);
}

TEST_F(A_broker, tells_systemd_how_it_is)
{
	sockaddr_un at{.sun_family = AF_UNIX, .sun_path = {}};
	strncpy(at.sun_path, path("notify").c_str(), sizeof(at.sun_path) - 1);
	linux_host::Owned_fd systemd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
	ASSERT_EQ(bind(systemd.value(), reinterpret_cast<sockaddr *>(&at), sizeof(at)), 0);
	setenv("NOTIFY_SOCKET", at.sun_path, 1);
	EXPECT_TRUE(start_with(TWO));
	unsetenv("NOTIFY_SOCKET");
	std::string told;
	while (!told.contains("READY=1\n")) {
		std::array<char, 4096> text;
		ssize_t const size = read(systemd.value(), text.data(), text.size());
		ASSERT_GT(size, 0);
		told.append(text.data(), static_cast<size_t>(size)).append("\n");
	}
	EXPECT_TRUE(told.contains("STATUS=2 of 2 domains run\nWATCHDOG=1\n")) << told;
	EXPECT_EQ(stop(), 0);
}

TEST_F(A_broker, goes_on_when_there_is_no_room_for_logs)
{
	std::string const place = path("small");
	std::filesystem::create_directory(place);
	if (mount("none", place.c_str(), "tmpfs", 0, "size=16k") != 0) GTEST_SKIP() << "not permitted";
	extra = "logs = \"" + place + "\"\n";
	EXPECT_TRUE(start_with(std::string(TWO) + misbehaving("loud", "flood log")));
	EXPECT_TRUE(until([&] { return said().find("No space left") != std::string::npos; }));
	Operator operated(socket());
	int code = -1;
	std::string const done =
		outcome(operated.call("client", "bulkhead.Caller+server+10+1+bulkhead.Echo"), code);
	EXPECT_TRUE(done.starts_with("calls 10 failed 0 ")) << done;
	EXPECT_EQ(operated.status_of("loud")["state"], "running");
	EXPECT_EQ(stop(), 0);
	umount2(place.c_str(), MNT_DETACH);
}

} // namespace
} // namespace bulkhead::broker::test
