#include "tiers/hbm/cuda_registrar.h"

#include <algorithm>
#include <cstddef>
#include <memory>

#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/base/units.h"

namespace kvpager {

absl::StatusOr<std::unique_ptr<CudaRegistrar>> CudaRegistrar::Start(
    const cuda::PrimaryContext& context, std::byte* base, uint64_t bytes, uint64_t region_bytes) {
  auto registrar =
      std::unique_ptr<CudaRegistrar>(new CudaRegistrar(context, base, bytes, region_bytes));
  const absl::Status started =
      registrar->thread_.Start<CudaRegistrar, &CudaRegistrar::Run>("kvp-register", registrar.get());
  KVP_RETURN_IF_ERROR(started);
  return registrar;
}

CudaRegistrar::CudaRegistrar(const cuda::PrimaryContext& context, std::byte* base, uint64_t bytes,
                             uint64_t region_bytes)
    : context_(context),
      base_(base),
      bytes_(bytes),
      region_bytes_(region_bytes),
      registered_(CeilDiv(bytes, region_bytes)) {}

CudaRegistrar::~CudaRegistrar() {
  stop_.store(true);
  thread_.Join();
  for (size_t region = 0; region < registered_.size(); ++region) {
    if (registered_[region].load()) {
      context_.driver().host_unregister(base_ + region * region_bytes_);
    }
  }
}

uint64_t CudaRegistrar::BytesOf(size_t region) const {
  return std::min(region_bytes_, bytes_ - region * region_bytes_);
}

CudaRegistrar::Place CudaRegistrar::Find(const std::byte* at) const {
  KVP_CHECK(at >= base_ && at < base_ + bytes_);
  const uint64_t offset = static_cast<uint64_t>(at - base_);
  const uint64_t region = offset / region_bytes_;
  return {.is_registered = registered_[region].load(),
          .region = region,
          .bytes = BytesOf(region) - offset % region_bytes_};
}

void CudaRegistrar::Run() {
  const cuda::ScopedContext current(context_);
  if (current.error() != cuda::kSuccess) {
    refusal_.store(current.error());
    return;
  }
  for (size_t region = 0; region < registered_.size() && !stop_.load(); ++region) {
    const cuda::Result error = context_.driver().host_register(
        base_ + region * region_bytes_, BytesOf(region), cuda::kHostPortable);
    if (error != cuda::kSuccess) {
      refusal_.store(error);
      return;
    }
    registered_[region].store(true);
    registered_bytes_.fetch_add(BytesOf(region));
  }
}

}  // namespace kvpager
