#include "kernels/cpu/target.h"

#include <atomic>
#include <cstdint>

#include "hwy/highway.h"
#include "hwy/targets.h"

namespace kvpager::kernels {
namespace {

constexpr char kBf16DotName[] = "AVX3_BF16";

#if HWY_ARCH_X86 && HWY_COMPILER_GCC_ACTUAL
bool HasBf16Dot() {
  return __builtin_cpu_supports("avx512bf16") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
         __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0;
}
#else
bool HasBf16Dot() { return false; }
#endif

std::atomic<bool>& Bf16Dot() {
  static std::atomic<bool> used = HasBf16Dot();
  return used;
}

std::vector<int64_t> Supported() {
  hwy::SetSupportedTargetsForTest(0);  // What the machine has, whatever is in use.
  return hwy::SupportedAndGeneratedTargets();
}

void Use(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

// What is in use: 0 until somebody asks or chooses.
std::atomic<int64_t>& Chosen() {
  static std::atomic<int64_t> chosen = 0;
  return chosen;
}

}  // namespace

bool internal::UsesBf16Dot() { return Bf16Dot().load(std::memory_order_relaxed); }

std::vector<std::string> CpuTargets() {
  std::vector<std::string> names;
  if (HasBf16Dot()) names.emplace_back(kBf16DotName);
  const int64_t chosen = Chosen();
  for (const int64_t target : Supported()) names.emplace_back(hwy::TargetName(target));
  if (chosen != 0) Use(chosen);
  return names;
}

std::string CpuTarget() {
  if (internal::UsesBf16Dot()) return kBf16DotName;
  const int64_t chosen = Chosen();
  return hwy::TargetName(chosen != 0 ? chosen : Supported().front());
}

bool UseCpuTarget(const std::string& name) {
  const bool dot = name == kBf16DotName;
  if (dot && !HasBf16Dot()) return false;
  for (const int64_t target : Supported()) {
    if (dot ? target != HWY_AVX3 : name != hwy::TargetName(target)) continue;
    Chosen() = target;
    Bf16Dot() = dot;
    Use(target);
    return true;
  }
  if (Chosen() != 0) Use(Chosen());
  return false;
}

}  // namespace kvpager::kernels
