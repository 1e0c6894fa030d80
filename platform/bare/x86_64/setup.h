#pragma once

#include <cstdint>

// The steps of machine_setup() on x86_64.

namespace bulkhead::bare {

void map_memory();
void exceptions_setup();
void console_setup();
void clock_setup();

} // namespace bulkhead::bare
