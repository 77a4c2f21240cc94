// kernels/cpu/ceiling.h
//
// What attention on this CPU cannot beat, to measure it beside: reading the same rows and doing
// nothing with them, and multiply-adds on registers that are read from nowhere. With the
// instruction set that the kernels use (target.h).
//
// Thread-safety: any number at once. Errors: none.

#ifndef KVPAGER_KERNELS_CPU_CEILING_H_
#define KVPAGER_KERNELS_CPU_CEILING_H_

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/paged_kv.h"

namespace kvpager::kernels {

// Reads the K and V rows of all heads of the entry's tokens in `range`, page after page and each
// from its start on; returns something that depends on all of them.
uint64_t CpuReadRange(const PagedKv& kv, int32_t entry, TokenRange range);

// `rounds` times as many multiply-adds as hide their latency; returns how many operations that
// were, two for each float multiplied and added.
int64_t CpuMultiplyAdds(int64_t rounds);

// The same with dot products of bfloat16, four operations per lane; 0 if this machine has none.
int64_t CpuBf16Dots(int64_t rounds);

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CPU_CEILING_H_
