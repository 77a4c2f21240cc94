#include "tests/kernels/cuda_emulated_attend.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "kernels/cuda/merge_cta.cuh"
#include "tests/kernels/cuda_plan_shape.h"

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
