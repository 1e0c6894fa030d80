#include "component/broker/plan/ruling.h"

#include "domain/gate/message.h"
#include "tool/policy/fault_text.h"
#include "tool/policy/host_files.h"

namespace bulkhead::broker {
namespace {

using Loaded = Attempt<Owned<policy::Policy>>;

Loaded load(Allocator &heap, domain::System_plan const &plan)
{
	if (!plan.policy_directory.empty()) {
		tool::Host_files files;
		std::string_view const directories[] = {plan.policy_directory};
		return policy::Policy::load(heap, files, directories, "");
	}
	// As many empty lines before them as the manifest has: then faults have its lines.
	tool::Sent_files texts;
	unsigned const before = plan.rules_at.line ? plan.rules_at.line - 1 : 0;
	texts.policy[plan.manifest] = std::string(before, '\n') + plan.rules;
	std::string_view const directories[] = {texts.POLICY};
	return policy::Policy::load(heap, texts, directories, texts.COMPAT, plan.manifest);
}

Attempt<Owned<policy::System>> describe(Allocator &heap, domain::System_plan const &plan)
{
	std::vector<std::vector<std::string_view>> tags;
	for (auto const &each : plan.domains) tags.emplace_back(each.tags.begin(), each.tags.end());
	std::vector<policy::Domain_description> domains;
	domains.push_back({.name = domain::OPERATOR, .type = "AdminVM", .running = true});
	for (size_t i = 0; i < plan.domains.size(); ++i)
		domains.push_back(
			{.name = plan.domains[i].name, .type = "AppVM", .tags = tags[i], .running = true});
	return policy::System::create(heap, domains, false);
}

} // namespace

std::unique_ptr<Ruling> Ruling::make(domain::System_plan const &plan, std::string &faults)
{
	auto made = std::make_unique<Ruling>();
	auto policy = load(made->_heap, plan);
	auto system = describe(made->_heap, plan);
	if (policy.ok() && policy.value()->broken()) {
		for (policy::Fault const &fault : policy.value()->faults())
			faults.append(tool::text_of(*policy.value(), fault)).append("\n");
		return nullptr;
	}
	if (policy.ok() && system.ok()) {
		made->_policy = std::move(policy.value());
		made->_system = std::move(system.value());
		auto evaluator = policy::Evaluator::create(made->_heap, *made->_policy, *made->_system);
		if (evaluator.ok()) {
			made->_evaluator = std::move(evaluator.value());
			return made;
		}
	}
	faults.append("no memory for the policy\n");
	return nullptr;
}

} // namespace bulkhead::broker
