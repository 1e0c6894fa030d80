#include "component/qrexec/agent/handover.h"

#include <gtest/gtest.h>

namespace bulkhead::qrexec {
namespace {

using Outcome = Handover_reader::Outcome;

Outcome read(Handover_reader &reader, std::string_view bytes)
{
	Outcome outcome = Outcome::MORE;
	while (!bytes.empty() && outcome == Outcome::MORE) {
		size_t const size = std::min(bytes.size(), reader.wanted());
		outcome = reader.add(bytes.substr(0, size));
		bytes.remove_prefix(size);
	}
	return outcome;
}

std::string message(uint32_t type, uint32_t length, std::string_view line)
{
	uint32_t const head[]{type, 43, 513, length};
	return std::string(reinterpret_cast<char const *>(head), sizeof(head)) + std::string(line);
}

TEST(Handover, goes_without_the_user_and_comes_back)
{
	Service_request request;
	request.type = Type::JUST_EXEC;
	request.params = {7, 519};
	request.line = "user:QUBESRPC qubes.Open+a:b work";
	Handover_reader reader;
	ASSERT_EQ(read(reader, handover_of(request)), Outcome::WHOLE);
	auto const back = reader.request();
	EXPECT_EQ(back->type, Type::JUST_EXEC);
	EXPECT_EQ(back->params, (Exec_params{7, 519}));
	EXPECT_EQ(back->line, "QUBESRPC qubes.Open+a:b work");
}

TEST(Handover, may_come_in_single_bytes)
{
	Service_request request;
	request.line = "user:true";
	Handover_reader reader;
	std::string const all = handover_of(request);
	for (size_t i = 0; i + 1 < all.size(); ++i)
		ASSERT_EQ(reader.add(std::string_view(all).substr(i, 1)), Outcome::MORE);
	EXPECT_EQ(reader.add(std::string_view(all).substr(all.size() - 1)), Outcome::WHOLE);
}

TEST(Handover, has_a_command_line_of_bounded_length_with_one_nul_at_its_end)
{
	auto const outcome = [](std::string const &bytes) {
		Handover_reader reader;
		return read(reader, bytes);
	};
	using namespace std::string_view_literals;
	EXPECT_EQ(outcome(message(0x200, 0, "")), Outcome::WRONG);
	EXPECT_EQ(outcome(message(0x200, 1, "\0"sv)), Outcome::WHOLE); // refused when it is read
	EXPECT_EQ(outcome(message(0x200, 3, "abc")), Outcome::WRONG);
	EXPECT_EQ(outcome(message(0x200, 3, "a\0\0"sv)), Outcome::WRONG);
	std::string longest(COMMAND_MAX - 1, 'x');
	longest += '\0';
	EXPECT_EQ(outcome(message(0x200, COMMAND_MAX, longest)), Outcome::WHOLE);
	EXPECT_EQ(outcome(message(0x200, COMMAND_MAX + 1, "")), Outcome::WRONG);
}

TEST(Handover, is_for_calls_only)
{
	for (uint32_t const type : {0u, 0x1ffu, 0x202u, 0x300u}) {
		Handover_reader reader;
		EXPECT_EQ(read(reader, message(type, 3, "ab")), Outcome::WRONG) << type;
	}
}

} // namespace
} // namespace bulkhead::qrexec
