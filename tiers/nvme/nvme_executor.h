// tiers/nvme/nvme_executor.h
//
// The two channels between host memory and the page file: kHostToNvme and kNvmeToHost.
//
//   write  checks the payload's CRC32C (kCorrupt: the host copy is bad), completes the header,
//          writes payload and header in one request
//   read   reads both in one request, checks everything the header says and the payload's CRC32C
//          (kCorrupt: the NVMe copy is bad), then puts the page index in place
//
// With a sealer payloads are encrypted on their way out, into memory of the executor's own, and
// decrypted where they are read to; frames that are not sealed are then kCorrupt, as sealed ones
// are without.
//
// A short transfer or an error of the device is kFailed. Reads start before writes.
//
// Create picks io_uring, on one thread of its own, with the file and, where RLIMIT_MEMLOCK allows,
// the host arena registered. Where io_uring is refused, a pool of threads with pread and pwrite
// takes over. detail() says what was chosen and why.
//
// Ownership: arena, file and sealer belong to the caller and outlive the executor. Thread-safety:
// calls from one thread; stats() from any. The destructor waits for everything submitted, then
// joins.

#ifndef KVPAGER_TIERS_NVME_NVME_EXECUTOR_H_
#define KVPAGER_TIERS_NVME_NVME_EXECUTOR_H_

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "tiers/executor.h"
#include "tiers/host/host_arena.h"
#include "tiers/nvme/page_file.h"
#include "tiers/nvme/page_sealer.h"

namespace kvpager {

enum class NvmeBackend : uint8_t { kAuto, kThreads };

struct NvmeStats {
  uint64_t reads = 0;
  uint64_t read_bytes = 0;
  uint64_t writes = 0;
  uint64_t written_bytes = 0;
  uint64_t failed = 0;   // Operations of either kind.
  uint64_t corrupt = 0;  // The same.
  // Since an operation last went well. For want of room or under a limit does not count.
  uint64_t failed_in_row = 0;
  // Of both sides of the hand-over, waiting for completions apart. Over io_uring only.
  uint64_t system_calls = 0;
};

// A device that fails as often in a row is taken out of service.
inline constexpr uint64_t kFailedInRowMax = 16;

class NvmeExecutor : public CopyExecutor {
 public:
  struct Options {
    HostArena* arena = nullptr;
    PageFile* file = nullptr;
    uint32_t depth = 64;  // Requests at the device at once.
    NvmeBackend backend = NvmeBackend::kAuto;
    const PageSealer* sealer = nullptr;  // Null: nothing is encrypted.
  };

  // kInvalidArgument if arena and file have frames of different sizes; kUnavailable if not even
  // threads can be had.
  static absl::StatusOr<std::unique_ptr<NvmeExecutor>> Create(const Options& options);

  virtual NvmeStats stats() const = 0;
  virtual std::string_view detail() const = 0;
  virtual bool uses_uring() const = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_NVME_NVME_EXECUTOR_H_
