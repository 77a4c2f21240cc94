#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/attend.h"
#include "kernels/cuda/attend_launch.h"
#include "kernels/cuda/attend_params.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/merge_cta.cuh"

namespace kvpager::kernels {
namespace {

constexpr int kMergeThreads = 128;

__global__ void __launch_bounds__(kMergeThreads)
    MergePartsKernel(const __grid_constant__ AttendParams params) {
  MergeParts(DeviceThread(), params);
}

internal::AttendFunction FunctionOf(const AttendPlanShape& shape, const AttendLaunch& launch) {
  const internal::AttendChoice choice = {shape.head_dim_k, shape.head_dim_v,
                                         launch.numbers.warp_rows};
  switch (shape.dtype) {
    case Dtype::kF16:
      return internal::AttendFunctionF16(choice);
    case Dtype::kBf16:
      return internal::AttendFunctionBf16(choice);
    case Dtype::kF32:
      return internal::AttendFunctionF32(choice);
    case Dtype::kF8E4m3:
      return internal::AttendFunctionF8(choice);
  }
  return {};
}

cudaError_t Attribute(cudaDeviceAttr attribute, int& value) {
  int device = 0;
  const cudaError_t error = cudaGetDevice(&device);
  return error != cudaSuccess ? error : cudaDeviceGetAttribute(&value, attribute, device);
}

bool IsAligned(const void* data, const PageStrides& strides, Dtype dtype) {
  const auto bytes = static_cast<int64_t>(ElementBytes(dtype));
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && strides.page * bytes % 16 == 0 &&
         strides.token * bytes % 16 == 0 && strides.head * bytes % 16 == 0;
}

CudaStatus CheckCall(const AttendPlan& plan, const CudaAttendCall& call) {
  const AttendPlanShape& shape = plan.shape();
  const PagedKv& kv = call.kv;
  if (kv.dtype != shape.dtype || kv.kv_heads != shape.kv_heads ||
      kv.head_dim_k != shape.head_dim_k || kv.head_dim_v != shape.head_dim_v ||
      call.query.query_heads != shape.query_heads) {
    return {"make a plan of its own for this type, these heads and head dimensions"};
  }
  if (!IsAligned(kv.k_data, kv.k, kv.dtype) || !IsAligned(kv.v_data, kv.v, kv.dtype)) {
    return {"align all K and V rows to 16 bytes"};
  }
  if (kv.head_dim_k != kv.head_dim_v && !SharesRows(kv)) {
    return {"let V share K's rows where their head dimensions differ"};
  }
  return {};
}

CudaStatus WantsBulk(CudaCopies copies, bool& bulk) {
  int major = 0;
  const cudaError_t error = Attribute(cudaDevAttrComputeCapabilityMajor, major);
  if (error != cudaSuccess) return internal::StatusOf(error);
  if (copies == CudaCopies::kBulk && major < 9) {
    return {"use kAuto or kAsync: this device has no bulk copies"};
  }
  bulk = copies != CudaCopies::kAsync && major >= 9;
  return {};
}

CudaStatus Launch(const AttendPlan& plan, const AttendParams& params, cudaStream_t stream) {
  const internal::AttendFunction function = FunctionOf(plan.shape(), plan.launch());
  const AttendNumbers& numbers = function.numbers;
  cudaError_t error = cudaFuncSetAttribute(
      function.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, numbers.shared_bytes);
  if (error != cudaSuccess) return internal::StatusOf(error);
  const dim3 grid(static_cast<unsigned>(plan.shape().workers),
                  static_cast<unsigned>(plan.shape().kv_heads));
  void* arguments[] = {const_cast<AttendParams*>(&params)};
  error = cudaLaunchKernel(function.kernel, grid, dim3(static_cast<unsigned>(numbers.warps * 32)),
                           arguments, static_cast<size_t>(numbers.shared_bytes), stream);
  if (error != cudaSuccess) return internal::StatusOf(error);
  const dim3 merges(static_cast<unsigned>(plan.merges_max()), grid.y,
                    static_cast<unsigned>(plan.launch().rows));
  MergePartsKernel<<<merges, kMergeThreads, 0, stream>>>(params);
  return internal::LaunchStatus();
}

}  // namespace

CudaStatus CudaAttendWorkers(AttendPlanShape& shape) {
  AttendPlanShape one = shape;
  one.workers = 1;
  const CudaStatus status = AttendPlan::Check(one);
  if (!status.ok()) return status;
  const AttendPlan plan(one);
  const internal::AttendFunction function = FunctionOf(one, plan.launch());
  const auto shared = static_cast<size_t>(function.numbers.shared_bytes);
  int multiprocessors = 0;
  int blocks = 0;
  cudaError_t error = Attribute(cudaDevAttrMultiProcessorCount, multiprocessors);
  if (error == cudaSuccess) {
    error = cudaFuncSetAttribute(function.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 function.numbers.shared_bytes);
  }
  if (error == cudaSuccess) {
    error = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, function.kernel,
                                                          function.numbers.warps * 32, shared);
  }
  if (error != cudaSuccess) return internal::StatusOf(error);
  shape.workers = std::max(1, multiprocessors * blocks / shape.kv_heads);
  return {};
}

CudaStatus CudaAttend(const AttendPlan& plan, const CudaAttendCall& call, CudaStream stream) {
  CudaStatus status = CheckCall(plan, call);
  if (!status.ok()) return status;
  AttendParams params;
  status = WantsBulk(call.copies, params.bulk);
  if (!status.ok()) return status;
  params.kv = call.kv;
  params.query = call.query;
  params.output = call.output;
  params.plan = plan.ViewAt(call.buffers.plan);
  params.workspace = plan.WorkspaceAt(call.buffers.workspace);
  params.row_warps = plan.launch().row_warps;
  return Launch(plan, params, internal::StreamOf(stream));
}

}  // namespace kvpager::kernels
