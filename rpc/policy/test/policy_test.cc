// Loading, limits, memory and what is said to the daemon.

#include "rpc/policy/test/support.h"
#include "rpc/policy/text/fault_text.h"
#include "rpc/policy/text/verdict_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bulkhead::policy::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

constexpr std::array<std::string_view, 1> DIRECTORIES{"p"};

/* A policy of one file, and the standard system. */
struct Fixture : ::testing::Test
{
	Heap heap{};
	std::vector<Described> domains = standard_domains();
	Memory_files files{};
	Owned<Policy> policy{};
	Owned<System> system{};
	Owned<Asker> asker{};

	void load(std::string const &text, bool aliases = true)
	{
		asker.reset();
		files.texts["p/30.policy"] = text;
		policy = Policy::load(heap, files, DIRECTORIES, "").value();
		system = System::create(heap, descriptions(domains), aliases).value();
		asker = Asker::create(heap, *policy, *system).value();
	}

	std::string response(Request const &request, Verdict const &verdict)
	{
		EXPECT_EQ(verdict.action, Action::ALLOW) << name_of(verdict.denial);
		if (verdict.action != Action::ALLOW) return "";
		EXPECT_EQ(asker->call_fault(verdict), Call_fault::OK);
		std::array<char, 4096> memory;
		Text_writer writer{memory};
		asker->write_response(writer, request, verdict);
		EXPECT_FALSE(writer.cut());
		return std::string(writer.text());
	}
	std::string response(Request const &request)
	{
		return response(request, asker->evaluate(request));
	}
};

using Policy_response = Fixture;
using Policy_faults = Fixture;
using Policy_answer = Fixture;
using Policy_limits = Fixture;
using Policy_system = Fixture;

TEST_F(Policy_response, names_the_target_its_uuid_and_what_was_asked_for)
{
	load("svc * work web allow\nuser * work @anyvm allow user=root target=web autostart=no\n"
		 "dvm * work @anyvm allow\n");
	EXPECT_EQ(response({.service = "svc", .source = "work", .target = "web"}),
		"user=DEFAULT\nresult=allow\ntarget=web\ntarget_uuid=uuid:" + uuid_of(2) +
			"\nautostart=True\nrequested_target=web");
	EXPECT_EQ(response({.service = "svc", .source = "work", .target = "uuid:" + uuid_of(2)}),
		"user=DEFAULT\nresult=allow\ntarget=uuid:" + uuid_of(2) + "\ntarget_uuid=uuid:" +
			uuid_of(2) + "\nautostart=True\nrequested_target=uuid:" + uuid_of(2));
	EXPECT_EQ(response({.service = "user", .source = "work", .target = "no-such-vm"}),
		"user=root\nresult=allow\ntarget=web\ntarget_uuid=uuid:" + uuid_of(2) +
			"\nautostart=False\nrequested_target=@default");
	EXPECT_EQ(response({.service = "dvm", .source = "work", .target = "@dispvm"}),
		"user=DEFAULT\nresult=allow\ntarget=@dispvm:base-dvm\ntarget_uuid=@dispvm:uuid:" +
			uuid_of(4) + "\nautostart=True\nrequested_target=@dispvm");
}

TEST_F(Policy_response, to_dom0_has_no_uuid)
{
	load("svc * work @adminvm allow\nsvc * far @adminvm allow\n");
	for (std::string_view const target : {std::string_view("@adminvm"), ADMIN_NAME, ADMIN_UUID})
		EXPECT_EQ(response({.service = "svc", .source = "work", .target = target}),
			"user=DEFAULT\nresult=allow\ntarget=dom0\nautostart=True\nrequested_target=" +
				std::string(target));
	EXPECT_EQ(
		response(
			{.service = "svc", .source = "relay", .target = "dom0", .requested_source = "far"}),
		"user=DEFAULT\nresult=allow\ntarget=dom0\nautostart=True\nrequested_target=dom0");
}

