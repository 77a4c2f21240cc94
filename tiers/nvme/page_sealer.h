// tiers/nvme/page_sealer.h
//
// PageSealer: encrypts the payloads of NVMe frames, and proves when they are read back that they
// are what was written where it was written. docs/NVME_FORMAT.md says what a sealed frame holds.
//
//   key of a frame = HMAC-SHA-256(key of the namespace, "kvpager frame 1\0", stamp, group)
//   payload        = AES-256-GCM(key of the frame, random nonce); the header is associated data
//
// A stamp is used by one run of one start, so a key seldom encrypts more than one payload.
//
// Ownership: keys; they are wiped when they go. Thread-safety: any thread. Errors: see each.

#ifndef KVPAGER_TIERS_NVME_PAGE_SEALER_H_
#define KVPAGER_TIERS_NVME_PAGE_SEALER_H_

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "absl/types/span.h"
#include "memmgr/base/ids.h"
#include "tiers/nvme/aes_gcm.h"
#include "tiers/nvme/frame_header.h"

namespace kvpager {

class PageSealer {
 public:
  PageSealer() = default;
  ~PageSealer();
  PageSealer(const PageSealer&) = delete;
  PageSealer& operator=(const PageSealer&) = delete;

  bool HasKey(NamespaceId name_space) const;
  void SetKey(NamespaceId name_space, const Key256& key);
  // What was written under it cannot be read any more.
  void ForgetKey(NamespaceId name_space);

  // Encrypts `payload` to `out` and fills `header` (a whole block). False: the namespace has no
  // key.
  bool Seal(NamespaceId name_space, uint64_t geometry_fingerprint, const FrameIdentity& identity,
            absl::Span<const std::byte> payload, std::byte* out, std::byte* header) const;

  // Decrypts `payload` where it is. False: the frame is not `wanted`, was not sealed with this
  // namespace's key, or is not what was written.
  bool Open(NamespaceId name_space, uint64_t geometry_fingerprint, const FrameIdentity& wanted,
            const std::byte* header, absl::Span<std::byte> payload) const;

 private:
  std::optional<Key256> FrameKey(NamespaceId name_space, const FrameIdentity& identity) const;

  mutable std::mutex mutex_;
  std::unordered_map<uint32_t, Key256> keys_;  // By namespace.
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_NVME_PAGE_SEALER_H_
