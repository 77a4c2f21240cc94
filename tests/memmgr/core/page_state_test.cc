// The two state tables of page_state.h, cell by cell: a transition that is not in the table does
// not exist, whatever order events come in.

#include "memmgr/core/page_state.h"

#include <gtest/gtest.h>

#include <optional>

namespace kvpager {
namespace {

constexpr auto kNo = std::nullopt;

TEST(PageState, EveryCellOfTheCopyTable) {
  using S = CopyState;
  const struct {
    CopyEvent event;
    std::optional<S> absent, filling, valid, retiring;
  } table[] = {
      {CopyEvent::kAdopt, S::kValid, kNo, kNo, kNo},
      {CopyEvent::kFillStart, S::kFilling, kNo, kNo, kNo},
      {CopyEvent::kFillDone, kNo, S::kValid, kNo, kNo},
      {CopyEvent::kFillFail, kNo, S::kAbsent, kNo, kNo},
      {CopyEvent::kWithdraw, kNo, kNo, S::kRetiring, kNo},
      {CopyEvent::kRescue, kNo, kNo, kNo, S::kValid},
      {CopyEvent::kDrop, kNo, kNo, S::kAbsent, S::kAbsent},
  };
  for (const auto& row : table) {
    EXPECT_EQ(Next(S::kAbsent, row.event), row.absent);
    EXPECT_EQ(Next(S::kFilling, row.event), row.filling);
    EXPECT_EQ(Next(S::kValid, row.event), row.valid);
    EXPECT_EQ(Next(S::kRetiring, row.event), row.retiring);
  }
}

TEST(PageState, EveryCellOfTheBlockTable) {
  using P = BlockPhase;
  const struct {
    BlockEvent event;
    std::optional<P> free, open, sealed, draining;
  } table[] = {
      {BlockEvent::kAllocate, P::kOpen, kNo, kNo, kNo},
      {BlockEvent::kRestore, P::kSealed, kNo, kNo, kNo},
      {BlockEvent::kSeal, kNo, P::kSealed, kNo, kNo},
      {BlockEvent::kRelease, kNo, P::kDraining, P::kDraining, kNo},
      {BlockEvent::kSettle, kNo, kNo, kNo, P::kFree},
  };
  for (const auto& row : table) {
    EXPECT_EQ(Next(P::kFree, row.event), row.free);
    EXPECT_EQ(Next(P::kOpen, row.event), row.open);
    EXPECT_EQ(Next(P::kSealed, row.event), row.sealed);
    EXPECT_EQ(Next(P::kDraining, row.event), row.draining);
  }
}

}  // namespace
}  // namespace kvpager
