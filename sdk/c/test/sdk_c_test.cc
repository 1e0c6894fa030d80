#include "platform/sim/swtpm_process.h"
#include "sdk/c/test/clients.h"
#include "sdk/c/tpm.h"
#include "sdk/c/tss2_spi_helper.h"
#include "sdk/c/wolftpm.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <gtest/gtest.h>
#include <string>

namespace bulkhead {
namespace {

using Random = std::array<uint8_t, RANDOM_BYTES>;

/* A bus with swtpm behind it, and what goes over it. */
class C_interface : public testing::Test
{
protected:
	sim::Swtpm_process swtpm{};
	Bulkhead_tpm_bus *bus = nullptr;
	Bulkhead_tpm_bus_counters before{};

	void SetUp() override { ASSERT_TRUE(swtpm.start().ok()) << swtpm.message(); }
	void TearDown() override { bulkhead_tpm_bus_close(bus); }

	std::string name(std::string const &options = "") const
	{
		return "sim:" + swtpm.data_socket() + options;
	}

	void open(std::string const &options = "")
	{
		Bulkhead_message why{};
		ASSERT_EQ(bulkhead_tpm_bus_open(name(options).c_str(), &bus, &why), 0) << why.text;
	}

	void start_counting() { bulkhead_tpm_bus_count(bus, &before); }

	Bulkhead_tpm_bus_counters counted() const
	{
		Bulkhead_tpm_bus_counters now{};
		bulkhead_tpm_bus_count(bus, &now);
		return {.frames = now.frames - before.frames,
			.transfers = now.transfers - before.transfers,
			.bytes = now.bytes - before.bytes};
	}

	/* Two rounds, as a wolfTPM that was built in some way. */
	void run_as_wolftpm(Wolftpm_build build, uint64_t transfers = 12)
	{
		ASSERT_EQ(wolftpm_start(bus, build), 0);
		Random first{}, second{};
		start_counting();
		ASSERT_EQ(wolftpm_get_random(bus, build, first.data()), 0);
		EXPECT_EQ(counted().frames, 12u);
		EXPECT_EQ(counted().transfers, transfers);
		ASSERT_EQ(wolftpm_get_random(bus, build, second.data()), 0);
		EXPECT_NE(first, second);
	}

