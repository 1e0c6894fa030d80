#include "platform/linux/sandbox/plan.h"

#include <sys/syscall.h>

namespace bulkhead::linux_host::sandbox {

long clone_on_stack(void *clone_args, unsigned long bytes, void (*function)(void *), void *argument)
{
	long result;
	register void (*kept_function)(void *) asm("r12") = function;
	register void *kept_argument asm("r13") = argument;
	asm volatile("syscall\n\t"
				 "test %%rax, %%rax\n\t"
				 "jnz 1f\n\t"
				 "xor %%ebp, %%ebp\n\t"
				 "mov %%r13, %%rdi\n\t"
				 "call *%%r12\n\t"
				 "ud2\n"
				 "1:"
		: "=a"(result)
		: "a"(SYS_clone3), "D"(clone_args), "S"(bytes), "r"(kept_function), "r"(kept_argument)
		: "rcx", "r11", "memory");
	return result;
}

} // namespace bulkhead::linux_host::sandbox
