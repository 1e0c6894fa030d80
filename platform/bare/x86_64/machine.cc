#include "platform/bare/machine.h"

#include "platform/bare/clock.h"
#include "platform/bare/console.h"
#include "platform/bare/internal.h"
#include "platform/bare/x86_64/port.h"
#include "platform/bare/x86_64/setup.h"

#include <cstdint>

// The PC's devices that every image uses: the first 16550 UART, QEMU's isa-debug-exit, the HPET.

namespace bulkhead::bare {
namespace {

constexpr std::uint16_t COM1 = 0x3F8;
constexpr std::uint16_t DEBUG_EXIT = 0xF4;

// IA-PC HPET specification 1.0a, section 2.3. QEMU's takes 32-bit accesses only.
constexpr std::uintptr_t HPET = 0xFED0'0000;
constexpr std::uintptr_t HPET_PERIOD_FS = 0x004, HPET_CONFIGURATION = 0x010;
constexpr std::uintptr_t HPET_COUNTER_LOW = 0x0F0, HPET_COUNTER_HIGH = 0x0F4;
constexpr std::uint32_t HPET_ENABLE = 1;
constexpr std::uint32_t HPET_PERIOD_MAX_FS = 100'000'000;

constinit std::uint64_t clock_hz = 1;

std::uint32_t volatile &hpet(std::uintptr_t offset)
{
	return *reinterpret_cast<std::uint32_t volatile *>(HPET + offset);
}

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

void clock_setup()
{
	std::uint32_t const period_fs = hpet(HPET_PERIOD_FS);
	if (period_fs == 0 || period_fs > HPET_PERIOD_MAX_FS) {
		put("bare: no HPET: start QEMU without -no-hpet\n");
		exit(EXIT_ABORT);
	}
	clock_hz = 1'000'000'000'000'000 / period_fs;
	hpet(HPET_CONFIGURATION) = hpet(HPET_CONFIGURATION) | HPET_ENABLE;
}

std::uint64_t monotonic_us()
{
	for (;;) {
		std::uint32_t const high = hpet(HPET_COUNTER_HIGH);
		std::uint32_t const low = hpet(HPET_COUNTER_LOW);
		if (hpet(HPET_COUNTER_HIGH) == high)
			return ticks_to_us(std::uint64_t{high} << 32 | low, clock_hz);
	}
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
	// QEMU leaves with value * 2 + 1, here 33 + 2 * code: never 1, QEMU's own failure.
	constexpr std::uint32_t EXIT_BASE = 16;
	out32(DEBUG_EXIT, EXIT_BASE + static_cast<std::uint32_t>(code));
	// Without the device nothing happens; stop here, the last line on the console tells the code.
	for (;;) asm volatile("cli; hlt");
}

} // namespace bulkhead::bare
