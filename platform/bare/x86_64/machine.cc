#include "platform/bare/machine.h"

#include "platform/bare/internal.h"
#include "platform/bare/x86_64/port.h"
#include "platform/bare/x86_64/setup.h"

#include <cstdint>

// The PC's devices that every image uses: the first 16550 UART, QEMU's isa-debug-exit.

namespace bulkhead::bare {
namespace {

constexpr std::uint16_t COM1 = 0x3F8;
constexpr std::uint16_t DEBUG_EXIT = 0xF4;

} // namespace

void console_setup()
{
	out8(COM1 + 1, 0); // no interrupts
	out8(COM1 + 3, 0x80); // divisor latch
	out8(COM1 + 0, 1); // 115200 baud
	out8(COM1 + 1, 0);
	out8(COM1 + 3, 0x03); // 8 bits, no parity, one stop bit
	out8(COM1 + 2, 0xC7); // FIFOs on and empty
}

void send(char byte)
{
	constexpr std::uint8_t TRANSMITTER_EMPTY = 0x20;
	while ((in8(COM1 + 5) & TRANSMITTER_EMPTY) == 0) relax();
	out8(COM1, static_cast<std::uint8_t>(byte));
}

void machine_setup()
{
	exceptions_setup();
	console_setup();
	map_memory();
	clock_setup();
}

void relax() { __builtin_ia32_pause(); }

void power_off(int code)
{
	// QEMU leaves with value * 2 + 1.
	out32(DEBUG_EXIT, static_cast<std::uint32_t>(qemu_status(code) / 2));
	// Without the device nothing happens; stop here, the last line on the console tells the code.
	for (;;) asm volatile("cli; hlt");
}

} // namespace bulkhead::bare
