#pragma once

// `bulkhead doctor`: what this machine offers, and what to do about what is missing.

namespace bulkhead::tool {

/* Prints; returns the exit code: FUSE if the essentials aren't there. */
int doctor(bool json);

} // namespace bulkhead::tool
