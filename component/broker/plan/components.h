#pragma once

// The programs that domains run: Bulkhead's components, each with a description of what it needs of
// the host.

#include "domain/manifest/manifest.h"
#include "platform/linux/sandbox/sandbox.h"

#include <map>
#include <memory>

namespace bulkhead::broker {

/* The name of what a domain runs. */
inline std::string component_of(domain::Domain_plan const &plan)
{
	return plan.component.empty() ? "program" : plan.component;
}

/* A component as its files say. */
struct Component
{
	linux_host::Owned_fd executable{};
	std::shared_ptr<linux_host::System_calls const> system_calls{};
	std::vector<std::string> files{};
	bool proc = false;
	bool sanitized = false; // linked dynamically, with the run time of a sanitizer
};

class Components
{
private:
	std::string _directory;
	std::map<std::vector<std::string>, std::shared_ptr<linux_host::System_calls const>> _compiled{};

	std::shared_ptr<linux_host::System_calls const> _compile(
		std::vector<std::string> const &names, std::string &why);

public:
	/* $BULKHEAD_COMPONENTS, or beside this program as it is built or installed. */
	Components();

	/* What a domain runs; without an executable: `why`. */
	Component find(domain::Domain_plan const &plan, std::string &why);

	/* Whether all is there that domains need of this machine. */
	std::vector<domain::Fault> check(domain::System_plan const &plan);
};

} // namespace bulkhead::broker
