// memmgr/daemon/key_store.h
//
// The keys of an encrypted NVMe tier: one for each namespace, random, kept beside the data file and
// wrapped with a master key that is kept elsewhere.
//
//   master key   a file, or a credential that systemd hands over: 32 bytes, or 64 hex digits
//   keys/check             what no other master key opens
//   keys/<SHA-256 of the namespace's name, in hex>
//
// Each file: "KVPKEY1\0", nonce 12, tag 16, wrapped key 32; AES-256-GCM under the master key, with
// the magic and the name as associated data. Deleting a namespace's file makes all that it wrote
// unreadable for ever.
//
// Ownership: the master key, wiped in the end. Thread-safety: one thread. Errors:
// kFailedPrecondition (no such key, another key, plain data where encrypted is wanted or the other
// way round), kDataLoss (a key file that is damaged), kPermissionDenied, kUnavailable; each names
// the file and says what to do.

#ifndef KVPAGER_MEMMGR_DAEMON_KEY_STORE_H_
#define KVPAGER_MEMMGR_DAEMON_KEY_STORE_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tiers/nvme/aes_gcm.h"

namespace kvpager {

class KeyStore {
 public:
  // Of the data directory `directory`, which exists and is this process's. `master_key_file` is a
  // path, or "credential:NAME" for NAME in $CREDENTIALS_DIRECTORY; empty: not encrypted, and null
  // is returned.
  static absl::StatusOr<std::unique_ptr<KeyStore>> Open(const std::string& directory,
                                                        const std::string& master_key_file);
  ~KeyStore();
  KeyStore(const KeyStore&) = delete;
  KeyStore& operator=(const KeyStore&) = delete;

  // The namespace's key; makes one the first time.
  absl::StatusOr<Key256> KeyOf(std::string_view name_space);
  // Deletes the namespace's key, for good. kNotFound: it has none.
  absl::Status Destroy(std::string_view name_space);

 private:
  std::string PathOf(std::string_view name_space) const;
  KeyStore(std::string folder, const Key256& master)
      : folder_(std::move(folder)), master_(master) {}

  const std::string folder_;
  Key256 master_;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_KEY_STORE_H_
