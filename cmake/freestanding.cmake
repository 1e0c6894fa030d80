# What the freestanding toolchain files share: no operating system, no C library, no start files.
set(CMAKE_SYSTEM_NAME Generic)
set(BULKHEAD_FREESTANDING ON CACHE BOOL "" FORCE)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)

string(JOIN " " BULKHEAD_FREESTANDING_FLAGS
	-ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables -fno-unwind-tables
	-fno-pic -fno-pie -ffunction-sections -fdata-sections)
set(BULKHEAD_FREESTANDING_CXX_FLAGS "-fno-exceptions -fno-rtti -fno-threadsafe-statics -fno-use-cxa-atexit")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-nostdlib -static -no-pie -Wl,--gc-sections -Wl,--build-id=none")

# Headers come with the compiler; libraries and programs of the build machine's system are out of bounds.
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
