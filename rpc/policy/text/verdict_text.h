#pragma once

// Why a call is denied or can't be made, in words for people.

#include "rpc/policy/evaluator.h"

namespace bulkhead::policy {

std::string_view name_of(Denial denial);
std::string_view name_of(Call_fault fault);

} // namespace bulkhead::policy
