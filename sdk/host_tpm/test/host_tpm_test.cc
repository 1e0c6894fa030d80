#include "driver/tpm/command.h"
#include "platform/sim/swtpm_process.h"
#include "sdk/host_tpm/host_tpm.h"

#include <csignal>
#include <gtest/gtest.h>

namespace bulkhead::sdk {
namespace {

class Host_tpm_test : public testing::Test
{
protected:
	sim::Swtpm_process swtpm{};
	Host_tpm tpm{};
	uint8_t message[64]{};

	void SetUp() override { ASSERT_TRUE(swtpm.start().ok()) << swtpm.message(); }

	std::string name() const
	{
		return "sim:" + swtpm.data_socket() + ",control=" + swtpm.control_socket();
	}

	Bytes get_random() { return tpm::write_get_random(message, 16).value(); }

	void expect_random(Attempt<Bytes, tpm::Error> response)
	{
		ASSERT_TRUE(response.ok());
		ASSERT_TRUE(tpm::parse_response(response.value()).ok());
		EXPECT_EQ(response.value().size(), 12u + 16);
	}
};

TEST_F(Host_tpm_test, executes_commands)
{
	ASSERT_TRUE(tpm.open(name()).ok()) << tpm.message();
	for (unsigned i = 0; i < 3; ++i) {
		ASSERT_TRUE(tpm.begin(get_random()).ok());
		EXPECT_EQ(tpm.begin(get_random()).error(), Error::BUSY);
		EXPECT_TRUE(tpm.wait());
		expect_random(tpm.response());
	}
}

TEST_F(Host_tpm_test, looks_at_a_command_without_waiting_for_it)
{
	ASSERT_TRUE(tpm.open(name()).ok()) << tpm.message();
	ASSERT_TRUE(tpm.begin(get_random()).ok());
	while (!tpm.wait(0)) {}
	expect_random(tpm.response());
}

TEST_F(Host_tpm_test, gives_up_what_goes_on_when_it_ends)
{
	{
		Host_tpm other;
		ASSERT_TRUE(other.open(name()).ok()) << other.message();
		ASSERT_TRUE(other.begin(get_random()).ok());
		(void)other.wait(0);
	}
	ASSERT_TRUE(tpm.open(name()).ok()) << tpm.message();
	ASSERT_TRUE(tpm.begin(get_random()).ok());
	EXPECT_TRUE(tpm.wait());
	expect_random(tpm.response());
}

TEST_F(Host_tpm_test, passes_a_cancel_on)
{
	ASSERT_TRUE(tpm.open(name()).ok()) << tpm.message();
	ASSERT_TRUE(tpm.begin(get_random()).ok());
	(void)tpm.wait(0);
	tpm.cancel();
	EXPECT_TRUE(tpm.wait());
	EXPECT_TRUE(tpm.response().ok()); // cancelled or not, there is an answer
}

TEST_F(Host_tpm_test, cancels_a_command_that_nobody_has_waited_for_yet)
{
	// Without a control socket swtpm isn't told, and in this state it answers nothing.
	ASSERT_TRUE(tpm.open("sim:" + swtpm.data_socket()).ok()) << tpm.message();
	kill(swtpm.pid(), SIGSTOP);
	ASSERT_TRUE(tpm.begin(get_random()).ok());
	tpm.cancel();
	while (!tpm.wait(tpm.bus().now_us() + 1'000'000)) {}
	EXPECT_EQ(tpm.response().error(), tpm::Error::COMMAND_CANCELLED);
	kill(swtpm.pid(), SIGCONT);
}

TEST_F(Host_tpm_test, changes_its_locality)
{
	ASSERT_TRUE(tpm.open(name()).ok()) << tpm.message();
	ASSERT_TRUE(tpm.change_locality(3).ok());
	ASSERT_TRUE(tpm.begin(get_random()).ok());
	EXPECT_TRUE(tpm.wait());
	expect_random(tpm.response());
	EXPECT_EQ(tpm.tis().config().locality, 3);
}

TEST_F(Host_tpm_test, stays_in_its_locality_if_another_is_not_to_be_had)
{
	ASSERT_TRUE(tpm.open("sim:" + swtpm.data_socket()).ok()) << tpm.message();
	EXPECT_EQ(tpm.change_locality(3).error(), tpm::Error::LOCALITY_DENIED);
	ASSERT_TRUE(tpm.begin(get_random()).ok());
	EXPECT_TRUE(tpm.wait());
	expect_random(tpm.response());
}

TEST_F(Host_tpm_test, tells_a_wrong_chip_from_a_wrong_name)
{
	EXPECT_EQ(tpm.open(name() + ",select=1").error(), Error::GONE);
	EXPECT_EQ(tpm.driver_error(), tpm::Error::NO_TPM);
	Host_tpm other;
	EXPECT_EQ(other.open("sim:/nonexistent").error(), Error::NOT_FOUND);
	EXPECT_EQ(other.driver_error(), tpm::Error{});
	EXPECT_NE(other.message().find("/nonexistent"), std::string::npos) << other.message();
}

TEST_F(Host_tpm_test, notices_that_swtpm_has_died)
{
	ASSERT_TRUE(tpm.open(name()).ok()) << tpm.message();
	swtpm.kill();
	ASSERT_TRUE(tpm.begin(get_random()).ok());
	EXPECT_TRUE(tpm.wait());
	ASSERT_FALSE(tpm.response().ok());
	EXPECT_EQ(tpm.response().error(), tpm::Error::GONE);
}

} // namespace
} // namespace bulkhead::sdk
