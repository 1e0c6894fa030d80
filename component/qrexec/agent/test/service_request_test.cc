#include "component/qrexec/agent/service_request.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace bulkhead::qrexec {
namespace {

class Service_requests : public testing::Test
{
protected:
	std::string _directory;

	void SetUp() override
	{
		char name[] = "/tmp/qrexec-agent-test-XXXXXX";
		ASSERT_NE(mkdtemp(name), nullptr);
		_directory = name;
		std::filesystem::create_directory(_directory + "/services");
		std::filesystem::create_directory(_directory + "/config");
	}

	void TearDown() override { std::filesystem::remove_all(_directory); }

	void add_executable(std::string const &name)
	{
		std::string const path = _directory + "/services/" + name;
		std::ofstream(path) << "#!/bin/sh\n";
		chmod(path.c_str(), 0755);
	}

	void add_settings(std::string const &name, std::string const &text)
	{
		std::ofstream(_directory + "/config/" + name) << text;
	}

	std::unique_ptr<Service_request> resolved(std::string line, bool with_user = true)
	{
		auto request = std::make_unique<Service_request>();
		request->line = std::move(line);
		request->resolve({_directory + "/services", _directory + "/config"}, with_user);
		return request;
	}
};

TEST_F(Service_requests, for_commands_need_a_worker)
{
	auto const request = resolved("user:true");
	EXPECT_FALSE(request->failure());
	EXPECT_TRUE(request->needs_worker());
	EXPECT_TRUE(request->may_be_handed_over());
	EXPECT_EQ(request->user(), "user");
}

TEST_F(Service_requests, that_fail_are_answered_without_a_worker)
{
	for (char const *const line :
		{"", "no user", "user:", "user:QUBESRPC x", "user:QUBESRPC a/b c"}) {
		auto const request = resolved(line);
		ASSERT_TRUE(request->failure()) << line;
		EXPECT_EQ(request->failure()->exit_code, EXIT_TROUBLE) << line;
		EXPECT_FALSE(request->needs_worker()) << line;
		EXPECT_FALSE(request->may_be_handed_over()) << line;
	}
	EXPECT_EQ(resolved("user:QUBESRPC none work")->failure()->exit_code, EXIT_NO_SERVICE);
}

TEST_F(Service_requests, without_a_gui_stay_with_the_agent)
{
	add_executable("test.Add");
	add_settings("test.Add", "wait-for-session = 1\n");
	auto const request = resolved("user:nogui:QUBESRPC test.Add work");
	EXPECT_FALSE(request->waits_for_session());
	EXPECT_FALSE(request->may_be_handed_over());
	EXPECT_TRUE(request->needs_worker());
}

TEST_F(Service_requests, wait_for_a_session_where_settings_say_so)
{
	add_executable("test.Add");
	add_settings("test.Add", "wait-for-session = 1\n");
	auto const request = resolved("user:QUBESRPC test.Add work");
	EXPECT_TRUE(request->waits_for_session());
	EXPECT_FALSE(request->may_be_handed_over()); // upstream's fork server wouldn't wait
}

TEST_F(Service_requests, run_as_the_user_that_settings_force)
{
	add_executable("test.Add");
	add_settings("test.Add", "force-user = 'other'\n");
	EXPECT_EQ(resolved("user:QUBESRPC test.Add work")->user(), "other");
}

TEST_F(Service_requests, to_addresses_need_no_process)
{
	std::filesystem::create_symlink(
		"/dev/tcp/127.0.0.1/4711", _directory + "/services/test.Socket");
	auto const request = resolved("user:QUBESRPC test.Socket work");
	ASSERT_TRUE(request->service());
	EXPECT_FALSE(request->needs_worker());
	add_settings("test.Socket", "wait-for-session = 1\n");
	EXPECT_TRUE(resolved("user:QUBESRPC test.Socket work")->needs_worker());
}

TEST_F(Service_requests, of_a_session_name_no_user)
{
	auto const request = resolved("echo a:b", false);
	EXPECT_FALSE(request->failure());
	EXPECT_EQ(request->user(), "");
	EXPECT_EQ(request->command.command, "echo a:b");
}

} // namespace
} // namespace bulkhead::qrexec
