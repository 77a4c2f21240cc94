// memmgr/base/crc32c.h
//
// CRC32C (Castagnoli), as iSCSI and ext4 use it: the checksum of every frame, header and
// superblock. Hardware when present.
//
//   Crc32c("123456789") == 0xe3069283
//   Crc32c(b, Crc32c(a)) == Crc32c(a followed by b)

#ifndef KVPAGER_MEMMGR_BASE_CRC32C_H_
#define KVPAGER_MEMMGR_BASE_CRC32C_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace kvpager {

// The checksum of `bytes`, continuing `seed`, the checksum of what comes before them.
uint32_t Crc32c(absl::Span<const std::byte> bytes, uint32_t seed = 0);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_BASE_CRC32C_H_
