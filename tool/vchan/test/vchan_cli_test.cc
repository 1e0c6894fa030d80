// The real program, both ends of a channel, over both transports.

#include "sdk/libvchan/vchan.h"
#include "tool/test/process.h"

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

namespace {

using bulkhead::tool::Outcome;
using bulkhead::tool::Process;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;
using Json = nlohmann::json;

enum { OK, FAILURE, USAGE, CONNECT = 7, PEER_DIED = 8, PEER_BROKE = 9, NOT_FOUND = 127 };

constexpr size_t MUCH = 64 << 20;

std::string contents(fs::path const &path)
{
	std::ifstream file(path, std::ios::binary);
	return {std::istreambuf_iterator<char>(file), {}};
}

/* Domain 1 serves domain 2. */
class Vchan_cli : public ::testing::TestWithParam<char const *>
{
protected:
	fs::path _directory{};

	void SetUp() override
	{
		char name[] = "/tmp/bulkhead_vchan_cli.XXXXXX";
		_directory = mkdtemp(name);
		for (char const *const folder : {"meet", "tmp"}) {
			fs::create_directory(_directory / folder);
			fs::permissions(_directory / folder, fs::perms::owner_all);
		}
		setenv("BULKHEAD_VCHAN", GetParam(), 1);
		setenv("BULKHEAD_VCHAN_DIR", (_directory / "meet").c_str(), 1);
		setenv("VCHAN_SOCKET_DIR", (_directory / "meet").c_str(), 1);
		setenv("TMPDIR", (_directory / "tmp").c_str(), 1);
		setenv("DIR", _directory.c_str(), 1);
		setenv("BULKHEAD", BULKHEAD_PROGRAM, 1);
		setenv("LISTEN", BULKHEAD_PROGRAM " vchan listen 2 -d 1", 1);
		setenv("CONNECT", BULKHEAD_PROGRAM " vchan connect 1 -d 2", 1);
	}

	void TearDown() override
	{
		EXPECT_TRUE(fs::is_empty(_directory / "tmp")) << "a file was left behind";
		EXPECT_TRUE(fs::is_empty(_directory / "meet")) << "a name was left behind";
		fs::remove_all(_directory);
	}

	/* Of a side that the other hasn't heard to the end: a socket may tell that as a death. */
	::testing::Matcher<int> const UNREAD =
		_shm() ? ::testing::Matcher<int>(FAILURE) : ::testing::AnyOf(FAILURE, PEER_DIED);

	static bool _shm() { return std::string(GetParam()) == "shm"; }

	/* A command of the shell, whose variables are those above. */
	static Process _start(std::string const &command) { return Process({"bash", "-c", command}); }
	static Outcome _run(std::string const &command) { return _start(command).wait(); }

	/* A server that is there when this returns. Standard input as the command says. */
	static Process _listen(std::string const &arguments)
	{
		return _start("exec $LISTEN -v " + arguments);
	}

	std::string _read(char const *name) const { return contents(_directory / name); }

	/* More than anybody will ever read. */
	void _make_endless() const
	{
		std::ofstream(_directory / "endless") << "y\ny\n";
		fs::resize_file(_directory / "endless", uintmax_t{1} << 40);
	}

