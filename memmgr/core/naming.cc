#include "memmgr/core/naming.h"

#include <cstdint>

#include "absl/status/status.h"
#include "memmgr/core/background.h"
#include "memmgr/core/planner.h"
#include "memmgr/core/steps.h"
#include "memmgr/core/stocks.h"

namespace kvpager {

bool AllSealed(const CoreState& s, const Sequence& sequence, const NameCommand& body) {
  if (uint64_t{body.block_first} + body.keys.size() > sequence.blocks) return false;
  SequenceTable::Walk walk(s.sequences, sequence, body.block_first);
  for (size_t i = 0; i < body.keys.size(); ++i, walk.Next()) {
    if (s.blocks.block(walk.block()).phase != BlockPhase::kSealed) return false;
  }
  return true;
}

void ForgetUnnamedRun(CoreState& s, BlockIndex index) {
  const Block& block = s.blocks.block(index);
  if (block.nvme_first.is_none() || block.nvme_named) return;
  for (uint32_t group = 0; group < s.limits.num_groups; ++group) {
    const PageIndex page = s.blocks.page_of(index, group);
    const Copy& copy = s.blocks.page(page).copy(Tier::kNvme);
    if (copy.absent()) continue;
    if (!copy.idle() || !s.blocks.HasOtherCopy(page, Tier::kNvme)) return;
  }
  ForgetRun(s, index);
}

BlockIndex Canonical(const CoreState& s, BlockIndex index) {
  const Block& block = s.blocks.block(index);
  if (block.named || block.key.is_none()) return index;
  const BlockIndex named = s.index.Find(block.key);
  return named.is_none() ? index : named;
}

namespace {

// `parent` is the named block before it, if there is one.
void NameBlock(CoreState& s, BlockIndex index, const BlockKey& key, BlockIndex parent) {
  Block& block = s.blocks.block(index);
  if (block.named || key.is_none()) return;
  block.key = key;  // A duplicate keeps it too, so that its children find the named one.
  if (!s.index.Find(key).is_none()) return;
  block.named = true;
  s.index.Insert(key, index);
  if (!parent.is_none() && parent != index) s.blocks.SetParent(index, parent);
  ForgetUnnamedRun(s, index);
}

}  // namespace

void NameBlocks(CoreState& s, const Command& command, const NameCommand& body) {
  Sequence& sequence = *s.sequences.Find(body.sequence);
  // What was filled without a message is accepted, and whoever names it says that it is written.
  const uint64_t end_tokens =
      (uint64_t{body.block_first} + body.keys.size()) * s.limits.page_tokens;
  if (end_tokens <= sequence.unseen_tokens && end_tokens > sequence.accepted_tokens) {
    const auto first = static_cast<uint32_t>(sequence.accepted_tokens / s.limits.page_tokens);
    sequence.accepted_tokens = end_tokens;
    SealAccepted(s, sequence, first);
  }
  if (sequence.cut_blocks < body.block_first + body.keys.size()) {
    s.Answer(command.client, command.request, absl::StatusCode::kFailedPrecondition,
             "a block of the sequence was lost; recompute it");
    return;
  }
  if (!AllSealed(s, sequence, body)) {
    s.Answer(command.client, command.request, absl::StatusCode::kFailedPrecondition,
             "only full blocks whose step has ended, and which are no draft, can be named");
    return;
  }
  BlockIndex parent;
  if (body.block_first > 0) {
    parent = Canonical(s, s.sequences.At(sequence, body.block_first - 1));
  }
  SequenceTable::Walk walk(s.sequences, sequence, body.block_first);
  for (const BlockKey& key : body.keys) {
    s.Spend();
    NameBlock(s, walk.block(), key, parent);
    parent = Canonical(s, walk.block());
    walk.Next();
  }
  s.progress = true;
  if (body.durable) {
    StartDurableName(s, command, body);
    return;
  }
  s.Answer(command.client, command.request, absl::StatusCode::kOk, "");
}

}  // namespace kvpager
