// The real program, run as its users run it: what it says, its exit codes, and that it leaves
// nothing behind.

#include "tool/test/process.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <string>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace {

using bulkhead::tool::Outcome;
using bulkhead::tool::Process;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
namespace fs = std::filesystem;

enum { OK, FAILURE, USAGE, MANIFEST, MOUNT_POINT, FUSE, DEVICE };

constexpr char const *RAM = "[file.\"/tmp\"]\nplugin = \"ram\"\n";

std::string tpm(std::string const &bus = "", std::string const &device = "")
{
	return "[bus.spi0]\ncontroller = \"sim\"\n" + bus +
		"[device.tpm0]\ndriver = \"tpm\"\nbus = \"spi0\"\n" + device +
		"[file.\"/dev/tpm0\"]\nplugin = \"char_device\"\ndevice = \"tpm0\"\n";
}

/* A directory for a test, which must be empty of mounts and files of others at its end. */
class Cli : public ::testing::Test
{
protected:
	fs::path _directory{};
	std::string _mount{}, _manifest{};

	void SetUp() override
	{
		// What a program leaves behind becomes our child.
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		char name[] = "/tmp/bulkhead_cli.XXXXXX";
		_directory = mkdtemp(name);
		_mount = _directory / "mount";
		_manifest = _directory / "m.toml";
		fs::create_directory(_mount);
		fs::create_directory(_directory / "tmp");
		fs::permissions(_directory, fs::perms(0755));
		setenv("TMPDIR", (_directory / "tmp").c_str(), 1);
	}

