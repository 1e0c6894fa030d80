// The writer of logs with a broker that holds the pipes, too, as the real one and its keeper do.

#include "component/broker/log_writer/log_pipes.h"
#include "platform/linux/clock.h"
#include "platform/linux/gate.h"

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::broker::test {
namespace {

using linux_host::Owned_fd;

constexpr uint64_t HANG_US = 30'000'000;
constexpr size_t FILE_BYTES = 65536;

std::string text_of_file(std::filesystem::path const &path)
{
	std::ifstream file(path);
	return {std::istreambuf_iterator<char>(file), {}};
}

class A_log_writer : public testing::Test
{
protected:
	std::string _place = std::filesystem::temp_directory_path() / "bulkhead-logs-XXXXXX";
	linux_host::Gate _gate{};
	pid_t _process = -1;

	void SetUp() override
	{
		ASSERT_TRUE(mkdtemp(_place.data()));
		auto pair = linux_host::Gate::make_pair();
		ASSERT_TRUE(pair.ok());
		_process = fork();
		if (_process == 0) {
			Owned_fd const apart(dup(pair.value().second.value()));
			dup2(apart.value(), LOG_WRITER_SOCKET);
			execl(LOG_WRITER, LOG_WRITER, nullptr);
			_exit(127);
		}
		_gate = linux_host::Gate(std::move(pair.value().first), linux_host::Gate_takes::NOTHING);
	}

	void TearDown() override
	{
		if (_process > 0) kill(_process, SIGKILL), waitpid(_process, nullptr, 0);
		std::filesystem::remove_all(_place);
	}

	std::string path() const { return _place + "/a.log"; }

	/* What is written into the first comes out of the second, and goes to the log. */
	std::pair<Owned_fd, Owned_fd> followed_pipe()
	{
		int ends[2];
		EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
		std::string const text = std::to_string(FILE_BYTES) + " " + path();
		Bytes const message[] = {bytes_of(text)};
		EXPECT_TRUE(_gate.send(message, {ends, 1}).ok());
		return {Owned_fd(ends[1]), Owned_fd(ends[0])};
	}

	/* What the process waits for, its broker's socket included. */
	size_t watched() const
	{
		size_t count = 0;
		std::string const place = "/proc/" + std::to_string(_process) + "/fdinfo";
		for (auto const &each : std::filesystem::directory_iterator(place)) {
			std::string const text = text_of_file(each.path());
			for (size_t at = 0; (at = text.find("tfd:", at)) != text.npos; ++at) ++count;
		}
		return count;
	}

	template <typename CONDITION>
	bool until(CONDITION condition)
	{
		linux_host::Monotonic_clock clock;
		uint64_t const until_us = clock.now_us() + HANG_US;
		while (!condition()) {
			if (clock.now_us() > until_us) return false;
			usleep(1000);
		}
		return true;
	}

	int exit_code()
	{
		_gate.close();
		int status = 0;
		waitpid(std::exchange(_process, -1), &status, 0);
		return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	}
};

TEST_F(A_log_writer, is_through_with_a_pipe_that_its_domain_has_closed)
{
	auto [writes, reads] = followed_pipe();
	ASSERT_EQ(write(writes.value(), "hello\n", 6), 6);
	ASSERT_TRUE(until([&] { return watched() == 2; }));
	writes.reset();
	EXPECT_TRUE(until([&] { return watched() == 1; })) << "it is told of its end on and on";
	EXPECT_NE(text_of_file(path()).find("Z hello\n"), std::string::npos);
	EXPECT_EQ(exit_code(), 0);
}

TEST_F(A_log_writer, is_through_with_the_pipe_of_before_when_a_domain_starts_anew)
{
	auto [writes, reads] = followed_pipe();
	ASSERT_EQ(write(writes.value(), "before\n", 7), 7);
	auto [writes_anew, reads_anew] = followed_pipe();
	ASSERT_EQ(write(writes_anew.value(), "after\n", 6), 6);
	EXPECT_TRUE(until([&] { return text_of_file(path()).ends_with("Z after\n"); }));
	EXPECT_EQ(watched(), 2U);
	EXPECT_NE(text_of_file(path()).find("Z before\n"), std::string::npos);
	EXPECT_EQ(exit_code(), 0);
}

TEST_F(A_log_writer, leaves_nothing_that_a_terminal_obeys)
{
	auto [writes, reads] = followed_pipe();
	// The control characters of Latin 1 are two bytes in UTF-8; they may come one at a time.
	std::string_view const text = "\x1b[31m \x7f \u009b31m \u00e4\u00a0 \xc2";
	ASSERT_EQ(write(writes.value(), text.data(), text.size()), ssize_t(text.size()));
	ASSERT_TRUE(until([&] { return text_of_file(path()).ends_with('\xc2'); }));
	ASSERT_EQ(write(writes.value(), "\x9d\n", 2), 2);
	EXPECT_TRUE(until([&] {
		return text_of_file(path()).ends_with("Z ?[31m ? \xc2?31m \u00e4\u00a0 \xc2?\n");
	})) << text_of_file(path());
	EXPECT_EQ(exit_code(), 0);
}

TEST_F(A_log_writer, keeps_within_its_size_whatever_the_lines_are)
{
	auto [writes, reads] = followed_pipe();
	// Empty lines, each of which gets its time; then one that is longer than the file may be.
	std::string const lines(60'000, '\n');
	std::string const line(200'000, 'x');
	for (std::string const &text : {lines, line, std::string("\nlast\n")})
		for (size_t at = 0; at < text.size();) {
			ssize_t const size = write(writes.value(), text.data() + at, text.size() - at);
			ASSERT_GT(size, 0);
			at += static_cast<size_t>(size);
			EXPECT_LE(text_of_file(path()).size(), FILE_BYTES);
		}
	EXPECT_TRUE(until([&] { return text_of_file(path()).ends_with("Z last\n"); }));
	EXPECT_LE(text_of_file(path()).size(), FILE_BYTES);
	EXPECT_LE(text_of_file(path() + ".1").size(), FILE_BYTES);
	EXPECT_EQ(exit_code(), 0);
}

} // namespace
} // namespace bulkhead::broker::test
