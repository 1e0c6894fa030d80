#pragma once

// `bulkhead policy check`: every fault of a policy at once, and what looks like a mistake.

#include "tool/policy/setting.h"

namespace bulkhead::tool {

struct Check_options
{
	Policy_options policy{};
	bool strict = false; // warnings fail, too
};

/* Returns the exit code. */
int check_policy(Check_options const &options);

} // namespace bulkhead::tool
