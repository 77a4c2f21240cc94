# How libFuzzer targets are made. g++ has no libFuzzer, so clang compiles what is fuzzed a second time,
# beside the build and with commands of its own.
#
#   kvp_find_fuzzer(RESULT)      RESULT is true if clang can make a fuzzer here; says why if not
#   kvp_fuzz_library(NAME SRCS ... LINK ...)   what fuzzers have in common: SRCS from the root of the
#                                checkout, and what the linker needs with them
#   kvp_fuzz_test(NAME SRCS ... LIBRARY NAME [LINK ...] BYTES_MAX n)
#                                the program <build>/fuzz/<NAME>_fuzz and two tests: fuzz_<NAME> runs
#                                it for 10 seconds, fuzz_<NAME>_slow (label slow) for 3 minutes
#
# Both start from corpus/<NAME>/ and seed 1, and keep nothing but an input that made them fail:
# <build>/fuzz/<NAME>-crash-... (or -timeout-, -oom-). The program with that file as its argument
# reproduces it. To hunt for longer, give it a folder for the inputs that it finds worth keeping:
#   <build>/fuzz/<NAME>_fuzz FOUND tests/fuzz/corpus/<NAME>

set(kvp_fuzz_folder "${CMAKE_BINARY_DIR}/fuzz")
set(kvp_fuzz_wire_header "${CMAKE_BINARY_DIR}/generated/ipc/wire_generated.h")
set(kvp_fuzz_flags -std=c++20 -O1 -gline-tables-only -fno-omit-frame-pointer -fno-exceptions
    -Wall -Wextra -Werror -fno-sanitize-recover=all "-I${CMAKE_SOURCE_DIR}"
    "-I${CMAKE_BINARY_DIR}/generated")

function(kvp_find_fuzzer RESULT)
  set(${RESULT} OFF PARENT_SCOPE)
  if(KVPAGER_SANITIZE)
    message(STATUS "No fuzz tests: they have sanitizers of their own; the build without has them")
    return()
  endif()
  find_program(KVPAGER_FUZZ_CLANG NAMES clang++-14 DOC "The clang++ that compiles fuzzers")
  if(NOT KVPAGER_FUZZ_CLANG)
    message(STATUS "No fuzz tests: clang++-14 is missing (Debian's clang-14)")
    return()
  endif()
  if(NOT KVPAGER_FUZZ_WORKS STREQUAL KVPAGER_FUZZ_CLANG)
    set(probe "${kvp_fuzz_folder}/probe")
    file(WRITE "${probe}.cc" "extern \"C\" int LLVMFuzzerTestOneInput(const char*, long) { return 0; }\n")
    execute_process(
      COMMAND "${KVPAGER_FUZZ_CLANG}" -fsanitize=fuzzer,address,undefined -o "${probe}" "${probe}.cc"
      RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET)
    if(failed)
      message(STATUS "No fuzz tests: ${KVPAGER_FUZZ_CLANG} has no libFuzzer (Debian's libclang-rt-14-dev)")
      return()
    endif()
    set(KVPAGER_FUZZ_WORKS "${KVPAGER_FUZZ_CLANG}" CACHE INTERNAL "The clang++ that has made a fuzzer")
  endif()
  set(${RESULT} ON PARENT_SCOPE)
endfunction()

# Adds the command that compiles SOURCE (an absolute path) and appends the object to RESULT.
function(kvp_fuzz_compile SOURCE RESULT)
  file(RELATIVE_PATH relative "${CMAKE_SOURCE_DIR}" "${SOURCE}")
  set(object "${kvp_fuzz_folder}/objects/${relative}.o")
  get_filename_component(folder "${object}" DIRECTORY)
  file(MAKE_DIRECTORY "${folder}")
  add_custom_command(
    OUTPUT "${object}"
    COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} "${KVPAGER_FUZZ_CLANG}" ${kvp_fuzz_flags}
            -fsanitize=fuzzer-no-link,address,undefined -MD -MF "${object}.d"
            -o "${object}" -c "${SOURCE}"
    DEPENDS "${SOURCE}" "${kvp_fuzz_wire_header}"
    DEPFILE "${object}.d"
    COMMENT "Compiling ${relative} for libFuzzer"
    VERBATIM)
  set(${RESULT} ${${RESULT}} "${object}" PARENT_SCOPE)
