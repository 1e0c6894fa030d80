// The index against a model that looks at every rule: policies and calls by chance.

#include "rpc/policy/test/model.h"
#include "rpc/policy/test/random.h"

#include <gtest/gtest.h>

namespace bulkhead::policy::test {
namespace {

struct Trial
{
	Heap heap{};
	std::vector<Described> domains = standard_domains();
	Memory_files files{};
	Owned<Policy> policy{};
	Owned<System> system{};
	Owned<Asker> asker{};

	/* Rules by chance; among them one for each of so many sources that aren't there. */
	Trial(Chance &chance, size_t rules, size_t strangers = 0)
	{
		std::string &text = files.texts["p/30.policy"];
		for (size_t i = 0; i < rules; ++i) {
			text += random_rule(chance) + "\n";
			if (i < strangers) text += "a.A * stranger" + std::to_string(i) + " * deny\n";
		}
		constexpr std::array<std::string_view, 1> DIRECTORIES{"p"};
		policy = Policy::load(heap, files, DIRECTORIES, "").value();
		system = System::create(heap, descriptions(domains)).value();
		asker = Asker::create(heap, *policy, *system).value();
	}
};

void compare_choices(Trial &trial, Model const &model, Request const &request)
{
	std::set<std::string> found;
	trial.asker->for_each_choice(
		[&](Destination const &choice) { found.insert(text_of(*trial.asker, choice)); });
	EXPECT_EQ(found, model.choices(request)) << trial.files.texts.begin()->second;
}

void compare(Trial &trial, Chance &chance)
{
	Model const model(*trial.policy, trial.domains);
	std::string const argument = chance.below(2) ? "+" : chance.below(2) ? "+x" : "+other";
	std::string_view const service = chance.of(SERVICES);
	Request const request{.service = service == "*" ? "none" : service,
		.argument = argument,
		.source = chance.of(CALLERS),
		.target = chance.of(WANTED)};
	Verdict const verdict = trial.asker->evaluate(request);
	uint32_t const rule = model.first(request);
	ASSERT_EQ(verdict.rule, rule) << trial.files.texts.begin()->second << request.service
								  << request.argument << " " << request.source << " "
								  << request.target;
	if (verdict.action == Action::ASK && trial.policy->rules()[rule].redirect == NONE &&
		trial.policy->rules()[rule].autostart)
		compare_choices(trial, model, request);
	for (uint32_t i = 0; i < trial.policy->rules().size(); ++i) {
		bool const fits =
			trial.asker->mismatch(trial.policy->rules()[i], request) == Mismatch::MATCHES;
		if (i < rule && model.target_of(request)) {
			ASSERT_FALSE(fits) << i;
		}
		if (i == rule) {
			ASSERT_TRUE(fits) << i;
		}
	}
}

TEST(Policy_model, agrees_with_the_index_on_small_policies)
{
	Chance chance(20261122);
	for (int i = 0; i < 1500; ++i) {
		Trial trial(chance, 1 + chance.below(12));
		for (int j = 0; j < 60; ++j) compare(trial, chance);
		if (HasFailure()) return;
	}
}

TEST(Policy_model, agrees_with_the_index_on_services_with_very_many_sources)
{
	Chance chance(77);
	for (int i = 0; i < 40; ++i) {
		Trial trial(chance, 120, 100);
		for (int j = 0; j < 200; ++j) compare(trial, chance);
		if (HasFailure()) return;
	}
}

TEST(Policy_model, agrees_with_the_index_on_large_policies)
{
	Chance chance(42);
	for (int i = 0; i < 60; ++i) {
		Trial trial(chance, 100 + chance.below(400));
		for (int j = 0; j < 100; ++j) compare(trial, chance);
		if (HasFailure()) return;
	}
}

} // namespace
} // namespace bulkhead::policy::test
