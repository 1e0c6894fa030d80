// The program as its user sees it.

#include "platform/sim/swtpm_process.h"

#include <array>
#include <cstdio>
#include <gtest/gtest.h>
#include <string>
#include <sys/wait.h>

namespace bulkhead {
namespace {

struct Outcome
{
	int code;
	std::string output; // and what it says on standard error
};

Outcome run(std::string const &arguments)
{
	std::string const command = std::string(TPM_RANDOM) + " " + arguments + " 2>&1";
	FILE *const pipe = popen(command.c_str(), "r");
	std::string output;
	std::array<char, 4096> part;
	while (size_t const n = fread(part.data(), 1, part.size(), pipe)) output.append(part.data(), n);
	int const status = pclose(pipe);
	return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, output};
}

class Tpm_random : public testing::Test
{
protected:
	sim::Swtpm_process swtpm{};

	void SetUp() override { ASSERT_TRUE(swtpm.start().ok()) << swtpm.message(); }
	std::string sim() const { return "--sim " + swtpm.data_socket(); }
};

TEST_F(Tpm_random, prints_other_bytes_each_time)
{
	Outcome const first = run(sim());
	Outcome const second = run(sim());
	EXPECT_EQ(first.code, 0) << first.output;
	EXPECT_EQ(first.output.size(), 2 * 32 + 1u);
	EXPECT_EQ(first.output.find_first_not_of("0123456789abcdef"), 64u);
	EXPECT_EQ(second.code, 0);
	EXPECT_NE(first.output, second.output);
}

TEST_F(Tpm_random, prints_as_many_bytes_as_were_asked_for)
{
	EXPECT_EQ(run("--raw --bytes 1 " + sim()).output.size(), 1u);
	EXPECT_EQ(
		run("--raw --bytes 5000 " + sim() + ",wait_states=2,burst_count=5").output.size(), 5000u);
}

TEST_F(Tpm_random, runs_on_a_controller_that_waits_for_nothing)
{
	EXPECT_EQ(run(sim() + ",wait_states=2,conditional=0").code, 0);
	Outcome const outcome = run(sim() + ",conditional=0,keeps_selected=0");
	EXPECT_EQ(outcome.code, 5) << outcome.output;
}

TEST_F(Tpm_random, says_that_no_tpm_is_there)
{
	Outcome const outcome = run(sim() + ",select=3");
	EXPECT_EQ(outcome.code, 4);
	EXPECT_NE(outcome.output.find("no TPM answers"), std::string::npos) << outcome.output;
}

TEST_F(Tpm_random, says_that_bytes_were_not_written)
{
	EXPECT_EQ(run(sim() + " >/dev/full").code, 1);
}

TEST_F(Tpm_random, uses_a_locality)
{
	EXPECT_EQ(run(sim() + ",locality=1,control=" + swtpm.control_socket()).code, 0);
}

TEST(Tpm_random_alone, says_what_cannot_be_opened)
{
	Outcome const socket = run("--sim /nonexistent/socket");
	EXPECT_EQ(socket.code, 3);
	EXPECT_NE(socket.output.find("/nonexistent/socket"), std::string::npos);
	Outcome const device = run("--spidev /dev/null");
	EXPECT_EQ(device.code, 3);
	EXPECT_NE(device.output.find("/dev/null"), std::string::npos);
}

TEST(Tpm_random_alone, says_how_it_is_used)
{
	EXPECT_EQ(run("--help").code, 0);
	EXPECT_EQ(run("").code, 2);
	EXPECT_EQ(run("--sim a --spidev b").code, 2);
	EXPECT_EQ(run("--sim a,b=c").code, 2);
	EXPECT_EQ(run("--bytes 0 --sim a").code, 2);
	EXPECT_EQ(run("--raw --hex --sim a").code, 2);
}

TEST(Tpm_random_alone, links_no_file_system)
{
	std::string const command = std::string("nm -C ") + TPM_RANDOM + " | grep -c bulkhead::vfs";
	FILE *const pipe = popen(command.c_str(), "r");
	int count = -1;
	EXPECT_EQ(fscanf(pipe, "%d", &count), 1);
	pclose(pipe);
	EXPECT_EQ(count, 0);
}

} // namespace
} // namespace bulkhead
