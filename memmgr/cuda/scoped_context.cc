#include "memmgr/cuda/scoped_context.h"

#include <array>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"

namespace kvpager::cuda {
namespace {

absl::StatusOr<int> CountDevices(const DriverTable& driver) {
  int count = 0;
  const Result error = driver.device_get_count(&count);
  if (error == kNoDevice) return 0;
  KVP_RETURN_IF_ERROR(ToStatus(driver, error, "cannot count the CUDA devices"));
  return count;
}

absl::Status CheckAttribute(const DriverTable& driver, DeviceOrdinal device, int attribute,
                            const std::string& what) {
  int value = 0;
  KVP_RETURN_IF_ERROR(ToStatus(driver, driver.device_get_attribute(&value, attribute, device),
                               "cannot ask the CUDA device what it can do"));
  if (value != 0) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat("this CUDA device cannot ", what));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PrimaryContext>> PrimaryContext::Open(const DriverTable& driver,
                                                                     int ordinal) {
  KVP_ASSIGN_OR_RETURN(const int count, CountDevices(driver));
  if (ordinal < 0 || ordinal >= count) {
    return absl::UnavailableError(
        absl::StrCat("there is no CUDA device ", ordinal, ": the driver shows ", count));
  }
  DeviceOrdinal device = 0;
  KVP_RETURN_IF_ERROR(ToStatus(driver, driver.device_get(&device, ordinal),
                               absl::StrCat("cannot open CUDA device ", ordinal)));
  KVP_RETURN_IF_ERROR(
      CheckAttribute(driver, device, kAttributeVirtualMemory, "reserve addresses (cuMemMap)"));
  KVP_RETURN_IF_ERROR(
      CheckAttribute(driver, device, kAttributePosixHandles, "share memory by descriptors"));
  auto opened = std::unique_ptr<PrimaryContext>(new PrimaryContext(driver, device));
  std::array<char, 128> name{};
  KVP_RETURN_IF_ERROR(ToStatus(driver, driver.device_get_name(name.data(), name.size() - 1, device),
                               "cannot read the CUDA device's name"));
  opened->name_ = name.data();
  KVP_RETURN_IF_ERROR(ToStatus(driver, driver.device_get_uuid(&opened->uuid_, device),
                               "cannot read the CUDA device's UUID"));
  Context context = nullptr;
  KVP_RETURN_IF_ERROR(ToStatus(driver, driver.primary_context_retain(&context, device),
                               absl::StrCat("cannot make a context on CUDA device ", ordinal)));
  opened->context_ = context;
  return opened;
}

absl::StatusOr<std::unique_ptr<PrimaryContext>> PrimaryContext::OpenUuid(const DriverTable& driver,
                                                                         const Uuid& uuid) {
  KVP_ASSIGN_OR_RETURN(const int count, CountDevices(driver));
  for (int ordinal = 0; ordinal < count; ++ordinal) {
    DeviceOrdinal device = 0;
    Uuid found{};
    if (driver.device_get(&device, ordinal) != kSuccess) continue;
    if (driver.device_get_uuid(&found, device) != kSuccess || found != uuid) continue;
    return Open(driver, ordinal);
  }
  return absl::UnavailableError(absl::StrCat(
      "the pool is on a CUDA device that is none of the ", count,
      " that this process sees; let CUDA_VISIBLE_DEVICES show it the daemon's device"));
}

PrimaryContext::~PrimaryContext() {
  if (context_ != nullptr) driver_.primary_context_release(device_);
}

ScopedContext::ScopedContext(const PrimaryContext& context)
    : driver_(context.driver()), error_(driver_.context_push(context.context())) {}

ScopedContext::~ScopedContext() {
  Context popped = nullptr;
  if (error_ == kSuccess) driver_.context_pop(&popped);
}

}  // namespace kvpager::cuda
