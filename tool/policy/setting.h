#pragma once

// A policy and the domains that it is about, as a subcommand needs them.

#include "platform/linux/heap.h"
#include "rpc/policy/ask/asker.h"
#include "tool/outcome.h"
#include "tool/policy/described_domains.h"
#include "tool/policy/fault_text.h"
#include "tool/policy/host_files.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace bulkhead::tool {

struct Policy_options
{
	std::vector<std::string> directories{}; // the first counts first; empty: those of Qubes
	std::string compat{COMPAT_DIRECTORY};
	std::string domains{}; // a file; empty: those that rules name
	bool json = false;
};

/* Everything that a decision needs, made once. */
class Policy_setting
{
private:
	linux_host::Heap _heap{};

public:
	Owned<policy::Policy> policy{};
	Owned<policy::System> system{};
	Owned<policy::Asker> asker{};
	bool guessed = false; // no file of domains was given

	/* Loads the policy. Throws std::bad_alloc. */
	void load(Policy_options const &options);

	/*
	 * Reads the domains, or takes those that rules name and `more`. Says what is wrong with the
	 * file. Throws std::bad_alloc.
	 */
	std::optional<Trouble> describe(
		Policy_options const &options, std::vector<std::string> const &more = {});

	std::string text(policy::Destination const &destination) const;
	std::string rule_text(policy::Rule const &rule) const;
	/* `30-user.policy:5`, or what stands for a rule that no line says. */
	std::string place(policy::Rule const &rule) const;
};

/* The value, or std::bad_alloc: there is nothing else that can go wrong. */
template <typename T>
T got(Attempt<T> attempt)
{
	if (!attempt.ok()) throw std::bad_alloc();
	return std::move(attempt).value();
}

/* Says all faults on standard error, or as JSON on standard output; returns the exit code. */
int report_policy_faults(policy::Policy const &policy, bool json);

/* A fault as JSON. */
nlohmann::ordered_json json_of(policy::Policy const &policy, policy::Fault const &fault);

} // namespace bulkhead::tool
