#include "engine_plugin/gpu_pool.h"

#include <memory>
#include <vector>

#include "memmgr/base/status_macros.h"
#include "memmgr/cuda/driver_table.h"

namespace kvpager::engine {

absl::StatusOr<std::unique_ptr<GpuPool>> GpuPool::Import(const cuda::Uuid& uuid,
                                                         std::vector<GpuPart> parts) {
  const absl::StatusOr<cuda::DriverTable>& driver = cuda::ProcessDriver();
  if (!driver.ok()) return driver.status();
  auto pool = std::unique_ptr<GpuPool>(new GpuPool());
  KVP_ASSIGN_OR_RETURN(pool->context_, cuda::PrimaryContext::OpenUuid(*driver, uuid));
  const cuda::ScopedContext current(*pool->context_);
  KVP_RETURN_IF_ERROR(
      ToStatus(*driver, current.error(), "cannot use the CUDA device's primary context"));
  uint64_t bytes = 0;
  for (const GpuPart& part : parts) bytes += part.bytes;
  KVP_ASSIGN_OR_RETURN(pool->range_, cuda::DeviceRange::Reserve(*pool->context_, bytes));
  for (const GpuPart& part : parts) {
    KVP_RETURN_IF_ERROR(pool->range_->Import(part.fd.get(), part.bytes));
  }
  return pool;
}

GpuPool::~GpuPool() {
  if (range_ == nullptr) return;
  const cuda::ScopedContext current(*context_);
  range_.reset();
}

}  // namespace kvpager::engine
