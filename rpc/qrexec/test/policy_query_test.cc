#include "rpc/qrexec/policy_query.h"

#include <array>
#include <gtest/gtest.h>
#include <string>

namespace bulkhead::qrexec {
namespace {

using Fault = Query_fault;

std::optional<Fault> fault_of_question(std::string_view text)
{
	auto const result = parse_policy_question(text);
	return result.ok() ? std::nullopt : std::optional(result.error());
}

std::optional<Fault> fault_of_answer(std::string_view text)
{
	auto const result = parse_policy_answer(text);
	return result.ok() ? std::nullopt : std::optional(result.error());
}

constexpr std::string_view ASKED = "source=b\nintended_target=c\nservice_and_arg=d\n";
constexpr std::string_view ALLOWED =
	"user=DEFAULT\nresult=allow\ntarget=web\nautostart=True\nrequested_target=@default";

std::string asked(std::string_view more) { return std::string(ASKED) += more; }
std::string allowed(std::string_view more) { return std::string(ALLOWED) += more; }

TEST(Qrexec_policy_query, reads_a_question)
{
	for (std::string_view const end : {"", "\n"}) {
		std::string const text = asked(end);
		auto const result = parse_policy_question(text);
		ASSERT_TRUE(result.ok());
		EXPECT_EQ(result.value().source, "b");
		EXPECT_EQ(result.value().intended_target, "c");
		EXPECT_EQ(result.value().service_and_argument, "d");
		EXPECT_EQ(result.value().requested_source, "");
		EXPECT_FALSE(result.value().assume_yes_for_ask || result.value().just_evaluate);
	}
	std::string const text = "service_and_arg=s+a=b\njust_evaluate=yes\nintended_target=\n"
							 "assume_yes_for_ask=no\nrequested_source=remote\nsource=b";
	auto const result = parse_policy_question(text);
	ASSERT_TRUE(result.ok());
	EXPECT_EQ(result.value().service_and_argument, "s+a=b");
	EXPECT_EQ(result.value().intended_target, "");
	EXPECT_EQ(result.value().requested_source, "remote");
	EXPECT_TRUE(result.value().just_evaluate);
	EXPECT_FALSE(result.value().assume_yes_for_ask);
}

TEST(Qrexec_policy_query, refuses_a_question_as_upstream_does)
{
	EXPECT_EQ(fault_of_question(""), Fault::MISSING_KEY);
	EXPECT_EQ(fault_of_question("\n"), Fault::MISSING_KEY);
	EXPECT_EQ(fault_of_question("source=b\nintended_target=c\n"), Fault::MISSING_KEY);
	EXPECT_EQ(fault_of_question("source=b\nservice_and_arg=d\n"), Fault::MISSING_KEY);
	EXPECT_EQ(fault_of_question("intended_target=c\nservice_and_arg=d\n"), Fault::MISSING_KEY);
	EXPECT_EQ(fault_of_question(asked("source=b\n")), Fault::REPEATED_KEY);
	EXPECT_EQ(fault_of_question(asked("just_evaluate=no\njust_evaluate=no")), Fault::REPEATED_KEY);
	EXPECT_EQ(fault_of_question("domain_id=None\n"), Fault::UNKNOWN_KEY);
	EXPECT_EQ(fault_of_question(asked("domain_id=1\n")), Fault::UNKNOWN_KEY);
	EXPECT_EQ(fault_of_question(asked("Source=b\n")), Fault::UNKNOWN_KEY);
	EXPECT_EQ(fault_of_question(asked("=b\n")), Fault::UNKNOWN_KEY);
	EXPECT_EQ(fault_of_question(asked("unfinished")), Fault::BAD_LINE);
	EXPECT_EQ(fault_of_question("\n" + asked("")), Fault::BAD_LINE);
	EXPECT_EQ(fault_of_question(asked("\nsource=b\n")), Fault::BAD_LINE);
	EXPECT_EQ(fault_of_question(asked("\n\n")), Fault::BAD_LINE);
	for (std::string_view const word : {"", "Yes", "true", "1", "yes ", "nope"}) {
		EXPECT_EQ(fault_of_question(asked("just_evaluate=").append(word)), Fault::BAD_VALUE);
		EXPECT_EQ(fault_of_question(asked("assume_yes_for_ask=").append(word)), Fault::BAD_VALUE);
	}
	EXPECT_EQ(fault_of_question("source=\nintended_target=c\nservice_and_arg=d"), Fault::BAD_VALUE);
	EXPECT_EQ(fault_of_question("source=b\nintended_target=c\nservice_and_arg="), Fault::BAD_VALUE);
	for (std::string_view const byte : {std::string_view("\0", 1), std::string_view("\r"),
			 std::string_view("\t"), std::string_view("\x7f"), std::string_view("\xc3\xa4")})
		EXPECT_EQ(fault_of_question(asked("requested_source=a").append(byte)), Fault::BAD_VALUE);
}

TEST(Qrexec_policy_query, reads_an_answer)
{
	for (std::string_view const end : {"", "\n"}) {
		std::string const text = allowed(end);
		auto const result = parse_policy_answer(text);
		ASSERT_TRUE(result.ok());
		Policy_answer const &answer = result.value();
		EXPECT_TRUE(answer.allow);
		EXPECT_EQ(answer.user, "DEFAULT");
		EXPECT_EQ(answer.target, "web");
		EXPECT_EQ(answer.requested_target, "@default");
		EXPECT_TRUE(answer.autostart);
		EXPECT_TRUE(
			answer.target_uuid.empty() && answer.service.empty() && answer.policy_source.empty());
	}
	std::string const text =
		"result=allow\nuser=u\ntarget=@dispvm:a\ntarget_uuid=@dispvm:uuid:1\nautostart=False\n"
		"requested_target=@dispvm\nservice=p+s\npolicy_source=remote\nnew=x\nnew=y\n";
	auto const result = parse_policy_answer(text);
	ASSERT_TRUE(result.ok());
	EXPECT_EQ(result.value().target_uuid, "@dispvm:uuid:1");
	EXPECT_EQ(result.value().service, "p+s");
	EXPECT_EQ(result.value().policy_source, "remote");
	EXPECT_FALSE(result.value().autostart);

	for (std::string_view const denial : {"result=deny", "result=deny\n", "why=x\nresult=deny\n"}) {
		auto const denied = parse_policy_answer(denial);
		ASSERT_TRUE(denied.ok());
		EXPECT_FALSE(denied.value().allow);
	}
}

TEST(Qrexec_policy_query, refuses_an_answer_as_upstream_does)
{
	EXPECT_EQ(fault_of_answer(""), Fault::MISSING_KEY);
	EXPECT_EQ(fault_of_answer("\n"), Fault::BAD_LINE);
	EXPECT_EQ(fault_of_answer("result=allow\n"), Fault::MISSING_KEY);
	EXPECT_EQ(fault_of_answer("user=u\ntarget=t\nautostart=True\nrequested_target=t"),
		Fault::MISSING_KEY);
	for (std::string_view const line :
		{"user=DEFAULT\n", "target=web\n", "autostart=True\n", "\nrequested_target=@default"}) {
		std::string text = allowed("");
		text.erase(text.find(line), line.size());
		EXPECT_EQ(fault_of_answer(text), Fault::MISSING_KEY) << text;
	}
	EXPECT_EQ(fault_of_answer("result=Allow"), Fault::BAD_VALUE);
	EXPECT_EQ(fault_of_answer("result="), Fault::BAD_VALUE);
	EXPECT_EQ(fault_of_answer("result=ask"), Fault::BAD_VALUE);
	EXPECT_EQ(fault_of_answer("result=deny\nresult=allow"), Fault::REPEATED_KEY);
	EXPECT_EQ(fault_of_answer(allowed("\nuser=root")), Fault::REPEATED_KEY);
	EXPECT_EQ(fault_of_answer(allowed("\n\n")), Fault::BAD_LINE);
	EXPECT_EQ(fault_of_answer(allowed("\nmore")), Fault::BAD_LINE);
	for (std::string_view const key : {"user", "target", "target_uuid", "autostart",
			 "requested_target", "service", "policy_source"})
		EXPECT_EQ(
			fault_of_answer("result=deny\n" + std::string(key) + "=True"), Fault::FORBIDDEN_KEY);
	EXPECT_EQ(fault_of_answer("result=allow\nuser=\ntarget=t\nautostart=True\nrequested_target=t"),
		Fault::BAD_VALUE);
	EXPECT_EQ(fault_of_answer("result=allow\nuser=u\ntarget=t\nautostart=yes\nrequested_target=t"),
		Fault::BAD_VALUE);
	EXPECT_EQ(fault_of_answer(allowed(std::string_view("\0", 1))), Fault::BAD_VALUE);
}

TEST(Qrexec_policy_query, texts_have_limits)
{
	std::string question = asked("requested_source=");
	question.resize(POLICY_QUESTION_MAX, 'a');
	EXPECT_EQ(fault_of_question(question), std::nullopt);
	EXPECT_EQ(fault_of_question(question + 'a'), Fault::TOO_LONG);
	std::string answer = allowed("\nservice=");
	answer.resize(POLICY_ANSWER_MAX, 'a');
	EXPECT_EQ(fault_of_answer(answer), std::nullopt);
	EXPECT_EQ(fault_of_answer(answer + 'a'), Fault::TOO_LONG);
}

TEST(Qrexec_policy_query, writes_what_it_reads)
{
	std::array<char, 512> memory;
	auto const text = [&](size_t size) { return std::string_view(memory.data(), size); };
	EXPECT_EQ(
		text(write_policy_question(
			{.source = "work", .intended_target = "", .service_and_argument = "s+a"}, memory)),
		"source=work\nintended_target=\nservice_and_arg=s+a\n\n");
	EXPECT_EQ(text(write_policy_question({.source = "work",
											 .requested_source = "far",
											 .intended_target = "@default",
											 .service_and_argument = "s",
											 .assume_yes_for_ask = true,
											 .just_evaluate = true},
				  memory)),
		"source=work\nrequested_source=far\nintended_target=@default\nservice_and_arg=s\n"
		"assume_yes_for_ask=yes\njust_evaluate=yes\n\n");
	EXPECT_EQ(text(write_policy_answer({}, memory)), "result=deny\n");
	EXPECT_EQ(
		text(write_policy_answer(
			{.allow = true, .user = "u", .target = "t", .requested_target = "@default"}, memory)),
		"user=u\nresult=allow\ntarget=t\nautostart=True\nrequested_target=@default\n");
	EXPECT_EQ(text(write_policy_answer({.allow = true,
										   .user = "u",
										   .target = "t",
										   .target_uuid = "uuid:1",
										   .requested_target = "t",
										   .service = "p+s",
										   .policy_source = "far",
										   .autostart = false},
				  memory)),
		"user=u\nresult=allow\ntarget=t\ntarget_uuid=uuid:1\nautostart=False\n"
		"requested_target=t\nservice=p+s\npolicy_source=far\n");
}

TEST(Qrexec_policy_query, does_not_write_what_would_be_read_as_something_else)
{
	std::array<char, 512> memory;
	for (std::string_view const bad : {std::string_view("a\nb"), std::string_view("a\n"),
			 std::string_view("a\0", 2), std::string_view("\xc3\xa4")}) {
		EXPECT_EQ(write_policy_question({.source = bad, .service_and_argument = "s"}, memory), 0U);
		EXPECT_EQ(write_policy_question({.source = "a", .service_and_argument = bad}, memory), 0U);
		EXPECT_EQ(
			write_policy_question(
				{.source = "a", .requested_source = bad, .service_and_argument = "s"}, memory),
			0U);
		EXPECT_EQ(write_policy_question(
					  {.source = "a", .intended_target = bad, .service_and_argument = "s"}, memory),
			0U);
		EXPECT_EQ(write_policy_answer(
					  {.allow = true, .user = bad, .target = "t", .requested_target = "t"}, memory),
			0U);
		EXPECT_EQ(write_policy_answer({.allow = true,
										  .user = "u",
										  .target = "t",
										  .requested_target = "t",
										  .service = bad},
					  memory),
			0U);
	}
	EXPECT_EQ(write_policy_question({.source = "", .service_and_argument = "s"}, memory), 0U);
	EXPECT_EQ(write_policy_question({.source = "a", .service_and_argument = ""}, memory), 0U);
	EXPECT_EQ(write_policy_answer({.allow = true, .user = "u", .target = "t"}, memory), 0U);
}

TEST(Qrexec_policy_query, does_not_write_a_part)
{
	std::array<char, 512> memory;
	Policy_question const question{.source = "a", .service_and_argument = "s"};
	size_t const size = write_policy_question(question, memory);
	for (size_t small = 0; small < size; ++small)
		EXPECT_EQ(write_policy_question(question, std::span(memory).first(small)), 0U);
	EXPECT_EQ(write_policy_question(question, std::span(memory).first(size)), size);
	EXPECT_EQ(write_policy_answer({}, std::span(memory).first(11)), 0U);

	std::string large(POLICY_ANSWER_MAX + 1000, ' ');
	EXPECT_EQ(write_policy_answer({.allow = true,
									  .user = std::string(POLICY_ANSWER_MAX, 'u'),
									  .target = "t",
									  .requested_target = "t"},
				  large),
		0U);
}

TEST(Qrexec_policy_query, each_fault_has_a_name)
{
	for (Fault const fault : {Fault::TOO_LONG, Fault::BAD_LINE, Fault::UNKNOWN_KEY,
			 Fault::REPEATED_KEY, Fault::MISSING_KEY, Fault::FORBIDDEN_KEY, Fault::BAD_VALUE})
		EXPECT_NE(name_of(fault), name_of(Fault(0)));
}

} // namespace
} // namespace bulkhead::qrexec
