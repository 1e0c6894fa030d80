include("${CMAKE_CURRENT_LIST_DIR}/freestanding.cmake")
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

# While the MMU is off all memory is device memory, where an unaligned access faults. Atomics are compiled in place, as
# their out-of-line helpers ask a C library what the processor can do.
set(machine "-mgeneral-regs-only -mstrict-align -mno-outline-atomics")
set(CMAKE_C_FLAGS_INIT "${BULKHEAD_FREESTANDING_FLAGS} ${machine}")
set(CMAKE_ASM_FLAGS_INIT "${CMAKE_C_FLAGS_INIT}")
set(CMAKE_CXX_FLAGS_INIT "${CMAKE_C_FLAGS_INIT} ${BULKHEAD_FREESTANDING_CXX_FLAGS}")
