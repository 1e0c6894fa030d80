#pragma once

#include <cstdint>

// The processor's I/O ports.

namespace bulkhead::bare {

inline void out8(std::uint16_t port, std::uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

inline void out32(std::uint16_t port, std::uint32_t value)
{
	asm volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

inline std::uint8_t in8(std::uint16_t port)
{
	std::uint8_t value;
	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

} // namespace bulkhead::bare
