// kernels/cpu/decode.h
//
// Decode attention on a CPU, in float: the query heads that share a K and V head (grouped queries)
// share one pass over its rows, a tile of tokens at a time.
//
//   whole     CpuDecode attends every entry and writes the result
//   in parts  DecodeStates::Clear, CpuDecodeRange for any ranges in any order, Merge what other
//             threads or places computed, Finish
//
// Both are the same code. Threads are the caller's: calls with different states are independent.
// The widest of AVX-512, AVX2 with F16C, and plain code that this machine runs is chosen at the
// first call; CpuDecodePath names it.
//
// Units: tokens. Ownership: DecodeStates owns its memory; everything else is the caller's.
// Errors: none; REQUIRES query_heads to be a multiple of kv_heads.

#ifndef KVPAGER_KERNELS_CPU_DECODE_H_
#define KVPAGER_KERNELS_CPU_DECODE_H_

#include <cstdint>
#include <vector>

#include "kernels/attention_state.h"
#include "kernels/decode_query.h"
#include "kernels/paged_kv.h"

namespace kvpager::kernels {

// The states of all query heads of one entry.
class DecodeStates {
 public:
  DecodeStates(int32_t query_heads, int32_t head_dim_v);
  DecodeStates(const DecodeStates&) = delete;
  DecodeStates& operator=(const DecodeStates&) = delete;

  void Clear();
  void Merge(const DecodeStates& part);
  // Writes [query_heads, head_dim_v] and, unless null, [query_heads].
  void Finish(float* output, float* lse) const;

  int32_t query_heads() const { return static_cast<int32_t>(heads_.size()); }
  AttentionState<float>* heads() { return heads_.data(); }

 private:
  int32_t head_dim_v_;
  std::vector<float> outputs_;
  std::vector<AttentionState<float>> heads_;
};

// Attends one entry's query to its tokens in `range`, on top of what `states` holds.
void CpuDecodeRange(const PagedKv& kv, const DecodeQuery& query, int32_t entry, TokenRange range,
                    DecodeStates& states);

void CpuDecode(const PagedKv& kv, const DecodeQuery& query, const DecodeOutput& output);

enum class CpuPath : uint8_t { kPortable = 0, kAvx2 = 1, kAvx512 = 2 };
CpuPath CpuDecodePath();

// For tests: takes `path` from now on, if this machine has it; says whether it does.
bool SetCpuDecodePath(CpuPath path);

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CPU_DECODE_H_