TEST_F(Policy_response, for_a_remote_vm_goes_to_its_relay)
{
	load("svc * work far allow user=ignored\nother * work @anyvm allow target=far\n"
		 "back * far web allow\nback * far far allow\n");
	std::string const head =
		"user=DEFAULT\nresult=allow\ntarget=relay\ntarget_uuid=uuid:" + uuid_of(12) +
		"\nautostart=True\nrequested_target=";
	EXPECT_EQ(response({.service = "svc", .argument = "+x+y", .source = "work", .target = "far"}),
		head + "far\nservice=net.Proxy+far+svc+x+y");
	// Not what the caller asked for, but where the policy sends it.
	EXPECT_EQ(response({.service = "other", .source = "work", .target = "far-mute"}),
		head + "far-mute\nservice=net.Proxy+far+other+");
	EXPECT_EQ(response({.service = "svc", .source = "work", .target = "uuid:" + uuid_of(13)}),
		head + "uuid:" + uuid_of(13) + "\nservice=net.Proxy+far+svc+");
	EXPECT_EQ(
		response(
			{.service = "back", .source = "relay", .target = "web", .requested_source = "far"}),
		"user=DEFAULT\nresult=allow\ntarget=web\ntarget_uuid=uuid:" + uuid_of(2) +
			"\nautostart=True\nrequested_target=web\npolicy_source=far");
}

TEST_F(Policy_response, to_a_relay_needs_an_asker)
{
	load("svc * * * allow\n");
	Request const relayed{
		.service = "svc", .source = "relay", .target = "web", .requested_source = "far"};
	EXPECT_EQ(asker->evaluate(relayed).action, Action::ALLOW);
	EXPECT_EQ(asker->evaluator().evaluate(relayed).action, Action::DENY);
}

TEST_F(Policy_response, has_no_lines_that_a_caller_made_up)
{
	load("* * work far allow\n");
	EXPECT_THAT(response({.service = "s\ntarget=dom0",
					.argument = "+\r\n\x80 x",
					.source = "work",
					.target = "far"}),
		EndsWith("\nservice=net.Proxy+far+s_target=dom0+____x"));
}

TEST_F(Policy_response, fits_into_what_the_daemon_reads_or_is_cut)
{
	load("svc * work web allow\n");
	Request const request{.service = "svc", .source = "work", .target = "web"};
	Verdict const verdict = asker->evaluate(request);
	std::array<char, 16> memory;
	Text_writer writer{memory};
	asker->write_response(writer, request, verdict);
	EXPECT_TRUE(writer.cut());
}

TEST_F(Policy_answer, sends_the_call_where_a_person_chose)
{
	load("svc * work @anyvm ask user=u\n");
	Request const request{.service = "svc", .source = "work", .target = "web"};
	Verdict const verdict = asker->answer(request, "vault");
	EXPECT_EQ(line_of(*asker, verdict), "allow vault user=u");
	EXPECT_THAT(response(request, verdict), HasSubstr("target=vault\n"));
	EXPECT_THAT(response(request, verdict), HasSubstr("requested_target=web"));
	EXPECT_EQ(
		line_of(*asker, asker->answer(request, "@dispvm:net-dvm")), "allow @dispvm:net-dvm user=u");
}

TEST_F(Policy_answer, must_be_on_offer)
{
	load("svc * work @default ask notify=no\nsvc * work vault deny\nsvc * work @anyvm ask\n");
	Request const request{.service = "svc", .source = "work"};
	for (char const *const chosen : {"vault", "work", "hidden", "dom0", "", "no-such-vm", "@dispvm",
			 "@default", "uuid:00000000-0000-4000-8000-000000000002"})
		EXPECT_EQ(asker->answer(request, chosen).denial, Denial::NOT_OFFERED) << chosen;
	EXPECT_EQ(asker->answer(request, "web").action, Action::ALLOW);
}

TEST_F(Policy_answer, counts_no_rule_twice_whatever_a_caller_writes)
{
	load("* * work @anyvm ask\nsvc * work vault deny\nsvc * web @anyvm ask\n");
	for (char const *const service : {"*", "svc", ""})
		for (char const *const argument : {"*", "+", ""}) {
			Request const request{
				.service = service, .argument = argument, .source = "work", .target = "web"};
			EXPECT_EQ(asker->evaluate(request).rule, 0) << service << argument;
			EXPECT_EQ(asker->answer(request, "web").action, Action::ALLOW);
		}
}

