# The few functions that every folder uses, so that a folder says what it holds and nothing about how it is built.
#
#   bulkhead_library(NAME base SOURCES a.cc HEADERS a.h LINK bulkhead::x PKG_CONFIG fuse3
#                    [FREESTANDING] [NO_INSTALL] [RTTI])
#   bulkhead_module(NAME x OUTPUT_NAME tss2-tcti-bulkhead SOURCES … LINK … [DESTINATION lib/…])
#   bulkhead_test(NAME base_test SOURCES test/a_test.cc LINK bulkhead::base [TIMEOUT_S 120] [SERIAL] [THREADS]
#                 [STAND_ALONE])
#   bulkhead_fuzz(NAME manifest_fuzz SOURCES … LINK … CORPUS fuzz/corpus/manifest [DICTIONARY x.dict])
#   bulkhead_bench(NAME ram_bench SOURCES … LINK …)
#   bulkhead_program(NAME bulkhead SOURCES … LINK … [NO_INSTALL] [STATIC] [DESTINATION sbin])
#   bulkhead_component(NAME files SOURCES … LINK … DESCRIPTION files.toml [NO_INSTALL])
#
# PKG_CONFIG names libraries that only pkg-config knows; they are linked, and they reach the installed package files.
# In a freestanding build (BULKHEAD_FREESTANDING) only libraries marked FREESTANDING exist; the rest vanishes silently.

include(CheckCXXSourceCompiles)
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Where targets come from that are not ours, as "target|CMake package|field of a .pc file|its value".
set(BULKHEAD_FOREIGN
	"Threads::Threads|Threads|Libs|-pthread"
	"fmt::fmt|fmt|Requires|fmt"
	"nlohmann_json::nlohmann_json|nlohmann_json|Requires|nlohmann_json"
	"tomlplusplus::tomlplusplus|tomlplusplus|Requires|tomlplusplus"
	"CLI11::CLI11|CLI11|Requires|CLI11"
	"GTest::gtest|GTest|Requires|gtest"
	"GTest::gmock|GTest|Requires|gmock"
	"benchmark::benchmark|benchmark|Requires|benchmark"
)

# What ./run builds together: `ninja libraries`, `programs`, `benches`, `fuzz_targets`, …
foreach(group libraries programs benches fuzz_targets thread_tests stand_alone_tests)
	add_custom_target(${group})
endforeach()

# Paths of FILES, absolute.
function(_bulkhead_absolute OUTPUT)
	set(paths)
	foreach(file IN LISTS ARGN)
		cmake_path(ABSOLUTE_PATH file NORMALIZE)
		list(APPEND paths "${file}")
	endforeach()
	set(${OUTPUT} "${paths}" PARENT_SCOPE)
endfunction()

# Stops at a misspelt keyword or a missing NAME instead of building something else.
macro(_bulkhead_check_arguments FUNCTION)
	if(ARG_UNPARSED_ARGUMENTS)
		message(FATAL_ERROR "${FUNCTION}: unknown arguments: ${ARG_UNPARSED_ARGUMENTS}")
	endif()
	if(NOT ARG_NAME)
		message(FATAL_ERROR "${FUNCTION}: NAME is missing")
	endif()
endmacro()

# Links what LINK names, after a look for the packages that it comes from. SCOPE is PUBLIC, PRIVATE or INTERFACE.
function(_bulkhead_link TARGET SCOPE)
	foreach(item IN LISTS ARGN)
		if(NOT TARGET ${item} AND item MATCHES "::" AND NOT item MATCHES "^bulkhead::")
			_bulkhead_foreign(${item} package field value)
			find_package(${package} REQUIRED)
		endif()
	endforeach()
	target_link_libraries(${TARGET} ${SCOPE} ${ARGN})
endfunction()

