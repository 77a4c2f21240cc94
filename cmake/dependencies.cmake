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
endif()

find_program(FLATC flatc REQUIRED)

# CUDA is optional; nothing of this project needs it to build or to pass its tests.
set(KVPAGER_HAVE_CUDA OFF)
if(NOT KVPAGER_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(KVPAGER_HAVE_CUDA ON)
  elseif(KVPAGER_CUDA STREQUAL "ON")
    message(FATAL_ERROR "KVPAGER_CUDA=ON but no nvcc was found; install the CUDA toolkit, put nvcc "
                        "on PATH, or configure with -DKVPAGER_CUDA=OFF")
  endif()
endif()
