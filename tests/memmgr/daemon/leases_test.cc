// That a lease ends when a step has been held for that long, and not because of anything else.

#include "memmgr/daemon/leases.h"

#include <array>
#include <cstdint>

#include "gtest/gtest.h"

namespace kvpager {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kLease = 60 * kSecond;

TEST(LeaseClock, StandsStillWhileTheDaemonDoes) {
  LeaseClock clock;
  EXPECT_EQ(clock.Advance(Instant{500 * kSecond}), 0u) << "it starts when it is first asked";
  EXPECT_EQ(clock.Advance(Instant{500 * kSecond + 7}), 7u);
  EXPECT_EQ(clock.Advance(Instant{9'000 * kSecond}), 7u + LeaseClock::kGapNsMax);
  EXPECT_EQ(clock.now_ns(), 7u + LeaseClock::kGapNsMax);
}

TEST(HeldSteps, AreAsOldAsTheOldestOfAllLanes) {
  HeldSteps held;
  EXPECT_EQ(held.age_ns(5), 0u);
  held.Note({1, 0, 0, 4}, 10);
  held.Note({1, 2, 0, 4}, 20);
  EXPECT_EQ(held.age_ns(25), 15u);
  held.Note({2, 2, 0, 4}, 30);  // Lane 0 has gone on, lane 3 has not.
  EXPECT_EQ(held.age_ns(35), 25u);
  held.Note({2, 2, 0, 0}, 40);
  EXPECT_EQ(held.age_ns(45), 25u) << "lane 1";
  held.Note({}, 50);
  EXPECT_EQ(held.age_ns(55), 0u);
}

TEST(HeldSteps, ALaneThatGoesOnIsNeverOld) {
  HeldSteps held;
  for (uint64_t step = 1; step < 100; ++step) {
    held.Note({step}, step * 10);
    EXPECT_LE(held.age_ns(step * 10 + 9), 9u);
  }
}

TEST(Lease, EndsAfterHalfOfItHasBeenOverdue) {
  EXPECT_EQ(JudgeLease(0, EngineWaits::kNo, kLease), LeaseVerdict::kFine);
  EXPECT_EQ(JudgeLease(kLease / 2 - 1, EngineWaits::kNo, kLease), LeaseVerdict::kFine);
  EXPECT_EQ(JudgeLease(kLease / 2, EngineWaits::kNo, kLease), LeaseVerdict::kOverdue);
  EXPECT_EQ(JudgeLease(kLease - 1, EngineWaits::kNo, kLease), LeaseVerdict::kOverdue);
  EXPECT_EQ(JudgeLease(kLease, EngineWaits::kNo, kLease), LeaseVerdict::kEnded);
}

TEST(Lease, IsTwiceAsLongForWhoWaits) {
  EXPECT_EQ(JudgeLease(kLease, EngineWaits::kYes, kLease), LeaseVerdict::kOverdue);
  EXPECT_EQ(JudgeLease(2 * kLease, EngineWaits::kYes, kLease), LeaseVerdict::kEnded);
}

TEST(Lease, OfZeroNeverEnds) {
  EXPECT_EQ(JudgeLease(~uint64_t{0}, EngineWaits::kNo, 0), LeaseVerdict::kFine);
}

}  // namespace
}  // namespace kvpager
