// That our declarations of the driver's binary interface say what cuda.h says: numbers, layouts,
// and the shape of every entry point. Built where a toolkit is installed.

#include "memmgr/cuda/abi.h"

#include <cuda.h>

#include <cstddef>
#include <type_traits>

#include "gtest/gtest.h"
#include "memmgr/cuda/driver_table.h"

namespace kvpager::cuda {
namespace {

// As the calling convention sees a type: how long it is, and whether it is an address.
template <typename A, typename B>
constexpr bool kPassedAlike =
    sizeof(A) == sizeof(B) && std::is_pointer_v<A> == std::is_pointer_v<B>;

template <typename Ours, typename Theirs>
struct SameShape : std::false_type {};
template <typename R, typename... A, typename S, typename... B>
struct SameShape<R (*)(A...), S(B...)> {
  static constexpr bool Compare() {
    if constexpr (sizeof...(A) != sizeof...(B)) {
      return false;
    } else {
      return kPassedAlike<R, S> && (kPassedAlike<A, B> && ...);
    }
  }
  static constexpr bool value = Compare();
};

#define SAME_SHAPE(ours, theirs) \
  static_assert(SameShape<decltype(DriverTable::ours), decltype(theirs)>::value)

SAME_SHAPE(init, cuInit);
SAME_SHAPE(driver_get_version, cuDriverGetVersion);
SAME_SHAPE(get_error_name, cuGetErrorName);
SAME_SHAPE(get_error_string, cuGetErrorString);
SAME_SHAPE(device_get_count, cuDeviceGetCount);
SAME_SHAPE(device_get, cuDeviceGet);
SAME_SHAPE(device_get_name, cuDeviceGetName);
SAME_SHAPE(device_get_uuid, cuDeviceGetUuid);
SAME_SHAPE(device_get_attribute, cuDeviceGetAttribute);
SAME_SHAPE(primary_context_retain, cuDevicePrimaryCtxRetain);
SAME_SHAPE(primary_context_release, cuDevicePrimaryCtxRelease);
SAME_SHAPE(context_push, cuCtxPushCurrent);
SAME_SHAPE(context_pop, cuCtxPopCurrent);
SAME_SHAPE(memory_get_info, cuMemGetInfo);
SAME_SHAPE(granularity, cuMemGetAllocationGranularity);
SAME_SHAPE(reserve, cuMemAddressReserve);
SAME_SHAPE(unreserve, cuMemAddressFree);
SAME_SHAPE(create, cuMemCreate);
SAME_SHAPE(release, cuMemRelease);
SAME_SHAPE(map, cuMemMap);
SAME_SHAPE(unmap, cuMemUnmap);
SAME_SHAPE(set_access, cuMemSetAccess);
SAME_SHAPE(export_handle, cuMemExportToShareableHandle);
SAME_SHAPE(import_handle, cuMemImportFromShareableHandle);
SAME_SHAPE(host_register, cuMemHostRegister);
SAME_SHAPE(host_unregister, cuMemHostUnregister);
SAME_SHAPE(host_allocate, cuMemHostAlloc);
SAME_SHAPE(host_free, cuMemFreeHost);
SAME_SHAPE(stream_create, cuStreamCreate);
SAME_SHAPE(stream_destroy, cuStreamDestroy);
SAME_SHAPE(stream_synchronize, cuStreamSynchronize);
SAME_SHAPE(event_create, cuEventCreate);
SAME_SHAPE(event_destroy, cuEventDestroy);
SAME_SHAPE(event_record, cuEventRecord);
SAME_SHAPE(event_query, cuEventQuery);
SAME_SHAPE(copy, cuMemcpy);
SAME_SHAPE(copy_async, cuMemcpyAsync);
SAME_SHAPE(fill_async, cuMemsetD8Async);
#if CUDA_VERSION >= 13000
SAME_SHAPE(copy_batch, cuMemcpyBatchAsync);
#elif CUDA_VERSION >= 12080
SAME_SHAPE(copy_batch_12, cuMemcpyBatchAsync);
#endif

TEST(Abi, LayoutsAreThoseOfTheToolkit) {
  EXPECT_EQ(sizeof(AllocationProperties), sizeof(CUmemAllocationProp));
  EXPECT_EQ(offsetof(AllocationProperties, location), offsetof(CUmemAllocationProp, location));
  EXPECT_EQ(offsetof(AllocationProperties, security),
            offsetof(CUmemAllocationProp, win32HandleMetaData));
  EXPECT_EQ(offsetof(AllocationProperties, compression), offsetof(CUmemAllocationProp, allocFlags));
  EXPECT_EQ(sizeof(AccessDescription), sizeof(CUmemAccessDesc));
  EXPECT_EQ(offsetof(AccessDescription, flags), offsetof(CUmemAccessDesc, flags));
  EXPECT_EQ(sizeof(Uuid), sizeof(CUuuid));
#if CUDA_VERSION >= 12080
  EXPECT_EQ(sizeof(CopyAttributes), sizeof(CUmemcpyAttributes));
  EXPECT_EQ(offsetof(CopyAttributes, source_hint), offsetof(CUmemcpyAttributes, srcLocHint));
  EXPECT_EQ(offsetof(CopyAttributes, target_hint), offsetof(CUmemcpyAttributes, dstLocHint));
  EXPECT_EQ(offsetof(CopyAttributes, flags), offsetof(CUmemcpyAttributes, flags));
#endif
}

TEST(Abi, NumbersAreThoseOfTheToolkit) {
  EXPECT_EQ(kInvalidValue, static_cast<int>(CUDA_ERROR_INVALID_VALUE));
  EXPECT_EQ(kOutOfMemory, static_cast<int>(CUDA_ERROR_OUT_OF_MEMORY));
  EXPECT_EQ(kNotInitialized, static_cast<int>(CUDA_ERROR_NOT_INITIALIZED));
  EXPECT_EQ(kDeviceUnavailable, static_cast<int>(CUDA_ERROR_DEVICE_UNAVAILABLE));
  EXPECT_EQ(kNoDevice, static_cast<int>(CUDA_ERROR_NO_DEVICE));
  EXPECT_EQ(kInvalidContext, static_cast<int>(CUDA_ERROR_INVALID_CONTEXT));
  EXPECT_EQ(kEccUncorrectable, static_cast<int>(CUDA_ERROR_ECC_UNCORRECTABLE));
  EXPECT_EQ(kNotReady, static_cast<int>(CUDA_ERROR_NOT_READY));
  EXPECT_EQ(kIllegalAddress, static_cast<int>(CUDA_ERROR_ILLEGAL_ADDRESS));
  EXPECT_EQ(kHostMemoryAlreadyRegistered,
            static_cast<int>(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED));
  EXPECT_EQ(kNotPermitted, static_cast<int>(CUDA_ERROR_NOT_PERMITTED));
  EXPECT_EQ(kNotSupported, static_cast<int>(CUDA_ERROR_NOT_SUPPORTED));
  EXPECT_EQ(kUnknown, static_cast<int>(CUDA_ERROR_UNKNOWN));
  EXPECT_EQ(kAttributeVirtualMemory,
            static_cast<int>(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED));
  EXPECT_EQ(kAttributePosixHandles,
            static_cast<int>(CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED));
  EXPECT_EQ(kStreamNonBlocking, static_cast<uint32_t>(CU_STREAM_NON_BLOCKING));
  EXPECT_EQ(kEventDisableTiming, static_cast<uint32_t>(CU_EVENT_DISABLE_TIMING));
  EXPECT_EQ(kHostPortable, static_cast<uint32_t>(CU_MEMHOSTREGISTER_PORTABLE));
  EXPECT_EQ(kHostPortable, static_cast<uint32_t>(CU_MEMHOSTALLOC_PORTABLE));
  EXPECT_EQ(kAllocationPinned, static_cast<int>(CU_MEM_ALLOCATION_TYPE_PINNED));
  EXPECT_EQ(kHandlePosixFd, static_cast<int>(CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
  EXPECT_EQ(kLocationDevice, static_cast<int>(CU_MEM_LOCATION_TYPE_DEVICE));
  EXPECT_EQ(kAccessReadWrite, static_cast<int>(CU_MEM_ACCESS_FLAGS_PROT_READWRITE));
  EXPECT_EQ(kGranularityRecommended, static_cast<int>(CU_MEM_ALLOC_GRANULARITY_RECOMMENDED));
#if CUDA_VERSION >= 12080
  EXPECT_EQ(kSourceOrderStream, static_cast<int>(CU_MEMCPY_SRC_ACCESS_ORDER_STREAM));
  EXPECT_EQ(kCopyOverlapsCompute,
            static_cast<uint32_t>(CU_MEMCPY_FLAG_PREFER_OVERLAP_WITH_COMPUTE));
#endif
}

}  // namespace
}  // namespace kvpager::cuda
