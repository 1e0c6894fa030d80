// From QEMU's PVH entry (32-bit protected mode, flat segments, no paging, no stack) to long mode
// with the first 4 GiB mapped one to one, SSE on, and bare_start() on the image's stack.

#define CR0 0x80010023          // PG, WP, NE, MP, PE
#define CR4 0x00000620          // OSXMMEXCPT, OSFXSR, PAE
#define EFER_MSR 0xC0000080
#define EFER 0x900              // NXE, LME

	// XEN_ELFNOTE_PHYS32_ENTRY: where a PVH loader enters.
	.section .note.pvh, "a", @note
	.balign 4
	.long 4, 8, 18
	.asciz "Xen"
	.quad _start

	.section .text.start, "ax"
	.code32
	.globl _start
_start:
	cli
	cld
	movl $bare_page_directories, %edi
	movl $0x83, %eax        // present, writable, 2 MiB
	movl $2048, %ecx
1:	movl %eax, (%edi)
	addl $0x200000, %eax
	addl $8, %edi
	decl %ecx
	jnz 1b

	movl $bare_pdpt, %edi
	movl $bare_page_directories + 3, %eax
	movl $4, %ecx
1:	movl %eax, (%edi)
	addl $0x1000, %eax
	addl $8, %edi
	decl %ecx
	jnz 1b
	movl $bare_pdpt + 3, bare_pml4

	movl $CR4, %eax
	movl %eax, %cr4
	movl $bare_pml4, %eax
	movl %eax, %cr3
	movl $EFER_MSR, %ecx
	movl $EFER, %eax
	xorl %edx, %edx
	wrmsr
	movl $CR0, %eax
	movl %eax, %cr0
	lgdt gdt_pointer
	ljmp $0x08, $start64

	.code64
start64:
	movl $0x10, %eax
	movl %eax, %ss
	movl %eax, %ds
	movl %eax, %es
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	movq $bare_stack_end, %rsp
	xorl %ebp, %ebp
	call bare_start
	ud2

	// One stub of 16 bytes per exception: an error code if the processor gave none, the vector.
	.text
	.balign 16
	.globl bare_exception_stubs
bare_exception_stubs:
	.set vector, 0
	.rept 32
	.balign 16
	.if !((vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30))
	pushq $0
	.endif
	pushq $vector
	jmp exception_entry
	.set vector, vector + 1
	.endr

exception_entry:
	movq %rsp, %rdi
	andq $-16, %rsp
	cld
	call bare_exception
	ud2

	// The timer's interrupt, which only ends a `hlt`: it is acknowledged, nothing else.
	.globl bare_interrupt_stub
bare_interrupt_stub:
	pushq %rax
	movb $0x20, %al
	outb %al, $0x20
	popq %rax
	iretq

	.section .data.gdt, "aw"
	.balign 16
	.globl bare_gdt
bare_gdt:
	.quad 0
	.quad 0x00AF9A000000FFFF // code, 64 bits
	.quad 0x00CF92000000FFFF // data
	.quad 0, 0               // the TSS, filled in by exception.cc
gdt_pointer:
	.word . - bare_gdt - 1
	.quad bare_gdt

	.section .bss.tables, "aw", @nobits
	.balign 4096
	.globl bare_pml4, bare_pdpt, bare_page_directories
bare_pml4:
	.skip 4096
bare_pdpt:
	.skip 4096
bare_page_directories:
	.skip 4 * 4096

	.section .note.GNU-stack, "", @progbits
