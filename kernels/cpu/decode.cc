#include "kernels/cpu/decode.h"

#include <atomic>
#include <cstddef>

#include "kernels/cpu/decode_range.h"

namespace kvpager::kernels {
namespace {

bool Runs(CpuPath path) {
#if defined(KVPAGER_KERNELS_X86)
  switch (path) {
    case CpuPath::kAvx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    case CpuPath::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("f16c");
    case CpuPath::kPortable:
      return true;
  }
#endif
  return path == CpuPath::kPortable;
}

internal::DecodeRangeFunction FunctionOf(CpuPath path) {
#if defined(KVPAGER_KERNELS_X86)
  if (path == CpuPath::kAvx512) return internal::DecodeRangeAvx512;
  if (path == CpuPath::kAvx2) return internal::DecodeRangeAvx2;
#endif
  static_cast<void>(path);
  return internal::DecodeRangePortable;
}

std::atomic<CpuPath>& ChosenPath() {
  static std::atomic<CpuPath> path = Runs(CpuPath::kAvx512) ? CpuPath::kAvx512
                                     : Runs(CpuPath::kAvx2) ? CpuPath::kAvx2
                                                            : CpuPath::kPortable;
  return path;
}

}  // namespace

CpuPath CpuDecodePath() { return ChosenPath().load(std::memory_order_relaxed); }

bool SetCpuDecodePath(CpuPath path) {
  if (!Runs(path)) return false;
  ChosenPath().store(path, std::memory_order_relaxed);
  return true;
}

DecodeStates::DecodeStates(int32_t query_heads, int32_t head_dim_v)
    : head_dim_v_(head_dim_v),
      outputs_(static_cast<size_t>(query_heads) * static_cast<size_t>(head_dim_v), 0.0f),
      heads_(static_cast<size_t>(query_heads)) {
  float* output = outputs_.data();
  for (AttentionState<float>& head : heads_) {
    head.o = output;
    output += head_dim_v;
  }
}

void DecodeStates::Clear() {
  for (AttentionState<float>& head : heads_) ClearState(head, head_dim_v_);
}

void DecodeStates::Merge(const DecodeStates& part) {
  for (size_t i = 0; i < heads_.size(); ++i) MergeState(part.heads_[i], heads_[i], head_dim_v_);
}

void DecodeStates::Finish(float* output, float* lse) const {
  for (size_t i = 0; i < heads_.size(); ++i) {
    FinishState(heads_[i], head_dim_v_, output + i * static_cast<size_t>(head_dim_v_),
                lse == nullptr ? nullptr : lse + i);
  }
}

void CpuDecodeRange(const PagedKv& kv, const DecodeQuery& query, int32_t entry, TokenRange range,
                    DecodeStates& states) {
  FunctionOf(CpuDecodePath())(kv, query, entry, range, states.heads());
}

void CpuDecode(const PagedKv& kv, const DecodeQuery& query, const DecodeOutput& output) {
  DecodeStates states(query.query_heads, kv.head_dim_v);
  for (int32_t entry = 0; entry < kv.batch_size; ++entry) {
    const int64_t row = int64_t{entry} * query.query_heads;
    states.Clear();
    CpuDecodeRange(kv, query, entry, TokenRange{0, TokenCount(kv, entry)}, states);
    states.Finish(output.output + row * kv.head_dim_v,
                  output.lse == nullptr ? nullptr : output.lse + row);
  }
}

}  // namespace kvpager::kernels
