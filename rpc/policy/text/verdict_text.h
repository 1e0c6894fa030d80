#pragma once

// What becomes of a call, and why it is denied or can't be made, in words for people.

#include "rpc/policy/evaluator.h"

namespace bulkhead::policy {

constexpr std::string_view name_of(Action action) { return ACTIONS[static_cast<size_t>(action)]; }
std::string_view name_of(Denial denial);
std::string_view name_of(Call_fault fault);

/* The last part of a file's path. */
std::string_view base_name(Policy const &policy, uint32_t file);

} // namespace bulkhead::policy
