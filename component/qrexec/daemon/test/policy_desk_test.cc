#include "component/qrexec/daemon/policy_desk.h"
#include "platform/linux/signals.h"
#include "sdk/qrexec/local_socket.h"

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>

namespace bulkhead::qrexec {
namespace {

namespace fs = std::filesystem;
using linux_host::Loop;
using linux_host::Owned_fd;

constexpr char ALLOW[] =
	"result=allow\nuser=DEFAULT\ntarget=vault\nrequested_target=vault\nautostart=True\n";

class Asker final : public Policy_inquiry::Asker
{
public:
	unsigned answers = 0;
	bool allowed = false;
	std::string target{};

	void policy_says(Policy_answer const &answer) override
	{
		++answers;
		allowed = answer.allow;
		target = answer.target;
	}
};

class Policy_desk_test : public testing::Test, private linux_host::Signals
{
private:
	void signalled(int) override
	{
		int status = 0;
		for (pid_t process; (process = waitpid(-1, &status, WNOHANG)) > 0;)
			desk.child_ended(process, status);
	}

protected:
	fs::path directory{};
	Settings settings{};
	Loop loop{};
	Policy_desk desk{loop, settings};
	Owned_fd listener{};

	void SetUp() override
	{
		std::string path = fs::temp_directory_path() / "qrexec-policy-XXXXXX";
		ASSERT_NE(mkdtemp(path.data()), nullptr);
		directory = path;
		settings.policy_socket = directory / "policy.sock";
		settings.policy_program = directory / "program";
		ASSERT_TRUE(Signals::start(loop, {SIGCHLD}).ok());
	}

	void TearDown() override { fs::remove_all(directory); }

	void listen() { ASSERT_EQ(listen_locally(settings.policy_socket, 0600, listener), 0); }

	void write_program(std::string const &text)
	{
		std::ofstream(settings.policy_program) << "#!/bin/sh\n" << text;
		fs::permissions(settings.policy_program, fs::perms::owner_all);
	}

	Policy_request request(std::string service = "qubes.Service+a")
	{
		return {.source = "work", .target = "vault", .service = std::move(service)};
	}

	void until(std::function<bool()> const &done)
	{
		while (!done()) loop.poll(loop.clock().now_us() + 1000);
	}

