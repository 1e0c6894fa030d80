#include "platform/bare/clock.h"

#include "platform/bare/console.h"
#include "platform/bare/internal.h"
#include "platform/bare/machine.h"
#include "platform/bare/x86_64/port.h"
#include "platform/bare/x86_64/setup.h"

#include <cstdint>

// The HPET is the clock: it needs no calibration, which on a loaded host would be wrong. Its timer
// 0 wakes the idle processor through the one interrupt that is ever let in. IA-PC HPET
// specification 1.0a, section 2.3.

namespace bulkhead::bare {
namespace {

// QEMU's takes 32-bit accesses only.
constexpr std::uintptr_t HPET = 0xFED0'0000;
constexpr std::uintptr_t PERIOD_FS = 0x004, CONFIGURATION = 0x010, COUNTER_LOW = 0x0F0,
						 COUNTER_HIGH = 0x0F4, TIMER_CONFIGURATION = 0x100,
						 TIMER_COMPARATOR_LOW = 0x108, TIMER_COMPARATOR_HIGH = 0x10C;
// Timer 0 is interrupt 0, instead of the PIT.
constexpr std::uint32_t ENABLE_LEGACY = 3;
constexpr std::uint32_t TIMER_INTERRUPT = 4;
constexpr std::uint32_t PERIOD_MAX_FS = 100'000'000;

constinit std::uint64_t clock_hz = 1;

std::uint32_t volatile &hpet(std::uintptr_t offset)
{
	return *reinterpret_cast<std::uint32_t volatile *>(HPET + offset);
}

std::uint64_t ticks()
{
	for (;;) {
		std::uint32_t const high = hpet(COUNTER_HIGH);
		std::uint32_t const low = hpet(COUNTER_LOW);
		if (hpet(COUNTER_HIGH) == high) return std::uint64_t{high} << 32 | low;
	}
}

// Intel 8259A: vectors 32 to 47, and nothing but interrupt 0 let through.
void interrupt_controllers_setup()
{
	constexpr std::uint16_t FIRST = 0x20, SECOND = 0xA0;
	constexpr std::uint8_t INITIALISE = 0x11, MODE_8086 = 0x01;
	out8(FIRST, INITIALISE);
	out8(SECOND, INITIALISE);
	out8(FIRST + 1, INTERRUPT_VECTOR);
	out8(SECOND + 1, INTERRUPT_VECTOR + 8);
	out8(FIRST + 1, 1 << 2); // the second is behind input 2
	out8(SECOND + 1, 2);
	out8(FIRST + 1, MODE_8086);
	out8(SECOND + 1, MODE_8086);
	out8(FIRST + 1, 0xFE);
	out8(SECOND + 1, 0xFF);
}

} // namespace

void clock_setup()
{
	std::uint32_t const period_fs = hpet(PERIOD_FS);
	if (period_fs == 0 || period_fs > PERIOD_MAX_FS) {
		put("bare: no HPET: start QEMU without -no-hpet\n");
		exit(EXIT_ABORT);
	}
	clock_hz = 1'000'000'000'000'000 / period_fs;
	interrupt_controllers_setup();
	hpet(CONFIGURATION) = hpet(CONFIGURATION) | ENABLE_LEGACY;
}

std::uint64_t monotonic_us() { return ticks_to_us(ticks(), clock_hz); }

void idle_until_us(std::uint64_t time_us)
{
	std::uint64_t const now_us = monotonic_us();
	if (now_us >= time_us) return;
	std::uint64_t const end_us = time_us - now_us > IDLE_MAX_US ? now_us + IDLE_MAX_US : time_us;
	std::uint64_t const end = us_to_ticks(end_us, clock_hz);
	hpet(TIMER_COMPARATOR_HIGH) = static_cast<std::uint32_t>(end >> 32);
	hpet(TIMER_COMPARATOR_LOW) = static_cast<std::uint32_t>(end);
	hpet(TIMER_CONFIGURATION) = TIMER_INTERRUPT;
	// A comparator that was passed before it was set never fires, hence the look at the counter. An
	// interrupt that comes after it is kept until `sti`, which takes effect behind `hlt` only.
	while (ticks() < end) asm volatile("sti\n\thlt\n\tcli" : : : "memory");
	hpet(TIMER_CONFIGURATION) = 0;
}

} // namespace bulkhead::bare
