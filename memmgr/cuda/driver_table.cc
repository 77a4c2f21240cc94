#include "memmgr/cuda/driver_table.h"

#include <dlfcn.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace kvpager::cuda {
namespace {

struct Entry {
  const char* name;
  void* place;  // Of a pointer to function.
};

template <typename Function>
Entry EntryOf(const char* name, Function*& place) {
  static_assert(sizeof(place) == sizeof(void*));
  return {name, &place};
}

std::vector<Entry> RequiredEntries(DriverTable& table) {
  return {
      EntryOf("cuInit", table.init),
      EntryOf("cuDriverGetVersion", table.driver_get_version),
      EntryOf("cuGetErrorName", table.get_error_name),
      EntryOf("cuGetErrorString", table.get_error_string),
      EntryOf("cuDeviceGetCount", table.device_get_count),
      EntryOf("cuDeviceGet", table.device_get),
      EntryOf("cuDeviceGetName", table.device_get_name),
      EntryOf("cuDeviceGetUuid_v2", table.device_get_uuid),
      EntryOf("cuDeviceGetAttribute", table.device_get_attribute),
      EntryOf("cuDevicePrimaryCtxRetain", table.primary_context_retain),
      EntryOf("cuDevicePrimaryCtxRelease_v2", table.primary_context_release),
      EntryOf("cuCtxPushCurrent_v2", table.context_push),
      EntryOf("cuCtxPopCurrent_v2", table.context_pop),
      EntryOf("cuMemGetInfo_v2", table.memory_get_info),
      EntryOf("cuMemGetAllocationGranularity", table.granularity),
      EntryOf("cuMemAddressReserve", table.reserve),
      EntryOf("cuMemAddressFree", table.unreserve),
      EntryOf("cuMemCreate", table.create),
      EntryOf("cuMemRelease", table.release),
      EntryOf("cuMemMap", table.map),
      EntryOf("cuMemUnmap", table.unmap),
      EntryOf("cuMemSetAccess", table.set_access),
      EntryOf("cuMemExportToShareableHandle", table.export_handle),
      EntryOf("cuMemImportFromShareableHandle", table.import_handle),
      EntryOf("cuMemHostRegister_v2", table.host_register),
      EntryOf("cuMemHostUnregister", table.host_unregister),
      EntryOf("cuMemHostAlloc", table.host_allocate),
      EntryOf("cuMemFreeHost", table.host_free),
      EntryOf("cuStreamCreate", table.stream_create),
      EntryOf("cuStreamDestroy_v2", table.stream_destroy),
      EntryOf("cuStreamSynchronize", table.stream_synchronize),
      EntryOf("cuEventCreate", table.event_create),
      EntryOf("cuEventDestroy_v2", table.event_destroy),
      EntryOf("cuEventRecord", table.event_record),
      EntryOf("cuEventQuery", table.event_query),
      EntryOf("cuMemcpy", table.copy),
      EntryOf("cuMemcpyAsync", table.copy_async),
      EntryOf("cuMemsetD8Async", table.fill_async),
  };
}

bool LookUp(void* library, const Entry& entry) {
  void* const found = dlsym(library, entry.name);
  *static_cast<void**>(entry.place) = found;
  return found != nullptr;
}

std::string TextOr(Result (*function)(Result, const char**), Result error, const char* fallback) {
  const char* text = nullptr;
  return function(error, &text) == kSuccess && text != nullptr ? text : fallback;
}

}  // namespace

absl::StatusOr<DriverTable> LoadDriver(const char* library) {
  void* const handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* const reason = dlerror();
    return absl::UnavailableError(
        absl::StrCat("no CUDA driver: ", reason == nullptr ? library : reason));
  }
  DriverTable table;
  for (const Entry& entry : RequiredEntries(table)) {
    if (LookUp(handle, entry)) continue;
    return absl::UnavailableError(absl::StrCat("the CUDA driver in ", library, " has no ",
                                               entry.name, "; install one of CUDA 11.4 or newer"));
  }
  if (!LookUp(handle, EntryOf("cuMemcpyBatchAsync_v2", table.copy_batch))) {
    LookUp(handle, EntryOf("cuMemcpyBatchAsync", table.copy_batch_12));
  }
  if (const Result error = table.init(0); error != kSuccess) {
    return absl::UnavailableError(
        absl::StrCat("the CUDA driver does not start: ", ErrorText(table, error)));
  }
  return table;
}

const absl::StatusOr<DriverTable>& ProcessDriver() {
  static const absl::StatusOr<DriverTable>* const driver =
      new absl::StatusOr<DriverTable>(LoadDriver());
  return *driver;
}

std::string ErrorText(const DriverTable& driver, Result error) {
  return absl::StrCat(TextOr(driver.get_error_name, error, "an unknown error"), ": ",
                      TextOr(driver.get_error_string, error, "no text"), " (", error, ")");
}

absl::Status ToStatus(const DriverTable& driver, Result error, std::string_view what) {
  if (error == kSuccess) return absl::OkStatus();
  const std::string text = absl::StrCat(std::string(what), ": ", ErrorText(driver, error));
  if (error == kOutOfMemory) return absl::ResourceExhaustedError(text);
  if (error == kNotSupported || error == kCallRequiresNewerDriver) {
    return absl::UnimplementedError(text);
  }
  if (error == kNotPermitted) return absl::PermissionDeniedError(text);
  if (error == kNoDevice || error == kInvalidDevice || error == kDeviceUnavailable ||
      IsDeviceLost(error)) {
    return absl::UnavailableError(text);
  }
  return absl::InternalError(text);
}

bool IsDeviceLost(Result error) {
  switch (error) {
    case kEccUncorrectable:
    case 220:  // NVLINK_UNCORRECTABLE
    case 226:  // CONTAINED
    case kIllegalAddress:
    case 702:  // LAUNCH_TIMEOUT
    case 709:  // CONTEXT_IS_DESTROYED
    case 710:  // ASSERT
    case 714:  // HARDWARE_STACK_ERROR
    case 715:  // ILLEGAL_INSTRUCTION
    case 716:  // MISALIGNED_ADDRESS
    case 717:  // INVALID_ADDRESS_SPACE
    case 718:  // INVALID_PC
    case 719:  // LAUNCH_FAILED
    case 721:  // TENSOR_MEMORY_LEAK
    case 810:  // MPS_CLIENT_TERMINATED
    case kUnknown:
      return true;
    default:
      return false;
  }
}

}  // namespace kvpager::cuda
