// Proves that the CUDA kernels say on a device what the reference says, in every case that the
// emulator is asked, with both kinds of copies, after plans of few and of many workers; and that a
// captured decode stays right when its plan changes. Skips where there is no device.

#include "tests/kernels/cuda_device.h"

#include <cuda_runtime.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/append.h"
#include "kernels/cuda/append.h"
#include "kernels/cuda/attend.h"
#include "kernels/cuda/ceiling.h"
#include "kernels/cuda/merge.h"
#include "kernels/cuda/pages.h"
#include "tests/kernels/cuda_cases.h"
#include "tests/kernels/cuda_plan_shape.h"

namespace kvpager::kernels {
namespace {

constexpr uint64_t kSeed = 20;

bool HasBulkCopies() {
  int major = 0;
  Must(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
  return major >= 9;
}

std::vector<CudaCopies> EachKindOfCopy() {
  std::vector<CudaCopies> copies = {CudaCopies::kAsync};
  if (HasBulkCopies()) copies.push_back(CudaCopies::kBulk);
  return copies;
}

struct Split {
  int32_t workers = 0;  // 0: as many as the device runs at once.
  CudaCopies copies = CudaCopies::kAuto;
};

void ExpectDeviceMatches(const PagedFixture& fixture, const AttentionQuery& query, Split split,
                         const std::string& what) {
  AttendPlanShape shape = PlanShapeOf(fixture.kv(), query, std::max(1, split.workers));
  if (split.workers == 0) {
    ASSERT_EQ(CudaAttendWorkers(shape).text, nullptr);
  }
  AttendPlan plan(shape);
  ASSERT_EQ(plan.Update(fixture.kv(), query).text, nullptr);
  const DeviceBatch batch(fixture, query);
  const DeviceArray<uint8_t> bytes(static_cast<const uint8_t*>(plan.data()), plan.size_bytes());
  const DeviceArray<uint8_t> workspace(plan.workspace_bytes());
  DeviceResult result(fixture);
  const CudaStatus status = CudaAttend(
      plan, {batch.kv(), batch.query(), result.out(), {bytes.get(), workspace.get()}, split.copies},
      nullptr);
  ASSERT_EQ(status.text, nullptr);
  ExpectClose(result.Read(), Expected(fixture, fixture.kv(), query),
              ToleranceOf(fixture.kv().dtype),
              what + ", " + std::to_string(split.workers) + " workers, copies " +
                  std::to_string(static_cast<int>(split.copies)));
}

CudaCase InEveryWay() {
  return [](const PagedFixture& fixture, const AttentionQuery& query, const std::string& what) {
    for (const CudaCopies copies : EachKindOfCopy()) {
      for (const int32_t workers : {0, 1, 3}) {
        if (testing::Test::HasFatalFailure()) return;
        ExpectDeviceMatches(fixture, query, {workers, copies}, what);
      }
    }
  };
}

class OnDeviceTypes : public testing::TestWithParam<Dtype> {};
INSTANTIATE_TEST_SUITE_P(All, OnDeviceTypes,
                         testing::Values(Dtype::kF16, Dtype::kBf16, Dtype::kF32, Dtype::kF8E4m3));

TEST_P(OnDeviceTypes, DecodeEqualsTheReference) { EachDecode(GetParam(), InEveryWay()); }
TEST_P(OnDeviceTypes, LatentRowsEqualTheReference) { EachLatent(GetParam(), InEveryWay()); }

TEST(OnDevice, GroupsOfAnySizeEqualTheReference) { EachRatio(InEveryWay()); }
TEST(OnDevice, AnyLengthsInAnyPagesEqualTheReference) { EachLength(InEveryWay()); }
TEST(OnDevice, ChunksOfAPrefillAreCausal) { EachChunk(InEveryWay()); }
TEST(OnDevice, WindowsWithSinksUseOnlyWhatTheySee) { EachWindow(InEveryWay()); }
TEST(OnDevice, DraftsSeeTheContextThemselvesAndTheirAncestors) { EachTree(InEveryWay()); }
TEST(OnDevice, PagesMayBeAPartOfASequence) { PartOfASequence(InEveryWay()); }
TEST(OnDevice, RowsThatSeeNothingAreZeroAndMinusInfinity) { RowsThatSeeNothing(InEveryWay()); }

TEST(OnDevice, GeometriesAndMasksThatNobodyChoseEqualTheReference) {
  const char* const given = std::getenv("KVPAGER_TEST_SEED");
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  const uint64_t seed = given != nullptr
                            ? std::strtoull(given, nullptr, 10)
                            : static_cast<uint64_t>(now) ^ static_cast<uint64_t>(getpid());
  std::printf("KVPAGER_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  for (uint64_t i = 0; i < 40 && !HasFailure(); ++i) AnyOf(seed + i, InEveryWay());
}

// Long enough that every worker has many tiles, and every stage is used many times over.
TEST(OnDevice, LongSequencesEqualTheReference) {
  PagedShape shape;
  shape.padding = 16;
  shape.head_dim_k = shape.head_dim_v = 128;
  shape.query_heads = 16;
  const PagedFixture fixture(shape, {20000, 777}, kSeed);
  InEveryWay()(fixture, fixture.query(), "20000 tokens");
}

// One graph: the plan's copy and the launches, captured once; lengths change from replay to replay.
TEST(OnDevice, ACapturedDecodeServesEveryStep) {
  PagedShape page;
  page.padding = 16;
  PagedFixture fixture(page, {700, 90, 300}, kSeed);
  const AttentionQuery query = fixture.query();
  AttendPlanShape shape = PlanShapeOf(fixture.kv(), query, 1);
  ASSERT_EQ(CudaAttendWorkers(shape).text, nullptr);
  AttendPlan plan(shape);
  const DeviceBatch batch(fixture, query);
  const DeviceArray<uint8_t> bytes(plan.size_bytes());
  const DeviceArray<uint8_t> workspace(plan.workspace_bytes());
  DeviceResult result(fixture);
  void* staged = nullptr;  // What the captured copy reads, at every replay.
  Must(cudaMallocHost(&staged, plan.size_bytes()));
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t replay;
  Must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  Must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  Must(cudaMemcpyAsync(bytes.get(), staged, plan.size_bytes(), cudaMemcpyHostToDevice, stream));
  const CudaStatus status = CudaAttend(
      plan, {batch.kv(), batch.query(), result.out(), {bytes.get(), workspace.get()}}, stream);
  Must(cudaStreamEndCapture(stream, &graph));
  ASSERT_EQ(status.text, nullptr);
  Must(cudaGraphInstantiate(&replay, graph, 0));
  std::vector<int32_t> last(fixture.kv().last_page_len, fixture.kv().last_page_len + 3);
  for (int step = 0; step < 3; ++step) {
    PagedKv kv = fixture.kv();
    kv.last_page_len = last.data();
    Must(cudaMemcpy(const_cast<int32_t*>(batch.kv().last_page_len), last.data(), 3 * 4,
                    cudaMemcpyHostToDevice));
    Must(cudaDeviceSynchronize());  // The stream does not wait for the default one.
    ASSERT_EQ(plan.Update(kv, query).text, nullptr);
    std::memcpy(staged, plan.data(), plan.size_bytes());
    Must(cudaGraphLaunch(replay, stream));
    ExpectClose(result.Read(), Expected(fixture, kv, query), ToleranceOf(kv.dtype),
                "step " + std::to_string(step));
    for (int32_t& tokens : last) tokens = std::max(1, tokens - 3);  // The next step's lengths.
  }
  Must(cudaGraphExecDestroy(replay));
  Must(cudaGraphDestroy(graph));
  Must(cudaStreamDestroy(stream));
  Must(cudaFreeHost(staged));
}

TEST(OnDevice, AnAppendWritesWhatTheCpuWrites) {
  for (const Dtype dtype : {Dtype::kF16, Dtype::kBf16, Dtype::kF32, Dtype::kF8E4m3}) {
    PagedShape shape;
    shape.dtype = dtype;
    shape.layout = dtype == Dtype::kF16 ? Layout::kNhd : Layout::kHnd;
    PagedFixture fixture(shape, {40, 16, 70, 9}, kSeed);
    const DeviceBatch batch(fixture, fixture.query());
    const std::vector<int32_t> indptr = {0, 0, 16, 49, 51};
    std::vector<float> k(51 * 2 * 64), v(51 * 2 * 64);
    for (float& value : k) value = fixture.Draw();
    for (float& value : v) value = fixture.Draw() * 300;
    const DeviceArray<float> k_rows(k), v_rows(v);
    const DeviceArray<int32_t> of_entries(indptr);
    ASSERT_EQ(
        CudaAppend(batch.kv(), {k_rows.get(), v_rows.get(), of_entries.get(), 51}, nullptr).text,
        nullptr);
    for (int32_t entry = 0; entry < 4; ++entry) {
      const int32_t first = indptr[static_cast<size_t>(entry)];
      const int32_t count = indptr[static_cast<size_t>(entry) + 1] - first;
      CpuAppend(fixture.kv(), entry, {k.data() + first * 128, v.data() + first * 128, count});
    }
    Must(cudaDeviceSynchronize());
    EXPECT_EQ(batch.Pages(), fixture.bytes());
  }
}

TEST(OnDevice, GatherAndScatterMoveWholePages) {
  constexpr int32_t kPages = 300;
  constexpr int64_t kStride = 16 * 40, kBytes = 16 * 37;
  std::mt19937_64 random(kSeed);
  std::vector<uint8_t> pool(kPages * kStride);
  for (uint8_t& byte : pool) byte = static_cast<uint8_t>(random());
  std::vector<int32_t> indices(kPages);
  for (int32_t i = 0; i < kPages; ++i) indices[static_cast<size_t>(i)] = i;
  std::shuffle(indices.begin(), indices.end(), random);
  const DeviceArray<uint8_t> from(pool);
  const DeviceArray<uint8_t> to(pool.size());
  const DeviceArray<int32_t> on_device(indices);
  const DeviceArray<uint8_t> buffer(200 * kBytes);
  CudaPages pages = {from.get(), kStride, kBytes, on_device.get(), 200, buffer.get()};
  ASSERT_EQ(CudaGatherPages(pages, nullptr).text, nullptr);
  pages.pool = to.get();
  ASSERT_EQ(CudaScatterPages(pages, nullptr).text, nullptr);
  Must(cudaDeviceSynchronize());
  std::vector<uint8_t> expected(pool.size(), 0xff);
  for (size_t i = 0; i < 200; ++i) {
    const auto at = static_cast<size_t>(indices[i] * kStride);
    std::memcpy(expected.data() + at, pool.data() + at, kBytes);
  }
  EXPECT_EQ(to.Read(), expected);
}

TEST(OnDevice, TwoResultsBecomeThatOfAllTokens) {
  const PagedShape shape;
  const PagedFixture fixture(shape, {100}, kSeed);
  const AttentionQuery query = fixture.query();
  std::vector<Result> halves;
  for (const TokenRange range : {TokenRange{0, 37}, TokenRange{37, 100}}) {
    AttentionStates states(shape.query_heads, shape.head_dim_v);
    CpuAttendRange(fixture.kv(), query, 0, range, states);
    halves.emplace_back(fixture);
    states.Finish(halves.back().output.data(), halves.back().lse.data());
  }
  const DeviceArray<float> part_output(halves[0].output), part_lse(halves[0].lse);
  const DeviceArray<float> output(halves[1].output), lse(halves[1].lse);
  ASSERT_EQ(CudaMergeResults({part_output.get(),
                              part_lse.get(),
                              {output.get(), lse.get()},
                              shape.query_heads,
                              shape.head_dim_v},
                             nullptr)
                .text,
            nullptr);
  Result merged(fixture);
  merged.output = output.Read();
  merged.lse = lse.Read();
  ExpectClose(merged, Expected(fixture, fixture.kv(), query), ToleranceOf(shape.dtype), "halves");
}

TEST(OnDevice, TheCeilingReadsEveryWordOnce) {
  std::vector<uint32_t> data(4 * 1000003);
  uint32_t expected = 0;
  std::mt19937 random(kSeed);
  for (uint32_t& word : data) expected ^= word = static_cast<uint32_t>(random());
  const DeviceArray<uint32_t> on_device(data);
  const DeviceArray<uint32_t> sums(size_t{kCudaReadBlocks} * kCudaReadThreads);
  ASSERT_EQ(
      CudaReadAll({on_device.get(), static_cast<int64_t>(data.size() * 4), sums.get()}, nullptr)
          .text,
      nullptr);
  uint32_t sum = 0;
  for (const uint32_t one : sums.Read()) sum ^= one;
  EXPECT_EQ(sum, expected);
}

TEST(OnDevice, RowsThatAreNotAlignedAreRefused) {
  const PagedFixture fixture(PagedShape(), {100}, kSeed);
  AttendPlan plan(PlanShapeOf(fixture.kv(), fixture.query(), 1));
  PagedKv kv = fixture.kv();
  kv.k.page += 4;
  const CudaStatus status = CudaAttend(plan, {kv, fixture.query(), {}, {}}, nullptr);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(std::string(status.text).find("16 bytes"), std::string::npos);
}

}  // namespace
}  // namespace kvpager::kernels

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (!kvpager::kernels::HasCudaDevice()) {
    std::printf("no CUDA device: skipped\n");
    return 77;
  }
  return RUN_ALL_TESTS();
}
