// From QEMU's entry (EL1, MMU off) to bare_start() on the image's stack, with the memory mapped one
// to one, caches and SIMD on. The program runs on SP_EL0, exceptions on SP_EL1: an overflow of the
// program's stack is still reported.

	.section .text.start, "ax"
	.globl _start
_start:
	msr daifset, #15
	mov x0, #(3 << 20)              // CPACR_EL1.FPEN: SIMD does not trap
	msr cpacr_el1, x0
	adrp x0, vectors
	add x0, x0, :lo12:vectors
	msr vbar_el1, x0
	isb

	msr spsel, #1
	adrp x0, exception_stack_end
	add x0, x0, :lo12:exception_stack_end
	mov sp, x0
	msr spsel, #0
	adrp x0, bare_stack_end
	add x0, x0, :lo12:bare_stack_end
	mov sp, x0
	mov x29, xzr
	mov x30, xzr

	bl bare_map_memory              // gives the root table in x0
	msr ttbr0_el1, x0
	ldr x0, =0xFF00                 // attribute 0: device nGnRnE; 1: normal, write-back
	msr mair_el1, x0
	// IPS 40 bits; no TTBR1; 4 KiB; inner shareable, write-back walks; T0SZ 25: 39 bits.
	ldr x0, =((2 << 32) | (1 << 23) | (3 << 12) | (1 << 10) | (1 << 8) | 25)
	msr tcr_el1, x0
	dsb sy
	tlbi vmalle1
	ic iallu
	dsb sy
	isb
	ldr x0, =0x30D0181D             // I, SA0, SA, C, M and the bits that are one
	msr sctlr_el1, x0
	isb
	bl bare_start
	hlt #0

	.macro vector number
	.balign 128
	mov x0, #\number
	b exception_entry
	.endm

	.text
	.balign 2048
vectors:
	.irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vector \number
	.endr

exception_entry:
	mrs x1, esr_el1
	mrs x2, elr_el1
	mrs x3, far_el1
	mrs x4, sp_el0
	bl bare_exception
	hlt #0

	.section .bss.exception_stack, "aw", %nobits
	.balign 16
	.skip 8192
exception_stack_end:

	.section .note.GNU-stack, "", %progbits
