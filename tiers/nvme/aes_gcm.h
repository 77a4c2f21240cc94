// tiers/nvme/aes_gcm.h
//
// AES-256-GCM (NIST SP 800-38D) and the derivation of keys from keys, by OpenSSL.
//
// Thread-safety: any. Errors: none; OpenSSL failing is a CHECK.

#ifndef KVPAGER_TIERS_NVME_AES_GCM_H_
#define KVPAGER_TIERS_NVME_AES_GCM_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace kvpager {

using Key256 = std::array<uint8_t, 32>;

// What has to be kept beside a ciphertext; it is no secret.
struct GcmSeal {
  std::array<std::byte, 12> nonce{};
  std::array<std::byte, 16> tag{};
};

// Encrypts `plain` to `out`, which has room for as many bytes; the tag covers `associated` too. The
// nonce is random: one key is good for 2^32 calls (section 8.3 there).
GcmSeal GcmEncrypt(const Key256& key, absl::Span<const std::byte> associated,
                   absl::Span<const std::byte> plain, std::byte* out);

// The reverse; `out` may be where `sealed` is. False: it was not encrypted with this key, or it or
// `associated` is not what it was; what is in `out` then means nothing.
bool GcmDecrypt(const Key256& key, absl::Span<const std::byte> associated, const GcmSeal& seal,
                absl::Span<const std::byte> sealed, std::byte* out);

// HMAC-SHA-256 of `info` under a key that is uniformly random: HKDF-Expand (RFC 5869) for one block
// without its counter byte.
Key256 DeriveKey(const Key256& key, absl::Span<const std::byte> info);

// Random bytes that nobody can foresee.
Key256 RandomKey();

}  // namespace kvpager

#endif  // KVPAGER_TIERS_NVME_AES_GCM_H_