	void TearDown() override
	{
		// A killed server's children end a little after it.
		while (waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {}
		EXPECT_TRUE(fs::is_empty(_directory / "tmp")) << "a file was left behind";
		EXPECT_FALSE(_mounted()) << "a mount was left behind";
		if (_mounted()) umount2(_mount.c_str(), MNT_DETACH);
		unsetenv("TMPDIR");
		fs::remove_all(_directory);
	}

	bool _mounted() const
	{
		struct stat here{}, above{};
		return stat(_mount.c_str(), &here) != 0 || stat(_directory.c_str(), &above) != 0 ||
			here.st_dev != above.st_dev;
	}

	void _write_manifest(std::string const &text) { std::ofstream(_manifest) << text; }

	static Outcome _run(std::vector<std::string> words)
	{
		words.insert(words.begin(), BULKHEAD_PROGRAM);
		return Process(std::move(words)).wait();
	}

	std::vector<std::string> _serve_words() const
	{
		return {BULKHEAD_PROGRAM, "serve", _manifest, "--mount", _mount};
	}

	Outcome _serve(std::string const &manifest)
	{
		_write_manifest(manifest);
		return Process(_serve_words()).wait();
	}

	/* Runs the server below a shell command that changes its world first; 127: it may not. */
	Outcome _serve_where(std::string const &change)
	{
		std::string command = change + " && exec";
		for (std::string const &word : _serve_words()) command += " '" + word + "'";
		return Process({"unshare", "--mount", "sh", "-c", command}).wait();
	}
};

TEST_F(Cli, help_and_version_are_successes_and_a_wrong_command_line_is_not)
{
	EXPECT_EQ(_run({"--help"}).code, OK);
	EXPECT_THAT(_run({"--help"}).out, HasSubstr("Examples:"));
	EXPECT_EQ(_run({"serve", "--help"}).code, OK);
	EXPECT_THAT(_run({"--version"}).out, HasSubstr("bulkhead 0."));
	EXPECT_EQ(_run({}).code, USAGE);
	EXPECT_EQ(_run({"serve"}).code, USAGE);
	EXPECT_EQ(_run({"serve", "m.toml", "--nonsense"}).code, USAGE);
	EXPECT_EQ(_run({"completion", "fish"}).code, USAGE);
	Outcome const unknown = _run({"sevre", _manifest});
	EXPECT_EQ(unknown.code, USAGE);
	EXPECT_THAT(unknown.out, HasSubstr("there is no command 'sevre'; did you mean 'serve'?"));
	EXPECT_THAT(_run({"--jsno"}).out, HasSubstr("there is no command '--jsno'"));
	_write_manifest(RAM);
	Outcome const nowhere = _run({"serve", _manifest});
	EXPECT_EQ(nowhere.code, USAGE);
	EXPECT_THAT(nowhere.out, HasSubstr("--mount DIR"));
}

TEST_F(Cli, a_malformed_manifest_is_told_with_all_its_faults)
{
	Outcome const outcome =
		_serve("[device.tpm0]\ndriver = \"tmp\"\nbus = \"spi1\"\nchipselect = 1\n"
			   "[file.\"/x\"]\nplugin = \"rma\"\n");
	EXPECT_EQ(outcome.code, MANIFEST);
	EXPECT_THAT(
		outcome.out, HasSubstr(":2:1: unknown driver 'tmp' in [device.tpm0]; did you mean 'tpm'?"));
	EXPECT_THAT(outcome.out, HasSubstr(":3:1: there is no [bus.spi1]"));
	EXPECT_THAT(outcome.out,
		HasSubstr(":4:1: unknown key 'chipselect' in [device.tpm0]; did you mean 'chip_select'?"));
	EXPECT_THAT(
		outcome.out, HasSubstr(":6:1: unknown plugin 'rma' in [file.\"/x\"]; did you mean 'ram'?"));
	EXPECT_THAT(outcome.out, HasSubstr("4 faults"));
	Outcome const unknown = _serve("[buss.spi0]\n[bus.spi1]\ncontroller = \"sim\"\n"
								   "swtpm_control = \"x\"\n[file.\"/x\"]\nplugin = \"rma\"\n"
								   "[file.\"/y\"]\nplugin = 3\n");
	EXPECT_THAT(unknown.out, HasSubstr(":8:1: 'plugin' in [file.\"/y\"] is a number"));
	EXPECT_THAT(unknown.out, HasSubstr(":1:2: unknown section 'buss'"));
	EXPECT_THAT(unknown.out, HasSubstr(":4:1: 'swtpm' is missing in [bus.spi1]"));
	EXPECT_THAT(unknown.out, HasSubstr("unknown plugin 'rma'"));
	EXPECT_EQ(_run({"serve", _directory / "none.toml"}).code, MANIFEST);
	EXPECT_EQ(_run({"tree", _manifest}).code, MANIFEST);
	EXPECT_EQ(_run({"serve", "--check", _manifest}).code, MANIFEST);
}

TEST_F(Cli, files_belong_to_the_one_who_serves)
{
	_write_manifest(RAM);
	ASSERT_EQ(chmod(_directory.c_str(), 0755), 0);
	auto const run_as_other = [](std::vector<std::string> words) {
		std::vector<std::string> all{
			"setpriv", "--reuid=65534", "--regid=65533", "--clear-groups", BULKHEAD_PROGRAM};
		all.insert(all.end(), words.begin(), words.end());
		return Process(all).wait();
	};
	if (run_as_other({"--version"}).code != OK) GTEST_SKIP() << "may not run it as somebody else";
	Outcome const outcome = run_as_other({"stat", "--json", _manifest, "/tmp"});
	ASSERT_EQ(outcome.code, OK) << outcome.out;
	auto const json = nlohmann::json::parse(outcome.out);
	EXPECT_EQ(json["uid"], 65534);
	EXPECT_EQ(json["gid"], 65533);
}

TEST_F(Cli, control_characters_of_names_are_not_printed)
{
	fs::create_directory(_directory / "shown");
	std::ofstream(_directory / "shown/\x1b[31m") << "x";
	Outcome const tree = _run({"tree", _directory / "shown"});
	EXPECT_EQ(tree.code, OK);
	EXPECT_THAT(tree.out, HasSubstr("/?[31m"));
	EXPECT_EQ(tree.out.find('\x1b'), std::string::npos);
}

TEST_F(Cli, a_manifest_is_checked_without_serving_it)
{
	_write_manifest(tpm("swtpm = \"/nonexistent\"\n"));
	EXPECT_EQ(_run({"serve", "--check", _manifest}).code, OK);
}

TEST_F(Cli, a_mount_point_must_be_there_free_and_empty)
{
	_write_manifest(RAM);
	Outcome const missing = _run({"serve", _manifest, "-m", _mount + "/none"});
	EXPECT_EQ(missing.code, MOUNT_POINT);
	EXPECT_THAT(missing.out, HasSubstr("mkdir -p"));
	EXPECT_EQ(_run({"serve", _manifest, "-m", _manifest}).code, MOUNT_POINT);
	std::ofstream(_mount + "/file") << "";
	EXPECT_EQ(Process(_serve_words()).wait().code, MOUNT_POINT);
	fs::remove(_mount + "/file");
	Process first(_serve_words());
	ASSERT_TRUE(first.await("serving"));
	Outcome const second = Process(_serve_words()).wait();
	EXPECT_EQ(second.code, MOUNT_POINT);
	EXPECT_THAT(second.out, HasSubstr("in use by another bulkhead"));
	EXPECT_EQ(first.stop().code, OK);
}

TEST_F(Cli, a_missing_swtpm_is_told)
{
	Outcome const outcome = _serve(tpm("swtpm = \"" + (_directory / "no.sock").string() + "\"\n"));
	EXPECT_EQ(outcome.code, DEVICE);
	EXPECT_THAT(outcome.out, HasSubstr("[bus.spi0]"));
	EXPECT_THAT(outcome.out, HasSubstr("no.sock"));
	std::string const path = getenv("PATH");
	setenv("PATH", "/nonexistent", 1);
	Outcome const no_program = _serve(tpm());
	setenv("PATH", path.c_str(), 1);
	EXPECT_EQ(no_program.code, DEVICE);
	EXPECT_THAT(no_program.out, HasSubstr("apt-get install swtpm"));
}

TEST_F(Cli, a_chip_that_is_no_tpm_is_told)
{
	Outcome const outcome = _serve(tpm("", "chip_select = 1\n"));
	EXPECT_EQ(outcome.code, DEVICE);
	EXPECT_THAT(outcome.out, HasSubstr("[device.tpm0]: no TPM answers"));
}

TEST_F(Cli, a_missing_spidev_is_told)
{
	Outcome const outcome =
		_serve("[bus.b]\ncontroller = \"spidev\"\ndevice = \"/dev/spidev9.9\"\n");
	EXPECT_EQ(outcome.code, DEVICE);
	EXPECT_THAT(outcome.out, HasSubstr("/dev/spidev9.9: not found"));
}

TEST_F(Cli, absent_and_forbidden_fuse_are_told)
{
	_write_manifest(RAM);
	if (Process({"unshare", "--mount", "true"}).wait().code != 0)
		GTEST_SKIP() << "may not make a mount namespace";
	Outcome const absent = _serve_where("mount -t tmpfs none /dev");
	EXPECT_EQ(absent.code, FUSE);
	EXPECT_THAT(absent.out, HasSubstr("/dev/fuse is missing"));
	std::string const file = _directory / "forbidden";
	std::ofstream(file) << "";
	chmod(file.c_str(), 0);
	Outcome const forbidden = _serve_where(
		"mount --bind " + file + " /dev/fuse && exec setpriv --reuid=65534 --clear-groups true");
	if (forbidden.code != 0) GTEST_SKIP() << "may not change the user";
	Outcome const denied = Process(
		{"unshare", "--mount", "sh", "-c",
			"mount --bind " + file + " /dev/fuse && exec setpriv --reuid=65534 --clear-groups '" +
				BULKHEAD_PROGRAM "' serve '" + _manifest + "' -m '" + _mount + "'"})
							   .wait();
	EXPECT_EQ(denied.code, FUSE);
	EXPECT_THAT(denied.out, HasSubstr("no permission for /dev/fuse"));
}

TEST_F(Cli, a_directory_of_the_host_is_shown)
{
	fs::create_directory(_directory / "shown");
	std::ofstream(_directory / "shown/file") << "from the host";
	_write_manifest(
		"[file.\"/a/b\"]\nplugin = \"host\"\npath = \"" + (_directory / "shown").string() + "\"\n");
	Process server(_serve_words());
	ASSERT_TRUE(server.await("serving")) << server.wait().out;
	std::string text;
	std::getline(std::ifstream(_mount + "/a/b/file"), text);
	EXPECT_EQ(text, "from the host");
	EXPECT_EQ(open((_mount + "/a/b/new").c_str(), O_WRONLY | O_CREAT, 0644), -1);
	EXPECT_EQ(errno, EROFS);
	EXPECT_EQ(server.stop().code, OK);
}

TEST_F(Cli, who_waits_for_it_to_be_ready_is_told_and_let_go)
{
	int ends[2];
	ASSERT_EQ(pipe(ends), 0);
	_write_manifest(tpm());
	std::vector<std::string> words = _serve_words();
	words.insert(words.end(), {"--ready-fd", std::to_string(ends[1])});
	Process server(words);
	close(ends[1]);
	std::string told;
	char buffer[64];
	pollfd wanted{.fd = ends[0], .events = POLLIN, .revents = 0};
	// To the end of the file: nobody keeps the other end.
	while (poll(&wanted, 1, 60'000) > 0) {
		ssize_t const size = read(ends[0], buffer, sizeof buffer);
		if (size <= 0) break;
		told.append(buffer, static_cast<size_t>(size));
	}
	EXPECT_TRUE(wanted.revents & POLLHUP);
	EXPECT_EQ(told, "ready\n");
	close(ends[0]);
	EXPECT_EQ(server.stop().code, OK);
	Outcome const none = _run({"serve", _manifest, "-m", _mount, "--ready-fd", "999"});
	EXPECT_EQ(none.code, USAGE);
	EXPECT_THAT(none.out, HasSubstr("--ready-fd: 999 is no open file descriptor"));
}

TEST_F(Cli, a_plugin_from_a_shared_object_is_served)
{
	std::string const plugin = "[plugin.counter]\npath = \"" COUNTER_PLUGIN "\"\n";
	_write_manifest(plugin + "[file.\"/n\"]\nplugin = \"counter\"\nstart = 41\n");
	Process server(_serve_words());
	ASSERT_TRUE(server.await("serving")) << server.wait().out;
	std::string text;
	std::getline(std::ifstream(_mount + "/n"), text);
	EXPECT_EQ(text, "42");
	EXPECT_EQ(server.stop().code, OK);
	Outcome const none = _serve("[plugin.counter]\npath = \"/etc/passwd\"\n");
	EXPECT_EQ(none.code, MANIFEST);
	EXPECT_THAT(none.out, HasSubstr(":2:1: 'path' in [plugin.counter] can't be used: /etc/passwd"));
}

TEST_F(Cli, a_device_that_is_open_is_busy)
{
	_write_manifest(tpm());
	Process server(_serve_words());
	ASSERT_TRUE(server.await("serving")) << server.wait().out;
	std::string const device = _mount + "/dev/tpm0";
	int const first = open(device.c_str(), O_RDWR);
	ASSERT_GE(first, 0) << strerror(errno);
	EXPECT_EQ(open(device.c_str(), O_RDWR), -1);
	EXPECT_EQ(errno, EBUSY);
	Outcome const information = _run({"stat", device, "--json"});
	EXPECT_EQ(information.code, OK);
	auto const json = nlohmann::json::parse(information.out);
	EXPECT_EQ(json["type"], "device");
	EXPECT_EQ(json["info"]["kind"], "tpm");
	EXPECT_EQ(json["counters"]["opens_refused"], "1");
	close(first);
	EXPECT_EQ(server.stop(SIGINT).code, OK);
}

TEST_F(Cli, the_service_manager_is_told)
{
	sockaddr_un address{};
	address.sun_family = AF_UNIX;
	std::string const path = _directory / "notify";
	strcpy(address.sun_path, path.c_str());
	int const listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr *>(&address), sizeof address), 0);
	setenv("NOTIFY_SOCKET", path.c_str(), 1);
	int ready[2];
	ASSERT_EQ(pipe(ready), 0);
	_write_manifest(RAM + std::string("[serve]\nmount = \"") + _mount + "\"\n");
	Process server({BULKHEAD_PROGRAM, "serve", _manifest, "--ready-fd", std::to_string(ready[1])});
	close(ready[1]);
	unsetenv("NOTIFY_SOCKET");
	char text[64]{};
	EXPECT_EQ(read(ready[0], text, sizeof text), 6);
	EXPECT_EQ(read(ready[0], text, sizeof text), 0);
	ssize_t size = recv(listener, text, sizeof text, 0);
	EXPECT_EQ(std::string(text, static_cast<size_t>(size)), "READY=1");
	EXPECT_EQ(server.stop().code, OK);
	size = recv(listener, text, sizeof text, 0);
	EXPECT_EQ(std::string(text, static_cast<size_t>(size)), "STOPPING=1");
	close(ready[0]);
	close(listener);
}

