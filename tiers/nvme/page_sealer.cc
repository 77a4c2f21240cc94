#include "tiers/nvme/page_sealer.h"

#include <openssl/crypto.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <mutex>
#include <optional>
#include <string_view>

namespace kvpager {
namespace {

constexpr std::string_view kFrameLabel("kvpager frame 1\0", 16);

}  // namespace

PageSealer::~PageSealer() {
  for (auto& [name_space, key] : keys_) OPENSSL_cleanse(key.data(), key.size());
}

bool PageSealer::HasKey(NamespaceId name_space) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return keys_.contains(name_space.value);
}

void PageSealer::SetKey(NamespaceId name_space, const Key256& key) {
  const std::lock_guard<std::mutex> lock(mutex_);
  keys_[name_space.value] = key;
}

void PageSealer::ForgetKey(NamespaceId name_space) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = keys_.find(name_space.value);
  if (found == keys_.end()) return;
  OPENSSL_cleanse(found->second.data(), found->second.size());
  keys_.erase(found);
}

std::optional<Key256> PageSealer::FrameKey(NamespaceId name_space,
                                           const FrameIdentity& identity) const {
  struct Info {
    std::array<char, kFrameLabel.size()> label;
    uint64_t incarnation;
    uint64_t counter;
    uint64_t group;
  };
  Info info{.label = {},
            .incarnation = identity.stamp.incarnation,
            .counter = identity.stamp.counter,
            .group = identity.group};
  static_assert(sizeof(Info) == kFrameLabel.size() + 24);
  std::memcpy(info.label.data(), kFrameLabel.data(), kFrameLabel.size());
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = keys_.find(name_space.value);
  if (found == keys_.end()) return std::nullopt;
  return DeriveKey(found->second, {reinterpret_cast<const std::byte*>(&info), sizeof(info)});
}

bool PageSealer::Seal(NamespaceId name_space, uint64_t geometry_fingerprint,
                      const FrameIdentity& identity, absl::Span<const std::byte> payload,
                      std::byte* out, std::byte* header) const {
  const std::optional<Key256> key = FrameKey(name_space, identity);
  if (!key.has_value()) return false;
  BeginSealedHeader(header, geometry_fingerprint, identity, payload.size());
  const GcmSeal seal = GcmEncrypt(*key, SealedPart(header), payload, out);
  EndSealedHeader(header, seal.nonce, seal.tag);
  return true;
}

bool PageSealer::Open(NamespaceId name_space, uint64_t geometry_fingerprint,
                      const FrameIdentity& wanted, const std::byte* header,
                      absl::Span<std::byte> payload) const {
  if (!IsSealedFrame(header, geometry_fingerprint, wanted, payload.size())) return false;
  const std::optional<Key256> key = FrameKey(name_space, wanted);
  if (!key.has_value()) return false;
  GcmSeal seal;
  ReadSeal(header, seal.nonce, seal.tag);
  return GcmDecrypt(*key, SealedPart(header), seal, payload, payload.data());
}

}  // namespace kvpager
