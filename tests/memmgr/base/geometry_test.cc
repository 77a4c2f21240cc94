// Geometry: what follows from the fields, and that every wrong field is refused by its name.

#include "memmgr/base/geometry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace kvpager {
namespace {

using ::testing::HasSubstr;

Geometry Small() {
  return {.page_tokens = 16,
          .num_layers = 4,
          .layers_per_page = 2,
          .num_kv_heads = 2,
          .head_dim_k = 64,
          .head_dim_v = 32,
          .dtype = Dtype::kF16,
          .layout = KvLayout::kNhd};
}

TEST(Geometry, SizesFollowFromTheFields) {
  const Geometry geometry = Small();
  EXPECT_EQ(geometry.num_groups(), 2u);
  EXPECT_EQ(geometry.k_bytes(), 16u * 2 * 64 * 2);
  EXPECT_EQ(geometry.v_bytes(), 16u * 2 * 32 * 2);
  EXPECT_EQ(geometry.payload_bytes(), 2 * (geometry.k_bytes() + geometry.v_bytes()));
  EXPECT_EQ(geometry.frame_bytes_hbm() % kFrameAlignment, 0u);
  EXPECT_GE(geometry.frame_bytes_hbm(), geometry.payload_bytes());
  EXPECT_EQ(geometry.frame_bytes_host(), geometry.frame_bytes_hbm() + kFrameHeaderBytes);
  EXPECT_TRUE(geometry.Validate(1000).ok());
}

TEST(Geometry, EachWrongFieldIsRefusedByName) {
  const struct {
    const char* name;
    void (*spoil)(Geometry&);
  } cases[] = {
      {"page_tokens", [](Geometry& g) { g.page_tokens = 0; }},
      {"num_layers", [](Geometry& g) { g.num_layers = 0; }},
      {"layers_per_page", [](Geometry& g) { g.layers_per_page = 3; }},
      {"num_kv_heads", [](Geometry& g) { g.num_kv_heads = 100'000; }},
      {"head_dim_k", [](Geometry& g) { g.head_dim_k = 0; }},
      {"head_dim_v", [](Geometry& g) { g.head_dim_v = 5000; }},
      {"dtype", [](Geometry& g) { g.dtype = static_cast<Dtype>(9); }},
      {"layout", [](Geometry& g) { g.layout = static_cast<KvLayout>(2); }},
  };
  for (const auto& [name, spoil] : cases) {
    Geometry geometry = Small();
    spoil(geometry);
    const absl::Status status = geometry.Validate(1000);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(std::string(status.message()), HasSubstr(name));
  }
}

TEST(Geometry, AStrideThatDoesNotFit32BitsIsRefused) {
  EXPECT_THAT(std::string(Small().Validate(uint64_t{1} << 33).message()), HasSubstr("32 bits"));
}

TEST(Geometry, TheFirstFieldThatDiffersIsNamed) {
  Geometry other = Small();
  EXPECT_EQ(DifferingField(Small(), other), "");
  other.head_dim_v = 64;
  EXPECT_EQ(DifferingField(Small(), other), "head_dim_v");
  EXPECT_NE(Fingerprint(Small()), Fingerprint(other));
  EXPECT_EQ(Fingerprint(Small()), Fingerprint(Small()));
}

}  // namespace
}  // namespace kvpager
