# How everything is compiled: language, warnings and what a compiler needs to be told.

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# Static libraries end up in shared objects too: a TCTI, a loaded plugin.
if(NOT BULKHEAD_FREESTANDING)
	set(CMAKE_POSITION_INDEPENDENT_CODE ON)
endif()

add_compile_options(-Wall -Wextra -Wshadow -Wundef -Wvla -Wformat=2 -Wimplicit-fallthrough
	$<$<COMPILE_LANGUAGE:CXX>:-Wsuggest-override>)
if(BULKHEAD_WERROR)
	add_compile_options(-Werror)
endif()

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
	# Without it a symmetric transfer between coroutines uses stack in builds with little optimisation.
	add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-foptimize-sibling-calls>)
	# g++ 12 can't follow values through a coroutine's frame and reports what isn't so.
	add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized>)
endif()

if(BULKHEAD_FRAME_MAX)
	add_compile_definitions(BULKHEAD_FRAME_MAX=${BULKHEAD_FRAME_MAX})
endif()
