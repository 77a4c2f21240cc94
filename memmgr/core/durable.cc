#include "memmgr/core/durable.h"

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "memmgr/base/check.h"
#include "memmgr/core/background.h"
#include "memmgr/core/naming.h"
#include "memmgr/core/planner.h"
#include "memmgr/core/quota_stuck.h"
#include "memmgr/core/room.h"
#include "memmgr/core/sequences.h"
#include "memmgr/core/stocks.h"

namespace kvpager {
namespace {

using absl::StatusCode;

constexpr uint32_t kBlocksAhead = 16;  // Per input; bounds the work apart from the budget (R10).

bool OnNvme(const CoreState& s, const Block& block) {
  return block.nvme_named && block.pages_valid_nvme == s.limits.num_groups;
}

// Starts what brings the block's pages to NVMe under its name.
void PushDown(CoreState& s, BlockIndex index, bool first) {
  Block& block = s.blocks.block(index);
  if (!block.nvme_first.is_none() && !block.nvme_named && !block.rewrite) {
    if (!first) return;  // One block at a time: its pages stay in host memory meanwhile.
    block.rewrite = true;
  }
  for (uint32_t group = 0; group < s.limits.num_groups; ++group) {
    const PageIndex page = s.blocks.page_of(index, group);
    const Page& row = s.blocks.page(page);
    LeaveRun(s, page);
    if (row.copy(Tier::kNvme).valid()) {
      if (block.rewrite && row.copy(Tier::kHost).absent()) Fetch(s, page, Urgency::kDemand);
      continue;
    }
    if (!row.copy(Tier::kNvme).absent()) continue;
    if (row.copy(Tier::kHost).valid()) {
      WriteOut(s, page);
    } else if (row.copy(Tier::kHost).absent() && row.copy(Tier::kHbm).valid() &&
               MayGetRun(s, index)) {  // Copied down for nothing it would make way, and come again.
      Demote(s, page, Urgency::kDemand, Demotion::kCopy);
    }
  }
}

void Commit(CoreState& s, uint32_t slot, BlockIndex index) {
  Block& block = s.blocks.block(index);
  Operation operation{.durable = true,
                      .page = s.blocks.page_of(index, 0),
                      .owner = slot,
                      .quota_class = s.blocks.charges().ClassOf(block.name_space)};
  const BlockIndex parent = s.blocks.ParentOf(index);
  s.effects->catalogue_writes.push_back(
      {.op = s.operations.Start(operation),
       .key = block.key,
       .parent_key = parent.is_none() ? BlockKey{} : s.blocks.block(parent).key,
       .frame_first = block.nvme_first,
       .stamp = block.stamp,
       .last_use = block.last_use});
  block.catalogued = true;
  ++s.durable_names[slot].writes_in_flight;
}

void End(CoreState& s, DurableName& name, StatusCode status, std::string_view reason) {
  const Sequence& own = *s.sequences.Find(name.sequence);
  if (status != StatusCode::kOk) {
    // Not promised after all.
    for (SequenceTable::Walk walk(s.sequences, own, 0); walk.valid(); walk.Next()) {
      Block& block = s.blocks.block(walk.block());
      block.rewrite = false;
      if (!block.durable || block.committed) continue;
      block.durable = false;
      --s.durable_blocks;
    }
  }
  name.in_use = false;
  --s.durable_names_in_use;
  s.Answer(name.client, name.request, status, reason);
  QueueClose(s, name.sequence, ClientId{}, 0);
  s.progress = true;
}

void Run(CoreState& s, uint32_t slot) {
  DurableName& name = s.durable_names[slot];
  const Sequence& own = *s.sequences.Find(name.sequence);
  if (s.blocks.nvme_lost()) name.failure = StatusCode::kUnavailable;
  if (own.losses > 0 || own.cut_blocks != kNotCut) name.failure = StatusCode::kDataLoss;
  if (name.failure != StatusCode::kOk) {
    if (name.writes_in_flight > 0) return;
    End(s, name, name.failure, "the blocks could not be made durable");
    return;
  }
  SequenceTable::Walk walk(s.sequences, own, name.position);
  bool front = true;
  for (uint32_t i = 0; i < kBlocksAhead && walk.valid(); ++i, walk.Next()) {
    if (!OnNvme(s, s.blocks.block(walk.block()))) {
      PushDown(s, walk.block(), front);
      front = false;
    }
    if (!front) continue;
    name.position = walk.position() + 1;
    s.progress = true;  // There is more to look at, perhaps with nothing in flight.
  }
  SequenceTable::Walk entry(s.sequences, own, name.position_catalogue);
  while (name.position_catalogue < name.position) {
    if (!s.blocks.block(entry.block()).committed) {
      if (!s.operations.HasRoomDurable()) return;
      Commit(s, slot, entry.block());
    }
    ++name.position_catalogue;
    entry.Next();
  }
  if (name.position_catalogue >= own.blocks && name.writes_in_flight == 0) {
    End(s, name, StatusCode::kOk, "");
  }
}

// The core's own sequence of the named blocks up to `blocks_end`; none if one has no name, or no
// room.
SequenceId ShareNamed(CoreState& s, const Sequence& sequence, uint32_t blocks_end) {
  const SequenceId id = s.sequences.Open(ClientId{}, sequence.name_space);
  if (id.is_none()) return id;
  Sequence& own = *s.sequences.Find(id);
  SequenceTable::Walk walk(s.sequences, sequence, 0);
  for (; walk.valid() && walk.position() < blocks_end; walk.Next()) {
    s.Spend();
    const BlockIndex named = Canonical(s, walk.block());
    if (!s.blocks.block(named).named || !s.sequences.PushBack(own, named)) {
      QueueClose(s, id, ClientId{}, 0);
      return SequenceId{};
    }
    s.blocks.AddReference(named);
  }
  own.length_tokens = uint64_t{own.blocks} * s.limits.page_tokens;
  return id;
}

bool Promise(CoreState& s, const Sequence& own) {
  uint32_t fresh = 0;
  for (SequenceTable::Walk walk(s.sequences, own, 0); walk.valid(); walk.Next()) {
    fresh += s.blocks.block(walk.block()).durable ? 0 : 1;
  }
  if (s.durable_blocks + fresh > s.limits.durable_blocks_max) return false;
  for (SequenceTable::Walk walk(s.sequences, own, 0); walk.valid(); walk.Next()) {
    s.blocks.block(walk.block()).durable = true;
  }
  s.durable_blocks += fresh;
  return true;
}

}  // namespace

void StartDurableName(CoreState& s, const Command& command, const NameCommand& body) {
  auto refuse = [&](StatusCode status, std::string_view reason) {
    s.Answer(command.client, command.request, status, reason);
  };
  if (s.blocks.nvme_lost()) {
    refuse(StatusCode::kUnavailable, "the nvme tier is out of service: its device has failed");
    return;
  }
  if (s.blocks.runs_max() == 0) {
    refuse(StatusCode::kFailedPrecondition, "there is no nvme tier to keep it; set nvme.path");
    return;
  }
  uint32_t slot = 0;
  while (slot < s.durable_names.size() && s.durable_names[slot].in_use) ++slot;
  if (slot == s.durable_names.size()) {
    refuse(StatusCode::kResourceExhausted, "too many durable names at once; retry later");
    return;
  }
  const Sequence& sequence = *s.sequences.Find(body.sequence);
  const auto blocks_end = static_cast<uint32_t>(body.block_first + body.keys.size());
  const SequenceId own = ShareNamed(s, sequence, blocks_end);
  if (own.is_none()) {
    refuse(StatusCode::kFailedPrecondition, "a durable name needs every block before it named");
    return;
  }
  if (!Promise(s, *s.sequences.Find(own))) {
    QueueClose(s, own, ClientId{}, 0);
    refuse(StatusCode::kResourceExhausted, "the durable share of nvme is full");
    return;
  }
  ++s.durable_names_in_use;
  s.durable_names[slot] = DurableName{
      .in_use = true, .client = command.client, .request = command.request, .sequence = own};
}

void RunDurableNames(CoreState& s) {
  if (s.durable_names_in_use == 0) return;
  for (uint32_t slot = 0; slot < s.durable_names.size(); ++slot) {
    if (!s.durable_names[slot].in_use || s.budget == 0 || !s.EffectsHaveRoom()) continue;
    Run(s, slot);
  }
}

void FinishDurableWrite(CoreState& s, const Operation& operation, Outcome outcome) {
  DurableName& name = s.durable_names[operation.owner];
  --name.writes_in_flight;
  s.progress = true;
  if (outcome != Outcome::kOk) {
    name.failure = StatusCode::kUnavailable;
    return;
  }
  Block& block = s.blocks.block(s.blocks.block_of(operation.page));
  if (block.live() && block.catalogued) block.committed = true;
}

void FailDurableNames(CoreState& s) {
  for (DurableName& name : s.durable_names) {
    if (name.in_use) name.failure = StatusCode::kUnavailable;
  }
}

void GiveUpDurableNames(CoreState& s) {
  for (DurableName& name : s.durable_names) {
    if (!name.in_use || name.writes_in_flight > 0) continue;
    End(s, name, StatusCode::kResourceExhausted, "nvme has no room for durable blocks");
  }
}

bool GiveUpDurableNamesStuckBelow(CoreState& s) {
  bool any = false;
  for (DurableName& name : s.durable_names) {
    if (!name.in_use || name.writes_in_flight > 0) continue;
    const Sequence& own = *s.sequences.Find(name.sequence);
    if (name.position >= own.blocks || !StuckBelow(s, own.name_space)) continue;
    End(s, name, StatusCode::kResourceExhausted,
        "the namespace's maximum of nvme has no room for durable blocks; raise its nvme.max");
    any = true;
  }
  return any;
}

}  // namespace kvpager
