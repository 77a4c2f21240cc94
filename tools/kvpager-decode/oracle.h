// tools/kvpager-decode/oracle.h
//
// What one query head's output must be, from rows that were never in a page: attention as the
// formula says, in double.
//
// Thread-safety: const. Errors: none.

#ifndef KVPAGER_TOOLS_KVPAGER_DECODE_ORACLE_H_
#define KVPAGER_TOOLS_KVPAGER_DECODE_ORACLE_H_

#include <cstdint>
#include <vector>

#include "tools/kvpager-decode/content.h"

namespace kvpager::decode {

// An output to be compared, kept until there is time for it.
struct Sample {
  uint32_t layer = 0;
  uint32_t query_head = 0;
  uint64_t token = 0;         // Position of the query.
  std::vector<float> output;  // [head_dim_v]
};

// Elements are within [-2, 2]. The kernels keep 2e-5 for logits of a few units (docs/KERNELS.md);
// here the largest are some tens, whose rounding the exponential multiplies by as much.
inline constexpr double kTolerance = 2e-4;

// The largest difference of any element; not a number counts as infinite.
double LargestError(const ModelShape& model, const Content& content, const Sample& sample);

}  // namespace kvpager::decode

#endif  // KVPAGER_TOOLS_KVPAGER_DECODE_ORACLE_H_
