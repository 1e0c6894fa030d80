#pragma once

#include <cstdint>

// The steps of machine_setup() on x86_64.

namespace bulkhead::bare {

// Where the interrupt controllers' 16 vectors begin: behind the exceptions.
inline constexpr std::uint8_t INTERRUPT_VECTOR = 32;

void map_memory();
void exceptions_setup();
void console_setup();
void clock_setup();

} // namespace bulkhead::bare
