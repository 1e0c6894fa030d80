#include "driver/tpm/command_filter.h"
#include "driver/tpm/command_names.h"
#include "driver/tpm/resource_manager.h"
#include "driver/tpm/test/rig.h"
#include "driver/tpm/tpm_device.h"

#include <deque>
#include <map>
#include <string>

namespace bulkhead::tpm {
namespace {

constexpr uint32_t CLEAR = 0x126, SIGN = 0x15d, OF_VENDOR = 0x2000'0001;
constexpr uint32_t NO_SUCH_COMMAND = 11u << 16 | 0x143, BAD_TAG = 11u << 16 | 0x1e;

struct Policy final : Command_policy
{
	std::map<std::string, Command_rule, std::less<>> rules{};
	std::vector<uint32_t> refusals{};

	Command_rule const *rule_of(Credentials const &who) const override
	{
		auto const found = rules.find(who.label);
		return found == rules.end() ? nullptr : &found->second;
	}
	void refused(Command_rule const *, uint32_t code) override { refusals.push_back(code); }
};

uint32_t code_of(Message const &response)
{
	return response.size() < 10 ? ~0u : load_be<uint32_t>(Bytes{response}.subspan<6, 4>());
}

TEST(Tpm_command_rule, has_nothing_of_a_vendor_unless_it_is_named)
{
	Command_rule rule;
	EXPECT_FALSE(rule.allows(GET_RANDOM));
	rule.allow_standard();
	EXPECT_TRUE(rule.allows(GET_RANDOM));
	EXPECT_TRUE(rule.allows(0x7fff)) << "of a later standard";
	EXPECT_FALSE(rule.allows(OF_VENDOR));
	EXPECT_FALSE(rule.allows(0x1000'017b)) << "reserved bits";
	EXPECT_FALSE(rule.allows(0x8000'017b));
	EXPECT_TRUE(rule.allow(OF_VENDOR).ok());
	EXPECT_TRUE(rule.allows(OF_VENDOR));
	EXPECT_FALSE(rule.allows(OF_VENDOR + 1));
}

TEST(Tpm_command_rule, takes_what_can_be_a_command)
{
	Command_rule rule;
	EXPECT_TRUE(rule.allow(SIGN).ok());
	EXPECT_TRUE(rule.allows(SIGN));
	EXPECT_FALSE(rule.allows(SIGN + 1));
	EXPECT_FALSE(rule.allow(0).ok());
	EXPECT_FALSE(rule.allow(0xff).ok());
	EXPECT_FALSE(rule.allow(0x200).ok());
	EXPECT_FALSE(rule.allow(0x1000'0100).ok());
	EXPECT_FALSE(rule.allow(0x6000'0000).ok());
	for (uint32_t i = 0; i < Command_rule::VENDOR_MAX; ++i)
		EXPECT_TRUE(rule.allow(OF_VENDOR + i).ok());
	EXPECT_TRUE(rule.allow(OF_VENDOR).ok()) << "is there already";
	EXPECT_EQ(rule.allow(OF_VENDOR + 100).error(), bulkhead::Error::NO_SPACE);
}

TEST(Tpm_command_names, lead_there_and_back)
{
	EXPECT_EQ(command_of_name("GetRandom"), GET_RANDOM);
	EXPECT_EQ(command_of_name("Sign"), SIGN);
	EXPECT_EQ(command_of_name("getrandom"), 0u);
	EXPECT_EQ(name_of_command(CLEAR), "Clear");
	EXPECT_EQ(name_of_command(OF_VENDOR), "");
	size_t count = 0;
	for (; !command_name(count).empty(); ++count) {
		Command_rule rule;
		EXPECT_EQ(name_of_command(command_of_name(command_name(count))), command_name(count));
		EXPECT_TRUE(rule.allow(command_of_name(command_name(count))).ok());
	}
	EXPECT_GT(count, 100u);
}

struct Filtered_tpm : testing::Test, Rig
{
	Policy policy{};
	std::deque<Command_filter> filters{};
	Tpm_device device{tis, Sharing::QUEUED};
	std::deque<Tpm_session> sessions{};

	Filtered_tpm()
	{
		EXPECT_TRUE(start().ok());
		EXPECT_TRUE(policy.rules["web"].allow(GET_RANDOM).ok());
		policy.rules["vault"].allow_standard();
		for (unsigned i = 0; i < 2; ++i)
			device.add(sessions.emplace_back(
				executor, filters.emplace_back(tis, policy), device.openers()));
		backend.submits = 0;
	}

	Char_session &open(std::string_view label)
	{
		Attempt<Char_session *> const session = run(device.open(job, {.who = {.label = label}}));
		EXPECT_TRUE(session.ok());
		return *session.value();
	}

	Message give(Char_session &session, Message const &command)
	{
		Message response(MESSAGE_MAX_BYTES);
		Attempt<size_t> const size = run(session.transact(job, command, response));
		session_error = size.ok() ? bulkhead::Error{} : size.error();
		response.resize(size.ok() ? size.value() : 0);
		return response;
	}

	void close(Char_session &session) { EXPECT_TRUE(run(session.close(job)).ok()); }

	bulkhead::Error session_error{};
};

TEST_F(Filtered_tpm, gives_the_chip_only_what_the_opener_may)
{
	Char_session &web = open("web");
	EXPECT_EQ(give(web, command_of(12, 1)), response_to(command_of(12, 1)));
	EXPECT_EQ(backend.submits, 1u);
	EXPECT_EQ(give(web, command_of(14, 1, CLEAR)), message(10, NO_SUCH_COMMAND));
	EXPECT_EQ(give(web, command_of(14, 1, OF_VENDOR)), message(10, NO_SUCH_COMMAND));
	EXPECT_EQ(backend.submits, 1u) << "nothing else has reached the chip";
	EXPECT_EQ(policy.refusals, (std::vector<uint32_t>{CLEAR, OF_VENDOR}));
	EXPECT_EQ(give(web, command_of(12, 2)), response_to(command_of(12, 2))) << "and it goes on";
	close(web);
	Char_session &vault = open("vault");
	EXPECT_EQ(code_of(give(vault, command_of(14, 1, CLEAR))), 0u);
	close(vault);
}

TEST_F(Filtered_tpm, lets_who_has_no_rule_do_nothing)
{
	Char_session &nobody = open("");
	EXPECT_EQ(code_of(give(nobody, command_of(12))), NO_SUCH_COMMAND);
	close(nobody);
	EXPECT_EQ(backend.submits, 0u);
}

TEST_F(Filtered_tpm, keeps_the_rules_of_those_apart_who_wait_for_their_turn)
{
	Char_session &web = open("web");
	std::string label = "vault";
	Job_with_arena<8192> other{executor};
	struct Waiter
	{
		static Root run(Job &its_job, Tpm_device &of, std::string &name, Char_session *&got)
		{
			Attempt<Char_session *> const session =
				co_await of.open(its_job, {.who = {.label = name}});
			got = session.ok() ? session.value() : nullptr;
		}
	};
	Char_session *vault = nullptr;
	Root root = Waiter::run(other, device, label, vault);
	ASSERT_TRUE(root.start(other).ok());
	executor.run_ready();
	EXPECT_EQ(vault, nullptr);
	label = "spoilt";
	EXPECT_EQ(code_of(give(web, command_of(14, 1, CLEAR))), NO_SUCH_COMMAND);
	close(web);
	executor.run_ready();
	ASSERT_NE(vault, nullptr);
	EXPECT_EQ(code_of(give(*vault, command_of(14, 1, CLEAR))), 0u);
	close(*vault);
}

TEST_F(Filtered_tpm, looks_at_the_form_of_commands_first)
{
	Char_session &web = open("web");
	Message bad_tag = command_of(12);
	bad_tag[0] = 0;
	bad_tag[1] = 0xc1; // TPM_TAG_RQU_COMMAND of TPM 1.2
	EXPECT_EQ(give(web, bad_tag), message(10, BAD_TAG));
	EXPECT_EQ(give(web, Message(9)), Message{});
	EXPECT_EQ(session_error, bulkhead::Error::INVALID);
	Message long_one = command_of(12);
	long_one[5] = 13;
	EXPECT_EQ(give(web, long_one), Message{});
	EXPECT_EQ(session_error, bulkhead::Error::INVALID);
	// What stands behind the command isn't part of it, and can't smuggle another one in.
	Message two = command_of(12);
	Message const second = command_of(14, 0, CLEAR);
	two.insert(two.end(), second.begin(), second.end());
	EXPECT_EQ(give(web, two), response_to(command_of(12)));
	EXPECT_EQ(backend.submits, 1u);
	close(web);

	Command_filter filter{tis, policy};
	filter.admit({.label = "web"});
	Message room(9);
	EXPECT_EQ(run(filter.execute(job, Bytes{two}.first(11), room)).error(), Error::COMMAND_SIZE);
	EXPECT_EQ(run(filter.execute(job, {}, room)).error(), Error::COMMAND_SIZE);
	EXPECT_EQ(run(filter.execute(job, second, room)).error(), Error::BUFFER_TOO_SMALL);
}

TEST_F(Filtered_tpm, lets_the_users_resource_manager_do_what_the_user_may_not)
{
	Resource_manager manager{tis};
	Space space{manager};
	Command_filter filter{space, policy};
	filter.admit({.label = "web"});
	Message response(MESSAGE_MAX_BYTES);
	EXPECT_EQ(run(filter.execute(job, command_of(14, 0, CLEAR), response)).value(), 10u);
	EXPECT_EQ(backend.submits, 0u);
	(void)run(filter.execute(job, command_of(12), response));
	EXPECT_GT(backend.submits, 0u) << "the manager asks for its own capabilities";
}

} // namespace
} // namespace bulkhead::tpm
