#pragma once

// What is wrong with a policy, in lines for people.

#include "rpc/policy/policy.h"

#include <string>

namespace bulkhead::tool {

/* Place, message and remedy. */
std::string text_of(policy::Policy const &policy, policy::Fault const &fault);

} // namespace bulkhead::tool
