#include "platform/bare/internal.h"
#include "platform/bare/x86_64/setup.h"

#include <cstdint>
#include <iterator>

// Every exception ends the image with a line that says where and why. They run on a stack of their
// own (IST), so that an overflow of the program's stack is reported too.

extern "C" {

struct Exception_frame
{
	std::uint64_t vector;
	std::uint64_t error;
	std::uint64_t rip;
	std::uint64_t cs;
	std::uint64_t rflags;
	std::uint64_t rsp;
	std::uint64_t ss;
};

extern char const bare_exception_stubs[];
extern char const bare_interrupt_stub[];
extern std::uint64_t bare_gdt[5];

[[noreturn]] void bare_exception(Exception_frame const &frame);
}

namespace bulkhead::bare {
namespace {

constexpr std::size_t EXCEPTIONS = INTERRUPT_VECTOR;
constexpr std::size_t VECTORS = EXCEPTIONS + 16;
constexpr std::size_t STUB_SIZE = 16;
constexpr std::uint16_t CODE_SELECTOR = 0x08;
constexpr std::uint16_t TSS_SELECTOR = 0x18;
constexpr std::size_t TSS_ENTRY = TSS_SELECTOR / 8;

constexpr std::string_view NAMES[] = {
	"divide error",
	"debug",
	"non-maskable interrupt",
	"breakpoint",
	"overflow",
	"bound range exceeded",
	"invalid opcode or failed assertion",
	"no floating-point unit",
	"double fault",
	"coprocessor overrun",
	"invalid TSS",
	"segment not present",
	"stack segment fault",
	"general protection fault",
	"page fault",
	"reserved",
	"floating-point error",
	"alignment check",
	"machine check",
	"SIMD floating-point error",
	"virtualisation fault",
	"control protection fault",
};

// AMD64 Architecture Programmer's Manual, volume 2, section 4.8.3.
struct Gate
{
	std::uint64_t low;
	std::uint64_t high;
};

// The same, section 12.2.5. The fields are misaligned by design.
struct [[gnu::packed]] Task_state
{
	std::uint32_t reserved0;
	std::uint64_t rsp[3];
	std::uint64_t reserved1;
	std::uint64_t ist[7];
	std::uint64_t reserved2;
	std::uint16_t reserved3;
	std::uint16_t io_map;
};

struct [[gnu::packed]] Table_pointer
{
	std::uint16_t limit;
	std::uint64_t base;
};

constinit Gate gates[VECTORS]{};
constinit Task_state task_state{};
alignas(16) constinit char exception_stack[8192]{};

Gate interrupt_gate(std::uint64_t entry)
{
	constexpr std::uint64_t PRESENT_INTERRUPT_GATE = 0x8E, IST_1 = 1;
	return {(entry & 0xFFFF) | std::uint64_t{CODE_SELECTOR} << 16 | IST_1 << 32 |
			PRESENT_INTERRUPT_GATE << 40 | (entry >> 16 & 0xFFFF) << 48,
		entry >> 32};
}

} // namespace

void exceptions_setup()
{
	task_state.ist[0] = address(std::end(exception_stack));
	task_state.io_map = sizeof(Task_state);
	constexpr std::uint64_t PRESENT_TSS = 0x89;
	std::uint64_t const base = address(&task_state);
	bare_gdt[TSS_ENTRY] = (sizeof(Task_state) - 1) | (base & 0xFF'FFFF) << 16 | PRESENT_TSS << 40 |
		(base >> 24 & 0xFF) << 56;
	bare_gdt[TSS_ENTRY + 1] = base >> 32;
	asm volatile("ltr %0" : : "r"(TSS_SELECTOR) : "memory");

	for (std::size_t vector = 0; vector < EXCEPTIONS; vector++)
		gates[vector] = interrupt_gate(address(bare_exception_stubs) + vector * STUB_SIZE);
	for (std::size_t vector = EXCEPTIONS; vector < VECTORS; vector++)
		gates[vector] = interrupt_gate(address(bare_interrupt_stub));
	Table_pointer const pointer{sizeof(gates) - 1, address(gates)};
	asm volatile("lidt %0" : : "m"(pointer) : "memory");
}

} // namespace bulkhead::bare

void bare_exception(Exception_frame const &frame)
{
	using namespace bulkhead::bare;
	constexpr std::uint64_t DOUBLE_FAULT = 8, PAGE_FAULT = 14;
	std::uint64_t fault = 0;
	if (frame.vector == PAGE_FAULT || frame.vector == DOUBLE_FAULT)
		asm volatile("mov %%cr2, %0" : "=r"(fault));
	bool const known = frame.vector < std::size(NAMES);
	report({.name = known ? NAMES[frame.vector] : "reserved",
		.instruction = frame.rip,
		.stack = frame.rsp,
		.fault_address = fault,
		.syndrome = frame.error});
}
