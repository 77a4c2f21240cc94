# Every library that kvpager builds with, in one place. Versions are Debian 12's.

find_package(Threads REQUIRED)
find_package(absl 20220623 REQUIRED)
find_package(PkgConfig REQUIRED)

pkg_check_modules(uring REQUIRED IMPORTED_TARGET liburing>=2.3)
pkg_check_modules(zmq REQUIRED IMPORTED_TARGET libzmq>=4.3)
pkg_check_modules(isal REQUIRED IMPORTED_TARGET libisal)
find_package(RocksDB 7.8 REQUIRED)
find_package(OpenSSL 3.0 REQUIRED COMPONENTS Crypto)
find_path(FLATBUFFERS_INCLUDE_DIR flatbuffers/flatbuffers.h REQUIRED)  # Header-only use; Debian's config file is incomplete.
find_package(spdlog 1.10 REQUIRED)
find_package(CLI11 2.1 REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(tomlplusplus 3.3 REQUIRED)
pkg_check_modules(libzstd REQUIRED IMPORTED_TARGET libzstd)  # Not "zstd": RocksDB looks for that name.
find_package(hwy 1.0 REQUIRED)
if(KVPAGER_TESTS)
  find_package(GTest 1.12 REQUIRED)
  pkg_check_modules(fuse3 IMPORTED_TARGET fuse3)  # Without it the tests of a failing disk skip.
endif()

find_program(FLATC flatc REQUIRED)

# CUDA is optional; nothing of this project needs it to build or to pass its tests. It is not in
# Debian's main archive, so scripts/setup does not install it. Linked is the static runtime, which
# looks for the driver when it is first used: one binary runs with and without a GPU.
set(KVPAGER_HAVE_CUDA OFF)
if(KVPAGER_SANITIZE AND NOT KVPAGER_CUDA STREQUAL "OFF")
  message(STATUS "No CUDA: sanitizers do not look into it")
elseif(NOT KVPAGER_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    # Machine code of A100, H100/H200 and B200, and PTX of the last for what comes after them.
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 100)
    endif()
    enable_language(CUDA)
    # CMake 3.25 does not know how to ask this compiler for C++20.
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    endif()
    find_package(CUDAToolkit)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.8)
      set(kvp_cuda_lacks "nvcc ${CMAKE_CUDA_COMPILER_VERSION} is older than 12.8, which knows sm_100")
    elseif(NOT TARGET CUDA::cudart_static)
      set(kvp_cuda_lacks "nvcc was found, but not libcudart_static.a of its toolkit")
    else()
      set(KVPAGER_HAVE_CUDA ON)
    endif()
  else()
    set(kvp_cuda_lacks "no nvcc was found")
  endif()
  if(NOT KVPAGER_HAVE_CUDA AND KVPAGER_CUDA STREQUAL "ON")
    message(FATAL_ERROR "KVPAGER_CUDA=ON but ${kvp_cuda_lacks}; install the CUDA toolkit, put nvcc "
                        "on PATH, or configure with -DKVPAGER_CUDA=OFF")
  elseif(NOT KVPAGER_HAVE_CUDA)
    message(STATUS "No CUDA: ${kvp_cuda_lacks}")
  endif()
endif()
