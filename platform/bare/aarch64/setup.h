#pragma once

// What the sources of this folder share.

namespace bulkhead::bare {

// Set once power_off() has begun.
extern bool powering_off;

[[noreturn]] void psci_system_off();

} // namespace bulkhead::bare