TEST_F(Cli, serves_again_after_it_was_killed)
{
	_write_manifest(RAM);
	for (unsigned i = 0; i < 3; ++i) {
		Process server(_serve_words());
		ASSERT_TRUE(server.await("serving")) << server.wait().out;
		std::ofstream(_mount + "/tmp/file") << "text";
		EXPECT_EQ(server.stop(SIGKILL).code, 128 + SIGKILL);
		struct statfs space{};
		EXPECT_EQ(statfs(_mount.c_str(), &space), -1);
	}
	Outcome const dead = _run({"stat", _mount + "/tmp/file"});
	EXPECT_EQ(dead.code, FAILURE);
	Process server(_serve_words());
	ASSERT_TRUE(server.await("serving"));
	EXPECT_EQ(server.stop().code, OK);
}

TEST_F(Cli, shows_the_tree_of_a_manifest_and_of_a_mount)
{
	_write_manifest(tpm() + RAM);
	auto const planned = nlohmann::json::parse(_run({"tree", _manifest, "--json"}).out);
	auto const plugin_of = [&](std::string const &path) {
		for (auto const &entry : planned)
			if (entry["path"] == path) return entry.value("plugin", "none");
		return std::string("absent");
	};
	EXPECT_EQ(plugin_of("/dev/tpm0"), "char_device");
	EXPECT_EQ(plugin_of("/tmp"), "ram");
	EXPECT_EQ(plugin_of("/dev"), "none");
	Outcome const planned_stat = _run({"stat", _manifest, "/dev/tpm0", "--json"});
	EXPECT_EQ(nlohmann::json::parse(planned_stat.out)["device"]["driver"], "tpm");
	EXPECT_EQ(_run({"stat", _manifest, "/nothing"}).code, FAILURE);
	_write_manifest(RAM);
	Process server(_serve_words());
	ASSERT_TRUE(server.await("serving"));
	fs::create_directory(_mount + "/tmp/seen");
	EXPECT_THAT(_run({"tree", _mount}).out, HasSubstr("/tmp/seen"));
	EXPECT_EQ(server.stop().code, OK);
}

