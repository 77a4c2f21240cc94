// tiers/nvme/superblock.h
//
// The first 512 bytes of a page file, in its first block: whose file it is and how it was left.
// Small enough to reach the medium whole or not at all. docs/NVME_FORMAT.md has it in words.
//
// Little-endian. On disk: do not renumber, do not reorder; a change needs a new format version.

#ifndef KVPAGER_TIERS_NVME_SUPERBLOCK_H_
#define KVPAGER_TIERS_NVME_SUPERBLOCK_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "memmgr/base/geometry.h"

namespace kvpager {

inline constexpr uint64_t kSuperblockMagic = 0x534547415050564bull;  // "KVPPAGES"
inline constexpr uint32_t kPageFileVersion = 1;
inline constexpr uint64_t kSuperblockBytes = 4096;  // What it occupies; frames follow.

// Do not renumber.
enum class PageFileState : uint32_t {
  kAllocating = 1,  // Being created; no frame was ever written.
  kOpen = 2,        // In use, or its owner died.
  kClean = 3,       // Closed by its owner.
};

struct Superblock {
  uint64_t magic;
  uint32_t format_version;
  uint32_t state;
  uint64_t geometry_fingerprint;
  uint32_t page_tokens;
  uint32_t num_layers;
  uint32_t layers_per_page;
  uint32_t num_kv_heads;
  uint32_t head_dim_k;
  uint32_t head_dim_v;
  uint32_t dtype;
  uint32_t layout;
  uint64_t model_hash;  // FNV-1a, 64 bits, of the whole model fingerprint.
  uint32_t model_length_bytes;
  uint32_t reserved_0;
  uint64_t frames;
  uint64_t frame_bytes;
  uint64_t incarnation;  // Of the daemon that opened it last.
  char model_text[256];  // The fingerprint's beginning, for messages; zero-terminated.
  uint32_t reserved_1[39];
  uint32_t crc;  // CRC32C of everything before.
};

static_assert(offsetof(Superblock, format_version) == 8);
static_assert(offsetof(Superblock, state) == 12);
static_assert(offsetof(Superblock, geometry_fingerprint) == 16);
static_assert(offsetof(Superblock, page_tokens) == 24);
static_assert(offsetof(Superblock, layout) == 52);
static_assert(offsetof(Superblock, model_hash) == 56);
static_assert(offsetof(Superblock, model_length_bytes) == 64);
static_assert(offsetof(Superblock, frames) == 72);
static_assert(offsetof(Superblock, frame_bytes) == 80);
static_assert(offsetof(Superblock, incarnation) == 88);
static_assert(offsetof(Superblock, model_text) == 96);
static_assert(offsetof(Superblock, crc) == 508);
static_assert(sizeof(Superblock) == 512);

// FNV-1a, 64 bits.
uint64_t HashModel(std::string_view model_fingerprint);

// A checksummed superblock. `block` has kSuperblockBytes.
struct SuperblockFields {
  PageFileState state = PageFileState::kOpen;
  uint64_t frames = 0;
  uint64_t incarnation = 0;
};
void PackSuperblock(const Geometry& geometry, std::string_view model_fingerprint,
                    const SuperblockFields& fields, std::byte* block);

// kFailedPrecondition, with a sentence that starts with `path` and says what differs and what to
// do, unless the block is the superblock of a page file of this geometry and model.
absl::Status CheckSuperblock(const std::byte* block, const std::string& path,
                             const Geometry& geometry, std::string_view model_fingerprint);

}  // namespace kvpager

#endif  // KVPAGER_TIERS_NVME_SUPERBLOCK_H_
