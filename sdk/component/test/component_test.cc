// A component in C, as a process of its own.

#include "base/sync_wait.h"
#include "sdk/component/test/fake_broker.h"
#include "sdk/qrexec/loop_channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::component {
namespace {

using linux_host::Loop;
using linux_host::Owned_fd;
using qrexec::Loop_channel;
using qrexec::Side;

struct Said
{
	std::string text{}, errors{};
	int code = -1;
};

class Component_in_c : public testing::Test
{
protected:
	Loop _loop{};
	Fake_broker _broker{_loop};
	pid_t _process = -1;
	Job_with_arena<8192> _job{_loop.executor()};

	/* From descriptor 3 on, as a broker hands them over. */
	void start()
	{
		Owned_fd gate = _broker.add("c");
		Owned_fd config(memfd_create("config", 0));
		ASSERT_EQ(write(config.value(), "a text", 6), 6);
		// Above all that they are to become.
		int const from_gate = fcntl(gate.value(), F_DUPFD, 100);
		int const from_config = fcntl(config.value(), F_DUPFD, 100);
		_process = fork();
		if (_process == 0) {
			dup2(from_gate, 3);
			dup2(from_config, 4);
			setenv("LISTEN_FDS", "2", 1);
			setenv("LISTEN_FDNAMES", "gate:config", 1);
			setenv("BULKHEAD_DOMAIN", "c", 1);
			execl(COMPONENT, COMPONENT, nullptr);
			_exit(127);
		}
		close(from_gate);
		close(from_config);
	}

	void TearDown() override
	{
		if (_process < 0) return;
		_broker.close("c");
		int status = 0;
		waitpid(_process, &status, 0);
		EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
	}

	static Task<int> _talk(Job &job, Loop_channel &channel, std::string_view input, Said &said)
	{
		auto const written = co_await channel.write(job, bytes_of(input));
		if (written.ok()) static_cast<void>(co_await channel.finish(job));
		std::array<uint8_t, 256> buffer;
		while (true) {
			CO_TRY_ASSIGN(size_t const n, co_await channel.read(job, buffer));
			if (n == 0) break;
			said.text += text_of(std::span(buffer).first(n));
		}
		co_return co_await channel.exit_code(job);
	}

	Said call(std::string caller, std::string_view service, std::string_view input)
	{
		Said said;
		Loop_channel channel(_loop);
		channel.errors([&](Bytes bytes) { said.errors += text_of(bytes); });
		auto end = _broker.call(std::move(caller), "c", service);
		EXPECT_TRUE(end.ok() && channel.adopt(std::move(end.value()), Side::CALLER).ok());
		auto const code = sync_wait(_job, _talk(_job, channel, input, said), _loop);
		if (code.ok()) said.code = code.value();
		return said;
	}
};

TEST_F(Component_in_c, serves_calls)
{
	start();
	Said const said = call("work", "test.Copy", "hello");
	EXPECT_EQ(said.text, "hello");
	EXPECT_EQ(said.code, 4);
	Said const refused = call("web", "test.Copy", "hello");
	EXPECT_EQ(refused.code, 9);
	EXPECT_EQ(refused.errors, "not you\n");
	EXPECT_EQ(call("work", "test.Other", "").code, qrexec::EXIT_NO_SERVICE);
}

TEST_F(Component_in_c, calls_others)
{
	start();
	EXPECT_EQ(call("work", "test.Ask+c", "").text, "question 4 0"); // itself
	_broker.refuse = [](auto, auto, auto) { return true; };
	EXPECT_EQ(call("work", "test.Ask+c", "").text, " 0 1");
}

TEST_F(Component_in_c, sees_what_it_was_given_time_and_descriptors)
{
	start();
	EXPECT_EQ(call("work", "test.Given", "").text, "a text");
}

TEST_F(Component_in_c, says_how_it_is_started_if_it_is_not)
{
	int output[2];
	ASSERT_EQ(pipe(output), 0);
	pid_t const process = fork();
	if (process == 0) {
		dup2(output[1], STDERR_FILENO);
		unsetenv("LISTEN_FDS");
		execl(COMPONENT, COMPONENT, nullptr);
		_exit(127);
	}
	close(output[1]);
	char text[256]{};
	EXPECT_GT(read(output[0], text, sizeof(text) - 1), 0);
	close(output[0]);
	EXPECT_NE(std::string(text).find("bulkhead run"), std::string::npos) << text;
	int status = 0;
	waitpid(process, &status, 0);
	EXPECT_EQ(WEXITSTATUS(status), 1);
}

} // namespace
} // namespace bulkhead::component
