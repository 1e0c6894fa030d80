#pragma once

// What a loop that looks at memory again and again says to the processor.

namespace bulkhead {

/*
 * Leaves more of a core to its other thread and some of the memory's bandwidth to others, for some
 * 10 to 50 ns. Nothing on processors that have no such instruction.
 */
inline void spin_pause()
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	asm volatile("yield" ::: "memory");
#endif
}

} // namespace bulkhead
