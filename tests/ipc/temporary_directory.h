// tests/ipc/temporary_directory.h
//
// A fresh private directory, removed with everything in it.

#ifndef KVPAGER_TESTS_IPC_TEMPORARY_DIRECTORY_H_
#define KVPAGER_TESTS_IPC_TEMPORARY_DIRECTORY_H_

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "memmgr/base/check.h"

namespace kvpager {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    char name[] = "/tmp/kvp-test-XXXXXX";
    KVP_CHECK(mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace kvpager

#endif  // KVPAGER_TESTS_IPC_TEMPORARY_DIRECTORY_H_
