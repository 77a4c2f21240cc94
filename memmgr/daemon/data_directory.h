// memmgr/daemon/data_directory.h
//
// The directory nvme.path, held by one daemon at a time, and what lies in it:
//
//   pages.kvp     the page file      (tiers/nvme/page_file.h)
//   catalogue/    RocksDB            (tiers/catalogue/rocksdb_catalogue.h)
//   secret        32 random bytes, mode 0600: what default namespace secrets come from. Whoever
//                 deletes it forgets all names.
//   keys/         of namespaces, if the tier is encrypted (key_store.h)
//   daemon.lock   locked while a daemon uses the directory
//
// Ownership: the lock. Errors: kPermissionDenied, kFailedPrecondition (another daemon),
// kResourceExhausted (disk full), kUnavailable; each names the path.

#ifndef KVPAGER_MEMMGR_DAEMON_DATA_DIRECTORY_H_
#define KVPAGER_MEMMGR_DAEMON_DATA_DIRECTORY_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "ipc/unique_fd.h"
#include "memmgr/daemon/key_store.h"

namespace kvpager {

class DataDirectory {
 public:
  // Makes the directory (mode 0700, and its parents) if it does not exist, and takes it. An empty
  // path is no directory at all: a secret that ends with the process. `encryption_key_file` as in
  // KeyStore::Open.
  static absl::StatusOr<DataDirectory> Open(const std::string& path,
                                            const std::string& encryption_key_file = "");

  const std::string& path() const { return path_; }
  const std::string& secret() const { return secret_; }
  KeyStore* keys() const { return keys_.get(); }  // Null: nothing is encrypted.
  std::string data_file() const;
  std::string catalogue() const { return path_ + "/catalogue"; }

 private:
  std::string path_;
  std::string secret_;
  UniqueFd lock_;
  std::unique_ptr<KeyStore> keys_;
};

// From the kernel's random source.
std::string RandomBytes(size_t count);
uint64_t RandomIncarnation();  // Never 0.

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_DATA_DIRECTORY_H_
