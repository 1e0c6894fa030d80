#include "platform/linux/sandbox/plan.h"

#include <sys/syscall.h>

namespace bulkhead::linux_host::sandbox {

long clone_on_stack(void *clone_args, unsigned long bytes, void (*function)(void *), void *argument)
{
	register long number asm("x8") = SYS_clone3;
	register long result asm("x0") = reinterpret_cast<long>(clone_args);
	register unsigned long size asm("x1") = bytes;
	register void (*kept_function)(void *) asm("x19") = function;
	register void *kept_argument asm("x20") = argument;
	asm volatile("svc #0\n\t"
				 "cbnz x0, 1f\n\t"
				 "mov x29, xzr\n\t"
				 "mov x30, xzr\n\t"
				 "mov x0, x20\n\t"
				 "blr x19\n\t"
				 "brk #1\n"
				 "1:"
		: "+r"(result)
		: "r"(number), "r"(size), "r"(kept_function), "r"(kept_argument)
		: "memory", "cc");
	return result;
}

} // namespace bulkhead::linux_host::sandbox
