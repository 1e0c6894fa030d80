#pragma once

// What the sources of this folder share.

namespace bulkhead::bare {

void clock_setup();

// Set once power_off() has begun.
extern bool powering_off;

[[noreturn]] void psci_system_off();

} // namespace bulkhead::bare
