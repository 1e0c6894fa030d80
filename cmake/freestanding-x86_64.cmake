include("${CMAKE_CURRENT_LIST_DIR}/freestanding.cmake")
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER gcc)
set(CMAKE_CXX_COMPILER g++)

# No red zone: an interrupt would overwrite it. No vector registers: nobody has switched them on.
set(machine "-mno-red-zone -mgeneral-regs-only -mcmodel=small")
set(CMAKE_C_FLAGS_INIT "${BULKHEAD_FREESTANDING_FLAGS} ${machine}")
set(CMAKE_ASM_FLAGS_INIT "${CMAKE_C_FLAGS_INIT}")
set(CMAKE_CXX_FLAGS_INIT "${CMAKE_C_FLAGS_INIT} ${BULKHEAD_FREESTANDING_CXX_FLAGS}")