# The same for what only pkg-config knows.
function(_bulkhead_pkg_config TARGET SCOPE)
	foreach(module IN LISTS ARGN)
		string(MAKE_C_IDENTIFIER "BULKHEAD_PC_${module}" prefix)
		if(NOT TARGET PkgConfig::${prefix})
			find_package(PkgConfig REQUIRED)
			pkg_check_modules(${prefix} REQUIRED IMPORTED_TARGET GLOBAL ${module})
			# By name and not by path, so that a static program gets the static library.
			set_target_properties(PkgConfig::${prefix} PROPERTIES
				INTERFACE_LINK_LIBRARIES "${${prefix}_LIBRARIES}"
				INTERFACE_LINK_DIRECTORIES "${${prefix}_LIBRARY_DIRS}")
		endif()
		target_link_libraries(${TARGET} ${SCOPE} PkgConfig::${prefix})
	endforeach()
endfunction()

# Splits HEADERS into those that are to be compiled alone and those that a source of the same name includes first,
# which proves the same.
function(_bulkhead_split_headers HEADERS ALONE PROVEN)
	set(alone)
	set(proven)
	foreach(header IN LISTS HEADERS)
		cmake_path(RELATIVE_PATH header BASE_DIRECTORY "${PROJECT_SOURCE_DIR}" OUTPUT_VARIABLE name)
		cmake_path(REPLACE_EXTENSION header LAST_ONLY .cc OUTPUT_VARIABLE source)
		set(first)
		if(EXISTS "${source}")
			file(STRINGS "${source}" first LIMIT_COUNT 1 REGEX "^#include")
		endif()
		if(first STREQUAL "#include \"${name}\"")
			list(APPEND proven "${header}")
		else()
			list(APPEND alone "${header}")
		endif()
	endforeach()
	set(${ALONE} "${alone}" PARENT_SCOPE)
	set(${PROVEN} "${proven}" PARENT_SCOPE)
endfunction()

function(bulkhead_library)
	cmake_parse_arguments(PARSE_ARGV 0 ARG
		"FREESTANDING;NO_INSTALL;RTTI" "NAME" "SOURCES;HEADERS;LINK;PKG_CONFIG")
	_bulkhead_check_arguments(bulkhead_library)
	if(BULKHEAD_FREESTANDING AND NOT ARG_FREESTANDING)
		return()
	endif()
	set(target bulkhead_${ARG_NAME})
	set(scope PUBLIC)
	if(ARG_SOURCES)
		add_library(${target} STATIC ${ARG_SOURCES})
		if(NOT ARG_RTTI OR ARG_FREESTANDING)
			target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti>)
		endif()
		if(ARG_FREESTANDING)
			target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions>)
		endif()
	else()
		set(scope INTERFACE)
		add_library(${target} INTERFACE)
	endif()
	add_library(bulkhead::${ARG_NAME} ALIAS ${target})
	set_target_properties(${target} PROPERTIES EXPORT_NAME ${ARG_NAME} VERIFY_INTERFACE_HEADER_SETS ON)
	target_compile_features(${target} ${scope} cxx_std_23)
	# Who awaits our tasks needs it as we do: see compiler.cmake.
	target_compile_options(${target} INTERFACE
		$<INSTALL_INTERFACE:$<$<COMPILE_LANG_AND_ID:CXX,GNU>:-foptimize-sibling-calls>>)
	_bulkhead_absolute(headers ${ARG_HEADERS})
	_bulkhead_split_headers("${headers}" alone proven)
	target_sources(${target} ${scope}
		FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}" FILES ${alone}
		FILE_SET proven TYPE HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}" FILES ${proven})
	set_target_properties(${target} PROPERTIES INTERFACE_HEADER_SETS_TO_VERIFY HEADERS)
	# A header that the verification compiles alone must not depend on what a file's name says about its language.
	set_source_files_properties(${headers} PROPERTIES LANGUAGE CXX)
	_bulkhead_link(${target} ${scope} ${ARG_LINK})
	_bulkhead_pkg_config(${target} ${scope} ${ARG_PKG_CONFIG})
	add_dependencies(libraries ${target})
	if(NOT ARG_NO_INSTALL AND NOT BULKHEAD_FREESTANDING)
		_bulkhead_install_library(${ARG_NAME} "${ARG_SOURCES}" "${ARG_LINK}" "${ARG_PKG_CONFIG}")
	endif()
endfunction()

