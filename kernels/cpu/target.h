// kernels/cpu/target.h
//
// The instruction sets that the CPU kernels are compiled for and that this machine has. The first
// call of a kernel takes the widest; this is for saying which, and for tests that want each of
// them.
//
// Thread-safety: UseCpuTarget while no kernel runs. Errors: none.

#ifndef KVPAGER_KERNELS_CPU_TARGET_H_
#define KVPAGER_KERNELS_CPU_TARGET_H_

#include <string>
#include <vector>

namespace kvpager::kernels {

// Names, the widest first: "AVX3" (AVX-512), "AVX2", "SSE4", ..., and "AVX3_BF16", which is AVX3
// with dot products of bfloat16.
std::vector<std::string> CpuTargets();

// The one in use.
std::string CpuTarget();

// From now on; says whether this machine has it.
bool UseCpuTarget(const std::string& name);

namespace internal {

// Whether kernels may use dot products of bfloat16 beside the instruction set in use.
bool UsesBf16Dot();

}  // namespace internal

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CPU_TARGET_H_
