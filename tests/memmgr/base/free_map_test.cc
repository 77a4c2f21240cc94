// FreeMap against a plain vector of flags: every answer it gives is one that a naive search would
// give. Covers sizes around word and summary boundaries.

#include "memmgr/base/free_map.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "tests/testing/random.h"

namespace kvpager {
namespace {

uint32_t NaiveTake(std::vector<bool>& free, uint32_t hint) {
  const auto size = static_cast<uint32_t>(free.size());
  if (hint >= size) hint = 0;
  for (uint32_t i = 0; i < size; ++i) {
    const uint32_t index = (hint + i) % size;
    if (!free[index]) continue;
    free[index] = false;
    return index;
  }
  return FreeMap::kNone;
}

TEST(FreeMap, TakesTheFirstFreePlaceAtOrAfterTheHint) {
  for (uint32_t size : {1u, 63u, 64u, 65u, 4095u, 4096u, 4097u, 9000u}) {
    FreeMap map(size);
    std::vector<bool> model(size, true);
    testing::Random random(size);
    for (int i = 0; i < 20'000; ++i) {
      const auto place = static_cast<uint32_t>(random.Below(size));
      if (random.Chance(450) && !model[place]) {
        map.Give(place);
        model[place] = true;
      } else {
        const auto hint = static_cast<uint32_t>(random.Below(size + 1));
        ASSERT_EQ(map.Take(hint), NaiveTake(model, hint)) << "size " << size << " step " << i;
      }
    }
    uint32_t free_count = 0;
    for (uint32_t i = 0; i < size; ++i) {
      ASSERT_EQ(map.is_free(i), model[i]);
      free_count += model[i];
    }
    EXPECT_EQ(map.free_count(), free_count);
  }
}

TEST(FreeMap, GivesNothingWhenAllIsTaken) {
  FreeMap map(130);
  for (uint32_t i = 0; i < 130; ++i) EXPECT_NE(map.Take(), FreeMap::kNone);
  EXPECT_EQ(map.Take(), FreeMap::kNone);
  map.Give(129);
  EXPECT_EQ(map.Take(5), 129u);
}

TEST(FreeMapDeathTest, GivingBackTwiceIsAProgrammerError) {
  FreeMap map(8);
  EXPECT_DEATH(map.Give(3), "check failed");
}

}  // namespace
}  // namespace kvpager