function(_bulkhead_install_library NAME SOURCES LINK PKG_CONFIG)
	install(TARGETS bulkhead_${NAME} EXPORT bulkhead
		ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
		FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/bulkhead
		FILE_SET proven DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/bulkhead)
	set(requires)
	set(libs)
	if(SOURCES)
		set(libs "-L\${libdir} -lbulkhead_${NAME}")
	endif()
	foreach(item IN LISTS LINK)
		if(item MATCHES "^bulkhead::(.+)$")
			list(APPEND requires "bulkhead-${CMAKE_MATCH_1}")
		elseif(item MATCHES "::")
			_bulkhead_foreign(${item} package field value)
			set_property(GLOBAL APPEND PROPERTY BULKHEAD_PACKAGES ${package})
			if(field STREQUAL Requires)
				list(APPEND requires ${value})
			else()
				string(APPEND libs " ${value}")
			endif()
		else()
			string(APPEND libs " -l${item}")
		endif()
	endforeach()
	foreach(module IN LISTS PKG_CONFIG)
		list(APPEND requires ${module})
		string(MAKE_C_IDENTIFIER "BULKHEAD_PC_${module}" prefix)
		set_property(GLOBAL APPEND PROPERTY BULKHEAD_PKG_CONFIG "${prefix}|${module}")
	endforeach()
	list(JOIN requires ", " requires)
	set(directory "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
	cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY "${CMAKE_INSTALL_PREFIX}/${directory}"
		OUTPUT_VARIABLE up)
	configure_file("${PROJECT_SOURCE_DIR}/cmake/bulkhead.pc.in"
		"${PROJECT_BINARY_DIR}/pkgconfig/bulkhead-${NAME}.pc" @ONLY)
	install(FILES "${PROJECT_BINARY_DIR}/pkgconfig/bulkhead-${NAME}.pc" DESTINATION ${directory})
endfunction()

# Looks up where a target comes from that is not ours, and what a .pc file says for it.
function(_bulkhead_foreign ITEM PACKAGE FIELD VALUE)
	foreach(entry IN LISTS BULKHEAD_FOREIGN)
		string(REPLACE "|" ";" entry "${entry}")
		list(POP_FRONT entry name package field value)
		if(name STREQUAL ITEM)
			set(${PACKAGE} ${package} PARENT_SCOPE)
			set(${FIELD} ${field} PARENT_SCOPE)
			set(${VALUE} ${value} PARENT_SCOPE)
			return()
		endif()
	endforeach()
	message(FATAL_ERROR "${ITEM} isn't known: add it to BULKHEAD_FOREIGN in cmake/bulkhead.cmake, "
		"or name its pkg-config module after PKG_CONFIG")
endfunction()

# A shared object that something loads at run time: a TCTI, a VFS plugin.
function(bulkhead_module)
	cmake_parse_arguments(PARSE_ARGV 0 ARG
		"NO_INSTALL;RTTI" "NAME;OUTPUT_NAME;DESTINATION" "SOURCES;LINK;PKG_CONFIG")
	_bulkhead_check_arguments(bulkhead_module)
	if(BULKHEAD_FREESTANDING)
		return()
	endif()
	add_library(${ARG_NAME} MODULE ${ARG_SOURCES})
	if(NOT ARG_RTTI)
		target_compile_options(${ARG_NAME} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti>)
	endif()
	_bulkhead_link(${ARG_NAME} PRIVATE ${ARG_LINK})
	_bulkhead_pkg_config(${ARG_NAME} PRIVATE ${ARG_PKG_CONFIG})
	if(ARG_OUTPUT_NAME)
		set_target_properties(${ARG_NAME} PROPERTIES OUTPUT_NAME ${ARG_OUTPUT_NAME})
	endif()
	add_dependencies(programs ${ARG_NAME})
	if(NOT ARG_DESTINATION)
		set(ARG_DESTINATION ${CMAKE_INSTALL_LIBDIR})
	endif()
	if(NOT ARG_NO_INSTALL)
		install(TARGETS ${ARG_NAME} LIBRARY DESTINATION ${ARG_DESTINATION})
	endif()
