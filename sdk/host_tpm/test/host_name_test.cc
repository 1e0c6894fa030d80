#include "sdk/host_tpm/host_name.h"

#include <gtest/gtest.h>

namespace bulkhead::sdk {
namespace {

Name_error error_of(std::string_view name)
{
	Attempt<Host_name, Name_error> const parsed = parse_host_name(name);
	return parsed.ok() ? Name_error{} : parsed.error();
}

TEST(Host_name, is_a_device_or_a_socket)
{
	Attempt<Host_name, Name_error> const device = parse_host_name("spidev:/dev/spidev0.1");
	ASSERT_TRUE(device.ok());
	EXPECT_EQ(device.value().kind, Host_name::Kind::SPIDEV);
	EXPECT_EQ(device.value().path, "/dev/spidev0.1");
	Attempt<Host_name, Name_error> const socket = parse_host_name("sim:localhost:2321");
	ASSERT_TRUE(socket.ok());
	EXPECT_EQ(socket.value().kind, Host_name::Kind::SIM);
	EXPECT_EQ(socket.value().path, "localhost:2321");
}

TEST(Host_name, takes_options)
{
	Attempt<Host_name, Name_error> const parsed = parse_host_name(
		"sim:a,control=b,locality=4,select=7,wait_states=9,burst_count=4096,clock_hz=1,"
		"conditional=0,keeps_selected=0");
	ASSERT_TRUE(parsed.ok());
	Host_name const &name = parsed.value();
	EXPECT_EQ(name.path, "a");
	EXPECT_EQ(name.control, "b");
	EXPECT_EQ(name.locality, 4);
	EXPECT_EQ(name.select, 7);
	EXPECT_EQ(name.wait_states, 9u);
	EXPECT_EQ(name.burst_count, 4096);
	EXPECT_EQ(name.clock_hz, 1u);
	EXPECT_FALSE(name.conditional);
	EXPECT_FALSE(name.keeps_selected);
}

TEST(Host_name, says_what_is_wrong)
{
	EXPECT_EQ(error_of(""), Name_error::NO_KIND);
	EXPECT_EQ(error_of("device:/dev/tpm0"), Name_error::NO_KIND);
	EXPECT_EQ(error_of("spidev:"), Name_error::NO_PATH);
	EXPECT_EQ(error_of("sim:,select=1"), Name_error::NO_PATH);
	EXPECT_EQ(error_of("sim:a,"), Name_error::UNKNOWN_OPTION);
	EXPECT_EQ(error_of("sim:a,speed=1"), Name_error::UNKNOWN_OPTION);
	EXPECT_EQ(error_of("spidev:a,wait_states=1"), Name_error::UNKNOWN_OPTION);
	EXPECT_EQ(error_of("spidev:a,locality=5"), Name_error::BAD_NUMBER);
	EXPECT_EQ(error_of("spidev:a,clock_hz=0"), Name_error::BAD_NUMBER);
	EXPECT_EQ(error_of("spidev:a,clock_hz=4294967296"), Name_error::BAD_NUMBER);
	EXPECT_EQ(error_of("spidev:a,clock_hz=-1"), Name_error::BAD_NUMBER);
	EXPECT_EQ(error_of("spidev:a,clock_hz=1x"), Name_error::BAD_NUMBER);
	EXPECT_EQ(error_of("sim:a,conditional=2"), Name_error::BAD_NUMBER);
	EXPECT_EQ(error_of("sim:a,control="), Name_error::NO_PATH);
	EXPECT_EQ(error_of("sim:a,locality=1"), Name_error::NO_CONTROL);
}

} // namespace
} // namespace bulkhead::sdk
