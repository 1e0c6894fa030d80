#pragma once

// What both sides of served files agree on.

#include <cstddef>

namespace bulkhead::remote {

/* Bytes of a single read or write at most. */
inline constexpr size_t IO_MAX = size_t{128} * 1024;

/*
 * How often a stream is looked at before one sleeps, at most: a channel learns itself for how long
 * that is worth it (vchan/spin.h).
 */
inline constexpr unsigned LOOKS = 4096;

} // namespace bulkhead::remote
