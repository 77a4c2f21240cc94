// memmgr/base/geometry.h
//
// The shape of a pool's pages, and every size that follows from it.
//
// One page, in a frame, is contiguous:
//
//   layer 0 of the group              layer 1 of the group
//   +----------------+--------------+----------------+--------------+-- - -
//   | K              | V            | K              | V            |
//   +----------------+--------------+----------------+--------------+-- - -
//     NHD: [page_tokens, num_kv_heads, head_dim]   HND: [num_kv_heads, page_tokens, head_dim]
//
// padded to kFrameAlignment. An HBM frame is that. A host or NVMe frame is that plus one header
// block (tiers/nvme/frame_header.h), so that one I/O request moves both.
//
// Units: names carry them. Errors: Validate() says in one sentence what to change.

#ifndef KVPAGER_MEMMGR_BASE_GEOMETRY_H_
#define KVPAGER_MEMMGR_BASE_GEOMETRY_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "memmgr/base/units.h"

namespace kvpager {

// Wire, disk and C ABI share these numbers: do not renumber.
enum class Dtype : uint32_t { kF16 = 0, kBf16 = 1, kF32 = 2, kF8E4m3 = 3 };
enum class KvLayout : uint32_t { kNhd = 0, kHnd = 1 };

inline constexpr uint64_t kFrameAlignment = 4096;    // What O_DIRECT may ask for.
inline constexpr uint64_t kFrameHeaderBytes = 4096;  // One block behind each host and NVMe payload.

struct Geometry {
  uint32_t page_tokens = 16;
  uint32_t num_layers = 0;
  uint32_t layers_per_page = 0;
  uint32_t num_kv_heads = 0;
  uint32_t head_dim_k = 0;
  uint32_t head_dim_v = 0;  // 0: V is the start of K's rows (multi-head latent attention).
  Dtype dtype = Dtype::kF16;
  KvLayout layout = KvLayout::kNhd;

  // kInvalidArgument, naming the field, if a size is zero or too large, if layers_per_page does not
  // divide num_layers, or if a stride of `frames_hbm` frames would not fit 32 bits.
  absl::Status Validate(uint64_t frames_hbm) const;

  uint32_t num_groups() const { return num_layers / layers_per_page; }
  uint32_t element_bytes() const;
  uint64_t k_bytes() const;  // K of one layer of one page.
  uint64_t v_bytes() const;
  uint64_t layer_bytes() const { return k_bytes() + v_bytes(); }
  uint64_t payload_bytes() const { return layers_per_page * layer_bytes(); }
  uint64_t frame_bytes_hbm() const { return AlignUp(payload_bytes(), kFrameAlignment); }
  uint64_t frame_bytes_host() const { return frame_bytes_hbm() + kFrameHeaderBytes; }  // NVMe too.
  uint64_t block_bytes() const { return uint64_t{num_groups()} * payload_bytes(); }

  friend bool operator==(const Geometry&, const Geometry&) = default;
};

// The name of the first field in which the two differ, or an empty view.
std::string_view DifferingField(const Geometry& a, const Geometry& b);

// A 64-bit digest of every field, for frame headers and file superblocks. Never 0.
uint64_t Fingerprint(const Geometry& geometry);

// "16 tokens x 4 layers (4 per page), 2 KV heads of 64/64, f16, NHD": for people.
std::string Describe(const Geometry& geometry);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_BASE_GEOMETRY_H_