	// The next that comes to the socket.
	Owned_fd visitor()
	{
		Owned_fd socket;
		until([&] {
			socket.reset(accept4(listener.value(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
			return bool(socket);
		});
		return socket;
	}

	std::string question(Owned_fd const &socket)
	{
		std::string text;
		until([&] {
			std::array<char, 4096> buffer;
			ssize_t const n = recv(socket.value(), buffer.data(), buffer.size(), 0);
			if (n > 0) text.append(buffer.data(), static_cast<size_t>(n));
			return text.ends_with("\n\n");
		});
		return text;
	}

	static void answer(Owned_fd socket, std::string_view text)
	{
		EXPECT_EQ(send(socket.value(), text.data(), text.size(), MSG_NOSIGNAL),
			static_cast<ssize_t>(text.size()));
	}
};

TEST_F(Policy_desk_test, asks_the_policy_daemon)
{
	listen();
	Asker asker;
	Policy_inquiry inquiry{desk, request(), asker};
	inquiry.ask();
	Owned_fd socket = visitor();
	EXPECT_EQ(question(socket),
		"source=work\nintended_target=vault\nservice_and_arg=qubes.Service+a\n\n");
	EXPECT_EQ(asker.answers, 0U);
	answer(std::move(socket), ALLOW);
	until([&] { return asker.answers > 0; });
	EXPECT_TRUE(asker.allowed);
	EXPECT_EQ(asker.target, "vault");
}

TEST_F(Policy_desk_test, says_for_whom_a_relay_asks)
{
	listen();
	Asker asker;
	Policy_request wanted = request();
	wanted.requested_source = "remote";
	Policy_inquiry inquiry{desk, wanted, asker};
	inquiry.ask();
	Owned_fd socket = visitor();
	EXPECT_NE(question(socket).find("requested_source=remote\n"), std::string::npos);
	answer(std::move(socket), "result=deny\n");
	until([&] { return asker.answers > 0; });
	EXPECT_FALSE(asker.allowed);
}

TEST_F(Policy_desk_test, has_many_questions_at_once)
{
	listen();
	constexpr size_t MANY = 600;
	std::vector<Asker> askers(MANY);
	std::list<Policy_inquiry> inquiries;
	for (Asker &asker : askers) inquiries.emplace_back(desk, request(), asker).ask();
	std::vector<Owned_fd> sockets;
	for (size_t i = 0; i < MANY; ++i) sockets.push_back(visitor());
	for (Owned_fd &socket : sockets) answer(std::move(socket), ALLOW);
	until([&] {
		return std::ranges::all_of(askers, [](Asker const &asker) { return asker.answers == 1; });
	});
}

TEST_F(Policy_desk_test, can_withdraw_a_question)
{
	listen();
	Asker asker;
	{
		Policy_inquiry inquiry{desk, request(), asker};
		inquiry.ask();
		(void)visitor();
	}
	Asker next;
	Policy_inquiry inquiry{desk, request(), next};
	inquiry.ask();
	answer(visitor(), ALLOW);
	until([&] { return next.answers > 0; });
	EXPECT_EQ(asker.answers, 0U);
}

TEST_F(Policy_desk_test, asks_the_program_where_nobody_listens)
{
	write_program("printf '%s\\n' \"$0\" \"$@\" > \"$(dirname \"$0\")/seen\"\nprintf '" +
		std::string("result=allow\\nuser=u\\ntarget=t\\nrequested_target=r\\nautostart=False\\n") +
		"'\n");
	Asker asker;
	Policy_inquiry inquiry{desk, request(), asker};
	inquiry.ask();
	until([&] { return asker.answers > 0; });
	EXPECT_TRUE(asker.allowed);
	EXPECT_EQ(asker.target, "t");
	std::ifstream seen(directory / "seen");
	std::vector<std::string> lines;
	for (std::string line; std::getline(seen, line);) lines.push_back(line);
	lines.erase(lines.begin());
	EXPECT_EQ(lines, (std::vector<std::string>{"--", "work", "vault", "qubes.Service+a"}));
}

TEST_F(Policy_desk_test, believes_the_programs_exit_code)
{
	write_program(
		"printf 'result=allow\\nuser=u\\ntarget=t\\nrequested_target=r\\nautostart=True\\n'\nexit "
		"1\n");
	Asker asker;
	Policy_inquiry inquiry{desk, request(), asker};
	inquiry.ask();
	until([&] { return asker.answers > 0; });
	EXPECT_FALSE(asker.allowed);
}

TEST_F(Policy_desk_test, takes_nonsense_for_a_no)
{
	for (char const *text : {"", "exit 0\n", "echo allow\n", "echo result=allow\n",
			 "head -c 5000 /dev/zero\n", "head -c 100000 /dev/zero\n", "kill -9 $$\n"}) {
		write_program(text);
		Asker asker;
		Policy_inquiry inquiry{desk, request(), asker};
		inquiry.ask();
		until([&] { return asker.answers > 0; });
		EXPECT_FALSE(asker.allowed) << text;
	}
}

TEST_F(Policy_desk_test, refuses_where_there_is_nobody_to_ask)
{
	Asker asker;
	Policy_inquiry inquiry{desk, request(), asker};
	inquiry.ask();
	until([&] { return asker.answers > 0; });
	EXPECT_FALSE(asker.allowed);
}

TEST_F(Policy_desk_test, asks_no_program_about_a_remote_source)
{
	write_program(std::string("printf '") +
		"result=allow\\nuser=u\\ntarget=t\\nrequested_target=r\\nautostart=True\\n'\n");
	Asker asker;
	Policy_request wanted = request();
	wanted.requested_source = "remote";
	Policy_inquiry inquiry{desk, wanted, asker};
	inquiry.ask();
	until([&] { return asker.answers > 0; });
	EXPECT_FALSE(asker.allowed);
}

TEST_F(Policy_desk_test, asks_the_program_when_the_policy_daemon_gives_no_answer)
{
	listen();
	write_program(std::string("printf '") +
		"result=allow\\nuser=u\\ntarget=t\\nrequested_target=r\\nautostart=True\\n'\n");
	for (std::string_view const text : {"", "result=allow\n", "nonsense"}) {
		Asker asker;
		Policy_inquiry inquiry{desk, request(), asker};
		inquiry.ask();
		answer(visitor(), text);
		until([&] { return asker.answers > 0; });
		EXPECT_TRUE(asker.allowed) << text;
		EXPECT_EQ(asker.target, "t");
	}
}

TEST_F(Policy_desk_test, runs_few_programs_at_once_but_all)
{
	write_program("exit 1\n");
	constexpr size_t MANY = 3 * Policy_desk::PROGRAMS_MAX;
	std::vector<Asker> askers(MANY);
	std::list<Policy_inquiry> inquiries;
	for (Asker &asker : askers) inquiries.emplace_back(desk, request(), asker).ask();
	until([&] {
		return std::ranges::all_of(askers, [](Asker const &asker) { return asker.answers == 1; });
	});
}

TEST_F(Policy_desk_test, waits_for_a_place_in_a_full_queue)
{
	// Two places, and nobody who accepts.
	listen();
	ASSERT_EQ(::listen(listener.value(), 1), 0);
	constexpr size_t MANY = 8;
	std::vector<Asker> askers(MANY);
	std::list<Policy_inquiry> inquiries;
	for (Asker &asker : askers) inquiries.emplace_back(desk, request(), asker).ask();
	for (size_t i = 0; i < MANY; ++i) answer(visitor(), ALLOW);
	until([&] {
		return std::ranges::all_of(askers, [](Asker const &asker) { return asker.answers == 1; });
	});
}

} // namespace
} // namespace bulkhead::qrexec