endfunction()

# GoogleTest's main is linked; a test with a main of its own wins over it. THREADS: memory is shared with other threads,
# so the preset `thread` runs it, too. STAND_ALONE: a program of its own, one test, that needs no GoogleTest, so the preset
# `linux-aarch64` runs it, too.
function(bulkhead_test)
	cmake_parse_arguments(PARSE_ARGV 0 ARG "SERIAL;STAND_ALONE;THREADS" "NAME;TIMEOUT_S" "SOURCES;LINK;PKG_CONFIG")
	_bulkhead_check_arguments(bulkhead_test)
	set(here ${BULKHEAD_TESTS})
	if(ARG_STAND_ALONE AND BULKHEAD_STAND_ALONE_TESTS)
		set(here ON)
	endif()
	if(NOT here)
		return()
	endif()
	if(NOT ARG_TIMEOUT_S)
		set(ARG_TIMEOUT_S 120)
	endif()
	set(serial OFF)
	if(ARG_SERIAL)
		set(serial ON)
	endif()
	set(label unit)
	if(ARG_THREADS)
		set(label threads)
	endif()
	add_executable(${ARG_NAME} ${ARG_SOURCES})
	# RTTI stays off as in the libraries: a fake may derive from an interface whose type information doesn't exist.
	target_compile_options(${ARG_NAME} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti>)
	# Optimised, g++ 12 sees an access beyond a vector where a test has just checked its size; the sanitizers know better.
	target_compile_options(${ARG_NAME} PRIVATE
		$<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds> $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow>
		$<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overread>)
	# A test's own text isn't worth optimising: it takes twice as long to compile as to run.
	target_compile_options(${ARG_NAME} PRIVATE $<$<CONFIG:Sanitize>:-O0>)
	target_compile_definitions(${ARG_NAME} PRIVATE BULKHEAD_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
	_bulkhead_link(${ARG_NAME} PRIVATE ${ARG_LINK})
	_bulkhead_pkg_config(${ARG_NAME} PRIVATE ${ARG_PKG_CONFIG})
	if(ARG_THREADS)
		add_dependencies(thread_tests ${ARG_NAME})
	endif()
	if(ARG_STAND_ALONE)
		add_dependencies(stand_alone_tests ${ARG_NAME})
		add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME})
		set_tests_properties(${ARG_NAME} PROPERTIES
			TIMEOUT ${ARG_TIMEOUT_S} RUN_SERIAL ${serial} LABELS ${label})
		return()
	endif()
	_bulkhead_link(${ARG_NAME} PRIVATE GTest::gmock GTest::gtest GTest::gtest_main)
	gtest_discover_tests(${ARG_NAME}
		TEST_PREFIX "${ARG_NAME}." DISCOVERY_TIMEOUT 120
		PROPERTIES TIMEOUT ${ARG_TIMEOUT_S} RUN_SERIAL ${serial} LABELS ${label})
endfunction()

# Preset `fuzz`: a libFuzzer program. Everywhere: a test that replays the corpus, one run of the program over the folder.
function(bulkhead_fuzz)
	cmake_parse_arguments(PARSE_ARGV 0 ARG "" "NAME;CORPUS;DICTIONARY" "SOURCES;LINK;PKG_CONFIG")
	_bulkhead_check_arguments(bulkhead_fuzz)
	if(NOT BULKHEAD_TESTS AND NOT BULKHEAD_FUZZ)
		return()
	endif()
	_bulkhead_absolute(corpus ${ARG_CORPUS})
	if(NOT ARG_CORPUS OR NOT IS_DIRECTORY "${corpus}")
		message(FATAL_ERROR "bulkhead_fuzz: ${ARG_NAME} needs a CORPUS folder with at least one input: ${corpus}")
	endif()
	add_executable(${ARG_NAME} ${ARG_SOURCES})
	target_compile_options(${ARG_NAME} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti>)
	_bulkhead_link(${ARG_NAME} PRIVATE ${ARG_LINK})
	_bulkhead_pkg_config(${ARG_NAME} PRIVATE ${ARG_PKG_CONFIG})
	if(BULKHEAD_FUZZ)
		target_link_options(${ARG_NAME} PRIVATE -fsanitize=fuzzer)
		add_test(NAME ${ARG_NAME}.corpus COMMAND ${ARG_NAME} -runs=0 "${corpus}")
		_bulkhead_absolute(dictionary ${ARG_DICTIONARY})
		add_dependencies(fuzz_targets ${ARG_NAME})
		set_property(GLOBAL APPEND PROPERTY BULKHEAD_FUZZ_TARGETS
			"${ARG_NAME}\t$<TARGET_FILE:${ARG_NAME}>\t${corpus}\t${dictionary}")
	else()
		target_sources(${ARG_NAME} PRIVATE "${PROJECT_SOURCE_DIR}/cmake/fuzz_replay.cc")
		add_test(NAME ${ARG_NAME}.corpus COMMAND ${ARG_NAME} "${corpus}")
	endif()
	set_tests_properties(${ARG_NAME}.corpus PROPERTIES TIMEOUT 300 LABELS fuzz)
