#include "tiers/nvme/frame_header.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "memmgr/base/crc32c.h"

namespace kvpager {
namespace {

FrameHeader& At(std::byte* header) { return *reinterpret_cast<FrameHeader*>(header); }
const FrameHeader& At(const std::byte* header) {
  return *reinterpret_cast<const FrameHeader*>(header);
}

uint32_t HeaderCrc(const std::byte* header) {
  return Crc32c({header, offsetof(FrameHeader, header_crc)});
}

// Everything between magic and payload length.
void FillIdentity(FrameHeader& fields, uint32_t version, uint64_t geometry_fingerprint,
                  const FrameIdentity& identity) {
  fields.magic = kFrameMagic;
  fields.format_version = version;
  fields.group = identity.group;
  fields.geometry_fingerprint = geometry_fingerprint;
  for (int i = 0; i < 2; ++i) {
    fields.key_words[i] = identity.key.words[i];
    fields.parent_key_words[i] = identity.parent_key.words[i];
  }
  fields.stamp_incarnation = identity.stamp.incarnation;
  fields.stamp_counter = identity.stamp.counter;
  fields.rank = 0;
  fields.reserved_0 = 0;
}

// The header is whole and of `version`, and says that it is `wanted`.
bool Names(const std::byte* header, uint32_t version, uint64_t geometry_fingerprint,
           const FrameIdentity& wanted, uint64_t payload_length_bytes) {
  FrameIdentity found;
  if (At(header).format_version != version) return false;
  if (!ReadIdentity(header, geometry_fingerprint, found)) return false;
  if (found.key != wanted.key) return false;
  if (found.stamp != wanted.stamp) return false;
  if (found.group != wanted.group) return false;
  return At(header).payload_length_bytes == payload_length_bytes;
}

}  // namespace

void SetHostPart(std::byte* header, PageIndex page, absl::Span<const std::byte> payload) {
  SetHostPart(header, page, payload.size(), Crc32c(payload));
}

void SetHostPart(std::byte* header, PageIndex page, uint64_t payload_length_bytes,
                 uint32_t payload_crc) {
  FrameHeader& fields = At(header);
  fields.payload_length_bytes = payload_length_bytes;
  fields.payload_crc = payload_crc;
  fields.page_index = page.value;
}

bool HostPartNames(const std::byte* header, PageIndex page, uint64_t payload_length_bytes) {
  const FrameHeader& fields = At(header);
  return fields.page_index == page.value && fields.payload_length_bytes == payload_length_bytes;
}

uint32_t PayloadCrc(const std::byte* header) { return At(header).payload_crc; }

void SealForNvme(std::byte* header, uint64_t geometry_fingerprint, const FrameIdentity& identity) {
  FrameHeader& fields = At(header);
  FillIdentity(fields, kFrameFormatVersion, geometry_fingerprint, identity);
  std::fill(std::begin(fields.nonce), std::end(fields.nonce), std::byte{0});
  std::fill(std::begin(fields.tag), std::end(fields.tag), std::byte{0});
  fields.header_crc = HeaderCrc(header);
}

bool ReadIdentity(const std::byte* header, uint64_t geometry_fingerprint, FrameIdentity& identity) {
  const FrameHeader& fields = At(header);
  if (fields.magic != kFrameMagic) return false;
  const uint32_t version = fields.format_version;
  if (version != kFrameFormatVersion && version != kSealedFormatVersion) return false;
  if (fields.geometry_fingerprint != geometry_fingerprint) return false;
  if (fields.rank != 0) return false;
  if (fields.header_crc != HeaderCrc(header)) return false;
  identity.key = {{fields.key_words[0], fields.key_words[1]}};
  identity.parent_key = {{fields.parent_key_words[0], fields.parent_key_words[1]}};
  identity.stamp = {fields.stamp_incarnation, fields.stamp_counter};
  identity.group = fields.group;
  return true;
}

bool VerifyFrame(const std::byte* header, uint64_t geometry_fingerprint,
                 const FrameIdentity& wanted, absl::Span<const std::byte> payload) {
  if (!Names(header, kFrameFormatVersion, geometry_fingerprint, wanted, payload.size())) {
    return false;
  }
  return PayloadCrc(header) == Crc32c(payload);
}

void BeginSealedHeader(std::byte* header, uint64_t geometry_fingerprint,
                       const FrameIdentity& identity, uint64_t payload_length_bytes) {
  FrameHeader& fields = At(header);
  FillIdentity(fields, kSealedFormatVersion, geometry_fingerprint, identity);
  fields.payload_length_bytes = payload_length_bytes;
  fields.payload_crc = 0;  // Would tell something of the payload.
  fields.page_index = 0;
}

void EndSealedHeader(std::byte* header, const std::array<std::byte, 12>& nonce,
                     const std::array<std::byte, 16>& tag) {
  FrameHeader& fields = At(header);
  std::copy(nonce.begin(), nonce.end(), fields.nonce);
  std::copy(tag.begin(), tag.end(), fields.tag);
  fields.header_crc = HeaderCrc(header);
}

absl::Span<const std::byte> SealedPart(const std::byte* header) {
  return {header, offsetof(FrameHeader, nonce)};
}

void ReadSeal(const std::byte* header, std::array<std::byte, 12>& nonce,
              std::array<std::byte, 16>& tag) {
  std::memcpy(nonce.data(), At(header).nonce, nonce.size());
  std::memcpy(tag.data(), At(header).tag, tag.size());
}

bool IsSealedFrame(const std::byte* header, uint64_t geometry_fingerprint,
                   const FrameIdentity& wanted, uint64_t payload_length_bytes) {
  return Names(header, kSealedFormatVersion, geometry_fingerprint, wanted, payload_length_bytes);
}

void SetPageIndex(std::byte* header, PageIndex page) {
  At(header).page_index = page.value;
  At(header).header_crc = HeaderCrc(header);
}

}  // namespace kvpager