	void _make_noise(char const *name, size_t bytes, unsigned seed) const
	{
		std::mt19937_64 random(seed);
		std::vector<uint64_t> words(bytes / sizeof(uint64_t));
		for (uint64_t &word : words) word = random();
		std::ofstream(_directory / name, std::ios::binary)
			.write(
				reinterpret_cast<char const *>(words.data()), static_cast<std::streamsize>(bytes));
	}
};

INSTANTIATE_TEST_SUITE_P(Transport, Vchan_cli, ::testing::Values("shm", "socket"),
	[](auto const &test) { return std::string(test.param); });

TEST_P(Vchan_cli, everything_arrives_both_ways)
{
	_make_noise("a", MUCH, 1);
	_make_noise("b", MUCH, 2);
	Process server = _start("exec $LISTEN < $DIR/a > $DIR/from_client");
	EXPECT_EQ(_run("$CONNECT < $DIR/b > $DIR/from_server").code, OK);
	EXPECT_EQ(server.wait().code, OK);
	EXPECT_TRUE(_read("from_client") == _read("b"));
	EXPECT_TRUE(_read("from_server") == _read("a"));
}

TEST_P(Vchan_cli, a_side_that_has_finished_still_receives)
{
	Process server = _start("exec $LISTEN -- sh -c 'sha256sum; seq 1 200000'");
	EXPECT_EQ(_run("seq 1 300000 | $CONNECT > $DIR/got").code, OK);
	EXPECT_EQ(server.wait().code, OK);
	EXPECT_EQ(_run("(seq 1 300000 | sha256sum; seq 1 200000) | cmp - $DIR/got").code, OK);
}

TEST_P(Vchan_cli, what_was_sent_before_the_client_came_is_not_lost)
{
	Process server = _start("echo early | $LISTEN");
	Outcome const client = _run("$CONNECT < /dev/null");
	EXPECT_EQ(client.code, OK);
	EXPECT_EQ(client.out, "early\n");
	EXPECT_EQ(server.wait().code, OK);
}

TEST_P(Vchan_cli, a_slow_reader_gets_everything)
{
	_make_noise("a", 1 << 20, 3);
	Process server = _start("exec $LISTEN < $DIR/a");
	EXPECT_EQ(_run("$CONNECT < /dev/null | dd bs=512 iflag=fullblock status=none of=$DIR/got; "
				   "cmp $DIR/a $DIR/got")
				  .code,
		OK);
	EXPECT_EQ(server.wait().code, OK);
}

TEST_P(Vchan_cli, a_ring_of_a_byte_will_do)
{
	Process server = _start("seq 1 2000 | $LISTEN --size 1");
	EXPECT_EQ(_run("$CONNECT < /dev/null | cmp - <(seq 1 2000)").code, OK);
	EXPECT_EQ(server.wait().code, OK);
}

TEST_P(Vchan_cli, a_channel_may_go_one_way)
{
	Process server = _start("exec $LISTEN --size 64k:0 --json");
	if (!_shm()) {
		Outcome const outcome = server.wait();
		EXPECT_EQ(outcome.code, USAGE);
		EXPECT_THAT(outcome.out, HasSubstr("one way"));
		return;
	}
	EXPECT_EQ(_run("seq 1 1000 | $CONNECT").code, OK);
	Outcome const outcome = server.wait();
	EXPECT_EQ(outcome.code, OK);
	EXPECT_THAT(outcome.out, HasSubstr("\n1000\n"));
	EXPECT_THAT(outcome.out, HasSubstr(R"("write_bytes":0)"));
}

TEST_P(Vchan_cli, a_commands_status_is_ours)
{
	auto const served = [](std::string const &command) {
		Process server = _start("exec $LISTEN -- " + command);
		(void)_run("echo hello | $CONNECT");
		return server.wait();
	};
	EXPECT_EQ(served("cat").code, OK);
	EXPECT_EQ(served("sh -c 'cat; exit 42'").code, 42);
	EXPECT_EQ(served("sh -c 'kill -9 $$'").code, 128 + SIGKILL);
	Outcome const missing = served("/nonexistent/program");
	EXPECT_EQ(missing.code, NOT_FOUND);
	EXPECT_THAT(missing.out, HasSubstr("/nonexistent/program can't be run"));
	EXPECT_EQ(served("/tmp").code, 126);
}

TEST_P(Vchan_cli, a_command_knows_who_is_there_and_has_its_usual_signals)
{
	Process server = _start("exec $LISTEN -- sh -c 'echo $BULKHEAD_VCHAN_PEER:$BULKHEAD_VCHAN_PORT;"
							" yes | head -n 1'");
	EXPECT_EQ(_run("$CONNECT < /dev/null").out, "2:512\ny\n");
	EXPECT_EQ(server.wait().code, OK);
}

TEST_P(Vchan_cli, a_command_that_reads_no_more_ends_the_channel)
{
	_make_endless();
	Process server = _start("exec $LISTEN -- head -n 2");
	Outcome const client = _run("$CONNECT < $DIR/endless");
	EXPECT_THAT(client.code, UNREAD);
	EXPECT_THAT(client.out, HasSubstr("y\ny"));
	EXPECT_EQ(server.wait().code, OK);
}

TEST_P(Vchan_cli, commands_on_both_sides)
{
	Process server = _start("exec $LISTEN -- tr a-z A-Z");
	EXPECT_EQ(_run("$CONNECT -- sh -c 'echo hello; exec >&-; cat >&2'").out, "HELLO\n");
	EXPECT_EQ(server.wait().code, OK);
}

TEST_P(Vchan_cli, one_client_after_another)
{
	Process server = _start("exec $LISTEN --keep -v -- cat");
	for (int i = 0; i < 5; i++) EXPECT_EQ(_run("echo hello | $CONNECT").out, "hello\n");
	Outcome const outcome = server.stop();
	EXPECT_EQ(outcome.code, OK);
	EXPECT_THAT(outcome.out, HasSubstr("client 2:512 is there"));
}

TEST_P(Vchan_cli, a_death_is_told_and_what_was_sent_before_is_kept)
{
	Process server = _start("mkfifo $DIR/fifo && exec $LISTEN -v <> $DIR/fifo");
	ASSERT_TRUE(server.await("waiting for client"));
	Process client = _start("echo $$; exec " BULKHEAD_PROGRAM " vchan cat 1 -d 2 -v");
	ASSERT_TRUE(server.await("is there"));
	std::ofstream(_directory / "fifo") << "last words\n" << std::flush;
	ASSERT_TRUE(client.await("last words"));
	EXPECT_EQ(server.stop(SIGKILL).code, 128 + SIGKILL);
	Outcome const outcome = client.wait();
	EXPECT_EQ(outcome.code, _shm() ? PEER_DIED : OK) << outcome.out;
	EXPECT_THAT(outcome.out, HasSubstr(_shm() ? "ended (died)" : "ended (in order)"));
}

TEST_P(Vchan_cli, a_signal_ends_this_side_in_order)
{
	Process alone = _listen("");
	ASSERT_TRUE(alone.await("waiting"));
	EXPECT_EQ(alone.stop(SIGINT).code, 128 + SIGINT);
	Process server = _start("mkfifo $DIR/fifo && exec $LISTEN -v <> $DIR/fifo");
	Process client = _start("exec " BULKHEAD_PROGRAM " vchan cat 1 -d 2 -v");
	ASSERT_TRUE(server.await("is there"));
	std::ofstream(_directory / "fifo") << "last words\n" << std::flush;
	ASSERT_TRUE(client.await("last words"));
	EXPECT_EQ(server.stop(SIGINT).code, 128 + SIGINT);
	EXPECT_EQ(client.wait().code, OK);
}

TEST_P(Vchan_cli, a_signal_is_passed_on_to_the_command)
{
	Process server = _start("exec $LISTEN -v -- sh -c 'trap \"exit 33\" TERM; echo ready; "
							"while :; do read -r line || sleep 0.01; done'");
	Process client = _start("exec " BULKHEAD_PROGRAM " vchan cat 1 -d 2");
	ASSERT_TRUE(client.await("ready"));
	EXPECT_EQ(server.stop().code, 33);
	EXPECT_EQ(client.wait().code, OK);
}

TEST_P(Vchan_cli, nobody_reads_standard_output)
{
	_make_endless();
	Process server = _start("$LISTEN < $DIR/endless");
	EXPECT_EQ(_run("$CONNECT < /dev/null | head -n 1; test ${PIPESTATUS[0]} = 141").out, "y\n");
	EXPECT_THAT(server.wait().code, UNREAD);
}

TEST_P(Vchan_cli, a_full_disk_is_told)
{
	Process server = _start("echo hello | $LISTEN");
	Outcome const client = _run("$CONNECT < /dev/null > /dev/full");
	EXPECT_EQ(client.code, FAILURE);
	EXPECT_THAT(client.out, HasSubstr("can't be written: No space left"));
	(void)server.wait();
}

TEST_P(Vchan_cli, a_closed_standard_descriptor_is_no_descriptor_of_the_channel)
{
	_make_noise("a", 1 << 20, 4);
	Process server = _start("exec $LISTEN <&- > $DIR/got");
	EXPECT_EQ(_run("timeout 60 $CONNECT < $DIR/a >&-").code, OK);
	EXPECT_EQ(server.wait().code, OK);
	EXPECT_TRUE(_read("got") == _read("a"));
	EXPECT_EQ(_run("timeout 60 $CONNECT -w 0.01 <&- >&- 2>&-").code, CONNECT);
}

TEST_P(Vchan_cli, a_shared_pipe_stays_as_it_was)
{
	// O_NONBLOCK there would break whoever comes after us.
	Process server = _start("exec $LISTEN -- cat");
	Outcome const client = _run("(echo hello | ($CONNECT; grep flags: /proc/self/fdinfo/1)) | cat");
	EXPECT_THAT(client.out, HasSubstr("hello\nflags:\t01\n"));
	(void)server.wait();
}

TEST_P(Vchan_cli, troubles_of_the_search_have_a_status_and_a_remedy)
{
	EXPECT_EQ(_run("$CONNECT --timeout 0").code, CONNECT);
	Outcome const late = _run("$LISTEN --timeout 0.01");
	EXPECT_EQ(late.code, CONNECT);
	EXPECT_THAT(late.out, HasSubstr("client 2:512 has not come within 0.01 s"));
	Process server = _listen("");
	ASSERT_TRUE(server.await("waiting"));
	EXPECT_EQ(_run("$LISTEN").code, CONNECT);
	EXPECT_EQ(server.stop().code, 128 + SIGTERM);
	Outcome const nowhere = _run("$CONNECT --directory /nonexistent");
	EXPECT_EQ(nowhere.code, CONNECT);
	EXPECT_THAT(nowhere.out, HasSubstr("/nonexistent"));
	Outcome const json = _run("$CONNECT --json --timeout 0 2>&1 | tail -n 1");
	EXPECT_EQ(Json::parse(json.out)["exit"], CONNECT) << json.out;
}

TEST_P(Vchan_cli, a_wrong_command_line_is_told)
{
	for (char const *const wrong : {"", "listn 2", "listen", "listen x -d 1", "listen 2:x -d 1",
			 "listen 2 -d 1 --size 65M", "listen 2 -d 1 --size 0", "listen 2 -d 2",
			 "connect 1 -d -1", "connect 1 -d 2 --transport tcp", "connect 1 -d 2 --timeout -1",
			 "connect 1 -d 2 --keep", "cat 1 -d 2 --size 1", "ping 1 -d 2 -c 0",
			 "ping 1 -d 2 --size 1", "bench --cpus x", "bench --cpus 1000",
			 "connect 1 -d 2 --spin 4097", "connect 1 -d 2 --timeout nan", "ping 1 -d 2 -i nan",
			 "ping 2 -d 1 --serve --size 0:1k", "bench --size 1k:0"})
		EXPECT_EQ(_run(std::string("$BULKHEAD vchan ") + wrong + " < /dev/null").code, USAGE)
			<< wrong;
	Outcome const nobody = _run("env -u VCHAN_DOMAIN $BULKHEAD vchan listen 2");
	EXPECT_EQ(nobody.code, USAGE);
	EXPECT_THAT(nobody.out, HasSubstr("--domain"));
	EXPECT_THAT(_run("$BULKHEAD vchan listen 2:x").out, HasSubstr("such as 7:512"));
	EXPECT_EQ(_run("$BULKHEAD vchan --help").code, OK);
	EXPECT_THAT(_run("$BULKHEAD vchan listen --help").out, HasSubstr("COMMAND"));
}

TEST_P(Vchan_cli, events_are_lines_of_json)
{
	Process server = _start("exec $LISTEN --json < /dev/null > /dev/null");
	EXPECT_EQ(_run("echo hello | $CONNECT --json > /dev/null").code, OK);
	std::istringstream lines(server.wait().out);
	std::vector<std::string> events;
	Json last;
	for (std::string line; std::getline(lines, line);) {
		Json const event = Json::parse(line, nullptr, false);
		ASSERT_TRUE(event.is_object()) << line;
		events.push_back(event["event"]);
		last = event;
	}
	EXPECT_EQ(events, (std::vector<std::string>{"waiting", "connected", "ended"}));
	EXPECT_EQ(last["how"], "in order");
	EXPECT_EQ(last["received"], 6);
}

TEST_P(Vchan_cli, a_dump_shows_what_passes)
{
	Process server = _start("exec $LISTEN --hex -- tr a-z A-Z");
	EXPECT_EQ(_run("echo hello | $CONNECT").out, "HELLO\n");
	Outcome const outcome = server.wait();
	EXPECT_THAT(outcome.out, HasSubstr(" < 00000000  68 65 6c 6c 6f 0a "));
	EXPECT_THAT(outcome.out, HasSubstr(" > 00000000  48 45 4c 4c 4f 0a "));
	Process other = _start("printf '\\033[31m' | $LISTEN");
	Outcome const cat = _run("$BULKHEAD vchan cat 1 -d 2 --hex | cat");
	EXPECT_THAT(cat.out, HasSubstr(" < 00000000  1b 5b 33 31 6d "));
	EXPECT_THAT(cat.out, Not(HasSubstr("\033")));
	EXPECT_EQ(other.wait().code, OK);
}

TEST_P(Vchan_cli, cat_tells_the_server_nothing)
{
	// A server that ends with its input would end now, and so would we.
	Process server = _start("exec $LISTEN -- sh -c 'echo spoken; read -r line || exit 6'");
	Process client = _start("exec $BULKHEAD vchan cat 1 -d 2");
	ASSERT_TRUE(client.await("spoken"));
	EXPECT_EQ(client.stop().code, 128 + SIGTERM);
	EXPECT_EQ(server.wait().code, 6);
}

TEST_P(Vchan_cli, ping_measures_an_echo)
{
	Process server = _start("exec $LISTEN --keep -- cat");
	for (char const *const size : {"1", "64", "1048576"}) {
		Outcome const outcome =
			_run("$BULKHEAD vchan ping 1 -d 2 -c 20 -i 0 --json -s " + std::string(size));
		ASSERT_EQ(outcome.code, OK) << outcome.out;
		Json const json = Json::parse(outcome.out);
		EXPECT_EQ(json["answered"], 20);
		EXPECT_GT(json["min_us"], 0);
		EXPECT_LE(json["min_us"], json["median_us"]);
		EXPECT_LE(json["median_us"], json["p99_us"]);
		EXPECT_LE(json["p99_us"], json["max_us"]);
	}
	EXPECT_EQ(server.stop().code, OK);
	Process own = _start("exec $BULKHEAD vchan ping --serve --keep 2 -d 1");
	for (int i = 0; i < 2; i++) {
		Outcome const outcome = _run("$BULKHEAD vchan ping 1 -d 2 -c 3 -i 0.001");
		EXPECT_EQ(outcome.code, OK);
		EXPECT_THAT(outcome.out, HasSubstr("64 B from 1:512: seq=3 time="));
		EXPECT_THAT(outcome.out, HasSubstr("3 sent, 3 answered"));
	}
	EXPECT_EQ(own.stop().code, OK);
}

TEST_P(Vchan_cli, ping_says_why_there_was_no_answer)
{
	Process deaf = _listen("-- sleep 100");
	ASSERT_TRUE(deaf.await("waiting"));
	Outcome const silent = _run("$BULKHEAD vchan ping 1 -d 2 -c 1 --timeout 0.5");
	EXPECT_EQ(silent.code, FAILURE);
	EXPECT_THAT(silent.out, HasSubstr("no answer within 0.5 s"));
	EXPECT_THAT(silent.out, HasSubstr("is it an echo?"));
	deaf.stop();
	Process wrong = _start("exec $LISTEN -- cat /dev/zero");
	EXPECT_THAT(_run("$BULKHEAD vchan ping 1 -d 2").out, HasSubstr("isn't what was sent"));
	(void)wrong.wait();
	Process short_lived = _start("exec $LISTEN < /dev/null");
	Outcome const ended = _run("$BULKHEAD vchan ping 1 -d 2 -c 3 -i 0.001");
	EXPECT_EQ(ended.code, FAILURE);
	EXPECT_THAT(ended.out, HasSubstr("the other side has ended"));
	(void)short_lived.wait();
	EXPECT_EQ(_run("$BULKHEAD vchan ping 1 -d 2 --timeout 0").code, CONNECT);
}

TEST_P(Vchan_cli, a_measurement_is_complete_and_leaves_nothing)
{
	Outcome const outcome = _run("$BULKHEAD vchan bench --json --seconds 0.01 --cpus 0");
	ASSERT_EQ(outcome.code, OK) << outcome.out;
	Json const json = Json::parse(outcome.out);
	EXPECT_EQ(json["transport"], GetParam());
	EXPECT_EQ(json["cpus"], Json::parse("[0,0]"));
	EXPECT_EQ(json["measures"].size(), 10u);
	for (Json const &measure : json["measures"]) EXPECT_GT(measure["vchan"], 0) << measure;
	EXPECT_THAT(_run("$BULKHEAD vchan bench --seconds 0.01").out, HasSubstr("x eventfd"));
}

/* Where this process has mapped the memory of its only channel. */
uint8_t *shared_memory()
{
	std::ifstream maps("/proc/self/maps");
	for (std::string line; std::getline(maps, line);)
		if (line.find("memfd:") != std::string::npos)
			return reinterpret_cast<uint8_t *>(std::stoull(line, nullptr, 16));
	return nullptr;
}

TEST_P(Vchan_cli, a_side_that_breaks_the_protocol_is_told_from_one_that_dies)
{
	if (!_shm()) GTEST_SKIP() << "whatever comes over a socket is data";
	Process server = _start("exec $LISTEN -v");
	Bulkhead_vchan_options options = BULKHEAD_VCHAN_OPTIONS_INIT;
	options.own_domain = 2;
	Bulkhead_vchan *channel = nullptr;
	ASSERT_EQ(bulkhead_vchan_connect(&channel, 1, 512, &options), 0);
	ASSERT_EQ(bulkhead_vchan_connect_wait(channel, -1), 0);
	ASSERT_TRUE(server.await("is there"));
	uint8_t *const memory = shared_memory();
	ASSERT_NE(memory, nullptr);
	// What the client has produced (doc/vchan.md): more than there is room for.
	uint32_t const lie = 0x7fffffff;
	memcpy(memory + 256, &lie, sizeof lie);
	bulkhead_vchan_finish(channel); // rings
	Outcome const outcome = server.wait();
	bulkhead_vchan_close(channel);
	EXPECT_EQ(outcome.code, PEER_BROKE) << outcome.out;
	EXPECT_THAT(outcome.out, HasSubstr("ended (broken)"));
}

} // namespace
