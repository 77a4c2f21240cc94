// memmgr/daemon/keys.h
//
// From an engine's digest of a block to the key under which the daemon stores it:
//
//   SHA-256( "kvpager block key 1\0",
//            length of secret (8 bytes), secret, geometry fingerprint (8 bytes),
//            length of model (8 bytes), model, digest (32 bytes) ), its first 128 bits
//
// integers little-endian. So equal digests in two namespaces, of two models or of two geometries
// never meet, and nobody who does not know the secret can ask whether a text was seen. Keys are on
// disk: do not change the rule without a new label.
//
// Thread-safety: Derive from one thread at a time. Errors: none; OpenSSL failing is a CHECK.

#ifndef KVPAGER_MEMMGR_DAEMON_KEYS_H_
#define KVPAGER_MEMMGR_DAEMON_KEYS_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "memmgr/base/ids.h"

struct evp_md_ctx_st;  // OpenSSL's EVP_MD_CTX.

namespace kvpager {

using Digest256 = std::array<uint8_t, 32>;

Digest256 Sha256(std::string_view bytes);

// The secret of a namespace that configures none: SHA-256("kvpager namespace secret 1\0", secret of
// the data directory, name).
std::string NamespaceSecretFrom(std::string_view data_secret, std::string_view name);

// True if the two are equal; takes as long when they are not.
bool EqualSecrets(std::string_view a, std::string_view b);

class KeyDeriver {
 public:
  KeyDeriver(std::string_view secret, uint64_t geometry_fingerprint, std::string_view model);

  BlockKey Derive(const Digest256& digest) const;  // Never none.

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> prefix_;  // Everything but the digest, already hashed.
  std::unique_ptr<evp_md_ctx_st, Free> scratch_;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_KEYS_H_