TEST_F(Cli, the_doctor_speaks_to_people_and_programs)
{
	Outcome const json = _run({"doctor", "--json"});
	EXPECT_TRUE(json.code == OK || json.code == FUSE);
	for (auto const &finding : nlohmann::json::parse(json.out)) {
		EXPECT_TRUE(finding.contains("name"));
		EXPECT_TRUE(finding["state"] == "ok" || finding.contains("detail"));
	}
	EXPECT_THAT(_run({"doctor"}).out, HasSubstr("fuse"));
}

TEST_F(Cli, the_example_of_the_manual_page_is_a_manifest)
{
	std::ifstream page(BULKHEAD_SOURCE_DIR "/tool/man/bulkhead.toml.5");
	std::string text;
	bool literal = false;
	for (std::string line; std::getline(page, line);) {
		if (line == ".Ed") literal = false;
		if (literal) text += line + "\n";
		if (line == ".Bd -literal") literal = true;
	}
	// roff's way to write a backslash
	for (size_t at = 0; (at = text.find("\\e", at)) != std::string::npos;) text.erase(at + 1, 1);
	EXPECT_THAT(text, HasSubstr("char_device"));
	_write_manifest(text);
	Outcome const outcome = _run({"serve", "--check", _manifest});
	EXPECT_EQ(outcome.code, OK) << outcome.out;
}

TEST_F(Cli, completions_are_scripts)
{
	for (std::string const shell : {"bash", "zsh"}) {
		Outcome const script = _run({"completion", shell});
		EXPECT_EQ(script.code, OK);
		EXPECT_THAT(script.out, HasSubstr("doctor"));
		if (shell == "zsh" || Process({"sh", "-c", "command -v bash >/dev/null"}).wait().code)
			continue;
		std::string const path = _directory / "completion";
		std::ofstream(path) << script.out;
		EXPECT_EQ(Process({"bash", "-n", path}).wait().code, 0);
	}
}

} // namespace
