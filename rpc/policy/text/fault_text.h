#pragma once

// What is wrong with a policy, and what to do about it, in sentences for people.

#include "base/format.h"
#include "rpc/policy/fault.h"

namespace bulkhead::policy {

/* What is wrong, as one sentence without its full stop. */
void write_message(Text_writer &to, Fault const &fault);

/* What to do about it, as one sentence without its full stop. */
void write_remedy(Text_writer &to, Fault const &fault);

} // namespace bulkhead::policy
