// What a channel is when the caller says little: from the environment, and of a domain to itself.

#include "platform/linux/clock.h"
#include "sdk/libvchan/rendezvous.h"
#include "sdk/libvchan/test/support.h"

#include <array>
#include <cerrno>

namespace bulkhead::sdk::test {
namespace {

/* None of the variables that choose a transport is set. */
class Transport_name : public testing::Test
{
protected:
	void SetUp() override
	{
		for (char const *name : {"BULKHEAD_VCHAN", "BULKHEAD_VCHAN_DIR", "VCHAN_SOCKET_DIR"})
			unsetenv(name);
	}
	void TearDown() override { SetUp(); }
};

TEST_F(Transport_name, is_shm_if_nobody_says_anything)
{
	EXPECT_EQ(transport_name(nullptr), "shm");
	EXPECT_EQ(transport_name(""), "shm");
}

TEST_F(Transport_name, is_socket_where_only_the_directory_of_sockets_is_set)
{
	setenv("VCHAN_SOCKET_DIR", "/run/vchan", 1);
	EXPECT_EQ(transport_name(nullptr), "socket");
	setenv("BULKHEAD_VCHAN_DIR", "", 1);
	setenv("BULKHEAD_VCHAN", "", 1);
	EXPECT_EQ(transport_name(nullptr), "socket") << "what is empty counts as not set";
	setenv("BULKHEAD_VCHAN_DIR", "/run/bulkhead/vchan", 1);
	EXPECT_EQ(transport_name(nullptr), "shm");
	unsetenv("BULKHEAD_VCHAN_DIR");
	setenv("VCHAN_SOCKET_DIR", "", 1);
	EXPECT_EQ(transport_name(nullptr), "shm");
}

TEST_F(Transport_name, is_what_the_caller_says_then_what_the_environment_says)
{
	setenv("VCHAN_SOCKET_DIR", "/run/vchan", 1);
	setenv("BULKHEAD_VCHAN", "shm", 1);
	EXPECT_EQ(transport_name(nullptr), "shm");
	EXPECT_EQ(transport_name("socket"), "socket");
	unsetenv("VCHAN_SOCKET_DIR");
	setenv("BULKHEAD_VCHAN", "socket", 1);
	EXPECT_EQ(transport_name(nullptr), "socket");
	EXPECT_EQ(transport_name("guest"), "guest");
}

TEST_F(Transport_name, decides_which_transport_opens)
{
	Meeting_place const place("");
	be(SERVER);
	Wanted const wanted{
		.server = true, .own = SERVER, .peer = CLIENT, .port = PORT, .read_bytes = 1};
	int error = 0;
	std::string why;
	// What goes one way only tells the two apart.
	EXPECT_NE(open_transport(nullptr, wanted, error, why), nullptr) << why;
	unsetenv("BULKHEAD_VCHAN_DIR");
	EXPECT_EQ(open_transport(nullptr, wanted, error, why), nullptr);
	EXPECT_EQ(error, EOPNOTSUPP) << why;
}

class Within_one_domain : public testing::TestWithParam<char const *>
{
protected:
	Meeting_place place{GetParam()};
	int error = 0;
	std::string why{};

	std::unique_ptr<Transport> open(bool server, bool within_domain)
	{
		return open_transport(GetParam(),
			{.server = server,
				.own = SERVER,
				.peer = SERVER,
				.port = PORT,
				.read_bytes = 4096,
				.write_bytes = 4096,
				.within_domain = within_domain},
			error, why);
	}
};

TEST_P(Within_one_domain, there_is_a_channel_for_who_asks_for_it)
{
	auto const server = open(true, true);
	ASSERT_NE(server, nullptr) << why;
	auto const client = open(false, true);
	ASSERT_NE(client, nullptr) << why;
	uint64_t const until_us = linux_host::Monotonic_clock{}.now_us() + 1000ULL * HANG_MS;
	client->arm(vchan::sleep_for::PEER);
	for (bool both = false; !both;) {
		ASSERT_EQ(server->look(), 0) << server->message();
		ASSERT_EQ(client->look(), 0) << client->message();
		both = server->state() == vchan::State::CONNECTED &&
			client->state() == vchan::State::CONNECTED;
		ASSERT_LT(linux_host::Monotonic_clock{}.now_us(), until_us);
	}
	std::string const text = "to myself";
	Bytes const sent{reinterpret_cast<uint8_t const *>(text.data()), text.size()};
	std::array<uint8_t, 9> got{};
	for (auto const &[from, to] : {std::pair(&server, &client), std::pair(&client, &server)}) {
		ASSERT_TRUE((*from)->try_send({&sent, 1}).ok());
		Mutable_bytes const view(got);
		ASSERT_EQ((*to)->try_receive({&view, 1}).value(), text.size());
		EXPECT_EQ(std::string(got.begin(), got.end()), text);
		got = {};
	}
}

TEST_P(Within_one_domain, there_is_none_for_others)
{
	for (bool const server : {true, false}) {
		EXPECT_EQ(open(server, false), nullptr);
		EXPECT_EQ(error, ELOOP);
		EXPECT_NE(why.find("channel to itself"), std::string::npos) << why;
	}
}

INSTANTIATE_TEST_SUITE_P(all, Within_one_domain, testing::Values("shm", "socket"), transport_of);

} // namespace
} // namespace bulkhead::sdk::test
