#include "base/sync_wait.h"
#include "component/tpm_random/random_source.h"

#include <deque>
#include <gtest/gtest.h>
#include <vector>

namespace bulkhead::tpm_random {
namespace {

using tpm::Response_code;

class Still_clock final : public Clock
{
public:
	mutable uint64_t time_us = 0;

	uint64_t now_us() const override { return time_us; }
};

/* Answers with what it was told to, and notes what it was asked. */
class Scripted_tpm final : public tpm::Interface
{
public:
	std::deque<std::vector<uint8_t>> responses{};
	std::vector<uint32_t> codes{}; // of the commands
	tpm::Error error{};

	Task<size_t, tpm::Error> execute(Job &, Bytes command, Mutable_bytes response) override
	{
		codes.push_back(tpm::parse_header(command).value().code);
		if (error != tpm::Error{}) return error;
		if (responses.empty()) return tpm::Error::HUNG;
		std::vector<uint8_t> const next = responses.front();
		responses.pop_front();
		return copy_bytes(response, next);
	}

	bool cancel(Job const &) override { return false; }
};

std::vector<uint8_t> refusal(Response_code code)
{
	uint8_t bytes[10];
	Byte_writer writer{bytes};
	writer.u16_be(tpm::TPM_ST_NO_SESSIONS);
	writer.u32_be(10);
	writer.u32_be(static_cast<uint32_t>(code));
	return {bytes, bytes + sizeof(bytes)};
}

std::vector<uint8_t> random_response(uint16_t announced, std::vector<uint8_t> bytes)
{
	std::vector<uint8_t> message(12);
	Byte_writer writer{message};
	writer.u16_be(tpm::TPM_ST_NO_SESSIONS);
	writer.u32_be(static_cast<uint32_t>(12 + bytes.size()));
	writer.u32_be(0);
	writer.u16_be(announced);
	message.insert(message.end(), bytes.begin(), bytes.end());
	return message;
}

class Random_source_test : public testing::Test
{
protected:
	Still_clock clock{};
	Executor executor{clock};
	Job_with_arena<8192> job{executor};
	Scripted_tpm tpm{};
	Random_source source{tpm};

	Attempt<void, Error> fill(Mutable_bytes to)
	{
		return sync_wait(
			job, source.fill(job, to), [this](uint64_t until_us) { clock.time_us = until_us; });
	}
};

TEST_F(Random_source_test, asks_until_it_has_all_bytes)
{
	tpm.responses = {random_response(3, {1, 2, 3}), random_response(2, {4, 5})};
	uint8_t bytes[5]{};
	ASSERT_TRUE(fill(bytes).ok());
	EXPECT_EQ(std::vector<uint8_t>(bytes, bytes + 5), (std::vector<uint8_t>{1, 2, 3, 4, 5}));
	EXPECT_EQ(tpm.codes, (std::vector<uint32_t>{0x17b, 0x17b}));
}

TEST_F(Random_source_test, starts_a_tpm_that_nobody_has_started)
{
	tpm.responses = {refusal(Response_code::INITIALIZE), refusal(Response_code::SUCCESS),
		random_response(1, {7})};
	uint8_t byte = 0;
	ASSERT_TRUE(fill({&byte, 1}).ok());
	EXPECT_EQ(byte, 7);
	EXPECT_EQ(tpm.codes, (std::vector<uint32_t>{0x17b, 0x144, 0x17b}));
}

TEST_F(Random_source_test, starts_a_tpm_once)
{
	tpm.responses = {refusal(Response_code::INITIALIZE), refusal(Response_code::SUCCESS),
		refusal(Response_code::INITIALIZE)};
	uint8_t byte = 0;
	EXPECT_EQ(fill({&byte, 1}).error(), Error::REFUSED);
	EXPECT_EQ(source.response_code(), Response_code::INITIALIZE);
}

TEST_F(Random_source_test, repeats_what_the_tpm_asks_to_repeat)
{
	tpm.responses = {
		refusal(Response_code::RETRY), refusal(Response_code::TESTING), random_response(1, {9})};
	uint8_t byte = 0;
	ASSERT_TRUE(fill({&byte, 1}).ok());
	EXPECT_EQ(byte, 9);
	EXPECT_GT(clock.time_us, 0u);
}

TEST_F(Random_source_test, does_not_repeat_for_ever)
{
	for (unsigned i = 0; i < 1000; ++i) tpm.responses.push_back(refusal(Response_code::RETRY));
	uint8_t byte = 0;
	EXPECT_EQ(fill({&byte, 1}).error(), Error::REFUSED);
	EXPECT_LE(clock.time_us, 3'000'000u);
}

TEST_F(Random_source_test, tells_why_the_tpm_refused)
{
	tpm.responses = {refusal(Response_code::FAILURE)};
	uint8_t byte = 0;
	EXPECT_EQ(fill({&byte, 1}).error(), Error::REFUSED);
	EXPECT_EQ(source.response_code(), Response_code::FAILURE);
}

TEST_F(Random_source_test, tells_what_the_driver_said)
{
	tpm.error = tpm::Error::NO_BURST;
	uint8_t byte = 0;
	EXPECT_EQ(fill({&byte, 1}).error(), Error::DRIVER);
	EXPECT_EQ(source.driver_error(), tpm::Error::NO_BURST);
}

TEST_F(Random_source_test, does_not_believe_nonsense)
{
	std::vector<std::vector<uint8_t>> const nonsense{
		{}, // nothing
		{0x80, 0x01, 0, 0}, // half a header
		random_response(0, {}), // no bytes at all
		random_response(2, {1}), // fewer than announced
		random_response(1, {1, 2}), // more than announced
		random_response(9, {1, 2, 3, 4, 5, 6, 7, 8, 9}), // more than asked for
	};
	for (auto const &response : nonsense) {
		tpm.responses = {response};
		uint8_t bytes[8]{};
		Attempt<void, Error> const filled = fill(bytes);
		ASSERT_FALSE(filled.ok());
		EXPECT_EQ(filled.error(), Error::MALFORMED);
	}
}

} // namespace
} // namespace bulkhead::tpm_random
