#include "tiers/nvme/frame_header.h"

#include <cstddef>
#include <cstdint>

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
  fields.magic = kFrameMagic;
  fields.format_version = kFrameFormatVersion;
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
  for (uint32_t& reserved : fields.reserved_1) reserved = 0;
  fields.header_crc = HeaderCrc(header);
}

bool ReadIdentity(const std::byte* header, uint64_t geometry_fingerprint, FrameIdentity& identity) {
  const FrameHeader& fields = At(header);
  if (fields.magic != kFrameMagic) return false;
  if (fields.format_version != kFrameFormatVersion) return false;
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
  FrameIdentity found;
  if (!ReadIdentity(header, geometry_fingerprint, found)) return false;
  if (found.key != wanted.key) return false;
  if (found.stamp != wanted.stamp) return false;
  if (found.group != wanted.group) return false;
  const FrameHeader& fields = At(header);
  if (fields.payload_length_bytes != payload.size()) return false;
  return fields.payload_crc == Crc32c(payload);
}

void SetPageIndex(std::byte* header, PageIndex page) {
  At(header).page_index = page.value;
  At(header).header_crc = HeaderCrc(header);
}

}  // namespace kvpager
