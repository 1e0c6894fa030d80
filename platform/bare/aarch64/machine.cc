#include "platform/bare/machine.h"

#include "platform/bare/aarch64/setup.h"
#include "platform/bare/internal.h"

#include <cstdint>

// The devices of QEMU's `virt` machine that every image uses: the PL011 UART and the two ways out,
// semihosting and PSCI.

namespace bulkhead::bare {

constinit bool powering_off = false;

namespace {

// PrimeCell UART (PL011) Technical Reference Manual (DDI 0183), section 3.2.
constexpr std::uintptr_t UART = 0x0900'0000;
constexpr std::uintptr_t UART_DATA = 0x00, UART_FLAGS = 0x18, UART_INTEGER_DIVISOR = 0x24,
						 UART_FRACTION_DIVISOR = 0x28, UART_LINE = 0x2C, UART_CONTROL = 0x30;

std::uint32_t volatile &uart(std::uintptr_t offset)
{
	return *reinterpret_cast<std::uint32_t volatile *>(UART + offset);
}

} // namespace

void machine_setup()
{
	uart(UART_CONTROL) = 0;
	uart(UART_INTEGER_DIVISOR) = 13; // 24 MHz / 16 / 115200 baud
	uart(UART_FRACTION_DIVISOR) = 1;
	uart(UART_LINE) = 0x70; // 8 bits, FIFOs on
	uart(UART_CONTROL) = 0x301; // receiver, transmitter, on
	clock_setup();
}

void send(char byte)
{
	constexpr std::uint32_t TRANSMIT_FULL = 0x20;
	while ((uart(UART_FLAGS) & TRANSMIT_FULL) != 0) relax();
	uart(UART_DATA) = static_cast<unsigned char>(byte);
}

void relax() { asm volatile("yield" : : : "memory"); }

void psci_system_off()
{
	// Arm Power State Coordination Interface (DEN 0022), section 5.9, by HVC as on `virt`.
	register std::uint64_t function asm("x0") = 0x8400'0008;
	asm volatile("hvc #0" : "+r"(function) : : "memory");
	for (;;) asm volatile("wfi");
}

void power_off(int code)
{
	powering_off = true;
	// Semihosting for AArch32 and AArch64, SYS_EXIT with ADP_Stopped_ApplicationExit.
	struct
	{
		std::uint64_t reason;
		std::uint64_t code;
	} const block{0x20026, static_cast<std::uint64_t>(qemu_status(code))};
	register std::uint64_t operation asm("x0") = 0x18;
	register void const *parameter asm("x1") = &block;
	asm volatile("hlt #0xf000" : "+r"(operation) : "r"(parameter) : "memory");
	psci_system_off();
}

} // namespace bulkhead::bare
