#include "tests/kernels/cuda_emulated_attend.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/cuda/merge_cta.cuh"

namespace kvpager::kernels {
namespace {

std::string EmulateAttend(const AttendParams& params, const AttendPlan& plan,
                          const EmulatedRun& run) {
  switch (plan.shape().dtype) {
    case Dtype::kF16:
      return internal::EmulateF16(params, plan, run);
    case Dtype::kBf16:
      return internal::EmulateBf16(params, plan, run);
    case Dtype::kF32:
      return internal::EmulateF32(params, plan, run);
    case Dtype::kF8E4m3:
      return internal::EmulateF8(params, plan, run);
  }
  return "no such type";
}

std::string EmulateMerge(const AttendParams& params, const AttendPlan& plan) {
  EmulatedGrid grid;
  grid.x = plan.merges_max();
  grid.y = params.kv.kv_heads;
  grid.z = plan.launch().rows;
  return Emulate(grid, [&](const EmulatedThread& thread, uint8_t*) { MergeParts(thread, params); });
}

}  // namespace

AttendPlanShape PlanShapeOf(const PagedKv& kv, const AttentionQuery& query, int32_t workers) {
  AttendPlanShape shape;
  shape.dtype = kv.dtype;
  shape.kv_heads = kv.kv_heads;
  shape.query_heads = query.query_heads;
  shape.head_dim_k = kv.head_dim_k;
  shape.head_dim_v = kv.head_dim_v;
  shape.batch_max = kv.batch_size;
  shape.query_tokens_max = std::max(1, FirstQuery(query, kv.batch_size));
  for (int32_t entry = 0; entry < kv.batch_size; ++entry) {
    shape.entry_query_tokens_max = std::max(shape.entry_query_tokens_max, QueryCount(query, entry));
  }
  shape.workers = workers;
  return shape;
}

void ExpectEmulatedMatches(const PagedFixture& fixture, const AttentionQuery& query,
                           const EmulatedRun& run, const std::string& what) {
  SCOPED_TRACE(what + ", seed " + std::to_string(run.seed));
  const PagedKv& kv = fixture.kv();
  const AttendPlanShape shape = PlanShapeOf(kv, query, run.workers);
  ASSERT_EQ(AttendPlan::Check(shape).text, nullptr);
  AttendPlan plan(shape);
  ASSERT_EQ(plan.Update(kv, query).text, nullptr);
  std::vector<float> workspace(plan.workspace_bytes() / sizeof(float),
                               std::numeric_limits<float>::quiet_NaN());
  Result result(fixture);
  AttendParams params;
  params.kv = kv;
  params.query = query;
  params.output = result.out();
  params.plan = plan.ViewAt(plan.data());
  params.workspace = plan.WorkspaceAt(workspace.data());
  params.row_warps = plan.launch().row_warps;
  params.bulk = run.bulk;
  ASSERT_EQ(EmulateAttend(params, plan, run), "");
  ASSERT_EQ(EmulateMerge(params, plan), "");
  ExpectClose(result, Expected(fixture, kv, query), ToleranceOf(kv.dtype), what);
}

}  // namespace kvpager::kernels
