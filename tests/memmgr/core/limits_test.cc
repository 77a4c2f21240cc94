// DeriveLimits: every contradiction is refused in a sentence that names the option to change, and
// what is derived covers what it must.

#include "memmgr/core/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace kvpager {
namespace {

using ::testing::HasSubstr;

PoolOptions Good() {
  PoolOptions options;
  options.num_groups = 4;
  options.blocks_hbm = 100;
  options.blocks_host = 300;
  options.blocks_nvme = 3000;
  return options;
}

TEST(Limits, EachContradictionNamesWhatToChange) {
  const struct {
    const char* words;
    void (*spoil)(PoolOptions&);
  } cases[] = {
      {"hbm.blocks", [](PoolOptions& o) { o.blocks_hbm = 0; }},
      {"host.blocks", [](PoolOptions& o) { o.blocks_host = 0; }},
      {"nvme.size", [](PoolOptions& o) { o.blocks_nvme = 1u << 24; }},
      {"hbm.size", [](PoolOptions& o) { o.blocks_hbm = 1u << 24; }},
      {"clients", [](PoolOptions& o) { o.clients_max = 0; }},
      {"durable.share", [](PoolOptions& o) { o.durable_permille = 1001; }},
      {"free.hbm",
       [](PoolOptions& o) {
         o.free_hbm = {50, 40};
       }},
      {"clean.host",
       [](PoolOptions& o) {
         o.clean_host = {100, 950};
       }},
      {"tokens per page", [](PoolOptions& o) { o.page_tokens = 0; }},
  };
  for (const auto& [words, spoil] : cases) {
    PoolOptions options = Good();
    spoil(options);
    const absl::StatusOr<Limits> limits = DeriveLimits(options);
    ASSERT_FALSE(limits.ok()) << words;
    EXPECT_EQ(limits.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(limits.status().message()), HasSubstr(words));
  }
}

TEST(Limits, RowsCoverEveryBlockThatCanHaveACopy) {
  const Limits limits = DeriveLimits(Good()).value();
  EXPECT_GT(limits.blocks_max, 100u + 300u + 3000u);
  EXPECT_EQ(limits.frames_max[TierIndex(Tier::kHbm)], 400u);
  EXPECT_EQ(limits.frames_max[TierIndex(Tier::kNvme)], 12'000u);
  EXPECT_LT(limits.free_low[0], limits.free_high[0]);
  EXPECT_LT(limits.clean_low[1], limits.clean_high[1]);
}

TEST(Limits, WithoutNvmeNothingIsAdmitted) {
  PoolOptions options = Good();
  options.blocks_nvme = 0;
  options.admission = Admission::kAlways;
  EXPECT_EQ(DeriveLimits(options).value().admission, Admission::kNever);
}

}  // namespace
}  // namespace kvpager
