#pragma once

// What a system call says has gone wrong, as one of our errors.

#include "base/error.h"

namespace bulkhead::linux_host {

/* The error that an errno of Linux stands for; IO for those that have no name of their own. */
Error error_of_errno(int number);

} // namespace bulkhead::linux_host
