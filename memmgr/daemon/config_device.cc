// Where HBM is: what hbm.device says, and whether that GPU is there.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/cuda/scoped_context.h"
#include "memmgr/daemon/config.h"

namespace kvpager {
namespace {

constexpr int kOrdinalMax = 63;
constexpr std::string_view kPrefix = "cuda:";

}  // namespace

absl::StatusOr<HbmDevice> ParseHbmDevice(std::string_view text) {
  if (text == "host") return HbmDevice{};
  if (text == "auto") return HbmDevice{.place = HbmPlace::kGpuIfAny};
  int ordinal = 0;
  const bool is_gpu = text.substr(0, kPrefix.size()) == kPrefix;
  if (is_gpu && absl::SimpleAtoi(std::string(text.substr(kPrefix.size())), &ordinal) &&
      ordinal >= 0 && ordinal <= kOrdinalMax) {
    return HbmDevice{.place = HbmPlace::kGpu, .ordinal = ordinal};
  }
  return absl::InvalidArgumentError("is none of \"host\", \"auto\" and \"cuda:0\" to \"cuda:63\"");
}

absl::StatusOr<uint64_t> GpuFreeBytes(const RawConfig& raw) {
  KVP_ASSIGN_OR_RETURN(const HbmDevice device, ParseHbmDevice(raw[Key::kHbmDevice].text));
  if (device.place == HbmPlace::kHost) {
    return absl::UnavailableError("hbm.device asks for no GPU");
  }
  const absl::StatusOr<cuda::DriverTable>& driver = cuda::ProcessDriver();
  if (!driver.ok()) return driver.status();
  KVP_ASSIGN_OR_RETURN(const std::unique_ptr<cuda::PrimaryContext> context,
                       cuda::PrimaryContext::Open(*driver, device.ordinal));
  const cuda::ScopedContext current(*context);
  KVP_RETURN_IF_ERROR(ToStatus(*driver, current.error(), "cannot use the CUDA device's context"));
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  KVP_RETURN_IF_ERROR(ToStatus(*driver, driver->memory_get_info(&free_bytes, &total_bytes),
                               "cannot ask for the free device memory"));
  return uint64_t{free_bytes};
}

}  // namespace kvpager
