// Proves that the body of the CUDA attention kernel says what the reference says, on a CPU, thread
// by thread: all types, head dimensions and layouts, group ratios 1 to 17, ragged lengths, all
// masks, split and whole, both kinds of copies, and copies that land early and late.

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/kernels/cuda_cases.h"
#include "tests/kernels/cuda_emulated_attend.h"

namespace kvpager::kernels {
namespace {

// In turns, so that every kind of case meets every kind of run.
CudaCase InTurns(std::vector<EmulatedRun> runs) {
  return [runs = std::move(runs), turn = size_t{0}](const PagedFixture& fixture,
                                                    const AttentionQuery& query,
                                                    const std::string& what) mutable {
    EmulatedRun run = runs[turn++ % runs.size()];
    run.seed = turn;
    ExpectEmulatedMatches(fixture, query, run, what);
  };
}

const std::vector<EmulatedRun>& Runs() {
  static const std::vector<EmulatedRun> runs = {
      {1, false, CopiesLand::kLate, 0}, {3, false, CopiesLand::kEarly, 0},
      {2, true, CopiesLand::kLate, 0},  {4, true, CopiesLand::kEarly, 0},
      {9, false, CopiesLand::kLate, 0},
  };
  return runs;
}

class CudaTypes : public testing::TestWithParam<Dtype> {};
INSTANTIATE_TEST_SUITE_P(All, CudaTypes,
                         testing::Values(Dtype::kF16, Dtype::kBf16, Dtype::kF32, Dtype::kF8E4m3));

TEST_P(CudaTypes, DecodeEqualsTheReference) {
  const CudaCase run = InTurns(Runs());
  EachDecode(GetParam(), run);
}
TEST_P(CudaTypes, LatentRowsEqualTheReference) { EachLatent(GetParam(), InTurns(Runs())); }

TEST(CudaAttend, GroupsOfAnySizeEqualTheReference) { EachRatio(InTurns(Runs())); }
TEST(CudaAttend, AnyLengthsInAnyPagesEqualTheReference) { EachLength(InTurns(Runs())); }
TEST(CudaAttend, ChunksOfAPrefillAreCausal) { EachChunk(InTurns(Runs())); }
TEST(CudaAttend, WindowsWithSinksUseOnlyWhatTheySee) { EachWindow(InTurns(Runs())); }
TEST(CudaAttend, DraftsSeeTheContextThemselvesAndTheirAncestors) { EachTree(InTurns(Runs())); }
TEST(CudaAttend, PagesMayBeAPartOfASequence) { PartOfASequence(InTurns(Runs())); }
TEST(CudaAttend, RowsThatSeeNothingAreZeroAndMinusInfinity) { RowsThatSeeNothing(InTurns(Runs())); }

// The same case in every way that a run can differ.
TEST(CudaAttend, EveryRunOfABatchSaysTheSame) {
  PagedShape shape;
  shape.padding = 16;
  const PagedFixture fixture(shape, {333, 5, 90}, 99);
  for (int32_t workers = 1; workers <= 6; ++workers) {
    for (const bool bulk : {false, true}) {
      for (const CopiesLand copies : {CopiesLand::kEarly, CopiesLand::kLate}) {
        ExpectEmulatedMatches(fixture, fixture.query(), {workers, bulk, copies, 7}, "");
      }
    }
  }
}

TEST(CudaAttend, GeometriesAndMasksThatNobodyChoseEqualTheReference) {
  const char* const given = std::getenv("KVPAGER_TEST_SEED");
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  const uint64_t seed = given != nullptr
                            ? std::strtoull(given, nullptr, 10)
                            : static_cast<uint64_t>(now) ^ static_cast<uint64_t>(getpid());
  std::printf("KVPAGER_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  const CudaCase run = InTurns(Runs());
  for (uint64_t i = 0; i < 40 && !HasFailure(); ++i) AnyOf(seed + i, run);
}

}  // namespace
}  // namespace kvpager::kernels
