#pragma once

// What both sides of served files agree on.

#include <cstddef>

namespace bulkhead::remote {

/* Bytes of a single read or write at most. */
inline constexpr size_t IO_MAX = size_t{128} * 1024;

} // namespace bulkhead::remote
