// How a CudaDevice comes to be, measures its links, says what it is, and goes.

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memmgr/base/geometry.h"
#include "memmgr/base/status_macros.h"
#include "tiers/hbm/cuda_device.h"

namespace kvpager {
namespace {

constexpr uint64_t kMeasuredPieceBytes = 2 * kMiB;
constexpr uint32_t kMeasuredPieces = 16;

uint64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

std::string Rate(uint64_t bytes_per_second) {
  return absl::StrFormat("%.1f GB/s", static_cast<double>(bytes_per_second) / 1e9);
}

}  // namespace

absl::StatusOr<std::unique_ptr<CudaDevice>> CudaDevice::Create(const Options& options) {
  if (options.frames == 0 || options.frame_bytes == 0 ||
      options.frame_bytes % kFrameAlignment != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the hbm tier needs at least one frame of a multiple of ", kFrameAlignment,
                     " bytes, not ", options.frames, " of ", options.frame_bytes));
  }
  auto device = std::unique_ptr<CudaDevice>(new CudaDevice(options));
  KVP_ASSIGN_OR_RETURN(device->context_,
                       cuda::PrimaryContext::Open(options.driver, options.ordinal));
  device->current_ = std::make_unique<cuda::ScopedContext>(*device->context_);
  KVP_RETURN_IF_ERROR(
      ToStatus(options.driver, device->current_->error(), "cannot use the CUDA device's context"));
  KVP_RETURN_IF_ERROR(device->BuildPool());
  KVP_RETURN_IF_ERROR(device->BuildCopies());
  KVP_RETURN_IF_ERROR(device->Calibrate());
  return device;
}

CudaDevice::~CudaDevice() {
  // First whoever may still reach memory, then the memory.
  up_.queue.reset();
  down_.queue.reset();
  registrar_.reset();
  if (staging_ != nullptr) options_.driver.host_free(staging_);
  for (const DevicePart& part : parts_) close(part.fd);
  pool_.reset();
  current_.reset();
}

absl::Status CudaDevice::BuildPool() {
  KVP_ASSIGN_OR_RETURN(const uint64_t granule, cuda::DeviceRange::Granularity(*context_));
  const uint64_t bytes = AlignUp(options_.frames * options_.frame_bytes, granule);
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  KVP_RETURN_IF_ERROR(ToStatus(options_.driver,
                               options_.driver.memory_get_info(&free_bytes, &total_bytes),
                               "cannot ask for the free device memory"));
  if (bytes > free_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the hbm tier is to have ", bytes, " bytes of CUDA device ", options_.ordinal,
                     ", but only ", free_bytes, " of its ", total_bytes,
                     " are free; lower hbm.size or free some"));
  }
  KVP_ASSIGN_OR_RETURN(pool_, cuda::DeviceRange::Reserve(*context_, bytes));
  const uint64_t part_bytes =
      AlignUp(std::max(options_.part_bytes, CeilDiv(bytes, kDevicePartsMax)), granule);
  while (pool_->mapped_bytes() < bytes) {
    KVP_RETURN_IF_ERROR(pool_->Grow(std::min(part_bytes, bytes - pool_->mapped_bytes())));
    const size_t index = pool_->parts() - 1;
    KVP_ASSIGN_OR_RETURN(const int fd, pool_->Export(index));
    parts_.push_back({fd, pool_->part_bytes(index)});
  }
  return absl::OkStatus();
}

// Also zeroes the pool: nobody is to see what lay in this memory before.
absl::Status CudaDevice::BuildCopies() {
  void* staging = nullptr;
  KVP_RETURN_IF_ERROR(
      ToStatus(options_.driver,
               options_.driver.host_allocate(&staging, kStagingSlots * kStagingSlotBytes,
                                             cuda::kHostPortable),
               "cannot pin the staging buffer for copies to and from the device"));
  staging_ = static_cast<std::byte*>(staging);
  std::memset(staging_, 0, kStagingSlots * kStagingSlotBytes);
  for (uint32_t slot = 0; slot < kStagingSlots; ++slot) slots_free_.push_back(slot);
  KVP_ASSIGN_OR_RETURN(up_.queue, CudaQueue::Create(*context_));
  KVP_ASSIGN_OR_RETURN(down_.queue, CudaQueue::Create(*context_));
  KVP_RETURN_IF_ERROR(ToStatus(
      options_.driver,
      options_.driver.fill_async(pool_->base(), 0, pool_->mapped_bytes(), up_.queue->stream()),
      "cannot clear the device memory"));
  return ToStatus(options_.driver, up_.queue->Wait(), "cannot clear the device memory");
}

// Zeros over zeros.
absl::Status CudaDevice::Calibrate() {
  const uint64_t bytes = std::min(kMeasuredPieceBytes, pool_->mapped_bytes());
  const auto host = reinterpret_cast<cuda::DevicePointer>(staging_);
  KVP_ASSIGN_OR_RETURN(rates_.from_host, Measure(*up_.queue, pool_->base(), host, bytes));
  KVP_ASSIGN_OR_RETURN(rates_.to_host, Measure(*down_.queue, host, pool_->base(), bytes));
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> CudaDevice::Measure(CudaQueue& queue, cuda::DevicePointer target,
                                             cuda::DevicePointer source, uint64_t bytes) const {
  const uint64_t begin_ns = NowNs();
  for (uint32_t i = 0; i < kMeasuredPieces; ++i) {
    KVP_RETURN_IF_ERROR(ToStatus(options_.driver,
                                 options_.driver.copy_async(target, source, bytes, queue.stream()),
                                 "cannot copy between pinned memory and the device"));
  }
  KVP_RETURN_IF_ERROR(
      ToStatus(options_.driver, queue.Wait(), "cannot copy between pinned memory and the device"));
  const double seconds = static_cast<double>(std::max<uint64_t>(NowNs() - begin_ns, 1)) / 1e9;
  return static_cast<uint64_t>(static_cast<double>(bytes * kMeasuredPieces) / seconds);
}

std::string_view CudaDevice::detail() const {
  detail_ = absl::StrCat("cuda:", options_.ordinal, " ", context_->name(), ", ", options_.frames,
                         " frames in ", parts_.size(), " parts, from host ", Rate(rates_.from_host),
                         ", to host ", Rate(rates_.to_host));
  if (registrar_ != nullptr) {
    if (registrar_->refusal() != cuda::kSuccess) {
      absl::StrAppend(&detail_, ", host arena staged: registration was refused (",
                      cuda::ErrorText(options_.driver, registrar_->refusal()), ")");
    } else if (registrar_->registered_bytes() < registrar_->bytes()) {
      absl::StrAppend(&detail_, ", host arena registered up to ", registrar_->registered_bytes(),
                      " of ", registrar_->bytes(), " bytes");
    } else {
      absl::StrAppend(&detail_, ", host arena registered");
    }
  }
  if (failed_copies_ > 0) {
    absl::StrAppend(&detail_, ", ", failed_copies_, " copies failed, the last with ",
                    cuda::ErrorText(options_.driver, last_error_));
  }
  if (!health().ok()) absl::StrAppend(&detail_, ", LOST");
  return detail_;
}

}  // namespace kvpager