TEST_F(Policy_answer, to_a_redirect_is_resolved)
{
	load("a * work @anyvm ask target=@dispvm\nb * work @anyvm ask target=no-such-vm\n"
		 "c * bare @anyvm ask target=@dispvm\n");
	Request request{.service = "a", .source = "work", .target = "web"};
	EXPECT_EQ(line_of(*asker, asker->evaluate(request)), "ask @dispvm");
	EXPECT_EQ(line_of(*asker, asker->answer(request, "@dispvm")), "allow @dispvm:base-dvm");
	request.service = "b";
	EXPECT_EQ(line_of(*asker, asker->evaluate(request)), "ask no-such-vm");
	EXPECT_EQ(asker->answer(request, "no-such-vm").denial, Denial::NO_TARGET);
	request = {.service = "c", .source = "bare", .target = "web"};
	EXPECT_EQ(asker->answer(request, "@dispvm").denial, Denial::NO_DISPOSABLE);
}

TEST_F(Policy_answer, follows_the_policy_of_now)
{
	load("svc * work web ask\n");
	Request const request{.service = "svc", .source = "work", .target = "web"};
	ASSERT_EQ(asker->evaluate(request).action, Action::ASK);
	load("svc * work web deny\n");
	EXPECT_EQ(asker->answer(request, "web").action, Action::DENY);
}

std::string message_of(Fault const &fault)
{
	std::array<char, 1024> memory;
	Text_writer writer{memory};
	write_message(writer, fault);
	writer.put("; ");
	write_remedy(writer, fault);
	return std::string(writer.text());
}

TEST_F(Policy_faults, say_what_is_wrong_and_what_may_be_meant)
{
	load("svc * work web alow\nsvc * @anvym web deny\nsvc * work web ask defaulttarget=x\n"
		 "svc * work @tga:red deny\n!inclde x\nsvc * work web deny notify=ja\n");
	ASSERT_EQ(policy->faults().size(), 6);
	EXPECT_EQ(message_of(policy->faults()[0]), "there is no action 'alow'; did you mean 'allow'?");
	EXPECT_EQ(
		message_of(policy->faults()[1]), "there is no source '@anvym'; did you mean '@anyvm'?");
	EXPECT_EQ(message_of(policy->faults()[2]),
		"there is no parameter 'defaulttarget'; did you mean 'default_target'?");
	EXPECT_EQ(
		message_of(policy->faults()[3]), "there is no target '@tga:red'; did you mean '@tag:'?");
	EXPECT_EQ(message_of(policy->faults()[4]),
		"there is no directive '!inclde'; did you mean '!include'?");
	EXPECT_EQ(message_of(policy->faults()[5]), "'ja' is neither yes nor no; write yes or no");
}

TEST_F(Policy_faults, each_have_words)
{
	for (unsigned kind = 0; kind <= static_cast<unsigned>(Fault::Kind::NO_POLICY); ++kind) {
		std::array<char, 1024> memory;
		Fault const fault{static_cast<Fault::Kind>(kind), {}, "SUBJECT"};
		Text_writer message{memory};
		write_message(message, fault);
		EXPECT_GT(message.text().size(), 10) << kind;
		Text_writer remedy{memory};
		write_remedy(remedy, fault);
		EXPECT_GT(remedy.text().size(), 10) << kind;
	}
}

TEST_F(Policy_faults, of_a_missing_directory)
{
	policy = Policy::load(heap, files, std::array<std::string_view, 2>{"a", "b"}, "").value();
	ASSERT_EQ(policy->faults().size(), 1);
	EXPECT_EQ(policy->faults()[0].kind, Fault::Kind::NO_POLICY);
	files.directories.push_back("b");
	policy = Policy::load(heap, files, std::array<std::string_view, 2>{"a", "b"}, "").value();
	EXPECT_TRUE(policy->faults().empty());
	EXPECT_TRUE(policy->rules().empty());
}

TEST_F(Policy_faults, tell_the_file_by_path_and_base_name)
{
	load("!include include/x\n");
	EXPECT_EQ(policy->file_name(policy->faults()[0].place.file), "p/30.policy");
	EXPECT_EQ(base_name(*policy, policy->faults()[0].place.file), "30.policy");
	EXPECT_EQ(policy->faults()[0].subject, "p/include/x");
	EXPECT_EQ(policy->file_name(NONE), "");
}

