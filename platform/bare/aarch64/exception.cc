#include "platform/bare/aarch64/setup.h"
#include "platform/bare/internal.h"
#include "platform/bare/machine.h"

#include <cstdint>

// Every exception ends the image with a line that says where and why.

extern "C" [[noreturn]] void bare_exception(
	unsigned vector, std::uint64_t esr, std::uint64_t elr, std::uint64_t far, std::uint64_t stack);

namespace bulkhead::bare {
namespace {

// Arm Architecture Reference Manual (DDI 0487), D17.2.37, ESR_EL1: EC and ISS.
constexpr unsigned UNKNOWN_INSTRUCTION = 0x00, ILLEGAL_STATE = 0x0E, SYSTEM_REGISTER = 0x18,
				   INSTRUCTION_ABORT = 0x21, PC_ALIGNMENT = 0x22, DATA_ABORT = 0x25,
				   SP_ALIGNMENT = 0x26, SERROR = 0x2F, BREAKPOINT = 0x3C;

std::string_view abort_name(std::uint64_t esr)
{
	switch (esr & 0x3C) {
	case 0x04: return "translation fault";
	case 0x08: return "access flag fault";
	case 0x0C: return "permission fault";
	case 0x10: return "external abort";
	case 0x20: return "alignment fault";
	default: return "memory abort";
	}
}

std::string_view name_of(unsigned vector, std::uint64_t esr)
{
	constexpr unsigned IRQ = 1, FIQ = 2, SYSTEM_ERROR = 3;
	switch (vector % 4) {
	case IRQ: return "interrupt";
	case FIQ: return "fast interrupt";
	case SYSTEM_ERROR: return "system error";
	default: break;
	}
	switch (esr >> 26 & 0x3F) {
	case UNKNOWN_INSTRUCTION: return "undefined instruction";
	case ILLEGAL_STATE: return "illegal state";
	case SYSTEM_REGISTER: return "system register trap";
	case INSTRUCTION_ABORT:
	case DATA_ABORT: return abort_name(esr);
	case PC_ALIGNMENT: return "misaligned instruction";
	case SP_ALIGNMENT: return "misaligned stack";
	case SERROR: return "system error";
	case BREAKPOINT: return "breakpoint or failed assertion";
	default: return "exception";
	}
}

bool far_valid(std::uint64_t esr)
{
	unsigned const kind = esr >> 26 & 0x3F;
	return kind == INSTRUCTION_ABORT || kind == DATA_ABORT || kind == PC_ALIGNMENT;
}

} // namespace
} // namespace bulkhead::bare

void bare_exception(
	unsigned vector, std::uint64_t esr, std::uint64_t elr, std::uint64_t far, std::uint64_t stack)
{
	using namespace bulkhead::bare;
	// The semihosting instruction is undefined if QEMU was started without semihosting.
	if (powering_off) psci_system_off();
	report({.name = name_of(vector, esr),
		.instruction = elr,
		.stack = stack,
		.fault_address = far_valid(esr) ? far : 0,
		.syndrome = esr});
}
