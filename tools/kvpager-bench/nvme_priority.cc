#include "tools/kvpager-bench/nvme_priority.h"

#include <poll.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/base/units.h"
#include "memmgr/core/effect.h"
#include "tools/kvpager-bench/executor_traffic.h"
#include "tools/kvpager-bench/nvme_scene.h"
#include "tools/kvpager-bench/nvme_traffic.h"
#include "tools/kvpager-bench/sample.h"
#include "tools/support/clock.h"

namespace kvpager::bench {
namespace {

constexpr uint64_t kSliceNs = 100'000'000;
constexpr uint64_t kSliceQuickNs = 5'000'000;
constexpr uint32_t kDepth = 64;       // The daemon's.
constexpr uint32_t kReadsAtOnce = 4;  // A step that misses a few pages.
constexpr uint32_t kWritesAtOnce = 4 * kDepth;
constexpr double kPromised = 2.5;
constexpr double kWritesPromised = 0.25;  // Of their rate alone.
constexpr int kPollMs = 1000;

// Reads of the first half of `frames`, writes of the second; each kind as many at once as a slice
// says. Slots [0, kReadsAtOnce) read, those behind write.
class Link {
 public:
  Link(NvmeExecutor* executor, uint32_t frames)
      : executor_(executor),
        reads_(0, frames / 2, 100),
        writes_(frames / 2, frames - frames / 2, 0),
        begin_ns_(kReadsAtOnce + kWritesAtOnce) {}

  // Waits for what it started. `latency_ns` gets that of each read.
  absl::Status Run(uint64_t slice_ns, bool reads, bool writes, Samples& latency_ns) {
    written_ = 0;
    const uint64_t end_ns = tools::NowNs() + slice_ns;
    for (uint32_t slot = 0; slot < begin_ns_.size(); ++slot) {
      if (slot < kReadsAtOnce ? reads : writes) Start(slot);
    }
    while (in_flight_ > 0) {
      executor_->Submit(batch_);
      batch_.clear();
      struct pollfd ready = {.fd = executor_->ready_fd(), .events = POLLIN, .revents = 0};
      poll(&ready, 1, kPollMs);
      Completion done[64];
      size_t count = 0;
      while ((count = executor_->Poll(absl::MakeSpan(done))) > 0) {
        for (const Completion& completion : absl::MakeSpan(done, count)) {
          KVP_RETURN_IF_ERROR(End(completion, end_ns, latency_ns));
        }
      }
    }
    return absl::OkStatus();
  }

  uint64_t written() const { return written_; }  // Frames of the last slice, within its time.

 private:
  void Start(uint32_t slot) {
    const bool is_read = slot < kReadsAtOnce;
    const FrameIndex frame = is_read ? reads_.Next().frame : writes_.Next().frame;
    CopyOp copy;
    copy.op = {.slot = slot, .generation = 1};
    copy.channel = is_read ? Channel::kNvmeToHost : Channel::kHostToNvme;
    copy.source = is_read ? frame : FrameIndex{slot};
    copy.target = is_read ? FrameIndex{slot} : frame;
    copy.page = ExecutorTraffic::kPage;
    copy.stamp = {.incarnation = 1, .counter = uint64_t{frame.value} + 1};
    begin_ns_[slot] = tools::NowNs();
    batch_.push_back(copy);
    ++in_flight_;
  }

  absl::Status End(const Completion& done, uint64_t end_ns, Samples& latency_ns) {
    if (done.outcome != Outcome::kOk) return absl::InternalError("an operation failed");
    const uint64_t now_ns = tools::NowNs();
    const uint32_t slot = done.op.slot;
    --in_flight_;
    if (now_ns >= end_ns) return absl::OkStatus();  // The writes that are left would not be many.
    if (slot < kReadsAtOnce) {
      latency_ns.Add(static_cast<double>(now_ns - begin_ns_[slot]));
    } else {
      ++written_;
    }
    Start(slot);
    return absl::OkStatus();
  }

  NvmeExecutor* executor_;
  NvmeTurns reads_;
  NvmeTurns writes_;
  std::vector<uint64_t> begin_ns_;  // By slot.
  std::vector<CopyOp> batch_;
  uint32_t in_flight_ = 0;
  uint64_t written_ = 0;
};

absl::Status MeasureSize(uint64_t page_bytes, const Options& options,
                         std::vector<Figure>& figures) {
  KVP_ASSIGN_OR_RETURN(const std::unique_ptr<NvmeScene> scene,
                       NvmeScene::Make(options, page_bytes, kDepth, kReadsAtOnce + kWritesAtOnce));
  const uint32_t frames = 2 * scene->half();
  {
    ExecutorTraffic prime(scene->executor(), frames, {0, page_bytes, kDepth});
    KVP_RETURN_IF_ERROR(prime.Prime(frames));
  }
  Link link(scene->executor(), frames);
  const uint64_t slice_ns = options.quick ? kSliceQuickNs : kSliceNs;
  Samples alone;
  Samples beside;
  Samples none;
  uint64_t written_alone = 0;
  uint64_t written_beside = 0;
  for (uint64_t pair = 0; pair < options.pairs; pair += 2) {
    KVP_RETURN_IF_ERROR(link.Run(slice_ns, true, false, alone));
    KVP_RETURN_IF_ERROR(link.Run(slice_ns, true, true, beside));
    written_beside += link.written();
    KVP_RETURN_IF_ERROR(link.Run(slice_ns, false, true, none));
    written_alone += 2 * link.written();
    KVP_RETURN_IF_ERROR(link.Run(slice_ns, true, true, beside));
    written_beside += link.written();
    KVP_RETURN_IF_ERROR(link.Run(slice_ns, true, false, alone));
  }
  const double writes = static_cast<double>(written_beside) /
                        static_cast<double>(written_alone == 0 ? 1 : written_alone);
  Figure figure;
  figure.part = "promotion";
  figure.name = absl::StrCat("p99, ", page_bytes / kKiB, " KiB, ", kReadsAtOnce, " at once");
  figure.unit = "us";
  figure.ours = beside.Quantile(0.99) / 1e3;
  figure.limit = alone.Quantile(0.99) / 1e3;
  figure.limit_name = absl::StrFormat(
      "without demotions; p50 %.0f against %.0f; writes go on at %.2f of their rate alone%s",
      beside.Quantile(0.5) / 1e3, alone.Quantile(0.5) / 1e3, writes,
      writes < kWritesPromised ? ", which is too little" : "");
  figure.also = {{"p50_us", beside.Quantile(0.5) / 1e3},
                 {"limit_p50_us", alone.Quantile(0.5) / 1e3},
                 {"writes_share", writes}};
  figure.allowed = writes < kWritesPromised ? 1e-9 : kPromised * figure.limit;
  figure.samples = beside.count();
  figures.push_back(figure);
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasurePromotions(const Options& options, std::vector<Figure>& figures) {
  for (const uint64_t page_bytes : {64 * kKiB, 256 * kKiB, kMiB}) {
    KVP_RETURN_IF_ERROR(MeasureSize(page_bytes, options, figures));
    if (options.quick) break;
  }
  return absl::OkStatus();
}

}  // namespace kvpager::bench