TEST_F(Policy_limits, includes_within_each_other_end_somewhere)
{
	for (int i = 0; i < 40; ++i)
		files.texts["p/f" + std::to_string(i)] = "!include f" + std::to_string(i + 1) + "\n";
	files.texts["p/f40"] = "svc * work web allow\n";
	load("!include f0\n");
	ASSERT_EQ(policy->faults().size(), 1);
	EXPECT_EQ(policy->faults()[0].kind, Fault::Kind::TOO_DEEP);
	load("!include f10\n");
	EXPECT_TRUE(policy->faults().empty());
}

TEST_F(Policy_limits, includes_that_double_each_time_end_somewhere)
{
	for (int i = 0; i < 30; ++i) {
		std::string const line = "!include f" + std::to_string(i + 1) + "\n";
		files.texts["p/f" + std::to_string(i)] = line + line;
	}
	files.texts["p/f30"] = "svc * work web allow\n";
	load("!include f0\n");
	ASSERT_FALSE(policy->faults().empty());
	EXPECT_EQ(policy->faults()[0].kind, Fault::Kind::TOO_MUCH);
	EXPECT_TRUE(policy->broken());
}

TEST_F(Policy_limits, endless_faults_end_somewhere)
{
	std::string text;
	for (int i = 0; i < 30'000; ++i) text += "x\n";
	load(text);
	EXPECT_LT(policy->faults().size(), 20'000);
	EXPECT_TRUE(policy->broken());
}

TEST_F(Policy_limits, running_out_of_memory_is_an_error_wherever_it_happens)
{
	files.texts["p/30.policy"] = "svc * work web ask target=vault\n!include x\n!compat-4.0\n";
	files.texts["p/x"] = "svc +a @tag:red @dispvm:@tag:red deny\n";
	files.texts["c/svc+x"] = "work web allow\n";
	size_t failures = 0;
	for (size_t allocations = 0;; ++allocations) {
		Heap small(allocations);
		auto tight = Policy::load(small, files, DIRECTORIES, "c");
		if (!tight.ok()) {
			EXPECT_EQ(tight.error(), Error::OUT_OF_MEMORY);
			++failures;
			continue;
		}
		EXPECT_TRUE(tight.value()->faults().empty());
		break;
	}
	EXPECT_GT(failures, 10);
	policy = Policy::load(heap, files, DIRECTORIES, "c").value();
	for (size_t allocations = 0;; ++allocations) {
		Heap small(allocations);
		auto made = System::create(small, descriptions(domains));
		if (!made.ok()) {
			EXPECT_EQ(made.error(), Error::OUT_OF_MEMORY);
			continue;
		}
		auto tight = Asker::create(small, *policy, *made.value());
		if (tight.ok()) break;
		EXPECT_EQ(tight.error(), Error::OUT_OF_MEMORY);
	}
}

TEST_F(Policy_limits, lengths_of_words_at_their_edges)
{
	for (size_t const length : {1, 63, 64, 65, 4095, 4096, 100'000}) {
		std::string const word(length, 'a');
		load(word + " +" + word + " " + word + " " + word + " deny notify=no\n");
		ASSERT_TRUE(policy->faults().empty());
		std::string const argument = "+" + word;
		Request const request{
			.service = word, .argument = argument, .source = word, .target = "web"};
		EXPECT_EQ(asker->evaluate(request).denial, Denial::NO_RULE);
		load(word + " +" + word + " " + word + " * deny notify=no\n");
		EXPECT_EQ(line_of(*asker, asker->evaluate(request)), "deny quietly") << length;
	}
}

TEST_F(Policy_system, without_aliases_knows_no_domain_by_uuid)
{
	load("a * work @anyvm allow\nb * work @default deny notify=no\nc * work @anyvm allow "
		 "target=uuid:" +
			uuid_of(2) + "\nd * uuid:" + uuid_of(1) + " uuid:" + uuid_of(2) + " allow\n",
		false);
	std::string const uuid = "uuid:" + uuid_of(2);
	EXPECT_EQ(line_of(*asker, asker->evaluate({.service = "a", .source = "work", .target = uuid})),
		"deny");
	EXPECT_EQ(line_of(*asker, asker->evaluate({.service = "b", .source = "work", .target = uuid})),
		"deny quietly");
	EXPECT_EQ(
		line_of(*asker, asker->evaluate({.service = "c", .source = "work", .target = "vault"})),
		"deny");
	EXPECT_EQ(line_of(*asker, asker->evaluate({.service = "d", .source = "work", .target = "web"})),
		"allow web");
}

TEST_F(Policy_system, takes_a_name_that_looks_like_a_uuid_alike_in_rules_and_calls)
{
	std::string const uuid = "uuid:" + uuid_of(4);
	domains[9].default_dispvm = uuid;
	load("a * " + uuid + " @anyvm deny notify=no\na * * @anyvm allow\nb * odd @dispvm:" + uuid +
		" deny notify=no\nb * * @dispvm allow\n");
	EXPECT_EQ(line_of(*asker, asker->evaluate({.service = "a", .source = uuid, .target = "web"})),
		"deny quietly");
	EXPECT_EQ(
		line_of(*asker, asker->evaluate({.service = "b", .source = "odd", .target = "@dispvm"})),
		"deny quietly");
}

TEST_F(Policy_system, has_no_two_domains_of_one_name)
{
	std::vector<Domain_description> const twice{{.name = "work"}, {.name = "work"}};
	auto const made = System::create(heap, twice);
	ASSERT_FALSE(made.ok());
	EXPECT_EQ(made.error(), Error::EXISTS);
}

TEST_F(Policy_system, may_be_empty)
{
	std::string_view const directories[] = {""};
	policy = Policy::load(heap, files, directories, "", "none").value();
	ASSERT_EQ(policy->faults().size(), 1);
	EXPECT_EQ(policy->faults()[0].kind, Fault::Kind::NO_FILE);
	files.texts["main"] = "* * * * ask\n* * * @dispvm allow\n";
	policy = Policy::load(heap, files, directories, "", "main").value();
	system = System::create(heap, {}).value();
	asker = Asker::create(heap, *policy, *system).value();
	EXPECT_EQ(
		line_of(*asker, asker->evaluate({.service = "svc", .source = "work", .target = "web"})),
		"deny");
	EXPECT_EQ(
		line_of(*asker, asker->evaluate({.service = "svc", .source = "dom0", .target = "dom0"})),
		"deny");
}

TEST_F(Policy_system, of_many_domains)
{
	for (int i = 0; i < 500; ++i) domains.push_back({.name = "vm" + std::to_string(i)});
	load("svc * vm7 @anyvm ask\nsvc * @type:AppVM vm499 allow\n");
	Verdict const verdict = asker->evaluate({.service = "svc", .source = "vm7", .target = "vm8"});
	EXPECT_EQ(verdict.action, Action::ASK);
	size_t choices = 0;
	asker->for_each_choice([&](Destination const &) { ++choices; });
	EXPECT_EQ(choices, 500 - 1 + domains.size() - 500 - 2 + 2);
}

TEST_F(Fixture, a_new_policy_takes_the_place_of_the_old_one_as_a_whole)
{
	load("svc * work web allow\n");
	Request const request{.service = "svc", .source = "work", .target = "web"};
	EXPECT_EQ(asker->evaluate(request).action, Action::ALLOW);
	load("svc * work web allow\nsvc * work vault\n");
	EXPECT_EQ(asker->evaluate(request).denial, Denial::BROKEN_POLICY);
	load("svc * work web deny\n");
	EXPECT_EQ(asker->evaluate(request).denial, Denial::RULE);
}

TEST(Policy, that_is_empty_denies_everything)
{
	Heap heap;
	Policy const policy(heap);
	Owned<System> const system = System::create(heap, {}).value();
	Owned<Asker> const asker = Asker::create(heap, policy, *system).value();
	EXPECT_EQ(asker->evaluate({.service = "svc", .source = "dom0", .target = "dom0"}).denial,
		Denial::NO_RULE);
}

} // namespace
} // namespace bulkhead::policy::test
