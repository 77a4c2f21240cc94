// memmgr/cuda/scoped_context.h
//
// A device's primary context, and making it current. The primary context is the one that CUDA's
// runtime, and so every framework, uses: what is mapped there, an engine's kernels see.
//
// Ownership: PrimaryContext holds a reference of the context; the driver table is copied, its
// entries stay loaded. Thread-safety: PrimaryContext may be used by several threads; a
// ScopedContext belongs to the thread that made it. Errors: below, in a sentence.

#ifndef KVPAGER_MEMMGR_CUDA_SCOPED_CONTEXT_H_
#define KVPAGER_MEMMGR_CUDA_SCOPED_CONTEXT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "memmgr/cuda/driver_table.h"

namespace kvpager::cuda {

class PrimaryContext {
 public:
  // kUnavailable: no such device, or it is in use or broken; kUnimplemented: it cannot map memory
  // that other processes share.
  static absl::StatusOr<std::unique_ptr<PrimaryContext>> Open(const DriverTable& driver,
                                                              int ordinal);
  // The device with this UUID, wherever this process counts it.
  static absl::StatusOr<std::unique_ptr<PrimaryContext>> OpenUuid(const DriverTable& driver,
                                                                  const Uuid& uuid);
  ~PrimaryContext();
  PrimaryContext(const PrimaryContext&) = delete;
  PrimaryContext& operator=(const PrimaryContext&) = delete;

  const DriverTable& driver() const { return driver_; }
  DeviceOrdinal device() const { return device_; }
  Context context() const { return context_; }
  const Uuid& uuid() const { return uuid_; }
  const std::string& name() const { return name_; }

 private:
  PrimaryContext(const DriverTable& driver, DeviceOrdinal device)
      : driver_(driver), device_(device) {}

  const DriverTable driver_;
  DeviceOrdinal device_ = 0;
  Context context_ = nullptr;
  Uuid uuid_{};
  std::string name_;
};

// Current in this thread until it is destroyed; then what was current before.
class ScopedContext {
 public:
  explicit ScopedContext(const PrimaryContext& context);
  ~ScopedContext();
  ScopedContext(const ScopedContext&) = delete;
  ScopedContext& operator=(const ScopedContext&) = delete;

  Result error() const { return error_; }  // Of making it current.

 private:
  const DriverTable& driver_;
  Result error_;
};

}  // namespace kvpager::cuda

#endif  // KVPAGER_MEMMGR_CUDA_SCOPED_CONTEXT_H_
