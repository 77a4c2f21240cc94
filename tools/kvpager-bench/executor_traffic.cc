#include "tools/kvpager-bench/executor_traffic.h"

#include <poll.h>

#include <cstring>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "memmgr/base/geometry.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/base/units.h"

namespace kvpager::bench {
namespace {

constexpr int kPollMs = 1000;  // A silent device is a case for the operator, not for this loop.

}  // namespace

ExecutorTraffic::ExecutorTraffic(NvmeExecutor* executor, uint32_t frames, const NvmeCase& one)
    : executor_(executor),
      turns_(0, frames, one.read_percent),
      slots_(kBacklog * one.depth),
      frame_bytes_(AlignUp(one.page_bytes, kFrameAlignment) + kFrameHeaderBytes),
      begin_ns_(slots_) {}

// The same stamp for every write of a frame, so that a read knows it without a ledger.
CopyOp ExecutorTraffic::Copy(uint32_t slot, const NvmeTurns::Turn& turn) const {
  CopyOp copy;
  copy.op = {.slot = slot, .generation = 1};
  copy.channel = turn.is_read ? Channel::kNvmeToHost : Channel::kHostToNvme;
  copy.source = turn.is_read ? turn.frame : FrameIndex{slot};
  copy.target = turn.is_read ? FrameIndex{slot} : turn.frame;
  copy.page = kPage;
  copy.stamp = {.incarnation = 1, .counter = uint64_t{turn.frame.value} + 1};
  return copy;
}

void ExecutorTraffic::Start(uint32_t slot, const NvmeTurns::Turn& turn) {
  begin_ns_[slot] = tools::NowNs();
  batch_.push_back(Copy(slot, turn));
}

absl::Status ExecutorTraffic::Reap(std::vector<uint32_t>& ended) {
  ended.clear();
  struct pollfd ready = {.fd = executor_->ready_fd(), .events = POLLIN, .revents = 0};
  poll(&ready, 1, kPollMs);
  Completion done[64];
  size_t count = 0;
  while ((count = executor_->Poll(absl::MakeSpan(done))) > 0) {
    const uint64_t now_ns = tools::NowNs();
    for (size_t i = 0; i < count; ++i) {
      if (done[i].outcome != Outcome::kOk) {
        return absl::InternalError(
            done[i].outcome == Outcome::kCorrupt
                ? "a page came back with wrong bytes"
                : absl::StrCat("the device: ", std::strerror(done[i].os_error)));
      }
      const uint32_t slot = done[i].op.slot;
      latency_ns_.Add(static_cast<double>(now_ns - begin_ns_[slot]));
      ended.push_back(slot);
    }
  }
  return absl::OkStatus();
}

absl::Status ExecutorTraffic::Prime(uint32_t frames) {
  std::vector<uint32_t> ended(slots_);
  std::iota(ended.begin(), ended.end(), 0u);
  uint32_t in_flight = 0;
  for (uint32_t frame = 0; frame < frames || in_flight > 0;) {
    for (const uint32_t slot : ended) {
      if (frame == frames) break;
      Start(slot, {FrameIndex{frame++}, false});
      ++in_flight;
    }
    executor_->Submit(batch_);
    batch_.clear();
    KVP_RETURN_IF_ERROR(Reap(ended));
    in_flight -= static_cast<uint32_t>(ended.size());
  }
  latency_ns_ = Samples();
  return absl::OkStatus();
}

absl::StatusOr<NvmeSlice> ExecutorTraffic::Run(uint64_t slice_ns) {
  NvmeSlice slice;
  const uint64_t begin_ns = tools::NowNs();
  const uint64_t cpu_ns = ProcessCpuNs();
  const uint64_t system_calls = executor_->stats().system_calls;
  std::vector<uint32_t> ended(slots_);
  std::iota(ended.begin(), ended.end(), 0u);
  uint32_t in_flight = 0;
  do {
    if (tools::NowNs() - begin_ns < slice_ns) {
      for (const uint32_t slot : ended) Start(slot, turns_.Next());
      in_flight += static_cast<uint32_t>(ended.size());
    }
    executor_->Submit(batch_);
    batch_.clear();
    KVP_RETURN_IF_ERROR(Reap(ended));
    in_flight -= static_cast<uint32_t>(ended.size());
    slice.bytes += ended.size() * frame_bytes_;
    ++slice.system_calls;  // The poll in Reap.
  } while (in_flight > 0);
  slice.ns = tools::NowNs() - begin_ns;
  slice.cpu_ns = ProcessCpuNs() - cpu_ns;
  slice.system_calls += executor_->stats().system_calls - system_calls;
  return slice;
}

}  // namespace kvpager::bench
