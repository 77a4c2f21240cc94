# How targets are made here: one library per layer, so that an include that points up fails to link.
#
#   kvp_library(NAME hdrs... SRCS ... DEPS ...)   static library kvp_<NAME>, alias kvpager::<NAME>
#   kvp_cuda_library(NAME HDRS ... SRCS ... DEPS ...)   the same of .cu files; only where there is CUDA
#   kvp_executable(NAME SRCS ... DEPS ...)
#   kvp_test(NAME SRCS ... DEPS ... [LABELS ...] [TIMEOUT s])   GoogleTest; 77 means skipped
#
# EXCEPTIONS compiles with exceptions, for the few files that include libraries which throw.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g1")

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER "${CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE}")
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${CCACHE}")
endif()

add_library(kvp_flags INTERFACE)
target_include_directories(kvp_flags INTERFACE "${CMAKE_SOURCE_DIR}" "${CMAKE_BINARY_DIR}/generated")
target_compile_options(kvp_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wno-missing-field-initializers
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual>)
# Warnings are errors, but not under sanitizers, where g++ 12 warns of overlaps in std::string that do
# not exist.
if(NOT KVPAGER_SANITIZE)
  target_compile_options(kvp_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Werror>)
endif()
if(KVPAGER_CRASH_POINTS)
  target_compile_definitions(kvp_flags INTERFACE KVPAGER_CRASH_POINTS=1)
endif()
if(KVPAGER_SANITIZE)
  target_compile_options(kvp_flags INTERFACE -fsanitize=${KVPAGER_SANITIZE} -fno-omit-frame-pointer
                         -fno-sanitize-recover=all)
  target_link_options(kvp_flags INTERFACE -fsanitize=${KVPAGER_SANITIZE})
endif()

function(kvp_apply_flags TARGET EXCEPTIONS)
  target_link_libraries(${TARGET} PRIVATE kvp_flags)
  if(NOT EXCEPTIONS)
    target_compile_options(${TARGET} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions>)
  endif()
endfunction()

function(kvp_library NAME)
  cmake_parse_arguments(ARG "EXCEPTIONS" "" "HDRS;SRCS;DEPS" ${ARGN})
  add_library(kvp_${NAME} STATIC ${ARG_SRCS} ${ARG_HDRS})
  add_library(kvpager::${NAME} ALIAS kvp_${NAME})
  kvp_apply_flags(kvp_${NAME} "${ARG_EXCEPTIONS}")
  target_include_directories(kvp_${NAME} PUBLIC "${CMAKE_SOURCE_DIR}")
  target_link_libraries(kvp_${NAME} PUBLIC ${ARG_DEPS})
endfunction()

# Kernels call functions that are constexpr, as host code does.
function(kvp_cuda_library NAME)
  cmake_parse_arguments(ARG "" "" "HDRS;SRCS;DEPS" ${ARGN})
  add_library(kvp_${NAME} STATIC ${ARG_SRCS} ${ARG_HDRS})
  add_library(kvpager::${NAME} ALIAS kvp_${NAME})
  set_target_properties(kvp_${NAME} PROPERTIES CUDA_STANDARD 20 CUDA_EXTENSIONS OFF)
  target_compile_options(kvp_${NAME} PRIVATE --expt-relaxed-constexpr
    --Werror=all-warnings -Xcompiler=-Wall,-Wextra,-fno-exceptions)
  target_include_directories(kvp_${NAME} PUBLIC "${CMAKE_SOURCE_DIR}")
  target_link_libraries(kvp_${NAME} PUBLIC ${ARG_DEPS} PRIVATE CUDA::cudart_static)
endfunction()

function(kvp_executable NAME)
  cmake_parse_arguments(ARG "EXCEPTIONS" "" "SRCS;DEPS" ${ARGN})
  add_executable(${NAME} ${ARG_SRCS})
  kvp_apply_flags(${NAME} "${ARG_EXCEPTIONS}")
  target_link_libraries(${NAME} PRIVATE ${ARG_DEPS})
  set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
endfunction()

function(kvp_test NAME)
  cmake_parse_arguments(ARG "EXCEPTIONS" "TIMEOUT" "SRCS;DEPS;LABELS;ARGS" ${ARGN})
  add_executable(${NAME} ${ARG_SRCS})
  kvp_apply_flags(${NAME} "${ARG_EXCEPTIONS}")
  target_link_libraries(${NAME} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  add_test(NAME ${NAME} COMMAND ${NAME} ${ARG_ARGS})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  set_tests_properties(${NAME} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT ${ARG_TIMEOUT})
  kvp_label_test(${NAME} ${ARG_LABELS})
  set_property(GLOBAL APPEND PROPERTY KVP_TEST_TARGETS_${KVP_TEST_FOLDER} ${NAME})
endfunction()

# Labels a test with its folder under tests/ beside what it needs (io, slow, e2e, ...).
function(kvp_label_test NAME)
  file(RELATIVE_PATH folder "${CMAKE_SOURCE_DIR}/tests" "${CMAKE_CURRENT_SOURCE_DIR}")
  string(REGEX REPLACE "/.*" "" folder "${folder}")
  set_property(TEST ${NAME} APPEND PROPERTY LABELS ${folder} ${ARGN})
  set(KVP_TEST_FOLDER "${folder}" PARENT_SCOPE)
endfunction()
