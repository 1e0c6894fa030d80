#include "platform/linux/gate.h"

#include <array>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <vector>

namespace bulkhead::linux_host {
namespace {

constexpr int PASS_RIGHTS = 83; // SO_PASSRIGHTS

bool kernel_refuses_rights(int socket)
{
	int value = 0;
	socklen_t length = sizeof(value);
	return getsockopt(socket, SOL_SOCKET, PASS_RIGHTS, &value, &length) == 0;
}

Attempt<void> send_text(Gate &gate, std::string_view text, std::span<int const> descriptors = {})
{
	Bytes const parts[] = {bytes_of(text)};
	return gate.send(parts, descriptors);
}

class A_gate : public testing::Test
{
protected:
	Gate ours{};
	Gate theirs{};
	uint8_t memory[64];
	std::array<Owned_fd, 2> descriptors{};

	void SetUp() override { connect(Gate_takes::DESCRIPTORS); }

	void connect(Gate_takes takes)
	{
		auto pair = Gate::make_pair();
		ASSERT_TRUE(pair.ok());
		ours = Gate(std::move(pair.value().first), Gate_takes::NOTHING);
		theirs = Gate(std::move(pair.value().second), takes);
	}

	Attempt<Gate::Received> receive() { return theirs.receive(memory, descriptors); }
};

TEST_F(A_gate, brings_a_message_of_parts_with_its_descriptors)
{
	int ends[2];
	ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
	Owned_fd const out{ends[0]}, in{ends[1]};
	Bytes const parts[] = {bytes_of("he"), {}, bytes_of("llo")};
	int const given[] = {out.value(), in.value()};
	ASSERT_TRUE(ours.send(parts, given).ok());
	auto const received = receive();
	ASSERT_TRUE(received.ok());
	EXPECT_EQ(text_of({memory, received.value().bytes}), "hello");
	ASSERT_EQ(received.value().descriptors, 2U);
	EXPECT_EQ(fcntl(descriptors[0].value(), F_GETFD), FD_CLOEXEC);
	ASSERT_EQ(write(descriptors[1].value(), "x", 1), 1);
	char byte = 0;
	EXPECT_EQ(read(out.value(), &byte, 1), 1);
}

TEST_F(A_gate, says_when_there_is_nothing_and_when_the_other_side_has_closed)
{
	EXPECT_EQ(receive().error(), Error::WOULD_BLOCK);
	ASSERT_TRUE(send_text(ours, "last").ok());
	ASSERT_TRUE(send_text(theirs, "never read").ok());
	ours.close();
	auto received = receive();
	ASSERT_TRUE(received.ok());
	EXPECT_EQ(received.value().bytes, 4U) << "what was sent before the end comes before it";
	received = receive();
	ASSERT_TRUE(received.ok());
	EXPECT_EQ(received.value().bytes, 0U);
	EXPECT_EQ(send_text(theirs, "x").error(), Error::BROKEN_PIPE);
}

TEST_F(A_gate, does_not_wait_for_a_reader)
{
	unsigned sent = 0;
	Attempt<void> result = Ok{};
	while ((result = send_text(ours, "more")).ok() && sent < 100'000) ++sent;
	ASSERT_FALSE(result.ok());
	EXPECT_EQ(result.error(), Error::WOULD_BLOCK);
	ASSERT_TRUE(receive().ok());
	EXPECT_TRUE(send_text(ours, "again").ok());
}

TEST_F(A_gate, drops_a_message_that_is_too_long_with_its_descriptors)
{
	std::vector<char> const text(65, 'x');
	int const given[] = {0};
	ASSERT_TRUE(send_text(ours, {text.data(), text.size()}, given).ok());
	EXPECT_EQ(receive().error(), Error::TOO_LONG);
	EXPECT_FALSE(descriptors[0]);
	EXPECT_EQ(receive().error(), Error::WOULD_BLOCK);
}

TEST_F(A_gate, drops_a_message_with_more_descriptors_than_are_asked_for)
{
	int const given[] = {0, 0, 0};
	ASSERT_TRUE(send_text(ours, "three", given).ok());
	EXPECT_EQ(receive().error(), Error::INVALID);
	EXPECT_FALSE(descriptors[0]);
	EXPECT_FALSE(descriptors[1]);
	ASSERT_TRUE(send_text(ours, "next").ok());
	EXPECT_TRUE(receive().ok());
}

TEST_F(A_gate, delivers_a_message_whose_descriptors_this_process_may_not_have)
{
	int const given[] = {0, 0};
	ASSERT_TRUE(send_text(ours, "two", given).ok());
	rlimit limit{};
	ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	rlimit const low{4, limit.rlim_max};
	ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
	auto const received = receive();
	ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ASSERT_TRUE(received.ok());
	EXPECT_EQ(received.value().bytes, 3U);
	EXPECT_EQ(received.value().descriptors, 0U);
	EXPECT_FALSE(descriptors[0]);
}

TEST_F(A_gate, sends_no_more_descriptors_than_it_may)
{
	std::vector<int> const given(Gate::DESCRIPTORS_MAX + 1, 0);
	EXPECT_EQ(send_text(ours, "x", given).error(), Error::TOO_LONG);
	EXPECT_EQ(receive().error(), Error::WOULD_BLOCK);
}

TEST_F(A_gate, lets_nobody_hand_it_descriptors_that_it_does_not_take)
{
	connect(Gate_takes::NOTHING);
	int const given[] = {0};
	auto const sent = send_text(ours, "x", given);
	if (kernel_refuses_rights(theirs.fd())) {
		ASSERT_FALSE(sent.ok());
		EXPECT_EQ(sent.error(), Error::DENIED);
	} else {
		EXPECT_EQ(receive().error(), Error::INVALID);
	}
	EXPECT_FALSE(descriptors[0]);
}

} // namespace
} // namespace bulkhead::linux_host
