// Which file a service is, and what it gets when it runs.

#include "component/qrexec/host/test/support.h"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <sys/wait.h>

namespace bulkhead::qrexec {
namespace {

using namespace test;
namespace fs = std::filesystem;
using Kind = Found_service::Kind;

class Service : public testing::Test
{
protected:
	Place _place{};
	Places const _places{
		_place.path() + "/local:" + _place.path() + "/rpc", _place.path() + "/config"};

	Service()
	{
		prepare_process();
		for (auto const *folder : {"/local", "/rpc", "/config"})
			fs::create_directory(_place.path() + folder);
	}

	std::string _path(std::string const &name) const { return _place.path() + "/" + name; }

	void _write(std::string const &name, std::string const &text, mode_t mode = 0600)
	{
		std::ofstream(_path(name)) << text;
		ASSERT_EQ(::chmod(_path(name).c_str(), mode), 0);
	}

	void _script(std::string const &name, std::string const &text = "#!/bin/sh\n")
	{
		_write(name, text, 0755);
	}

	void _link(std::string const &name, std::string const &to)
	{
		fs::create_symlink(to, _path(name));
	}

	std::variant<Found_service, Service_failure> _find(std::string const &what)
	{
		std::string const line = "QUBESRPC " + what + " domX";
		auto const command = parse_command_line(line, false);
		EXPECT_TRUE(command.ok()) << what;
		return find_service(_places, command.value());
	}

	Found_service _found(std::string const &what)
	{
		auto found = _find(what);
		auto *failure = std::get_if<Service_failure>(&found);
		EXPECT_FALSE(failure) << failure->message;
		return failure ? Found_service{} : std::get<Found_service>(std::move(found));
	}

	/* 0: it was found. */
	int _failure(std::string const &what)
	{
		auto const found = _find(what);
		auto const *failure = std::get_if<Service_failure>(&found);
		EXPECT_FALSE(failure && failure->message.empty());
		return failure ? failure->exit_code : 0;
	}

	std::variant<Local_end, Service_failure> _start(
		std::string const &line, Start_options const &options = {})
	{
		auto const command = parse_command_line(line, false);
		EXPECT_TRUE(command.ok());
		auto const found = find_service(_places, command.value());
		if (auto const *failure = std::get_if<Service_failure>(&found)) return *failure;
		return start_service(std::get<Found_service>(found), command.value(), options);
	}

	static int _wait(pid_t process)
	{
		int status = 0;
		EXPECT_EQ(::waitpid(process, &status, 0), process);
		return exit_code_of(status);
	}

	static std::string _output(Local_end const &local)
	{
		::fcntl(local.from.value(), F_SETFL, 0);
		std::string const text = read_all(local.from.value());
		_wait(local.process);
		return text;
	}