endfunction()

# Google Benchmark and its main are linked; a program with a main of its own wins over it.
function(bulkhead_bench)
	cmake_parse_arguments(PARSE_ARGV 0 ARG "" "NAME" "SOURCES;LINK;PKG_CONFIG")
	_bulkhead_check_arguments(bulkhead_bench)
	if(NOT BULKHEAD_BENCH)
		return()
	endif()
	add_executable(${ARG_NAME} ${ARG_SOURCES})
	target_compile_options(${ARG_NAME} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti>)
	_bulkhead_link(${ARG_NAME} PRIVATE ${ARG_LINK} benchmark::benchmark benchmark::benchmark_main)
	_bulkhead_pkg_config(${ARG_NAME} PRIVATE ${ARG_PKG_CONFIG})
	add_dependencies(benches ${ARG_NAME})
endfunction()

# STATIC: a program whose start is a good part of what it does. Optimised builds link it without shared libraries, where the
# machine has what that takes; it may not look up users or hosts then.
function(bulkhead_program)
	cmake_parse_arguments(PARSE_ARGV 0 ARG "NO_INSTALL;STATIC" "NAME;DESTINATION" "SOURCES;LINK;PKG_CONFIG")
	_bulkhead_check_arguments(bulkhead_program)
	if(BULKHEAD_FREESTANDING)
		return()
	endif()
	add_executable(${ARG_NAME} ${ARG_SOURCES})
	_bulkhead_link(${ARG_NAME} PRIVATE ${ARG_LINK})
	_bulkhead_pkg_config(${ARG_NAME} PRIVATE ${ARG_PKG_CONFIG})
	if(ARG_STATIC AND CMAKE_BUILD_TYPE MATCHES "^(Release|RelWithDebInfo|MinSizeRel)$")
		_bulkhead_link_statically(${ARG_NAME})
	endif()
	add_dependencies(programs ${ARG_NAME})
	if(NOT ARG_DESTINATION)
		set(ARG_DESTINATION ${CMAKE_INSTALL_BINDIR})
	endif()
	if(NOT ARG_NO_INSTALL)
		install(TARGETS ${ARG_NAME} RUNTIME DESTINATION ${ARG_DESTINATION})
	endif()
endfunction()

function(_bulkhead_link_statically TARGET)
	set(CMAKE_REQUIRED_LINK_OPTIONS -static)
	set(CMAKE_REQUIRED_QUIET ON)
	check_cxx_source_compiles("#include <string>\nint main(int n, char **a) { return int(std::string(a[n - 1]).size()); }"
		BULKHEAD_STATIC_PROGRAMS)
	if(BULKHEAD_STATIC_PROGRAMS)
		# Read-only data beside the code: a page fault in four less when it starts.
		target_link_options(${TARGET} PRIVATE -static LINKER:-z,noseparate-code)
	endif()
endfunction()

