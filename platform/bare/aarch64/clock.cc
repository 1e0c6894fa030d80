#include "platform/bare/clock.h"

#include "platform/bare/aarch64/setup.h"
#include "platform/bare/internal.h"

#include <cstdint>

// The generic timer's virtual counter is the clock. Its interrupt wakes the idle processor from
// `wfi` by being pending; it stays masked and is never taken.

namespace bulkhead::bare {
namespace {

// Arm Generic Interrupt Controller Architecture version 2.0 (IHI 0048), chapter 4.
constexpr std::uintptr_t DISTRIBUTOR = 0x0800'0000, CPU_INTERFACE = 0x0801'0000;
constexpr std::uintptr_t CONTROL = 0x000, PRIORITY_MASK = 0x004, SET_ENABLE = 0x100;
constexpr unsigned VIRTUAL_TIMER = 27;

std::uint32_t volatile &gic(std::uintptr_t where)
{
	return *reinterpret_cast<std::uint32_t volatile *>(where);
}

std::uint64_t ticks()
{
	std::uint64_t value;
	asm volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(value) : : "memory");
	return value;
}

std::uint64_t clock_hz()
{
	std::uint64_t value;
	asm("mrs %0, cntfrq_el0" : "=r"(value));
	return value;
}

} // namespace

void clock_setup()
{
	asm volatile("msr cntv_ctl_el0, xzr");
	gic(DISTRIBUTOR + SET_ENABLE) = 1U << VIRTUAL_TIMER;
	gic(DISTRIBUTOR + CONTROL) = 1;
	gic(CPU_INTERFACE + PRIORITY_MASK) = 0xFF;
	gic(CPU_INTERFACE + CONTROL) = 1;
}

std::uint64_t monotonic_us() { return ticks_to_us(ticks(), clock_hz()); }

void idle_until_us(std::uint64_t time_us)
{
	std::uint64_t const now_us = monotonic_us();
	if (now_us >= time_us) return;
	std::uint64_t const end_us = time_us - now_us > IDLE_MAX_US ? now_us + IDLE_MAX_US : time_us;
	std::uint64_t const end = us_to_ticks(end_us, clock_hz());
	constexpr std::uint64_t ENABLE = 1;
	asm volatile("msr cntv_cval_el0, %0\n\tmsr cntv_ctl_el0, %1" : : "r"(end), "r"(ENABLE));
	while (ticks() < end) asm volatile("wfi" : : : "memory");
	asm volatile("msr cntv_ctl_el0, xzr\n\tisb" : : : "memory");
}

} // namespace bulkhead::bare
