#pragma once

// How the plan of a domain becomes a sandbox.

#include "component/broker/plan/components.h"

namespace bulkhead::broker {

/* What a sandbox borrows until it has been started. */
struct Prepared
{
	linux_host::Sandbox sandbox{};
	std::vector<linux_host::Owned_fd> held{};
	Component component{};
};

/*
 * All of a domain's sandbox but its log; `gate` is the domain's end. False: `why`.
 */
bool prepare(Prepared &to, Components &components, std::string const &system,
	domain::Domain_plan const &plan, int gate, std::string &why);

/* In memory, not to be changed any more; else none, with errno. */
linux_host::Owned_fd sealed_text(std::string const &text);

} // namespace bulkhead::broker
