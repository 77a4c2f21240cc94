#include "tests/sim/fake_tiers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/sim/failure.h"
#include "tests/testing/describe.h"

namespace kvpager::sim {

FakeTiers::FakeTiers(const Limits& limits, const SimOptions& options, testing::Random& random)
    : page_tokens_(limits.page_tokens),
      num_groups_(limits.num_groups),
      incarnation_(limits.incarnation),
      speeds_(options.speeds),
      faults_(options.faults),
      random_(random),
      hbm_(limits.frames_max[TierIndex(Tier::kHbm)]),
      host_(limits.frames_max[TierIndex(Tier::kHost)]),
      nvme_(limits.frames_max[TierIndex(Tier::kNvme)]) {
  slowdown_.fill(1);
  for (NvmeFrame& frame : nvme_) frame.rows.assign(page_tokens_, kZeroRow);
  nvme_flushed_ = nvme_;
  ForgetMemory();
}

void FakeTiers::ForgetMemory() {
  for (std::vector<Row>& rows : hbm_) rows.assign(page_tokens_, kZeroRow);
  for (HostFrame& frame : host_) {
    frame = HostFrame{};
    frame.rows.assign(page_tokens_, kZeroRow);
  }
  operations_.clear();
  busy_until_ns_.fill(0);
  nvme_lost_ = false;
}

std::vector<Row>& FakeTiers::RowsOf(Tier tier, FrameIndex frame) {
  switch (tier) {
    case Tier::kHbm:
      return hbm_[frame.value];
    case Tier::kHost:
      return host_[frame.value].rows;
    case Tier::kNvme:
      return nvme_[frame.value].rows;
  }
  return hbm_[frame.value];
}

void FakeTiers::Submit(const CopyOp& copy, FrameWatch& watch, uint64_t now_ns) {
  watch.OperationStarted(copy);
  const ChannelTiers tiers = TiersOf(copy.channel);
  if (nvme_lost_ && tiers.target == Tier::kNvme) {
    Fail(absl::StrCat("a write to a tier out of service: ", testing::Describe(copy)));
  }
  const size_t channel = ChannelIndex(copy.channel);
  Operation operation;
  operation.copy = copy;
  const uint64_t start_ns = std::max(now_ns, busy_until_ns_[channel]);
  busy_until_ns_[channel] = start_ns + speeds_[channel].busy_ns * slowdown_[channel];
  operation.due_ns = busy_until_ns_[channel] + speeds_[channel].latency_ns * slowdown_[channel] +
                     random_.Below(speeds_[channel].latency_ns);
  if (tiers.has_source) {
    const std::vector<Row>& source = RowsOf(tiers.source, copy.source);
    const uint64_t early = random_.Below(page_tokens_ + 1);
    operation.rows.assign(source.begin(), source.begin() + static_cast<int64_t>(early));
  }
  if (tiers.target == Tier::kNvme) {
    operation.overwritten = nvme_[copy.target.value];
    nvme_[copy.target.value].complete = false;
  }
  Spoil(copy, operation);
  operations_.push_back(std::move(operation));
}

// While an operation runs, and after it failed, its target holds garbage (E5).
void FakeTiers::Spoil(const CopyOp& copy, const Operation& operation) {
  const ChannelTiers tiers = TiersOf(copy.channel);
  std::vector<Row>& target = RowsOf(tiers.target, copy.target);
  for (size_t i = 0; i < target.size(); ++i) {
    const Row was = i < operation.rows.size() ? operation.rows[i] : kZeroRow;
    target[i] = Garbage(was, copy.op.slot + i);
  }
  if (tiers.target == Tier::kHost) host_[copy.target.value].page = PageIndex{};
}

uint64_t FakeTiers::next_due_ns() const {
  uint64_t due_ns = ~uint64_t{0};
  for (const Operation& operation : operations_) due_ns = std::min(due_ns, operation.due_ns);
  return due_ns;
}

Completion FakeTiers::FinishNext(FrameWatch& watch) {
  const auto next =
      std::min_element(operations_.begin(), operations_.end(),
                       [](const Operation& a, const Operation& b) { return a.due_ns < b.due_ns; });
  Operation operation = std::move(*next);
  operations_.erase(next);
  watch.OperationEnded(operation.copy);
  const CopyOp& copy = operation.copy;
  Completion completion;
  completion.op = copy.op;
  completion.outcome = CheckSource(copy);
  const bool nvme = copy.channel == Channel::kHostToNvme || copy.channel == Channel::kNvmeToHost;
  const bool refused = nvme && nvme_lost_ && random_.Chance(700);
  if (completion.outcome == Outcome::kOk && (refused || random_.Chance(faults_.copy_failed))) {
    completion.outcome = Outcome::kFailed;
    completion.os_error = 5;
    may_lose_data_ = true;
  }
  if (completion.outcome == Outcome::kOk) {
    Write(operation);
  } else {
    Spoil(copy, operation);
  }
  return completion;
}

Outcome FakeTiers::CheckSource(const CopyOp& copy) {
  const ChannelTiers tiers = TiersOf(copy.channel);
  if (!tiers.has_source || tiers.source == Tier::kHbm) return Outcome::kOk;
  if (tiers.source == Tier::kNvme) return CheckNvme(copy);
  const HostFrame& frame = host_[copy.source.value];
  if (frame.page != copy.page) {
    Fail(absl::StrCat("E6: host:", copy.source.value, " holds p", frame.page.value, ", not what ",
                      testing::Describe(copy), " asks for"));
  }
  return frame.damaged ? Outcome::kCorrupt : Outcome::kOk;
}

Outcome FakeTiers::CheckNvme(const CopyOp& copy) {
  NvmeFrame& frame = nvme_[copy.source.value];
  if (random_.Chance(faults_.nvme_corrupt)) frame.damaged = true;
  const bool matches = frame.complete && frame.key == copy.key && frame.stamp == copy.stamp &&
                       frame.group == copy.group;
  const bool restored = copy.stamp.incarnation != incarnation_ && may_lose_data_;
  if (!matches && !frame.excused && !restored) {
    Fail(absl::StrCat("E6: ", testing::Describe(copy), " does not ask for what was written: ",
                      testing::Describe(frame.key), " stamp=", frame.stamp.incarnation, ".",
                      frame.stamp.counter, " group=", frame.group));
  }
  if (matches && !frame.damaged) return Outcome::kOk;
  may_lose_data_ = true;
  return Outcome::kCorrupt;
}

void FakeTiers::Write(const Operation& operation) {
  const CopyOp& copy = operation.copy;
  const ChannelTiers tiers = TiersOf(copy.channel);
  if (tiers.target == Tier::kNvme) {
    if (random_.Chance(faults_.nvme_lost_write)) {
      nvme_[copy.target.value] = operation.overwritten;
      nvme_[copy.target.value].excused = true;
      may_lose_data_ = true;
    } else {
      LandOnNvme(operation);
    }
    return;
  }
  std::vector<Row>& target = RowsOf(tiers.target, copy.target);
  for (size_t i = 0; i < target.size(); ++i) {
    if (!tiers.has_source) {
      target[i] = kZeroRow;
    } else if (i < operation.rows.size()) {
      target[i] = operation.rows[i];
    } else {
      target[i] = RowsOf(tiers.source, copy.source)[i];
    }
  }
  if (tiers.target == Tier::kHost) {
    host_[copy.target.value].page = copy.page;
    host_[copy.target.value].damaged = false;
  }
}

void FakeTiers::LandOnNvme(const Operation& operation) {
  const CopyOp& copy = operation.copy;
  NvmeFrame& frame = nvme_[copy.target.value];
  const std::vector<Row>& source = host_[copy.source.value].rows;
  frame.rows = source;
  std::copy(operation.rows.begin(), operation.rows.end(), frame.rows.begin());
  frame.key = copy.key;
  frame.parent_key = copy.parent_key;
  frame.stamp = copy.stamp;
  frame.group = copy.group;
  frame.complete = true;
  frame.damaged = false;
  frame.excused = false;
}

void FakeTiers::LoseNvme() {
  nvme_lost_ = true;
  may_lose_data_ = true;
}

void FakeTiers::StopFaults() {
  faults_ = Faults{};
  slowdown_.fill(1);
}

void FakeTiers::FlipHostBit(const FrameWatch& watch) {
  const FrameIndex frame{static_cast<uint32_t>(random_.Below(host_.size()))};
  HostFrame& host = host_[frame.value];
  if (host.page.is_none() || !watch.idle(Tier::kHost, frame)) return;
  host.rows[0] ^= 1;
  host.damaged = true;
  may_lose_data_ = true;
}

void FakeTiers::ToggleSlowChannel() {
  uint64_t& slowdown = slowdown_[random_.Below(kChannelCount)];
  slowdown = slowdown == 1 ? 50 : 1;
}

void FakeTiers::Flush() {
  for (size_t i = 0; i < nvme_.size(); ++i) {
    if (nvme_[i].complete) nvme_flushed_[i] = nvme_[i];
  }
}

void FakeTiers::Crash(bool power_cut) {
  for (const Operation& operation : operations_) {
    if (operation.copy.channel != Channel::kHostToNvme) continue;
    switch (random_.Below(3)) {
      case 0:
        break;  // Torn: stays incomplete.
      case 1:
        nvme_[operation.copy.target.value] = operation.overwritten;
        break;
      default:
        if (CheckSource(operation.copy) == Outcome::kOk) LandOnNvme(operation);
    }
  }
  if (power_cut) {
    for (size_t i = 0; i < nvme_.size(); ++i) {
      if (random_.Chance(500)) nvme_[i] = nvme_flushed_[i];
    }
  }
  nvme_flushed_ = nvme_;
  ForgetMemory();
}

void FakeTiers::Stop() {
  for (const Operation& operation : operations_) {
    if (operation.copy.channel != Channel::kHostToNvme) continue;
    if (CheckSource(operation.copy) == Outcome::kOk) LandOnNvme(operation);
  }
  Flush();
  ForgetMemory();
}

RestoredBlock FakeTiers::HeadersOf(FrameIndex first) const {
  const NvmeFrame& head = nvme_[first.value];
  RestoredBlock block;
  block.frame_first = first;
  for (uint32_t group = 0; group < num_groups_; ++group) {
    const NvmeFrame& frame = nvme_[first.value + group];
    const bool fits = frame.complete && frame.key == head.key && frame.stamp == head.stamp &&
                      frame.group == group;
    if (!fits) return block;
  }
  if (head.key.is_none()) return block;
  block.key = head.key;
  block.parent_key = head.parent_key;
  block.stamp = head.stamp;
  block.last_use = head.stamp.counter;
  return block;
}

std::vector<RestoredBlock> FakeTiers::Scan() const {
  std::vector<RestoredBlock> blocks;
  for (size_t first = 0; first + num_groups_ <= nvme_.size(); first += num_groups_) {
    const RestoredBlock block = HeadersOf(FrameIndex{static_cast<uint32_t>(first)});
    if (!block.key.is_none()) blocks.push_back(block);
  }
  return blocks;
}

}  // namespace kvpager::sim