	std::string _run(std::string const &line)
	{
		auto started = _start(line);
		auto *local = std::get_if<Local_end>(&started);
		if (!local) return std::get<Service_failure>(started).message;
		local->to.reset();
		return _output(*local);
	}
};

TEST_F(Service, is_the_one_for_its_argument_first)
{
	_script("rpc/a.B+arg");
	_script("local/a.B");
	EXPECT_EQ(_found("a.B+arg").path, _path("rpc/a.B+arg"));
	EXPECT_EQ(_found("a.B+other").path, _path("local/a.B"));
	EXPECT_EQ(_found("a.B").path, _path("local/a.B"));
}

TEST_F(Service, is_the_one_in_the_first_directory)
{
	_script("rpc/a.B");
	EXPECT_EQ(_found("a.B").path, _path("rpc/a.B"));
	_script("local/a.B");
	EXPECT_EQ(_found("a.B").path, _path("local/a.B"));
}

TEST_F(Service, without_an_argument_is_that_with_an_empty_one)
{
	_script("rpc/a.B");
	_script("rpc/a.B+");
	EXPECT_EQ(_found("a.B").path, _path("rpc/a.B+"));
	EXPECT_EQ(_found("a.B+").path, _path("rpc/a.B+"));
	EXPECT_EQ(_found("a.B+x").path, _path("rpc/a.B"));
}

TEST_F(Service, that_is_not_there_is_127)
{
	EXPECT_EQ(_failure("a.B+arg"), 127);
	fs::remove_all(_path("local"));
	EXPECT_EQ(_failure("a.B"), 127);
}

TEST_F(Service, that_is_broken_is_no_other_one)
{
	_script("rpc/a.B");
	_link("rpc/a.B+arg", "/dev/null/invalid");
	_link("local/a.B+gone", _path("nothing"));
	_script("rpc/a.B+gone");
	_write("rpc/a.B+file", "no program", 0600);
	_write("local/a.B+first", "no program", 0644);
	_script("rpc/a.B+first");
	fs::create_directory(_path("rpc/a.B+folder"));
	for (auto const *name : {"a.B+arg", "a.B+gone", "a.B+file", "a.B+first", "a.B+folder"})
		EXPECT_EQ(_failure(name), 125) << name;
	EXPECT_EQ(_failure("a.B+else"), 0);
}

TEST_F(Service, may_be_a_link)
{
	_script("rpc/.a.B");
	_link("rpc/a.B", ".a.B");
	EXPECT_EQ(_found("a.B+arg").path, _path("rpc/a.B"));
	EXPECT_EQ(_run("QUBESRPC a.B dom"), "");
}

TEST_F(Service, with_a_name_too_long_for_a_file_is_that_without_argument)
{
	_script("rpc/a.B");
	EXPECT_EQ(_found("a.B+" + std::string(251, 'a')).path, _path("rpc/a.B"));
	EXPECT_EQ(_found("a.B+" + std::string(252, 'a')).path, _path("rpc/a.B"));
	EXPECT_EQ(_found("a.B+" + std::string(3000, 'a')).path, _path("rpc/a.B"));
	_script("local/a.B+" + std::string(251, 'a'));
	EXPECT_EQ(
		_found("a.B+" + std::string(251, 'a')).path, _path("local/a.B+" + std::string(251, 'a')));
	EXPECT_EQ(_failure(std::string(255, 'n')), 127);
}

TEST_F(Service, settings_are_those_for_its_argument_first)
{
	_script("rpc/a.B");
	_write("config/a.B", "wait-for-session = true\n");
	EXPECT_TRUE(_found("a.B+arg").config.wait_for_session);
	EXPECT_TRUE(_found("a.B").config.wait_for_session);
	_write("config/a.B+arg", "wait-for-session = 0\n# comment\nforce-user = 'somebody'\n");
	EXPECT_FALSE(_found("a.B+arg").config.wait_for_session);
	EXPECT_EQ(_found("a.B+arg").config.force_user->view(), "somebody");
	_write("config/a.B+", "skip-service-descriptor = true\n");
	EXPECT_TRUE(_found("a.B").config.skip_service_descriptor);
}

TEST_F(Service, with_bad_settings_is_125)
{
	_script("rpc/a.B");
	auto const bad = [&](char const *text) {
		_write("config/a.B+arg", text);
		return _failure("a.B+arg");
	};
	for (auto const *text :
		{"wait-for-session = 00\n", "wait-for-session = \n", "wait-for-session = \"a\"\n",
			"wait-for-session\n", "exit-on-client-eof = true\nforce-user = 'a'\n"})
		EXPECT_EQ(bad(text), 125) << text;
	EXPECT_EQ(bad(std::string(4096, '#').append("\n").c_str()), 125);
	EXPECT_EQ(bad("wait-for-session = 0\n"), 0);
	fs::remove(_path("config/a.B+arg"));
	_link("config/a.B+arg", "/dev/null/doesnotexist");
	EXPECT_EQ(_failure("a.B+arg"), 125);
	fs::remove_all(_path("config"));
	_link("config", "/dev/null/doesnotexist");
	EXPECT_EQ(_failure("a.B+arg"), 125);
}

TEST_F(Service, settings_that_never_end_are_not_read)
{
	_script("rpc/a.B");
	ASSERT_EQ(::mkfifo(_path("config/a.B").c_str(), 0600), 0);
	EXPECT_EQ(_failure("a.B"), 125);
}

struct Tcp_case
{
	char const *link, *service, *host, *port; // no host: 125
};

class Tcp_service : public Service, public testing::WithParamInterface<Tcp_case>
{};

INSTANTIATE_TEST_SUITE_P(table, Tcp_service,
	testing::Values(Tcp_case{"/dev/tcp/127.0.0.1/65534", "s", "127.0.0.1", "65534"},
		Tcp_case{"/dev/tcp/127.0.0.1/65534", "s+", "127.0.0.1", "65534"},
		Tcp_case{"/dev/tcp/::1/1", "s", "::1", "1"},
		Tcp_case{"/dev/tcp/127.0.0.1", "s+65533", "127.0.0.1", "65533"},
		Tcp_case{"/dev/tcp", "s+127.0.0.1+65535", "127.0.0.1", "65535"},
		Tcp_case{"/dev/tcp", "s+++1+65532", "::1", "65532"},
		Tcp_case{"/dev/tcp", "s+fe80++1+80", "fe80::1", "80"},
		Tcp_case{"/dev/tcp", "s+", nullptr, nullptr}, Tcp_case{"/dev/tcp", "s", nullptr, nullptr},
		Tcp_case{"/dev/tcp", "s+127.0.0.1", nullptr, nullptr},
		Tcp_case{"/dev/tcp/127.0.0.1", "s", nullptr, nullptr},
		Tcp_case{"/dev/tcp/::1", "s", nullptr, nullptr},
		Tcp_case{"/dev/tcp/127.0.0.1", "s+127.0.0.1+65535", nullptr, nullptr},
		Tcp_case{"/dev/tcp/", "s++65535", nullptr, nullptr},
		Tcp_case{"/dev/tcp/", "s+127.0.0.1+65535", nullptr, nullptr},
		Tcp_case{"/dev/tcp/127.0.0.1/80", "s+80", nullptr, nullptr},
		Tcp_case{"/dev/tcp/127.0.0.1/080", "s", nullptr, nullptr},
		Tcp_case{"/dev/tcp/127.0.0.1/0", "s", nullptr, nullptr},
		Tcp_case{"/dev/tcp/127.0.0.1/65536", "s", nullptr, nullptr},
		Tcp_case{"/dev/tcp/127.0.0.1/", "s", nullptr, nullptr},
		Tcp_case{"/dev/tcp/127.0.0.1/8x", "s", nullptr, nullptr},
		Tcp_case{"/dev/tcp", "s+127.0.0.1+", nullptr, nullptr},
		Tcp_case{"/dev/tcpx", "s", nullptr, nullptr}));

TEST_P(Tcp_service, address)
{
	_link("rpc/s", GetParam().link);
	if (!GetParam().host) {
		EXPECT_EQ(_failure(GetParam().service), 125);
		return;
	}
	Found_service const found = _found(GetParam().service);
	EXPECT_EQ(found.kind, Kind::TCP);
	EXPECT_EQ(found.host, GetParam().host);
	EXPECT_EQ(found.port, GetParam().port);
}

TEST_F(Service, has_no_names_for_hosts)
{
	_link("rpc/s", "/dev/tcp/localhost/80");
	auto const started = _start("QUBESRPC s dom");
	ASSERT_TRUE(std::get_if<Service_failure>(&started));
	EXPECT_EQ(std::get<Service_failure>(started).exit_code, 125);
}

TEST_F(Service, that_is_a_socket_gets_its_descriptor)
{
	// Longer than an address of a socket can be.
	std::string const folder = _path("rpc/") + std::string(200, 'f');
	fs::create_directory(folder);
	Owned_fd server;
	ASSERT_EQ(listen_locally(_path("s"), 0600, server), 0);
	fs::rename(_path("s"), folder + "/s+arg");
	fs::create_symlink(folder + "/s+arg", _path("rpc/s+arg"));
	EXPECT_EQ(_found("s+arg").kind, Kind::SOCKET);
	auto const started = _start("QUBESRPC s+arg domX name domY");
	auto const *local = std::get_if<Local_end>(&started);
	ASSERT_TRUE(local) << std::get<Service_failure>(started).message;
	EXPECT_TRUE(local->socket);
	EXPECT_EQ(local->process, -1);
	EXPECT_EQ(local->prefix, std::string("s+arg domX name domY\0", 21));
	Found_service const far{.kind = Kind::SOCKET, .path = folder + "/s+arg"};
	auto const through = start_service(far, parse_command_line("QUBESRPC s d", false).value(), {});
	EXPECT_TRUE(std::get_if<Local_end>(&through));

	_write("config/s", "skip-service-descriptor = true\n");
	auto const skipped = _start("QUBESRPC s+arg domX");
	EXPECT_EQ(std::get<Local_end>(skipped).prefix, "");
}

TEST_F(Service, that_nobody_serves_is_125)
{
	Owned_fd server;
	ASSERT_EQ(listen_locally(_path("rpc/s"), 0600, server), 0);
	server.reset();
	auto const started = _start("QUBESRPC s domX");
	EXPECT_EQ(std::get<Service_failure>(started).exit_code, 125);
}

TEST_F(Service, gets_its_environment)
{
	static constexpr char SCRIPT[] = "#!/bin/sh\n"
									 "echo \"args $# ${1-none} $0\"\n"
									 "env | grep ^QREXEC | grep -v AGENT_PID | sort\n"
									 "[ \"$QREXEC_AGENT_PID\" = $PPID ] && echo agent is parent\n";
	::setenv("QREXEC_SERVICE_ARGUMENT", "%old", 1);
	::setenv("QREXEC_REQUESTED_TARGET", "%old", 1);
	::setenv("QREXEC_REQUESTED_TARGET_KEYWORD", "%old", 1);
	::setenv("QREXEC_WHATEVER", "%old", 1);
	_script("rpc/s", SCRIPT);
	std::string const path = _path("rpc/s");
	EXPECT_EQ(_run("QUBESRPC s domX"),
		"args 0 none " + path +
			"\nQREXEC_REMOTE_DOMAIN=domX\nQREXEC_REQUESTED_TARGET_TYPE=\n"
			"QREXEC_SERVICE_FULL_NAME=s\nagent is parent\n");
	EXPECT_EQ(_run("QUBESRPC s+ domX"),
		"args 0 none " + path +
			"\nQREXEC_REMOTE_DOMAIN=domX\nQREXEC_REQUESTED_TARGET_TYPE=\n"
			"QREXEC_SERVICE_ARGUMENT=\nQREXEC_SERVICE_FULL_NAME=s+\nagent is parent\n");
	EXPECT_EQ(_run("QUBESRPC s+a+b domX name domY"),
		"args 1 a+b " + path +
			"\nQREXEC_REMOTE_DOMAIN=domX\nQREXEC_REQUESTED_TARGET=domY\n"
			"QREXEC_REQUESTED_TARGET_TYPE=name\nQREXEC_SERVICE_ARGUMENT=a+b\n"
			"QREXEC_SERVICE_FULL_NAME=s+a+b\nagent is parent\n");
	EXPECT_EQ(_run("QUBESRPC s+a domX keyword adminvm"),
		"args 1 a " + path +
			"\nQREXEC_REMOTE_DOMAIN=domX\nQREXEC_REQUESTED_TARGET_KEYWORD=adminvm\n"
			"QREXEC_REQUESTED_TARGET_TYPE=keyword\nQREXEC_SERVICE_ARGUMENT=a\n"
			"QREXEC_SERVICE_FULL_NAME=s+a\nagent is parent\n");
	for (auto const *name : {"QREXEC_SERVICE_ARGUMENT", "QREXEC_REQUESTED_TARGET",
			 "QREXEC_REQUESTED_TARGET_KEYWORD", "QREXEC_WHATEVER"})
		::unsetenv(name);
}

TEST_F(Service, gets_no_shell_to_read_its_name)
{
	_script("rpc/s", "#!/bin/sh\necho \"$1\"\n");
	EXPECT_EQ(_run("QUBESRPC s+$(id>&2);`id`'\" domX"), "$(id>&2);`id`'\"\n");
}

TEST_F(Service, that_is_junk_is_125)
{
	_script("rpc/s", std::string(1, '\0'));
	auto const started = _start("QUBESRPC s domX");
	auto const *failure = std::get_if<Service_failure>(&started);
	ASSERT_TRUE(failure);
	EXPECT_EQ(failure->exit_code, 125);
	EXPECT_NE(failure->message.find(_path("rpc/s")), std::string::npos);
}

TEST_F(Service, whose_interpreter_is_missing_is_not_found)
{
	_script("rpc/s", "#!/no/such/shell\n");
	auto const started = _start("QUBESRPC s domX");
	EXPECT_EQ(std::get<Service_failure>(started).exit_code, 127);
}

TEST_F(Service, starts_with_default_signals_and_nothing_else_open)
{
	sigset_t blocked, before;
	::sigemptyset(&blocked);
	::sigaddset(&blocked, SIGTERM);
	::sigaddset(&blocked, SIGUSR1);
	::sigprocmask(SIG_BLOCK, &blocked, &before);
	Owned_fd const leak{::fcntl(0, F_DUPFD, 100)}; // not close-on-exec: somebody's mistake
	// 32 and 33 are glibc's own.
	_script("rpc/s",
		"#!/bin/sh\ngrep -E '^Sig(Blk|Ign)' /proc/self/status | sed s/00018/00000/\n"
		"ls /proc/$$/fd\n");
	EXPECT_EQ(_run("QUBESRPC s domX"),
		"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n0\n1\n10\n2\n");
	::sigprocmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(Service, can_open_its_streams_once_more)
{
	_script("rpc/s", "#!/bin/sh\nprintf err >/proc/self/fd/2; printf out >/proc/self/fd/1\n");
	auto started = _start("QUBESRPC s domX");
	auto &local = std::get<Local_end>(started);
	EXPECT_EQ(_output(local), "out");
	::fcntl(local.errors.value(), F_SETFL, 0);
	EXPECT_EQ(read_all(local.errors.value()), "err");
}

TEST_F(Service, may_have_its_streams_discarded)
{
	_script("rpc/s",
		"#!/bin/sh\nx=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2)\necho \"$x\" >" +
			_path("links") + "\n");
	auto const started = _start("QUBESRPC s domX", {.discard_streams = true});
	auto const &local = std::get<Local_end>(started);
	EXPECT_FALSE(local.to || local.from || local.errors);
	_wait(local.process);
	Owned_fd const links{::open(_path("links").c_str(), O_RDONLY | O_CLOEXEC)};
	EXPECT_EQ(read_all(links.value()), "/dev/null\n/dev/null\n/dev/null\n");
}

TEST_F(Service, waits_for_a_session_if_it_is_to)
{
	_script("rpc/s");
	_write("config/s", "wait-for-session = 1\n");
	auto const needs = [&](std::string const &line) {
		auto const command = parse_command_line(line, false);
		auto const found = find_service(_places, command.value());
		return needs_session(std::get<Found_service>(found), command.value());
	};
	EXPECT_TRUE(needs("QUBESRPC s domX"));
	EXPECT_FALSE(needs("nogui:QUBESRPC s domX"));
	_script("local/qubes.WaitForSession",
		"#!/bin/sh\nread user\necho \"arg: $1, domain: $QREXEC_REMOTE_DOMAIN, user: $user\" >" +
			_path("log") + "\n");
	auto const command = parse_command_line("QUBESRPC s+a domX", false);
	EXPECT_EQ(wait_for_session(_places, command.value(), "somebody"), "");
	Owned_fd const written{::open(_path("log").c_str(), O_RDONLY | O_CLOEXEC)};
	EXPECT_EQ(read_all(written.value()), "arg: , domain: domX, user: somebody\n");
}

TEST_F(Service, does_not_wait_where_there_are_no_sessions)
{
	auto const command = parse_command_line("QUBESRPC s domX", false);
	EXPECT_NE(wait_for_session(_places, command.value(), "somebody"), "");
}

TEST_F(Service, may_be_a_command_for_a_shell)
{
	auto const command = parse_command_line("user:echo \"$0\"; exit 7", true);
	auto started = start_command(command.value(), {.shell = "/bin/bash"});
	auto &local = std::get<Local_end>(started);
	::fcntl(local.from.value(), F_SETFL, 0);
	EXPECT_EQ(read_all(local.from.value()), "bash\n");
	EXPECT_EQ(_wait(local.process), 7);
}

TEST_F(Service, may_be_a_local_program)
{
	auto started = start_local_program(
		{"/bin/sh", "-c", "echo $0 $MORE; echo $QREXEC_AGENT_PID"}, {"MORE=more"});
	EXPECT_EQ(
		_output(std::get<Local_end>(started)), "sh more\n" + std::to_string(::getpid()) + "\n");
	auto const missing = start_local_program({"/no/such/program"});
	EXPECT_EQ(std::get<Service_failure>(missing).exit_code, 127);
}

TEST_F(Service, leaves_nothing_open_when_it_fails)
{
	auto const count = [] {
		return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
	};
	_script("rpc/s", std::string(1, '\0'));
	auto const before = count();
	for (int i = 0; i < 3; ++i) (void)_start("QUBESRPC s domX");
	EXPECT_EQ(count(), before);
	int status = 0;
	EXPECT_LT(::waitpid(-1, &status, WNOHANG), 0);
}

} // namespace
} // namespace bulkhead::qrexec
