// Programs of other users: needs root, which a test may not have.

#include "component/qrexec/host/session.h"
#include "component/qrexec/host/test/support.h"

#include <filesystem>
#include <fstream>
#include <pwd.h>
#include <sys/wait.h>

namespace bulkhead::qrexec {
namespace {

using namespace test;
namespace fs = std::filesystem;

class Session : public testing::Test
{
protected:
	Place _place{};

	Session()
	{
		prepare_process();
		fs::permissions(_place.path(), fs::perms(0755));
	}

	void SetUp() override
	{
		if (::geteuid() != 0) GTEST_SKIP() << "only root runs programs of others";
		if (!::getpwnam("nobody")) GTEST_SKIP() << "there is no user nobody";
	}

	/* A system with a PAM service that lets everybody in, and sets a variable. */
	std::string _permissive(std::string const &session = "pam_permit.so")
	{
		std::ofstream(_place.path() + "/variables") << "FROM_PAM DEFAULT=yes\n";
		std::ofstream(_place.path() + "/qrexec")
			<< "auth required pam_permit.so\naccount required pam_permit.so\nsession required "
			<< session << "\nsession optional pam_env.so readenv=0 conffile=" << _place.path()
			<< "/variables\n";
		return _place.path();
	}

	struct Result
	{
		int code = -1;
		std::string output{}, message{};
	};

	Result _finish(std::variant<Local_end, Service_failure> started)
	{
		if (auto *failure = std::get_if<Service_failure>(&started))
			return {failure->exit_code, {}, failure->message};
		auto &local = std::get<Local_end>(started);
		local.to.reset();
		::fcntl(local.from.value(), F_SETFL, 0);
		Result result{.output = read_all(local.from.value())};
		int status = 0;
		EXPECT_EQ(::waitpid(local.process, &status, 0), local.process);
		result.code = exit_code_of(status);
		return result;
	}

	Result _command(Sessions &sessions, std::string const &user, std::string const &script)
	{
		std::string const line = user + ":" + script;
		auto const command = parse_command_line(line, true);
		return _finish(start_command(command.value(), {.user = user, .log_in = &sessions}));
	}

