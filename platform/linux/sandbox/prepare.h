#pragma once

// From a Sandbox to the Plan of the process that is to be in it.

#include "platform/linux/sandbox/cgroup.h"
#include "platform/linux/sandbox/plan.h"
#include "platform/linux/sandbox/sandbox.h"

namespace bulkhead::linux_host::sandbox {

/* All that a start needs; undone by its destructor. Refers to the Sandbox. */
struct Prepared
{
	Plan plan{};
	Cgroup cgroup{};
	Owned_fd nothing{};
	std::vector<std::string> words{};
};

Attempt<void> prepare(Prepared &prepared, Sandbox const &sandbox, std::string &why);

bool permitted(Sandbox const &sandbox, Ability ability);

/* Not in vain if the ability may be missing. */
Attempt<void> lacks(
	Sandbox const &sandbox, Ability ability, std::string const &reason, std::string &why);

/* What went wrong where, and what to do. */
std::string words_of(Step step, char const *subject, int error);
std::string clone_words(int error);
std::string landlock_words(int error);

} // namespace bulkhead::linux_host::sandbox
