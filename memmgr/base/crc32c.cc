#include "memmgr/base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "memmgr/base/units.h"

namespace kvpager {

uint32_t Crc32c(absl::Span<const std::byte> bytes, uint32_t seed) {
  // ISA-L leaves both inversions to its caller, takes an int length and forgets to say const.
  uint32_t crc = ~seed;
  while (!bytes.empty()) {
    const auto piece = bytes.subspan(0, std::min<size_t>(bytes.size(), kGiB));
    auto* data = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(piece.data()));
    crc = crc32_iscsi(data, static_cast<int>(piece.size()), crc);
    bytes.remove_prefix(piece.size());
  }
  return ~crc;
}

}  // namespace kvpager
