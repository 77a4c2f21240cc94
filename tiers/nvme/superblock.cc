#include "tiers/nvme/superblock.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/crc32c.h"

namespace kvpager {
namespace {

uint32_t SuperblockCrc(const std::byte* block) {
  return Crc32c({block, offsetof(Superblock, crc)});
}

Geometry GeometryOf(const Superblock& superblock) {
  return {.page_tokens = superblock.page_tokens,
          .num_layers = superblock.num_layers,
          .layers_per_page = superblock.layers_per_page,
          .num_kv_heads = superblock.num_kv_heads,
          .head_dim_k = superblock.head_dim_k,
          .head_dim_v = superblock.head_dim_v,
          .dtype = static_cast<Dtype>(superblock.dtype),
          .layout = static_cast<KvLayout>(superblock.layout)};
}

uint64_t FieldOf(const Geometry& geometry, std::string_view name) {
  if (name == "page_tokens") return geometry.page_tokens;
  if (name == "num_layers") return geometry.num_layers;
  if (name == "layers_per_page") return geometry.layers_per_page;
  if (name == "num_kv_heads") return geometry.num_kv_heads;
  if (name == "head_dim_k") return geometry.head_dim_k;
  if (name == "head_dim_v") return geometry.head_dim_v;
  if (name == "dtype") return static_cast<uint64_t>(geometry.dtype);
  return static_cast<uint64_t>(geometry.layout);
}

absl::Status Refuse(const std::string& path, const std::string& what) {
  return absl::FailedPreconditionError(absl::StrCat(
      path, ": ", what, "; choose another nvme path, or remove the file if its pages may be lost"));
}

}  // namespace

uint64_t HashModel(std::string_view model_fingerprint) {
  uint64_t hash = 14695981039346656037ull;
  for (char byte : model_fingerprint) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211ull;
  }
  return hash;
}

void PackSuperblock(const Geometry& geometry, std::string_view model_fingerprint,
                    const SuperblockFields& fields, std::byte* block) {
  std::memset(block, 0, kSuperblockBytes);
  Superblock superblock{};
  superblock.magic = kSuperblockMagic;
  superblock.format_version = kPageFileVersion;
  superblock.state = static_cast<uint32_t>(fields.state);
  superblock.geometry_fingerprint = Fingerprint(geometry);
  superblock.page_tokens = geometry.page_tokens;
  superblock.num_layers = geometry.num_layers;
  superblock.layers_per_page = geometry.layers_per_page;
  superblock.num_kv_heads = geometry.num_kv_heads;
  superblock.head_dim_k = geometry.head_dim_k;
  superblock.head_dim_v = geometry.head_dim_v;
  superblock.dtype = static_cast<uint32_t>(geometry.dtype);
  superblock.layout = static_cast<uint32_t>(geometry.layout);
  superblock.model_hash = HashModel(model_fingerprint);
  superblock.model_length_bytes = static_cast<uint32_t>(model_fingerprint.size());
  superblock.frames = fields.frames;
  superblock.frame_bytes = geometry.frame_bytes_host();
  superblock.incarnation = fields.incarnation;
  const size_t kept = std::min(model_fingerprint.size(), sizeof(superblock.model_text) - 1);
  std::memcpy(superblock.model_text, model_fingerprint.data(), kept);
  std::memcpy(block, &superblock, sizeof(superblock));
  superblock.crc = SuperblockCrc(block);
  std::memcpy(block, &superblock, sizeof(superblock));
}

absl::Status CheckSuperblock(const std::byte* block, const std::string& path,
                             const Geometry& geometry, std::string_view model_fingerprint) {
  Superblock found;
  std::memcpy(&found, block, sizeof(found));
  if (found.magic != kSuperblockMagic) {
    return Refuse(path, "this is not a page file of kvpager");
  }
  if (found.format_version != kPageFileVersion) {
    return Refuse(path, absl::StrCat("the page file has format version ", found.format_version,
                                     ", this program knows ", kPageFileVersion));
  }
  if (found.crc != SuperblockCrc(block)) {
    return Refuse(path, "the superblock of the page file is damaged");
  }
  const Geometry geometry_found = GeometryOf(found);
  if (const std::string field(DifferingField(geometry_found, geometry)); !field.empty()) {
    return Refuse(path, absl::StrCat("the page file belongs to another geometry: its ", field,
                                     " is ", FieldOf(geometry_found, field), ", the pool's is ",
                                     FieldOf(geometry, field)));
  }
  if (found.geometry_fingerprint != Fingerprint(geometry) ||
      found.frame_bytes != geometry.frame_bytes_host()) {
    return Refuse(path, absl::StrCat("the page file has frames of ", found.frame_bytes,
                                     " bytes, the pool needs ", geometry.frame_bytes_host()));
  }
  if (found.model_hash != HashModel(model_fingerprint) ||
      found.model_length_bytes != model_fingerprint.size()) {
    found.model_text[sizeof(found.model_text) - 1] = '\0';
    return Refuse(path, absl::StrCat("the page file belongs to another model: its model "
                                     "fingerprint is \"",
                                     found.model_text, "\", the pool's is \"",
                                     std::string(model_fingerprint), "\""));
  }
  return absl::OkStatus();
}

}  // namespace kvpager
