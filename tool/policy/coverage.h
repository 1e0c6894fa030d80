#pragma once

// Rules that can never decide a call, since an earlier one always does, or since nothing is what
// they ask for. Only what holds for every system is told.

#include "rpc/policy/policy.h"

#include <vector>

namespace bulkhead::tool {

struct Idle_rule
{
	enum class Why : uint8_t {
		COVERED, // by an earlier rule
		COVERED_BUT_FOR_DOM0, // it could decide for dom0 only
		NO_SUCH_SOURCE, // a disposable that is still to be made calls nobody
	};

	uint32_t rule;
	Why why;
	uint32_t by = policy::NONE; // the earlier rule
};

/* In the order of the rules. */
std::vector<Idle_rule> idle_rules(policy::Policy const &policy);

} // namespace bulkhead::tool
