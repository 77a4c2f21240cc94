// kernels/cuda/attend.h
//
// Attention on a CUDA device: decode, chunks of a prefill, trees of drafts, latent rows; as
// attention.h says, in float, over pages of any type. One kernel, after a plan (attend_plan.h), and
// a merge of what the plan has split.
//
//   AttendPlanShape shape = ...;  CudaAttendWorkers(shape);
//   AttendPlan plan(shape);
//   each step:   plan.Update(kv_on_host, query_on_host); copy it to buffers.plan
//   each layer:  CudaAttend(plan, {kv, query, output, buffers}, stream)
//
// A launch allocates nothing, waits for nothing and copies nothing: it may be captured in a CUDA
// graph, and replayed after the plan's bytes have changed.
//
// What a query token does not see may be copied to shared memory with its neighbours of the same
// tile, but is not used: attention.h's REQUIRES hold.
//
// Units: elements and tokens. Ownership: everything is the caller's; all pointers of kv, query,
// output and buffers are the device's. K and V rows start at multiples of 16 bytes. Thread-safety:
// any thread; launches that run at once need a workspace each. Errors: a CudaStatus; nothing was
// launched.

#ifndef KVPAGER_KERNELS_CUDA_ATTEND_H_
#define KVPAGER_KERNELS_CUDA_ATTEND_H_

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/cuda/attend_plan.h"
#include "kernels/cuda/status.h"
#include "kernels/paged_kv.h"

namespace kvpager::kernels {

// How rows come to shared memory. kAuto: bulk copies where the device has them (sm_90 and later).
enum class CudaCopies : uint8_t { kAuto, kAsync, kBulk };

struct CudaAttendBuffers {
  const void* plan = nullptr;  // AttendPlan::size_bytes, copied from AttendPlan::data.
  void* workspace = nullptr;   // AttendPlan::workspace_bytes, aligned to 16; anything may be in it.
};

struct CudaAttendCall {
  PagedKv kv;
  AttentionQuery query;
  AttentionOutput output;
  CudaAttendBuffers buffers;
  CudaCopies copies = CudaCopies::kAuto;
};

// Sets shape.workers to as many blocks as the current device runs at once, shared out over the KV
// heads.
CudaStatus CudaAttendWorkers(AttendPlanShape& shape);

// `plan` is the one whose bytes buffers.plan holds, or will hold when the stream comes to it.
CudaStatus CudaAttend(const AttendPlan& plan, const CudaAttendCall& call, CudaStream stream);

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CUDA_ATTEND_H_
