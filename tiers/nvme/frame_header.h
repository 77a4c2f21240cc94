// tiers/nvme/frame_header.h
//
// The header block behind the payload of every host and NVMe frame: what is in the frame, and the
// checksum that proves it. docs/NVME_FORMAT.md has the same table in words.
//
//   byte  0  magic "KVPFRAME"         8
//         8  format version           4      1, or 2: sealed (page_sealer.h)
//        12  group                    4
//        16  geometry fingerprint     8
//        24  block key               16
//        40  parent block key        16      all zero: the first block of a prompt, or unknown
//        56  stamp                   16      incarnation, counter
//        72  rank                     4      0; for tensor parallelism
//        76  reserved, zero           4
//        80  payload length           8 \.
//        88  payload CRC32C           4  } the host part: valid in host memory before the rest is
//        92  page index               4 /  written; the page index means nothing on disk
//        96  reserved, zero          28      sealed: nonce 12, tag 16; CRC and page index are 0
//       124  header CRC32C            4      of bytes [0, 124)
//       128  unused, to the end of the block
//
// Little-endian. On disk: do not renumber, do not reorder; a change needs a new format version.
//
// A copy from HBM fills the host part; the write to NVMe fills the rest. A read from NVMe checks
// all of it and then puts the page index of its new page in place. Thread-safety: the host part is
// only read while a frame is being written to NVMe, so a promotion may read it at the same time.

#ifndef KVPAGER_TIERS_NVME_FRAME_HEADER_H_
#define KVPAGER_TIERS_NVME_FRAME_HEADER_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "memmgr/base/geometry.h"
#include "memmgr/base/ids.h"

namespace kvpager {

inline constexpr uint64_t kFrameMagic = 0x454d41524650564bull;  // "KVPFRAME"
inline constexpr uint32_t kFrameFormatVersion = 1;
inline constexpr uint32_t kSealedFormatVersion = 2;

struct FrameHeader {
  uint64_t magic;
  uint32_t format_version;
  uint32_t group;
  uint64_t geometry_fingerprint;
  uint64_t key_words[2];
  uint64_t parent_key_words[2];
  uint64_t stamp_incarnation;
  uint64_t stamp_counter;
  uint32_t rank;
  uint32_t reserved_0;
  uint64_t payload_length_bytes;
  uint32_t payload_crc;
  uint32_t page_index;
  std::byte nonce[12];
  std::byte tag[16];
  uint32_t header_crc;
};

static_assert(offsetof(FrameHeader, format_version) == 8);
static_assert(offsetof(FrameHeader, group) == 12);
static_assert(offsetof(FrameHeader, geometry_fingerprint) == 16);
static_assert(offsetof(FrameHeader, key_words) == 24);
static_assert(offsetof(FrameHeader, parent_key_words) == 40);
static_assert(offsetof(FrameHeader, stamp_incarnation) == 56);
static_assert(offsetof(FrameHeader, stamp_counter) == 64);
static_assert(offsetof(FrameHeader, rank) == 72);
static_assert(offsetof(FrameHeader, payload_length_bytes) == 80);
static_assert(offsetof(FrameHeader, payload_crc) == 88);
static_assert(offsetof(FrameHeader, page_index) == 92);
static_assert(offsetof(FrameHeader, nonce) == 96);
static_assert(offsetof(FrameHeader, tag) == 108);
static_assert(offsetof(FrameHeader, header_crc) == 124);
static_assert(sizeof(FrameHeader) == 128);
static_assert(sizeof(FrameHeader) <= kFrameHeaderBytes);

// What the header of an NVMe frame says, or must say.
struct FrameIdentity {
  BlockKey key;  // None: an unnamed block of an open sequence.
  BlockKey parent_key;
  Stamp stamp;
  uint32_t group = 0;
};

// Host part. `header` is a whole header block; see HostArena::header.
void SetHostPart(std::byte* header, PageIndex page, absl::Span<const std::byte> payload);
void SetHostPart(std::byte* header, PageIndex page, uint64_t payload_length_bytes,
                 uint32_t payload_crc);
bool HostPartNames(const std::byte* header, PageIndex page, uint64_t payload_length_bytes);
uint32_t PayloadCrc(const std::byte* header);

// Fills everything but the host part, and the header's own checksum.
void SealForNvme(std::byte* header, uint64_t geometry_fingerprint, const FrameIdentity& identity);

// Magic, version, geometry and the header's checksum agree: `identity` is what was written. Sealed
// or not: the header itself is never encrypted.
bool ReadIdentity(const std::byte* header, uint64_t geometry_fingerprint, FrameIdentity& identity);

// Everything agrees: the frame, which is not sealed, holds the payload of `wanted` (parent_key is
// not compared).
bool VerifyFrame(const std::byte* header, uint64_t geometry_fingerprint,
                 const FrameIdentity& wanted, absl::Span<const std::byte> payload);

// ---- Sealed frames
// A header in two halves: what the tag covers, then nonce, tag and the header's checksum.
void BeginSealedHeader(std::byte* header, uint64_t geometry_fingerprint,
                       const FrameIdentity& identity, uint64_t payload_length_bytes);
void EndSealedHeader(std::byte* header, const std::array<std::byte, 12>& nonce,
                     const std::array<std::byte, 16>& tag);
absl::Span<const std::byte> SealedPart(const std::byte* header);  // What the tag covers.
void ReadSeal(const std::byte* header, std::array<std::byte, 12>& nonce,
              std::array<std::byte, 16>& tag);
// It is sealed and says that it is `wanted`; whether that is true the tag decides.
bool IsSealedFrame(const std::byte* header, uint64_t geometry_fingerprint,
                   const FrameIdentity& wanted, uint64_t payload_length_bytes);

// After a read from NVMe: the frame now belongs to `page`.
void SetPageIndex(std::byte* header, PageIndex page);

}  // namespace kvpager

#endif  // KVPAGER_TIERS_NVME_FRAME_HEADER_H_
