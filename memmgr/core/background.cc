#include "memmgr/core/background.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "memmgr/base/check.h"
#include "memmgr/core/durable.h"
#include "memmgr/core/planner.h"
#include "memmgr/core/quota_stuck.h"
#include "memmgr/core/sequences.h"

namespace kvpager {
namespace {

using absl::StatusCode;

// How far a slot looks ahead of its cursor in one input. With the number of slots this bounds the
// work (R10), apart from the budget of what steps wait for: a slot that cannot go on must not use
// that up.
constexpr uint32_t kPagesAhead = 64;
constexpr uint64_t kPrefetchNsMax = 10'000'000'000;  // For those without a deadline.

template <typename Row>
Row* FreeRow(std::vector<Row>& rows) {
  for (Row& row : rows) {
    if (!row.in_use) return &row;
  }
  return nullptr;
}

// ---- Prefetch

// True if the page needs nothing more; else starts what it can.
bool PrefetchPage(CoreState& s, PageIndex page, Tier tier) {
  const Page& row = s.blocks.page(page);
  if (!row.copy(Tier::kHbm).absent()) return true;
  if (tier == Tier::kHost && !row.copy(Tier::kHost).absent()) return true;
  const Channel channel =
      row.copy(Tier::kHost).valid() ? Channel::kHostToHbm : Channel::kNvmeToHost;
  bool started = false;
  if (channel == Channel::kHostToHbm) {
    started = Promote(s, page, Urgency::kBackground);
  } else if (row.copy(Tier::kHost).absent() && row.copy(Tier::kNvme).valid()) {
    started = Fetch(s, page, Urgency::kBackground);
  }
  if (started) ++s.metrics.prefetched_pages;
  return started && channel == Channel::kHostToHbm;
}

// Moves `position` past the blocks for which `visit(page)` is true of every page.
template <typename Visit>
void Advance(CoreState& s, const Sequence& sequence, uint32_t* position, Visit visit) {
  bool front = true;
  SequenceTable::Walk walk(s.sequences, sequence, *position);
  for (uint32_t pages = 0; pages < kPagesAhead && walk.valid(); walk.Next()) {
    pages += s.limits.num_groups;
    for (uint32_t group = 0; group < s.limits.num_groups; ++group) {
      if (!visit(s.blocks.page_of(walk.block(), group))) front = false;
    }
    if (!front) continue;
    *position = walk.position() + 1;
    s.progress = true;  // There is more to look at, perhaps with nothing in flight.
  }
}

void EndPrefetch(CoreState& s, Prefetch& prefetch) {
  prefetch.in_use = false;
  if (prefetch.owns_sequence) QueueClose(s, prefetch.sequence, ClientId{}, 0);
  s.progress = true;
}

void RunPrefetches(CoreState& s) {
  // Highest priority first; a handful of slots, so the selection is by scan.
  uint32_t below = ~uint32_t{0};
  for (;;) {
    uint32_t priority = 0;
    bool any = false;
    for (const Prefetch& row : s.prefetches) {
      if (!row.in_use || (row.priority >= below && below != ~uint32_t{0})) continue;
      priority = any ? std::max(priority, row.priority) : row.priority;
      any = true;
    }
    if (!any) return;
    for (Prefetch& row : s.prefetches) {
      if (!row.in_use || row.priority != priority) continue;
      const Sequence& sequence = *s.sequences.Find(row.sequence);
      Advance(s, sequence, &row.position,
              [&](PageIndex page) { return PrefetchPage(s, page, row.tier); });
      if (row.position >= sequence.blocks || s.now >= row.deadline) EndPrefetch(s, row);
    }
    below = priority;
    if (priority == 0) return;
  }
}

// ---- Eviction

// True if the page is as low as it can go.
bool LowerPage(CoreState& s, PageIndex page, Tier tier) {
  const Page& row = s.blocks.page(page);
  const Block& block = s.blocks.block(s.blocks.block_of(page));
  const bool open = block.phase == BlockPhase::kOpen;
  if (row.claims > 0 || (open && (!block.movable || block.write_pins > 0))) return true;
  const Copy& hbm = row.copy(Tier::kHbm);
  const Copy& host = row.copy(Tier::kHost);
  const Copy& nvme = row.copy(Tier::kNvme);
  if (hbm.pins > 0 || host.pins > 0) return true;
  if (!hbm.absent()) {
    if (!hbm.idle()) return false;  // Being read, filled or moved.
    if (host.valid() || nvme.valid()) {
      s.blocks.Drop(page, Tier::kHbm);
    } else {
      if (host.absent()) Demote(s, page, Urgency::kDemand, Demotion::kMove);
      return false;
    }
  }
  if (tier == Tier::kHost || host.absent() || open || s.blocks.runs_max() == 0) {
    return host.state != CopyState::kFilling;
  }
  if (!host.idle()) return false;
  if (nvme.valid()) {
    s.blocks.Drop(page, Tier::kHost);
    return true;
  }
  if (nvme.absent()) WriteOut(s, page);
  return false;
}

void EndEviction(CoreState& s, Eviction& eviction, StatusCode status, std::string_view reason) {
  eviction.in_use = false;
  s.Answer(eviction.client, eviction.request, status, reason);
  s.progress = true;
}

void RunEvictions(CoreState& s) {
  for (Eviction& row : s.evictions) {
    if (!row.in_use || s.budget == 0 || !s.EffectsHaveRoom()) continue;
    const Sequence& sequence = *s.sequences.Find(row.sequence);
    Advance(s, sequence, &row.position,
            [&](PageIndex page) { return LowerPage(s, page, row.tier); });
    if (row.position >= sequence.blocks) EndEviction(s, row, StatusCode::kOk, "");
  }
}

Sequence* FindFor(CoreState& s, const Command& command, SequenceId id) {
  Sequence* sequence = s.sequences.Find(id);
  const bool admin = command.client.is_none();
  if (sequence != nullptr && sequence->phase == SequencePhase::kOpen &&
      !sequence->client.is_none() && (admin || sequence->client == command.client)) {
    return sequence;
  }
  s.Answer(command.client, command.request, StatusCode::kNotFound, "no such sequence");
  return nullptr;
}

}  // namespace

void StartPrefetch(CoreState& s, const Command& command, const PrefetchCommand& body) {
  auto refuse = [&](StatusCode status, std::string_view reason) {
    s.Answer(command.client, command.request, status, reason);
  };
  if (body.tier == Tier::kNvme) {
    refuse(StatusCode::kInvalidArgument, "prefetch goes to hbm or host");
    return;
  }
  Prefetch* row = FreeRow(s.prefetches);
  if (row == nullptr) {
    refuse(StatusCode::kResourceExhausted, "too many prefetches at once; retry when some are done");
    return;
  }
  Prefetch fresh{.in_use = true, .tier = body.tier, .priority = body.priority};
  fresh.deadline = body.deadline.ns == 0 ? Instant{s.now.ns + kPrefetchNsMax} : body.deadline;
  if (body.keys.empty()) {
    if (FindFor(s, command, body.sequence) == nullptr) return;
    fresh.sequence = body.sequence;
  } else {
    if (command.client.is_none() || body.keys.size() > s.limits.keys_per_command_max) {
      refuse(StatusCode::kInvalidArgument, "too many keys in one message; split them");
      return;
    }
    fresh.sequence = OpenOwn(s, s.client(command.client).name_space, body.keys);
    fresh.owns_sequence = true;
    if (fresh.sequence.is_none()) {
      refuse(StatusCode::kResourceExhausted,
             "too many open sequences; close some, or raise limits.sequences");
      return;
    }
  }
  *row = fresh;
  refuse(StatusCode::kOk, "");
}

void StartEviction(CoreState& s, const Command& command, const EvictCommand& body) {
  auto refuse = [&](StatusCode status, std::string_view reason) {
    s.Answer(command.client, command.request, status, reason);
  };
  if (body.tier == Tier::kHbm) {
    refuse(StatusCode::kInvalidArgument, "evict goes to host or nvme");
    return;
  }
  if (FindFor(s, command, body.sequence) == nullptr) return;
  Eviction* row = FreeRow(s.evictions);
  if (row == nullptr) {
    refuse(StatusCode::kResourceExhausted, "too many evictions at once; retry when some are done");
    return;
  }
  *row = Eviction{.in_use = true,
                  .client = command.client,
                  .request = command.request,
                  .sequence = body.sequence,
                  .tier = body.tier};
}

void RunBackground(CoreState& s) {
  RunDurableNames(s);
  RunEvictions(s);
  RunPrefetches(s);
}

void GiveUpBackground(CoreState& s) {
  for (Eviction& row : s.evictions) {
    if (!row.in_use) continue;
    EndEviction(s, row, StatusCode::kResourceExhausted,
                "there is no room below; enlarge host or nvme");
  }
  GiveUpDurableNames(s);
}

bool GiveUpStuckBelow(CoreState& s) {
  bool any = GiveUpDurableNamesStuckBelow(s);
  for (Eviction& row : s.evictions) {
    if (!row.in_use || !StuckBelow(s, s.sequences.Find(row.sequence)->name_space)) continue;
    EndEviction(s, row, StatusCode::kResourceExhausted,
                "the namespace has its maximum below; raise its host.max or nvme.max");
    any = true;
  }
  return any;
}

bool LetGoOfPrefetched(CoreState& s) {
  bool any = false;
  for (Prefetch& row : s.prefetches) {
    if (!row.in_use || !row.owns_sequence) continue;
    EndPrefetch(s, row);
    any = true;
  }
  return any;
}

void ForgetBackground(CoreState& s, SequenceId sequence) {
  for (Prefetch& row : s.prefetches) {
    if (row.in_use && row.sequence == sequence) row.in_use = false;
  }
  for (Eviction& row : s.evictions) {
    if (row.in_use && row.sequence == sequence) {
      EndEviction(s, row, StatusCode::kAborted, "the sequence was closed");
    }
  }
}

Instant NextDeadline(const CoreState& s) {
  Instant next{~uint64_t{0}};
  for (const Prefetch& row : s.prefetches) {
    if (row.in_use) next = std::min(next, row.deadline);
  }
  if (s.nvme_write_retry > s.now) next = std::min(next, s.nvme_write_retry);
  return next;
}

}  // namespace kvpager