	Result _service(Sessions &sessions, std::string const &user, std::string const &script)
	{
		std::string const path = _place.path() + "/service";
		std::ofstream(path) << "#!/bin/sh\n" << script << "\n";
		fs::permissions(path, fs::perms(0755));
		Found_service const found{.path = path};
		auto const command = parse_command_line("QUBESRPC s+a\"$(b) domX", false);
		return _finish(start_service(found, command.value(), {.user = user, .log_in = &sessions}));
	}
};

constexpr char WHO[] = "echo \"$(id -un) $(id -gn) $USER $LOGNAME $HOME $PWD $1 $FROM_PAM"
					   " ${QREXEC_REMOTE_DOMAIN-none}\"; exit 5";

TEST_F(Session, runs_a_service_as_another_user)
{
	Sessions sessions{_permissive()};
	ASSERT_TRUE(sessions.configured());
	Result const result = _service(sessions, "nobody", WHO);
	std::string const home = ::getpwnam("nobody")->pw_dir;
	EXPECT_EQ(result.code, 5) << result.message;
	std::string const place = fs::exists(home) ? home : "/";
	EXPECT_EQ(result.output,
		"nobody nogroup nobody nobody " + home + " " + place + " a\"$(b) yes domX\n");
}

TEST_F(Session, runs_a_service_as_root_in_a_session_too)
{
	Sessions sessions{_permissive()};
	EXPECT_EQ(_service(sessions, "root", "echo $HOME $FROM_PAM").output, "/root yes\n");
}

TEST_F(Session, runs_a_command_in_the_login_shell_of_the_user)
{
	Sessions sessions{_permissive()};
	EXPECT_EQ(_command(sessions, "root", "echo $0 $FROM_PAM; exit 3").code, 3);
	EXPECT_EQ(_command(sessions, "root", "echo $0 $FROM_PAM").output.front(), '-');
}

TEST_F(Session, tells_of_a_program_that_a_signal_has_ended)
{
	Sessions sessions{_permissive()};
	EXPECT_EQ(_command(sessions, "root", "kill -KILL $$").code, 137);
}

TEST_F(Session, that_pam_refuses_is_125)
{
	Sessions sessions{_permissive("pam_deny.so")};
	Result const result = _service(sessions, "nobody", "echo no");
	EXPECT_EQ(result.code, 125);
	EXPECT_EQ(result.output, "");
	EXPECT_NE(result.message.find("nobody"), std::string::npos);
}

TEST_F(Session, of_nobody_is_125)
{
	Sessions sessions{_permissive()};
	EXPECT_EQ(_service(sessions, "no-such-user", "echo no").code, 125);
	EXPECT_EQ(_service(sessions, "", "echo no").code, 125);
}

TEST_F(Session, its_streams_end_with_the_program_s)
{
	Sessions sessions{_permissive()};
	auto const command = parse_command_line("root:exec >&-; read x; exit 1", true);
	auto started = start_command(command.value(), {.user = "root", .log_in = &sessions});
	auto &local = std::get<Local_end>(started);
	::fcntl(local.from.value(), F_SETFL, 0);
	EXPECT_EQ(read_all(local.from.value()), "");
	int status = 0;
	EXPECT_EQ(::waitpid(local.process, &status, WNOHANG), 0);
	local.to.reset();
	EXPECT_EQ(::waitpid(local.process, &status, 0), local.process);
}

TEST_F(Session, without_pam_is_the_user_all_the_same)
{
	Sessions sessions{_place.path()};
	ASSERT_FALSE(sessions.configured());
	Result const result = _service(sessions, "nobody", WHO);
	EXPECT_EQ(result.code, 5) << result.message;
	EXPECT_TRUE(result.output.starts_with("nobody nogroup nobody nobody ")) << result.output;
	EXPECT_NE(result.output.find("domX"), std::string::npos);
}

TEST_F(Session, without_pam_leaves_root_as_it_is)
{
	Sessions sessions{_place.path()};
	EXPECT_EQ(_command(sessions, "root", "echo $0").output, "sh\n");
}

TEST_F(Session, leaves_nothing_open_to_a_program)
{
	Sessions sessions{_permissive()};
	Owned_fd const leak{::open("/dev/null", O_RDONLY)}; // not close-on-exec: somebody's mistake
	EXPECT_EQ(_service(sessions, "nobody", "ls /proc/$$/fd").output, "0\n1\n10\n2\n");
}

TEST(Session_of_a_user, is_only_its_own)
{
	if (::geteuid() != 0) {
		Sessions sessions;
		Program const program{.path = "/bin/true", .arguments = {"true"}};
		auto const started = sessions.start(program, "somebody else");
		EXPECT_EQ(std::get<Service_failure>(started).exit_code, 125);
		auto const own = sessions.start(program, ::getpwuid(::geteuid())->pw_name);
		ASSERT_TRUE(std::get_if<pid_t>(&own));
		::waitpid(std::get<pid_t>(own), nullptr, 0);
		return;
	}
	// As nobody, in a process of its own.
	pid_t const child = ::fork();
	if (child == 0) {
		if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(1);
		Sessions sessions;
		Program const program{.path = "/bin/true", .arguments = {"true"}};
		auto const started = sessions.start(program, "root");
		auto const *failure = std::get_if<Service_failure>(&started);
		::_exit(failure && failure->exit_code == 125 ? 0 : 2);
	}
	int status = 0;
	ASSERT_EQ(::waitpid(child, &status, 0), child);
	EXPECT_EQ(exit_code_of(status), 0);
}

} // namespace
} // namespace bulkhead::qrexec