	void run_as_spi_helper(bool hold, uint64_t transfers)
	{
		ASSERT_EQ(spi_helper_start(bus, hold), 0);
		Random first{}, second{};
		start_counting();
		ASSERT_EQ(spi_helper_get_random(bus, hold, first.data()), 0);
		EXPECT_EQ(counted().frames, 13u);
		EXPECT_EQ(counted().transfers, transfers);
		ASSERT_EQ(spi_helper_get_random(bus, hold, second.data()), 0);
		EXPECT_NE(first, second);
	}
};

TEST_F(C_interface, carries_wolftpms_frames)
{
	open();
	run_as_wolftpm(FRAMES);
}

TEST_F(C_interface, waits_within_wolftpms_frames)
{
	open(",wait_states=3");
	run_as_wolftpm(FRAMES);
}

TEST_F(C_interface, carries_wolftpms_register_accesses)
{
	open();
	run_as_wolftpm(ADVANCED);
}

TEST_F(C_interface, waits_within_wolftpms_register_accesses)
{
	open(",wait_states=3");
	run_as_wolftpm(ADVANCED);
}

TEST_F(C_interface, carries_wolftpms_frames_on_a_controller_that_waits_for_nothing)
{
	open(",wait_states=3,conditional=0");
	// Header, three bytes and the data, each a transfer.
	run_as_wolftpm(FRAMES, 12 * 5);
}

TEST_F(C_interface, carries_wolftpms_frames_on_a_controller_that_holds_nothing)
{
	open(",conditional=0,keeps_selected=0");
	run_as_wolftpm(FRAMES);
}

TEST_F(C_interface, notices_wait_states_that_it_cannot_wait_for)
{
	open(",wait_states=1,conditional=0,keeps_selected=0");
	uint8_t const sent[5]{0x80, 0xd4, 0, 0, 0};
	uint8_t received[5]{};
	EXPECT_EQ(bulkhead_wolftpm_io(nullptr, sent, received, sizeof(sent), bus), 0x101);
	EXPECT_EQ(bulkhead_tpm_bus_error(bus), -ETIMEDOUT);
}

TEST_F(C_interface, tells_wolftpm_of_a_chip_that_never_gets_ready)
{
	open(",wait_states=100000");
	uint8_t const sent[5]{0x80, 0xd4, 0, 0, 0};
	uint8_t received[5]{};
	EXPECT_EQ(bulkhead_tpm_bus_error(bus), 0);
	EXPECT_EQ(bulkhead_wolftpm_io(nullptr, sent, received, sizeof(sent), bus), 0x101);
	EXPECT_EQ(bulkhead_tpm_bus_error(bus), -ETIMEDOUT);
}

TEST_F(C_interface, refuses_what_is_no_frame)
{
	open();
	std::array<uint8_t, 69> sent{}, received{};
	auto const io = [&](uint8_t const *out, uint8_t *in, uint16_t size, void *user) {
		return bulkhead_wolftpm_io(nullptr, out, in, size, user);
	};
	EXPECT_EQ(io(sent.data(), received.data(), 4, bus), 0x101);
	EXPECT_EQ(io(sent.data(), received.data(), 69, bus), 0x101);
	EXPECT_EQ(io(nullptr, received.data(), 5, bus), 0x101);
	EXPECT_EQ(io(sent.data(), nullptr, 5, bus), 0x101);
	EXPECT_EQ(bulkhead_tpm_bus_error(bus), -EINVAL);
	EXPECT_EQ(io(sent.data(), received.data(), 5, nullptr), 0x101);

	auto const at = [&](uint32_t address, uint16_t size) {
		return bulkhead_wolftpm_advanced_io(nullptr, 1, address, received.data(), size, bus);
	};
	EXPECT_EQ(at(0xd40f00, 4), 0);
	EXPECT_EQ(at(0x000f00, 4), 0);
	EXPECT_EQ(at(0xfed40f00, 4), 0);
	EXPECT_EQ(at(0xd50f00, 4), 0x101);
	EXPECT_EQ(at(0xd40f00, 0), 0x101);
	EXPECT_EQ(at(0xd40f00, 65), 0x101);
}

TEST_F(C_interface, holds_the_chip_for_the_spi_helper)
{
	open();
	run_as_spi_helper(true, 26);
}

TEST_F(C_interface, lets_the_spi_helper_wait_byte_by_byte)
{
	open(",wait_states=2");
	run_as_spi_helper(true, 26 + 13 * 2);
}

TEST_F(C_interface, serves_a_spi_helper_that_does_not_hold_the_chip)
{
	open();
	run_as_spi_helper(false, 13);
}

TEST_F(C_interface, offers_the_spi_helper_no_hold_where_there_is_none)
{
	open(",conditional=0,keeps_selected=0");
	run_as_spi_helper(true, 13);
}

TEST_F(C_interface, keeps_the_spi_helpers_order)
{
	open();
	uint8_t byte = 0;
	EXPECT_EQ(bulkhead_tss2_spi_release(bus), uint32_t{BULKHEAD_TSS2_TCTI_RC_BAD_SEQUENCE});
	EXPECT_EQ(bulkhead_tss2_spi_acquire(bus), 0u);
	EXPECT_EQ(bulkhead_tss2_spi_acquire(bus), uint32_t{BULKHEAD_TSS2_TCTI_RC_BAD_SEQUENCE});
	EXPECT_EQ(bulkhead_tss2_spi_transfer(bus, nullptr, &byte, 0), 0u);
	EXPECT_EQ(bulkhead_tss2_spi_transfer(bus, nullptr, nullptr, 1),
		uint32_t{BULKHEAD_TSS2_TCTI_RC_BAD_REFERENCE});
	EXPECT_EQ(bulkhead_tss2_sleep_ms(bus, -1), uint32_t{BULKHEAD_TSS2_TCTI_RC_BAD_VALUE});
	EXPECT_EQ(bulkhead_tss2_spi_acquire(nullptr), uint32_t{BULKHEAD_TSS2_TCTI_RC_BAD_REFERENCE});
}

TEST_F(C_interface, ends_a_timeout_in_time)
{
	open();
	bool expired = true;
	EXPECT_EQ(bulkhead_tss2_start_timeout(bus, 60'000), 0u);
	EXPECT_EQ(bulkhead_tss2_timeout_expired(bus, &expired), 0u);
	EXPECT_FALSE(expired);
	EXPECT_EQ(bulkhead_tss2_start_timeout(bus, 1), 0u);
	EXPECT_EQ(bulkhead_tss2_sleep_ms(bus, 2), 0u);
	EXPECT_EQ(bulkhead_tss2_timeout_expired(bus, &expired), 0u);
	EXPECT_TRUE(expired);
}

TEST_F(C_interface, is_closed_by_the_spi_helper_in_mid_frame)
{
	open();
	uint8_t byte = 0;
	EXPECT_EQ(bulkhead_tss2_spi_acquire(bus), 0u);
	EXPECT_EQ(bulkhead_tss2_spi_transfer(bus, &byte, &byte, 1), 0u);
	spi_helper_end(std::exchange(bus, nullptr));
}

TEST_F(C_interface, runs_our_driver)
{
	Random first{}, second{};
	Bulkhead_message why{};
	ASSERT_EQ(tpm_get_random(name().c_str(), first.data(), &why), 0) << why.text;
	ASSERT_EQ(tpm_get_random(name(",wait_states=2").c_str(), second.data(), &why), 0) << why.text;
	EXPECT_NE(first, second);
}

TEST_F(C_interface, says_why_a_tpm_is_not_to_be_had)
{
	Random random{};
	Bulkhead_message why{};
	EXPECT_EQ(tpm_get_random(name(",select=1").c_str(), random.data(), &why), -ENODEV);
	EXPECT_NE(std::string(why.text).find("no TPM answers"), std::string::npos) << why.text;
	EXPECT_EQ(tpm_get_random("sim:/nonexistent", random.data(), &why), -ENOENT);
	EXPECT_EQ(tpm_get_random("tpm", random.data(), &why), -EINVAL);
	EXPECT_EQ(bulkhead_tpm_bus_open("spidev:/dev/null", &bus, nullptr), -EOPNOTSUPP);
	EXPECT_EQ(bus, nullptr);
}

TEST_F(C_interface, wants_a_name)
{
	Bulkhead_message why{};
	Bulkhead_tpm *tpm = nullptr;
	Bulkhead_tpm_bus *other = nullptr;
	EXPECT_EQ(bulkhead_tpm_open(nullptr, &tpm, &why), -EINVAL);
	EXPECT_NE(std::string(why.text), "");
	EXPECT_EQ(bulkhead_tpm_bus_open(nullptr, &other, nullptr), -EINVAL);
	EXPECT_EQ(tpm, nullptr);
	EXPECT_EQ(other, nullptr);
}

TEST_F(C_interface, says_why_a_command_failed)
{
	Bulkhead_tpm *tpm = nullptr;
	ASSERT_EQ(bulkhead_tpm_open(name().c_str(), &tpm, nullptr), 0);
	uint8_t command[12]{0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7b, 0, 16};
	uint8_t response[12];
	EXPECT_EQ(bulkhead_tpm_transact(tpm, command, sizeof(command), response, sizeof(response)),
		-EMSGSIZE);
	EXPECT_STREQ(bulkhead_tpm_reason(tpm), "the response does not fit the buffer");
	EXPECT_EQ(bulkhead_tpm_transact(tpm, command, 11, response, sizeof(response)), -EINVAL);
	swtpm.kill();
	EXPECT_EQ(
		bulkhead_tpm_transact(tpm, command, sizeof(command), response, sizeof(response)), -ENODEV);
	bulkhead_tpm_close(tpm);
}

} // namespace
} // namespace bulkhead
