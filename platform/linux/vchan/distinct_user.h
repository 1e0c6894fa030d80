#pragma once

// Whether a number that the kernel gives for a user means that user. In a user namespace that
// doesn't map all users it says the same number, 65534, of all those it doesn't know: of strangers,
// and perhaps of ourselves.

#include <sys/types.h>

namespace bulkhead::linux_host {

/*
 * False for 65534 ("nobody") unless the namespace of this process maps all users. Takes it that
 * nobody has changed kernel.overflowuid. Needs /proc for this number only.
 */
bool distinct_user(uid_t);

} // namespace bulkhead::linux_host