# Called once, at the end of the root's CMakeLists.txt: the package files, which need to know all libraries.
function(bulkhead_finish)
	get_property(fuzz_targets GLOBAL PROPERTY BULKHEAD_FUZZ_TARGETS)
	if(BULKHEAD_FUZZ)
		list(JOIN fuzz_targets "\n" fuzz_targets)
		file(GENERATE OUTPUT "${PROJECT_BINARY_DIR}/fuzz_targets.tsv" CONTENT "${fuzz_targets}\n")
	endif()
	get_property(packages GLOBAL PROPERTY BULKHEAD_PACKAGES)
	get_property(modules GLOBAL PROPERTY BULKHEAD_PKG_CONFIG)
	list(REMOVE_DUPLICATES packages)
	list(REMOVE_DUPLICATES modules)
	set(BULKHEAD_DEPENDENCIES)
	foreach(package IN LISTS packages)
		string(APPEND BULKHEAD_DEPENDENCIES "find_dependency(${package})\n")
	endforeach()
	if(modules)
		string(APPEND BULKHEAD_DEPENDENCIES "find_dependency(PkgConfig)\n")
	endif()
	foreach(entry IN LISTS modules)
		string(REPLACE "|" ";" entry "${entry}")
		list(GET entry 0 prefix)
		list(GET entry 1 module)
		string(APPEND BULKHEAD_DEPENDENCIES
			"if(NOT TARGET PkgConfig::${prefix})\n"
			"\tpkg_check_modules(${prefix} REQUIRED IMPORTED_TARGET ${module})\nendif()\n")
	endforeach()
	set(directory "${CMAKE_INSTALL_LIBDIR}/cmake/bulkhead")
	configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/bulkhead-config.cmake.in"
		"${PROJECT_BINARY_DIR}/bulkhead-config.cmake" INSTALL_DESTINATION ${directory})
	write_basic_package_version_file("${PROJECT_BINARY_DIR}/bulkhead-config-version.cmake"
		COMPATIBILITY SameMinorVersion)
	install(FILES "${PROJECT_BINARY_DIR}/bulkhead-config.cmake"
		"${PROJECT_BINARY_DIR}/bulkhead-config-version.cmake" DESTINATION ${directory})
	install(EXPORT bulkhead NAMESPACE bulkhead:: FILE bulkhead-targets.cmake DESTINATION ${directory})
endfunction()

# What a broker starts in a sandbox: a static program and its description, in build/…/components, installed to
# lib/bulkhead/components. The target is component_NAME. A sanitized one can't be static: its description then has it
# see what it needs of this machine.
function(bulkhead_component)
	cmake_parse_arguments(PARSE_ARGV 0 ARG "NO_INSTALL" "NAME;DESCRIPTION" "SOURCES;LINK;PKG_CONFIG")
	_bulkhead_check_arguments(bulkhead_component)
	if(BULKHEAD_FREESTANDING)
		return()
	endif()
	set(target component_${ARG_NAME})
	set(directory "${PROJECT_BINARY_DIR}/components")
	add_executable(${target} ${ARG_SOURCES})
	target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti>)
	set_target_properties(${target} PROPERTIES OUTPUT_NAME ${ARG_NAME} RUNTIME_OUTPUT_DIRECTORY "${directory}")
	_bulkhead_link(${target} PRIVATE ${ARG_LINK})
	_bulkhead_pkg_config(${target} PRIVATE ${ARG_PKG_CONFIG})
	file(READ "${ARG_DESCRIPTION}" description)
	set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${ARG_DESCRIPTION}")
	if(CMAKE_BUILD_TYPE STREQUAL "Sanitize")
		string(APPEND description "\nsanitized = true\n")
	else()
		_bulkhead_link_statically(${target})
	endif()
	file(CONFIGURE OUTPUT "${directory}/${ARG_NAME}.toml" CONTENT "${description}" @ONLY)
	add_dependencies(programs ${target})
	if(NOT ARG_NO_INSTALL)
		install(TARGETS ${target} RUNTIME DESTINATION ${CMAKE_INSTALL_LIBDIR}/bulkhead/components)
		install(FILES "${ARG_DESCRIPTION}" DESTINATION ${CMAKE_INSTALL_LIBDIR}/bulkhead/components)
	endif()
endfunction()
