// tiers/nvme/page_file.h
//
// The file that holds a pool's NVMe frames: one superblock, then frames at fixed offsets. The whole
// size is reserved when it is created. docs/NVME_FORMAT.md describes every byte.
//
//   | superblock 4096 | frame 0 | frame 1 | ...        frame: payload, padded, then its header
//
// Opening takes the file for this process (flock on the data file itself: a dead daemon's ring
// keeps it until its last write has landed), checks that it belongs to this geometry and model, and
// marks it "not cleanly closed" with the new incarnation. Nothing that was in it is ever deleted. A
// file with fewer frames than asked for is grown; one with more is kept as it is, and only the
// first frames are used.
//
// Direct I/O where the filesystem allows it, else buffered; detail() says which and why. Open makes
// the process ignore SIGXFSZ, so that a file size limit is an error and not a death.
//
// Ownership: the descriptor. Thread-safety: Flush from any thread; the rest from one.
// Errors: kFailedPrecondition (in use, or of another pool), kResourceExhausted (no room; a file
// just created is removed again), kPermissionDenied, kUnavailable (other errors of the system).

#ifndef KVPAGER_TIERS_NVME_PAGE_FILE_H_
#define KVPAGER_TIERS_NVME_PAGE_FILE_H_

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memmgr/base/geometry.h"
#include "memmgr/base/ids.h"
#include "tiers/data_flusher.h"
#include "tiers/nvme/io_tap.h"
#include "tiers/nvme/superblock.h"

namespace kvpager {

enum class DirectIo : uint8_t { kTry, kNever };

class PageFile final : public DataFlusher {
 public:
  struct Options {
    std::string path;  // Its folder must exist.
    Geometry geometry;
    std::string model_fingerprint;  // The engine's name for model and weights.
    uint32_t frames = 0;            // A multiple of geometry.num_groups().
    uint64_t incarnation = 0;       // Random per start; first half of this daemon's stamps.
    DirectIo direct_io = DirectIo::kTry;
    // How long to wait for the lock: the writes of a daemon that was killed may still be landing.
    uint32_t lock_wait_ms = 2000;
    IoTap* tap = nullptr;  // For tests.
  };

  static absl::StatusOr<std::unique_ptr<PageFile>> Open(const Options& options);
  ~PageFile() override;
  PageFile(const PageFile&) = delete;
  PageFile& operator=(const PageFile&) = delete;

  int fd() const { return fd_; }
  IoTap* tap() const { return options_.tap; }
  bool direct() const { return direct_; }
  uint32_t frames() const { return options_.frames; }
  uint64_t frame_bytes() const { return frame_bytes_; }
  const Geometry& geometry() const { return options_.geometry; }
  const std::string& path() const { return options_.path; }
  uint64_t OffsetOf(FrameIndex frame) const;  // Bytes from the start of the file.
  std::string_view detail() const { return detail_; }

  // What was found at open.
  bool created() const { return created_; }
  bool was_clean() const { return was_clean_; }  // The last owner closed it; false when created.
  uint64_t incarnation_previous() const { return incarnation_previous_; }  // 0 when created.

  absl::Status Flush() override;

  // Flushes, then records that everything in the file is as the catalogue says. Last call before
  // the destructor, after all I/O has ended.
  absl::Status MarkClean();

 private:
  explicit PageFile(const Options& options);
  absl::Status OpenAndLock();
  absl::Status LoadOrCreate();
  absl::Status Reserve(uint64_t frames_before, uint64_t bytes_before);
  absl::Status WriteSuperblock(PageFileState state, uint64_t frames_in_file);
  ssize_t WriteBlock(const std::byte* block);
  int SyncData();
  void ChooseDirectIo();

  Options options_;
  uint64_t frame_bytes_ = 0;
  uint64_t frames_in_file_ = 0;
  int fd_ = -1;
  bool direct_ = false;
  bool created_ = false;
  bool was_clean_ = false;
  uint64_t incarnation_previous_ = 0;
  std::atomic<int> flush_error_{0};
  std::string detail_;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_NVME_PAGE_FILE_H_
