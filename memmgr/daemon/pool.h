// memmgr/daemon/pool.h
//
// The pool: one core and everything that acts for it. Built at the first attach, because only an
// engine knows the geometry; the sizes come from the configuration.
//
//   geometry --> sizes in blocks --> Limits --> device, arena, page file, catalogue
//            --> restore what is on NVMe --> page table --> core
//
// What was on NVMe: after a clean stop the catalogue is believed. After any other, it is taken for
// a hint, and the headers are read while the daemon serves (reconciler.h); a small file's are read
// before the first attach is answered.
//
// Ownership: all of it; destroyed executors first. Thread-safety: the loop thread.
// Errors: Create: kInvalidArgument (geometry, options), kResourceExhausted (memory, disk),
// kFailedPrecondition (the data file is another pool's), kPermissionDenied, kUnavailable.

#ifndef KVPAGER_MEMMGR_DAEMON_POOL_H_
#define KVPAGER_MEMMGR_DAEMON_POOL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ipc/attach.h"
#include "ipc/page_table_writer.h"
#include "memmgr/base/geometry.h"
#include "memmgr/core/core.h"
#include "memmgr/core/limits.h"
#include "memmgr/daemon/config.h"
#include "memmgr/daemon/data_directory.h"
#include "memmgr/daemon/reconciler.h"
#include "tiers/catalogue/catalogue.h"
#include "tiers/hbm/copy_thread.h"
#include "tiers/hbm/device.h"
#include "tiers/hbm/device_executor.h"
#include "tiers/host/host_arena.h"
#include "tiers/nvme/nvme_executor.h"
#include "tiers/nvme/page_file.h"
#include "tiers/nvme/page_sealer.h"

namespace kvpager {

// What the first attach says.
struct PoolIdentity {
  std::string name;
  Geometry geometry;
  std::string model;
};

// How the restart went, for the log and kvpagerctl.
struct RestoreCounts {
  uint64_t blocks = 0;    // In the core again.
  uint64_t refused = 0;   // The core had no room or no use for them.
  uint64_t scanned = 0;   // Seen by reading headers so far: the stop was not clean.
  uint64_t repaired = 0;  // Catalogue entries written or removed to agree with the headers.
  uint64_t torn_runs = 0;
  uint64_t durable_lost = 0;  // Promised, and their frames hold something else.
};

class Pool {
 public:
  static absl::StatusOr<std::unique_ptr<Pool>> Create(const Config& config,
                                                      const DataDirectory& directory,
                                                      const PoolIdentity& identity);
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // kFailedPrecondition, naming the field that differs, unless a later attach fits this pool.
  absl::Status Match(const PoolIdentity& identity) const;

  const PoolIdentity& identity() const { return identity_; }
  const Limits& limits() const { return limits_; }
  const RestoreCounts& restored() const { return restored_; }
  uint32_t blocks_nvme() const;
  PoolInfo info() const;

  Core& core() { return *core_; }
  PageTableWriter& page_table() { return *page_table_; }
  HostArena& arena() { return *arena_; }
  Device& device() { return *device_; }
  CopyExecutor& device_copies();  // Who performs the copies of the device.
  const DeviceExecutor& device_executor() const { return *device_executor_; }  // Its counters.
  // Before the first sequence of the namespace: an encrypted tier needs its key.
  absl::Status PrepareNamespace(NamespaceId name_space, std::string_view name,
                                const DataDirectory& directory);
  NvmeExecutor* nvme_executor() { return nvme_executor_.get(); }  // Null: no NVMe tier.
  PageFile* page_file() { return page_file_.get(); }              // The same.
  Catalogue* catalogue() { return catalogue_.get(); }             // The same.

  // After an unclean stop: tells the core of the next run whose headers have been read. False: none
  // is ready. The caller carries out the effects.
  bool Reconcile(Instant now, Effects& effects);
  bool reconciles_now();            // Reconcile would return true.
  int headers_fd() const;           // Readable when it may; -1: nothing is read.
  uint64_t headers_unread() const;  // That the core has still to be told of.

  // Waits for the operations in flight, closes catalogue and file with the mark of a clean stop.
  // The last call before the destructor.
  absl::Status CloseClean();

 private:
  explicit Pool(const PoolIdentity& identity) : identity_(identity) {}

  absl::Status BuildMemory(const Config& config, const DataDirectory& directory);
  absl::Status BuildNvme(const Config& config, const DataDirectory& directory);
  absl::Status BuildCore();
  absl::Status Restore();
  absl::Status StartReconciler(std::vector<RestoredBlock> expected);
  void ReconcileAtStart();
  void EndReconciliation();
  void LogSummary() const;

  PoolIdentity identity_;
  Limits limits_;
  RestoreCounts restored_;
  std::unique_ptr<HostArena> arena_;
  std::unique_ptr<Device> device_;  // Behind the arena, which it may have registered.
  std::unique_ptr<PageFile> page_file_;
  std::unique_ptr<Catalogue> catalogue_;
  std::unique_ptr<DeviceExecutor> device_executor_;
  std::unique_ptr<CopyThread> copy_thread_;  // Null: the device copies by itself.
  bool encrypted_ = false;                   // The NVMe tier.
  PageSealer sealer_;                        // Used if it is.
  std::unique_ptr<NvmeExecutor> nvme_executor_;
  std::optional<PageTableWriter> page_table_;
  std::unique_ptr<Core> core_;
  std::unique_ptr<Reconciler> reconciler_;  // Null: nothing is read, or not any more.
  bool reconciled_ = false;                 // All headers have been read and shown to the core.
};

// The sizes of the configuration in blocks of `geometry`, with everything else of its pool options.
// kInvalidArgument if a size is less than the geometry needs, kResourceExhausted if blocks need
// more memory than is free.
absl::StatusOr<PoolOptions> PoolOptionsOf(const Config& config, const Geometry& geometry,
                                          uint64_t memory_free_bytes);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_POOL_H_
