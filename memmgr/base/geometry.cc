#include "memmgr/base/geometry.h"

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"

namespace kvpager {
namespace {

constexpr uint32_t kTokensMax = 4096;
constexpr uint32_t kLayersMax = 4096;
constexpr uint32_t kHeadsMax = 1024;
constexpr uint32_t kHeadDimMax = 1024;
constexpr uint64_t kPayloadBytesMax = uint64_t{1} << 30;

absl::Status CheckRange(std::string_view name, uint32_t value, uint32_t value_min,
                        uint32_t value_max) {
  if (value >= value_min && value <= value_max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("geometry: ", std::string(name), " is ", value,
                                                 "; it must be in [", value_min, ", ", value_max,
                                                 "]"));
}

}  // namespace

uint32_t Geometry::element_bytes() const {
  switch (dtype) {
    case Dtype::kF16:
    case Dtype::kBf16:
      return 2;
    case Dtype::kF32:
      return 4;
    case Dtype::kF8E4m3:
      return 1;
  }
  KVP_CHECK(false && "unknown dtype");
}

uint64_t Geometry::k_bytes() const {
  return uint64_t{page_tokens} * num_kv_heads * head_dim_k * element_bytes();
}

uint64_t Geometry::v_bytes() const {
  return uint64_t{page_tokens} * num_kv_heads * head_dim_v * element_bytes();
}

absl::Status Geometry::Validate(uint64_t frames_hbm) const {
  const struct {
    std::string_view name;
    uint32_t value;
    uint32_t value_min;
    uint32_t value_max;
  } ranges[] = {
      {"page_tokens", page_tokens, 1, kTokensMax},
      {"num_layers", num_layers, 1, kLayersMax},
      {"layers_per_page", layers_per_page, 1, kLayersMax},
      {"num_kv_heads", num_kv_heads, 1, kHeadsMax},
      {"head_dim_k", head_dim_k, 1, kHeadDimMax},
      {"head_dim_v", head_dim_v, 0, kHeadDimMax},
  };
  for (const auto& range : ranges) {
    if (absl::Status status = CheckRange(range.name, range.value, range.value_min, range.value_max);
        !status.ok()) {
      return status;
    }
  }
  if (static_cast<uint32_t>(dtype) > static_cast<uint32_t>(Dtype::kF8E4m3)) {
    return absl::InvalidArgumentError(absl::StrCat("geometry: dtype ", static_cast<uint32_t>(dtype),
                                                   " is unknown; use f16, bf16, f32 or f8_e4m3"));
  }
  if (static_cast<uint32_t>(layout) > static_cast<uint32_t>(KvLayout::kHnd)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "geometry: layout ", static_cast<uint32_t>(layout), " is unknown; use NHD (0) or HND (1)"));
  }
  if (num_layers % layers_per_page != 0) {
    return absl::InvalidArgumentError(absl::StrCat("geometry: layers_per_page ", layers_per_page,
                                                   " does not divide num_layers ", num_layers,
                                                   "; choose a divisor"));
  }
  if (payload_bytes() > kPayloadBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("geometry: a page would have ", payload_bytes(),
                                                   " bytes, more than ", kPayloadBytesMax,
                                                   "; lower page_tokens or layers_per_page"));
  }
  const uint64_t stride_elements = frame_bytes_hbm() / element_bytes();
  if (stride_elements > INT32_MAX || frames_hbm > INT32_MAX) {
    return absl::InvalidArgumentError(absl::StrCat(
        "geometry: the page stride of ", stride_elements, " elements or the number of ", frames_hbm,
        " frames does not fit 32 bits; lower page_tokens, layers_per_page "
        "or the size of hbm"));
  }
  return absl::OkStatus();
}

std::string_view DifferingField(const Geometry& a, const Geometry& b) {
  if (a.page_tokens != b.page_tokens) return "page_tokens";
  if (a.num_layers != b.num_layers) return "num_layers";
  if (a.layers_per_page != b.layers_per_page) return "layers_per_page";
  if (a.num_kv_heads != b.num_kv_heads) return "num_kv_heads";
  if (a.head_dim_k != b.head_dim_k) return "head_dim_k";
  if (a.head_dim_v != b.head_dim_v) return "head_dim_v";
  if (a.dtype != b.dtype) return "dtype";
  if (a.layout != b.layout) return "layout";
  return "";
}

uint64_t Fingerprint(const Geometry& geometry) {
  // FNV-1a over the fields in declared order: the value is on disk, do not change the order.
  uint64_t hash = 14695981039346656037ull;
  for (uint32_t field :
       {geometry.page_tokens, geometry.num_layers, geometry.layers_per_page, geometry.num_kv_heads,
        geometry.head_dim_k, geometry.head_dim_v, static_cast<uint32_t>(geometry.dtype),
        static_cast<uint32_t>(geometry.layout)}) {
    for (int shift = 0; shift < 32; shift += 8) {
      hash = (hash ^ ((field >> shift) & 0xff)) * 1099511628211ull;
    }
  }
  return hash == 0 ? 1 : hash;
}

std::string Describe(const Geometry& geometry) {
  static constexpr std::string_view kDtypes[] = {"f16", "bf16", "f32", "f8_e4m3"};
  return absl::StrCat(geometry.page_tokens, " tokens x ", geometry.num_layers, " layers (",
                      geometry.layers_per_page, " per page), ", geometry.num_kv_heads,
                      " KV heads of ", geometry.head_dim_k, "/", geometry.head_dim_v, ", ",
                      std::string(kDtypes[static_cast<uint32_t>(geometry.dtype)]), ", ",
                      geometry.layout == KvLayout::kNhd ? "NHD" : "HND");
}

}  // namespace kvpager
