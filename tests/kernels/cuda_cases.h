// tests/kernels/cuda_cases.h
//
// What the CUDA kernels are asked in tests: the same on the emulator and on a device.

#ifndef KVPAGER_TESTS_KERNELS_CUDA_CASES_H_
#define KVPAGER_TESTS_KERNELS_CUDA_CASES_H_

#include <cstdint>
#include <functional>
#include <string>

#include "kernels/attention.h"
#include "tests/kernels/paged_fixture.h"

namespace kvpager::kernels {

using CudaCase = std::function<void(const PagedFixture& fixture, const AttentionQuery& query,
                                    const std::string& what)>;

// Every head dimension, few and many rows per KV head, both layouts; lengths of 1, of a full last
// page and ragged.
void EachDecode(Dtype dtype, const CudaCase& run);
void EachLatent(Dtype dtype, const CudaCase& run);
void EachRatio(const CudaCase& run);  // Query heads per KV head, 1 to 16.
void EachLength(const CudaCase& run);
void EachChunk(const CudaCase& run);   // Of a prefill, causal.
void EachWindow(const CudaCase& run);  // What no query token sees is poisoned.
void EachTree(const CudaCase& run);
void PartOfASequence(const CudaCase& run);
void RowsThatSeeNothing(const CudaCase& run);
// Anything of the above mixed.
void AnyOf(uint64_t seed, const CudaCase& run);

}  // namespace kvpager::kernels

#endif  // KVPAGER_TESTS_KERNELS_CUDA_CASES_H_
