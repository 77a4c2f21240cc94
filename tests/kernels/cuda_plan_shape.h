// tests/kernels/cuda_plan_shape.h
//
// The shape of a plan for exactly one batch.

#ifndef KVPAGER_TESTS_KERNELS_CUDA_PLAN_SHAPE_H_
#define KVPAGER_TESTS_KERNELS_CUDA_PLAN_SHAPE_H_

#include <algorithm>

#include "kernels/attention.h"
#include "kernels/cuda/attend_plan.h"
#include "kernels/paged_kv.h"

namespace kvpager::kernels {

inline AttendPlanShape PlanShapeOf(const PagedKv& kv, const AttentionQuery& query,
                                   int32_t workers) {
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

}  // namespace kvpager::kernels

#endif  // KVPAGER_TESTS_KERNELS_CUDA_PLAN_SHAPE_H_
