// memmgr/cuda/driver_table.h
//
// The CUDA driver's entry points, looked up at run time: nothing of ours links libcuda, and one
// binary runs with and without a GPU. Where CUDA versions a name, the version is fixed here by the
// suffix, as cuda.h does by a macro.
//
// Ownership: a table lives as long as the process; the library stays loaded, because drivers do
// not survive being unloaded. Thread-safety: constant once loaded. Errors: kUnavailable, one
// sentence that says what is missing.

#ifndef KVPAGER_MEMMGR_CUDA_DRIVER_TABLE_H_
#define KVPAGER_MEMMGR_CUDA_DRIVER_TABLE_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memmgr/cuda/abi.h"

namespace kvpager::cuda {

inline constexpr const char* kDriverLibrary = "libcuda.so.1";

struct DriverTable {
  // ---- The driver, devices, contexts
  Result (*init)(uint32_t flags) = nullptr;
  Result (*driver_get_version)(int* version) = nullptr;
  Result (*get_error_name)(Result error, const char** name) = nullptr;
  Result (*get_error_string)(Result error, const char** text) = nullptr;
  Result (*device_get_count)(int* count) = nullptr;
  Result (*device_get)(DeviceOrdinal* device, int ordinal) = nullptr;
  Result (*device_get_name)(char* name, int length, DeviceOrdinal device) = nullptr;
  Result (*device_get_uuid)(Uuid* uuid, DeviceOrdinal device) = nullptr;
  Result (*device_get_attribute)(int* value, int attribute, DeviceOrdinal device) = nullptr;
  Result (*primary_context_retain)(Context* context, DeviceOrdinal device) = nullptr;
  Result (*primary_context_release)(DeviceOrdinal device) = nullptr;
  Result (*context_push)(Context context) = nullptr;
  Result (*context_pop)(Context* context) = nullptr;
  Result (*memory_get_info)(size_t* free_bytes, size_t* total_bytes) = nullptr;

  // ---- Device memory
  Result (*granularity)(size_t* bytes, const AllocationProperties* properties,
                        int option) = nullptr;
  Result (*reserve)(DevicePointer* base, size_t bytes, size_t alignment, DevicePointer wish,
                    unsigned long long flags) = nullptr;
  Result (*unreserve)(DevicePointer base, size_t bytes) = nullptr;
  Result (*create)(AllocationHandle* handle, size_t bytes, const AllocationProperties* properties,
                   unsigned long long flags) = nullptr;
  Result (*release)(AllocationHandle handle) = nullptr;
  Result (*map)(DevicePointer at, size_t bytes, size_t offset, AllocationHandle handle,
                unsigned long long flags) = nullptr;
  Result (*unmap)(DevicePointer at, size_t bytes) = nullptr;
  Result (*set_access)(DevicePointer at, size_t bytes, const AccessDescription* access,
                       size_t count) = nullptr;
  Result (*export_handle)(void* fd, AllocationHandle handle, int type,
                          unsigned long long flags) = nullptr;
  Result (*import_handle)(AllocationHandle* handle, void* fd, int type) = nullptr;

  // ---- Host memory
  Result (*host_register)(void* base, size_t bytes, uint32_t flags) = nullptr;
  Result (*host_unregister)(void* base) = nullptr;
  Result (*host_allocate)(void** base, size_t bytes, uint32_t flags) = nullptr;
  Result (*host_free)(void* base) = nullptr;

  // ---- Streams, events, copies
  Result (*stream_create)(Stream* stream, uint32_t flags) = nullptr;
  Result (*stream_destroy)(Stream stream) = nullptr;
  Result (*stream_synchronize)(Stream stream) = nullptr;
  Result (*event_create)(Event* event, uint32_t flags) = nullptr;
  Result (*event_destroy)(Event event) = nullptr;
  Result (*event_record)(Event event, Stream stream) = nullptr;
  Result (*event_query)(Event event) = nullptr;
  Result (*copy)(DevicePointer target, DevicePointer source, size_t bytes) = nullptr;
  Result (*copy_async)(DevicePointer target, DevicePointer source, size_t bytes,
                       Stream stream) = nullptr;
  Result (*fill_async)(DevicePointer target, uint8_t value, size_t bytes, Stream stream) = nullptr;
  // Null where the driver is older than CUDA 12.8 or 13.0. The arrays are read before it returns.
  Result (*copy_batch)(DevicePointer* targets, DevicePointer* sources, size_t* sizes, size_t count,
                       CopyAttributes* attributes, size_t* attribute_firsts, size_t attribute_count,
                       Stream stream) = nullptr;
  Result (*copy_batch_12)(DevicePointer* targets, DevicePointer* sources, size_t* sizes,
                          size_t count, CopyAttributes* attributes, size_t* attribute_firsts,
                          size_t attribute_count, size_t* failed, Stream stream) = nullptr;

  bool has_copy_batch() const { return copy_batch != nullptr || copy_batch_12 != nullptr; }
};

// Loads `library`, looks everything up and calls cuInit. `library` is a name for dlopen.
absl::StatusOr<DriverTable> LoadDriver(const char* library = kDriverLibrary);

// The driver of this process, loaded at the first call; the same answer ever after.
const absl::StatusOr<DriverTable>& ProcessDriver();

// "CUDA_ERROR_OUT_OF_MEMORY: out of memory (2)".
std::string ErrorText(const DriverTable& driver, Result error);

// OK, or "what: text of the error". kResourceExhausted out of memory; kUnavailable the device or
// the driver is not there or lost; kUnimplemented not supported; kPermissionDenied; else kInternal.
absl::Status ToStatus(const DriverTable& driver, Result error, std::string_view what);

// After it nothing that the context holds can be used: everything fails until the process ends.
bool IsDeviceLost(Result error);

}  // namespace kvpager::cuda

#endif  // KVPAGER_MEMMGR_CUDA_DRIVER_TABLE_H_
