// tests/kernels/cuda_emulated_attend.h
//
// The CUDA attention kernel and its merge, run by the emulator on a fixture, after a plan as a
// caller makes it: what CudaAttend does on a device.

#ifndef KVPAGER_TESTS_KERNELS_CUDA_EMULATED_ATTEND_H_
#define KVPAGER_TESTS_KERNELS_CUDA_EMULATED_ATTEND_H_

#include <cstdint>
#include <string>

#include "kernels/cuda/attend_params.h"
#include "kernels/cuda/attend_plan.h"
#include "tests/kernels/attention_check.h"
#include "tests/kernels/cuda_emulator.h"
#include "tests/kernels/paged_fixture.h"

namespace kvpager::kernels {

struct EmulatedRun {
  int32_t workers = 2;
  bool bulk = false;
  CopiesLand copies = CopiesLand::kLate;
  uint64_t seed = 1;
};

// Runs it and compares with the reference.
void ExpectEmulatedMatches(const PagedFixture& fixture, const AttentionQuery& query,
                           const EmulatedRun& run, const std::string& what);

namespace internal {

// Of each element type, in a file of its own: they take long to compile.
std::string EmulateF16(const AttendParams& params, const AttendPlan& plan, const EmulatedRun& run);
std::string EmulateBf16(const AttendParams& params, const AttendPlan& plan, const EmulatedRun& run);
std::string EmulateF32(const AttendParams& params, const AttendPlan& plan, const EmulatedRun& run);
std::string EmulateF8(const AttendParams& params, const AttendPlan& plan, const EmulatedRun& run);

}  // namespace internal
}  // namespace kvpager::kernels

#endif  // KVPAGER_TESTS_KERNELS_CUDA_EMULATED_ATTEND_H_
