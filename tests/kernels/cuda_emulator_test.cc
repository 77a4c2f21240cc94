// Proves that the emulator finds what it says it finds: tests on it are worth no more than that.

#include "tests/kernels/cuda_emulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace kvpager::kernels {
namespace {

using testing::HasSubstr;

EmulatedGrid OneBlock(int32_t threads, CopiesLand copies) {
  EmulatedGrid grid;
  grid.threads = threads;
  grid.shared_bytes = 1024;
  grid.copies = copies;
  return grid;
}

struct alignas(16) Row {
  float value[4];
};

TEST(CudaEmulator, ShufflesVotesAndBarriersJoinThreads) {
  std::vector<float> sums(64);
  int all = 0;
  ASSERT_EQ(Emulate(OneBlock(64, CopiesLand::kLate),
                    [&](const EmulatedThread& thread, uint8_t* shared) {
                      auto* const values = reinterpret_cast<float*>(shared);
                      values[thread.index()] = static_cast<float>(thread.index());
                      thread.Sync();
                      float sum = values[63 - thread.index()];
                      for (int32_t mask = 1; mask < 32; mask *= 2) {
                        sum += thread.ShuffleXor(sum, mask);
                      }
                      if (thread.All(sum > 400.0f)) ++all;
                      sums[static_cast<size_t>(thread.index())] = thread.Shuffle(sum, 5);
                    }),
            "");
  EXPECT_EQ(sums[0], 63.0f * 64 / 2 - 31.0f * 32 / 2);
  EXPECT_EQ(sums[63], 31.0f * 32 / 2);
  EXPECT_EQ(all, 64);
}

TEST(CudaEmulator, ABarrierThatNotAllReachIsFound) {
  EXPECT_THAT(Emulate(OneBlock(64, CopiesLand::kLate),
                      [&](const EmulatedThread& thread, uint8_t*) {
                        if (thread.index() != 40) thread.Sync();
                      }),
              HasSubstr("nobody will come"));
}

TEST(CudaEmulator, LanesThatDoDifferentThingsAreFound) {
  EXPECT_THAT(Emulate(OneBlock(32, CopiesLand::kLate),
                      [&](const EmulatedThread& thread, uint8_t*) {
                        thread.ShuffleXor(0.0f, thread.lane() < 7 ? 1 : 2);
                      }),
              HasSubstr("different things"));
}

// What a thread reads without waiting for it.
float ReadsTooEarly(CopiesLand copies, bool waits) {
  const Row row = {{1, 2, 3, 4}};
  float read = 0;
  EXPECT_EQ(Emulate(OneBlock(32, copies),
                    [&](const EmulatedThread& thread, uint8_t* shared) {
                      if (thread.index() != 0) return;
                      thread.CopyAsync(shared, &row);
                      thread.CopyCommit();
                      if (waits) thread.CopyWait<0>();
                      std::memcpy(&read, shared + 4, sizeof(read));
                    }),
            "");
  return read;
}

TEST(CudaEmulator, LateCopiesShowWhoDoesNotWait) {
  EXPECT_EQ(ReadsTooEarly(CopiesLand::kLate, true), 2.0f);
  EXPECT_NE(ReadsTooEarly(CopiesLand::kLate, false), 2.0f);
  EXPECT_EQ(ReadsTooEarly(CopiesLand::kEarly, false), 2.0f);
}

TEST(CudaEmulator, BulkCopiesEndAPhaseWhenAllBytesHaveCome) {
  const Row rows[2] = {{{1, 2, 3, 4}}, {{5, 6, 7, 8}}};
  for (const uint32_t expected : {32u, 48u}) {
    float read = 0;
    const std::string failure = Emulate(
        OneBlock(32, CopiesLand::kLate), [&](const EmulatedThread& thread, uint8_t* shared) {
          auto* const barrier = reinterpret_cast<uint64_t*>(shared + 512);
          if (thread.index() == 0) thread.BarrierInit(barrier);
          thread.Sync();
          if (thread.index() == 0) {
            thread.BarrierExpect(barrier, expected);
            thread.BulkCopy(shared, &rows[0], 16, barrier);
            thread.BulkCopy(shared + 16, &rows[1], 16, barrier);
          }
          thread.Sync();
          thread.BarrierWait(barrier, 0);
          if (thread.index() == 9) std::memcpy(&read, shared + 16, sizeof(read));
        });
    if (expected == 32) {
      EXPECT_EQ(failure, "");
      EXPECT_EQ(read, 5.0f);
    } else {
      EXPECT_THAT(failure, HasSubstr("nobody will come"));
    }
  }
}

TEST(CudaEmulator, CopiesThatADeviceRefusesAreFound) {
  const Row rows[2] = {};
  const auto copies = [&](int64_t target, int64_t source) {
    return Emulate(
        OneBlock(32, CopiesLand::kLate), [&](const EmulatedThread& thread, uint8_t* shared) {
          if (thread.index() != 0) return;
          thread.CopyAsync(shared + target, reinterpret_cast<const uint8_t*>(rows) + source);
        });
  };
  EXPECT_EQ(copies(1008, 0), "");
  EXPECT_THAT(copies(1024, 0), HasSubstr("outside shared memory"));
  EXPECT_THAT(copies(8, 0), HasSubstr("aligned"));
  EXPECT_THAT(copies(0, 4), HasSubstr("aligned"));
}

}  // namespace
}  // namespace kvpager::kernels