endfunction()

function(kvp_fuzz_library NAME)
  cmake_parse_arguments(ARG "" "" "SRCS;LINK" ${ARGN})
  set(objects)
  foreach(source ${ARG_SRCS})
    kvp_fuzz_compile("${CMAKE_SOURCE_DIR}/${source}" objects)
  endforeach()
  set(archive "${kvp_fuzz_folder}/lib${NAME}.a")
  add_custom_command(
    OUTPUT "${archive}"
    COMMAND "${CMAKE_COMMAND}" -E rm -f "${archive}"
    COMMAND "${CMAKE_AR}" qc "${archive}" ${objects}
    COMMAND "${CMAKE_RANLIB}" "${archive}"
    DEPENDS ${objects}
    VERBATIM)
  add_custom_target(${NAME} DEPENDS "${archive}")
  add_dependencies(${NAME} kvp_ipc_wire)  # Makes the header that the schema becomes.
  set_target_properties(${NAME} PROPERTIES KVP_FUZZ_LINK "${ARG_LINK}")
endfunction()

function(kvp_fuzz_test NAME)
  cmake_parse_arguments(ARG "" "LIBRARY;BYTES_MAX" "SRCS;LINK" ${ARGN})
  set(objects)
  foreach(source ${ARG_SRCS})
    kvp_fuzz_compile("${CMAKE_CURRENT_SOURCE_DIR}/${source}" objects)
  endforeach()
  set(program "${kvp_fuzz_folder}/${NAME}_fuzz")
  set(archive "${kvp_fuzz_folder}/lib${ARG_LIBRARY}.a")
  get_target_property(link ${ARG_LIBRARY} KVP_FUZZ_LINK)
  add_custom_command(
    OUTPUT "${program}"
    COMMAND "${KVPAGER_FUZZ_CLANG}" -fsanitize=fuzzer,address,undefined -o "${program}"
            ${objects} "${archive}" ${ARG_LINK} ${link}
    DEPENDS ${objects} "${archive}"
    COMMENT "Linking fuzz/${NAME}_fuzz"
    VERBATIM)
  add_custom_target(${NAME}_fuzz ALL DEPENDS "${program}")
  add_dependencies(${NAME}_fuzz ${ARG_LIBRARY})
  kvp_add_fuzz_run(fuzz_${NAME} "${NAME}" 10 ${ARG_BYTES_MAX})
  kvp_add_fuzz_run(fuzz_${NAME}_slow "${NAME}" 180 ${ARG_BYTES_MAX} slow)
endfunction()

# No SKIP_RETURN_CODE here: 77 is what libFuzzer itself ends with when it has found something.
function(kvp_add_fuzz_run TEST NAME SECONDS BYTES_MAX)
  file(GLOB seeds "${CMAKE_CURRENT_SOURCE_DIR}/corpus/${NAME}/*")
  string(REPLACE ";" "," seeds "${seeds}")
  add_test(NAME ${TEST}
    COMMAND "${kvp_fuzz_folder}/${NAME}_fuzz" -seed=1 -max_total_time=${SECONDS} -timeout=5
            -rss_limit_mb=1024 -max_len=${BYTES_MAX} -verbosity=0 -print_final_stats=1
            "-artifact_prefix=${kvp_fuzz_folder}/${NAME}-" "-seed_inputs=${seeds}")
  math(EXPR timeout "${SECONDS} * 2 + 60")
  set_tests_properties(${TEST} PROPERTIES TIMEOUT ${timeout})
  kvp_label_test(${TEST} ${ARGN})
endfunction()
