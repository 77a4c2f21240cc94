#include "memmgr/cuda/device_range.h"

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"

namespace kvpager::cuda {
namespace {

AllocationProperties PropertiesOn(const PrimaryContext& context) {
  AllocationProperties properties;
  properties.location = {.type = kLocationDevice, .id = context.device()};
  return properties;
}

}  // namespace

absl::StatusOr<uint64_t> DeviceRange::Granularity(const PrimaryContext& context) {
  const AllocationProperties properties = PropertiesOn(context);
  size_t bytes = 0;
  KVP_RETURN_IF_ERROR(ToStatus(
      context.driver(), context.driver().granularity(&bytes, &properties, kGranularityRecommended),
      "cannot ask for the granularity of device memory"));
  KVP_CHECK_GT(bytes, 0u);
  return bytes;
}

absl::StatusOr<std::unique_ptr<DeviceRange>> DeviceRange::Reserve(const PrimaryContext& context,
                                                                  uint64_t bytes) {
  DevicePointer base = 0;
  KVP_RETURN_IF_ERROR(ToStatus(context.driver(), context.driver().reserve(&base, bytes, 0, 0, 0),
                               absl::StrCat("cannot reserve ", bytes, " bytes of addresses")));
  return std::unique_ptr<DeviceRange>(new DeviceRange(context, base, bytes));
}

DeviceRange::~DeviceRange() {
  const DriverTable& driver = context_.driver();
  DevicePointer at = base_;
  for (const Part& part : parts_) {
    driver.unmap(at, part.bytes);
    driver.release(part.handle);
    at += part.bytes;
  }
  driver.unreserve(base_, reserved_bytes_);
}

absl::Status DeviceRange::Grow(uint64_t bytes) {
  const AllocationProperties properties = PropertiesOn(context_);
  AllocationHandle handle = 0;
  KVP_RETURN_IF_ERROR(ToStatus(context_.driver(),
                               context_.driver().create(&handle, bytes, &properties, 0),
                               absl::StrCat("cannot have ", bytes, " bytes of device memory")));
  return MapPart(handle, bytes);
}

absl::Status DeviceRange::Import(int fd, uint64_t bytes) {
  AllocationHandle handle = 0;
  // The driver takes the descriptor's number in place of an address.
  void* const number = reinterpret_cast<void*>(static_cast<intptr_t>(fd));
  KVP_RETURN_IF_ERROR(ToStatus(context_.driver(),
                               context_.driver().import_handle(&handle, number, kHandlePosixFd),
                               "cannot import the daemon's device memory"));
  return MapPart(handle, bytes);
}

absl::Status DeviceRange::MapPart(AllocationHandle handle, uint64_t bytes) {
  const DriverTable& driver = context_.driver();
  if (bytes == 0 || bytes > reserved_bytes_ - mapped_bytes_) {
    driver.release(handle);
    return absl::InvalidArgumentError(absl::StrCat("a part of ", bytes, " bytes does not fit the ",
                                                   reserved_bytes_ - mapped_bytes_,
                                                   " bytes of addresses that are left"));
  }
  const DevicePointer at = base_ + mapped_bytes_;
  absl::Status status = ToStatus(driver, driver.map(at, bytes, 0, handle, 0),
                                 absl::StrCat("cannot map ", bytes, " bytes of device memory"));
  if (!status.ok()) {
    driver.release(handle);
    return status;
  }
  AccessDescription access;
  access.location = {.type = kLocationDevice, .id = context_.device()};
  status = ToStatus(driver, driver.set_access(at, bytes, &access, 1),
                    "cannot make device memory readable and writable");
  if (!status.ok()) {
    driver.unmap(at, bytes);
    driver.release(handle);
    return status;
  }
  parts_.push_back({handle, bytes});
  mapped_bytes_ += bytes;
  return absl::OkStatus();
}

absl::StatusOr<int> DeviceRange::Export(size_t index) const {
  KVP_CHECK_LT(index, parts_.size());
  int fd = -1;
  KVP_RETURN_IF_ERROR(
      ToStatus(context_.driver(),
               context_.driver().export_handle(&fd, parts_[index].handle, kHandlePosixFd, 0),
               "cannot export device memory"));
  return fd;
}

}  // namespace kvpager::cuda
