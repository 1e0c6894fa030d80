#pragma once

// A manifest and all that it names, read and checked.

#include "component/broker/plan/components.h"
#include "component/broker/plan/ruling.h"

namespace bulkhead::broker {

struct Plan_read
{
	domain::System_plan plan{};
	std::unique_ptr<Ruling> ruling{};
	std::string faults{}; // for people, in lines; empty: there are none
};
Plan_read read_plan(std::string const &manifest, Components &components);

/* What a machine lacks that a system needs, and whether its manifest permits that. */
struct Lacks_of_plan
{
	std::vector<linux_host::Ability> all{}; // needed or not
	std::vector<std::string> permitted{}; // names of those that are needed
	std::string warnings{}; // of those
	std::string faults{}; // of others
};
Lacks_of_plan lacks_of(domain::System_plan const &plan, std::string const &cgroup);

/* Says what faults there are, or that there are none; the exit code. Starts and makes nothing. */
int check(std::string const &manifest);

} // namespace bulkhead::broker
