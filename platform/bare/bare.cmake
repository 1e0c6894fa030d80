# Bare-metal images and their tests. Only in the freestanding presets; elsewhere both do nothing.
#
#   bulkhead_image(NAME tpm_random_image SOURCES main.cc LINK bulkhead::tpm [DEFINITIONS X=1] [NO_SIZE])
#   bulkhead_image_test(NAME tpm_random_image.boots IMAGE tpm_random_image [QEMU_ARGS …] [WRAPPER …]
#                       [TIMEOUT_S 60] [EXPECT_CODE 0] [EXPECT_OUTPUT regex])
#
# NO_SIZE keeps an image out of the table of sizes. WRAPPER is a command in front of the whole, such as
# "${BULKHEAD_BARE_DIR}/with_swtpm"; if it ends with 77 the test counts as skipped. EXPECT_OUTPUT is CMake's kind of
# regular expression. Call them from folders that are read after platform/: component/, scenario/.

set(BULKHEAD_BARE_DIR "${CMAKE_CURRENT_LIST_DIR}" CACHE INTERNAL "")
set(BULKHEAD_BARE_ARCHITECTURE "${CMAKE_SYSTEM_PROCESSOR}" CACHE INTERNAL "")
string(REGEX REPLACE "nm$" "size" size "${CMAKE_NM}")
set(BULKHEAD_BARE_SIZE "${size}" CACHE INTERNAL "")
set(BULKHEAD_BARE_SCRIPT "${BULKHEAD_BARE_DIR}/${BULKHEAD_BARE_ARCHITECTURE}/image.ld" CACHE INTERNAL "")
set(BULKHEAD_BARE_LINK_OPTIONS
	-nostdlib -static -no-pie "-L${BULKHEAD_BARE_DIR}" "-T${BULKHEAD_BARE_SCRIPT}"
	-Wl,--no-undefined,--gc-sections,--build-id=none,--orphan-handling=error,-z,max-page-size=4096
	CACHE INTERNAL "")

# Links a static ELF file that run_image boots. The link fails if a symbol is undefined, if an object of the system's
# libraries is in it, or if there is a global constructor.
function(bulkhead_image)
	cmake_parse_arguments(PARSE_ARGV 0 ARG "NO_SIZE" "NAME" "SOURCES;LINK;DEFINITIONS")
	if(ARG_UNPARSED_ARGUMENTS OR NOT ARG_NAME)
		message(FATAL_ERROR "bulkhead_image: no NAME, or unknown arguments: ${ARG_UNPARSED_ARGUMENTS}")
	endif()
	if(NOT BULKHEAD_FREESTANDING)
		return()
	endif()
	set(sized ON)
	if(ARG_NO_SIZE)
		set(sized OFF)
	endif()
	add_executable(${ARG_NAME} ${ARG_SOURCES})
	target_compile_definitions(${ARG_NAME} PRIVATE ${ARG_DEFINITIONS})
	target_link_libraries(${ARG_NAME} PRIVATE ${ARG_LINK} bulkhead::bare)
	set(map "$<TARGET_FILE:${ARG_NAME}>.map")
	target_link_options(${ARG_NAME} PRIVATE ${BULKHEAD_BARE_LINK_OPTIONS} -Wl,-Map=${map})
	set_target_properties(${ARG_NAME} PROPERTIES
		BULKHEAD_SIZED ${sized}
		LINK_DEPENDS "${BULKHEAD_BARE_SCRIPT};${BULKHEAD_BARE_DIR}/sections.ld;${BULKHEAD_BARE_DIR}/check_image")
	add_custom_command(TARGET ${ARG_NAME} POST_BUILD
		COMMAND "${BULKHEAD_BARE_DIR}/check_image"
			"${CMAKE_NM}" "${BULKHEAD_BARE_SIZE}" "$<TARGET_FILE:${ARG_NAME}>" "${map}" "${PROJECT_BINARY_DIR}"
		VERBATIM)
endfunction()

function(bulkhead_image_test)
	cmake_parse_arguments(PARSE_ARGV 0 ARG ""
		"NAME;IMAGE;TIMEOUT_S;EXPECT_CODE;EXPECT_OUTPUT" "QEMU_ARGS;WRAPPER")
	if(ARG_UNPARSED_ARGUMENTS OR NOT ARG_NAME OR NOT ARG_IMAGE)
		message(FATAL_ERROR
			"bulkhead_image_test: no NAME or IMAGE, or unknown arguments: ${ARG_UNPARSED_ARGUMENTS}")
	endif()
	if(NOT BULKHEAD_FREESTANDING)
		return()
	endif()
	if(NOT ARG_TIMEOUT_S)
		set(ARG_TIMEOUT_S 60)
	endif()
	if(NOT ARG_EXPECT_CODE)
		set(ARG_EXPECT_CODE 0)
	endif()
	add_test(NAME ${ARG_NAME} COMMAND ${ARG_WRAPPER} "${BULKHEAD_BARE_DIR}/run_image"
		--timeout ${ARG_TIMEOUT_S} --expect ${ARG_EXPECT_CODE} "$<TARGET_FILE:${ARG_IMAGE}>" ${ARG_QEMU_ARGS})
	# run_image has the smaller limit, so that the output says what happened.
	math(EXPR limit_s "${ARG_TIMEOUT_S} + 10")
	set_tests_properties(${ARG_NAME} PROPERTIES TIMEOUT ${limit_s} LABELS image SKIP_RETURN_CODE 77)
	if(ARG_EXPECT_OUTPUT)
		# This makes ctest forget the exit code, so the line that run_image ends with is expected as well.
		set_tests_properties(${ARG_NAME} PROPERTIES
			PASS_REGULAR_EXPRESSION "${ARG_EXPECT_OUTPUT}.*run_image: ended with ${ARG_EXPECT_CODE}, as expected")
	endif()
endfunction()

# Target `image_sizes`: sizes.txt in the build folder, a line for each library's object and each image without NO_SIZE.
function(bulkhead_image_sizes)
	set(files)
	_bulkhead_sized_targets("${PROJECT_SOURCE_DIR}" targets)
	foreach(target IN LISTS targets)
		list(APPEND files "$<TARGET_FILE:${target}>")
	endforeach()
	set(output "${PROJECT_BINARY_DIR}/sizes.txt")
	add_custom_command(OUTPUT "${output}"
		COMMAND "${BULKHEAD_BARE_DIR}/image_sizes" "${BULKHEAD_BARE_SIZE}" "${output}" ${files}
		DEPENDS ${targets} "${BULKHEAD_BARE_DIR}/image_sizes"
		VERBATIM)
	add_custom_target(image_sizes ALL DEPENDS "${output}")
endfunction()

# Static libraries and images of a folder and those below it.
function(_bulkhead_sized_targets FOLDER OUTPUT)
	get_property(targets DIRECTORY "${FOLDER}" PROPERTY BUILDSYSTEM_TARGETS)
	get_property(folders DIRECTORY "${FOLDER}" PROPERTY SUBDIRECTORIES)
	set(found)
	foreach(target IN LISTS targets)
		get_target_property(type ${target} TYPE)
		get_target_property(sized ${target} BULKHEAD_SIZED)
		if(type STREQUAL "STATIC_LIBRARY" OR sized)
			list(APPEND found ${target})
		endif()
	endforeach()
	foreach(folder IN LISTS folders)
		_bulkhead_sized_targets("${folder}" more)
		list(APPEND found ${more})
	endforeach()
	set(${OUTPUT} "${found}" PARENT_SCOPE)
endfunction()
