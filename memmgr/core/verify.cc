#include "memmgr/core/verify.h"

#include <array>
#include <cstdint>
#include <vector>

#include "memmgr/base/check.h"

namespace kvpager {
namespace {

constexpr Tier kTiers[] = {Tier::kHbm, Tier::kHost, Tier::kNvme};

// What operations in flight say of each page: readers per tier, and which copies are being made.
struct InFlight {
  explicit InFlight(const CoreState& s)
      : readers(s.limits.pages_max()), filling(s.limits.pages_max()) {
    for (const Operation& operation : s.operations.rows()) {
      if (!operation.in_flight || operation.durable) continue;
      Count(operation);
    }
  }

  void Count(const Operation& operation) {
    switch (operation.channel) {
      case Channel::kHbmToHost:
        Copying(operation.page, Tier::kHbm, operation.page, Tier::kHost);
        return;
      case Channel::kHostToHbm:
        Copying(operation.page, Tier::kHost, operation.page, Tier::kHbm);
        return;
      case Channel::kHostToNvme:
        Copying(operation.page, Tier::kHost, operation.page, Tier::kNvme);
        return;
      case Channel::kNvmeToHost:
        Copying(operation.page, Tier::kNvme, operation.page, Tier::kHost);
        return;
      case Channel::kHbmToHbm:
        Copying(operation.source_page, Tier::kHbm, operation.page, Tier::kHbm);
        return;
      case Channel::kScrub:
        ++filling[operation.page.value][TierIndex(Tier::kHbm)];
        return;
    }
  }

  void Copying(PageIndex source, Tier from, PageIndex target, Tier to) {
    ++readers[source.value][TierIndex(from)];
    ++filling[target.value][TierIndex(to)];
  }

  std::vector<std::array<uint32_t, kTierCount>> readers;
  std::vector<std::array<uint32_t, kTierCount>> filling;
};

void VerifyCopy(const CoreState& s, const InFlight& in_flight, PageIndex index, Tier tier) {
  const Copy& copy = s.blocks.page(index).copy(tier);
  KVP_CHECK(copy.frame.is_none() == copy.absent());  // P7
  KVP_CHECK_EQ(copy.readers, in_flight.readers[index.value][TierIndex(tier)]);
  const bool filling = copy.state == CopyState::kFilling;
  KVP_CHECK_EQ(filling ? 1u : 0u, in_flight.filling[index.value][TierIndex(tier)]);
  if (copy.readers > 0) KVP_CHECK(copy.valid() || copy.state == CopyState::kRetiring);  // P6
  if (copy.pins > 0) KVP_CHECK(copy.valid());                                           // P4
  if (copy.state == CopyState::kRetiring) {
    KVP_CHECK(tier == Tier::kHbm);
    KVP_CHECK_GT(copy.readers, 0);  // R3: it is the source of a move.
  }
}

bool StepEnds(const CoreState& s) {
  for (uint32_t slot = 0; slot < s.steps.slots(); ++slot) {
    if (s.steps.step(slot).phase == StepPhase::kEnding) return true;
  }
  return false;
}

bool StepCollects(const CoreState& s) { return s.collecting != kNoSlot; }

bool CutToCome(const CoreState& s) {
  for (uint32_t slot = 0; slot < s.sequences.slots(); ++slot) {
    if (s.sequences.at_slot(slot).cut_blocks != kNotCut) return true;
  }
  return false;
}

// A credit whose frames are not all there yet.
bool IsBeingLent(const CoreState& s, BlockIndex index) {
  for (uint32_t slot = 0; slot < s.sequences.slots(); ++slot) {
    const Credit& credit = s.credits.at_slot(slot);
    if (credit.state == CreditState::kPlacing && credit.block == index) return true;
  }
  return false;
}

void VerifyCredit(const CoreState& s, uint32_t slot, uint32_t* blocks, uint32_t* asked) {
  const Credit& credit = s.credits.at_slot(slot);
  const bool lent = credit.state != CreditState::kNone && credit.state != CreditState::kWanted;
  KVP_CHECK(lent == !credit.block.is_none());
  if (credit.state != CreditState::kNone) {
    KVP_CHECK(s.sequences.at_slot(slot).phase != SequencePhase::kFree);
  }
  *blocks += lent;
  *asked += credit.state == CreditState::kAsked;
  if (!lent) return;
  const Block& block = s.blocks.block(credit.block);
  KVP_CHECK(block.phase == BlockPhase::kOpen);
  KVP_CHECK_EQ(block.filled_tokens, 0);
  KVP_CHECK(!block.movable && block.unseen);
  for (uint32_t group = 0; group < s.limits.num_groups; ++group) {
    const Copy& hbm = s.blocks.page(s.blocks.page_of(credit.block, group)).copy(Tier::kHbm);
    KVP_CHECK(hbm.valid() || credit.state == CreditState::kPlacing);
  }
}

void VerifyCredits(const CoreState& s) {
  uint32_t blocks = 0;
  uint32_t asked = 0;
  for (uint32_t slot = 0; slot < s.sequences.slots(); ++slot) {
    VerifyCredit(s, slot, &blocks, &asked);
  }
  KVP_CHECK_EQ(blocks, s.credits.blocks());
  KVP_CHECK_LE(blocks, s.limits.credits_max);
  KVP_CHECK_EQ(asked, s.credits.asked());
  KVP_CHECK_EQ(blocks, s.sequences.chunks_reserved());
}

void VerifyPage(const CoreState& s, const InFlight& in_flight, BlockIndex owner, uint32_t group) {
  const PageIndex index = s.blocks.page_of(owner, group);
  const Page& page = s.blocks.page(index);
  const Block& block = s.blocks.block(owner);
  for (Tier tier : kTiers) VerifyCopy(s, in_flight, index, tier);
  const Copy& hbm = page.copy(Tier::kHbm);
  const bool pinned = hbm.pins > 0 || page.copy(Tier::kHost).pins > 0;
  bool present = false;
  bool good = false;
  for (const Copy& copy : page.copies) {
    present |= !copy.absent();
    good |= copy.valid() || copy.state == CopyState::kRetiring;
  }
  switch (block.phase) {
    case BlockPhase::kFree:
      KVP_CHECK(!present);  // P1
      KVP_CHECK(!pinned);
      KVP_CHECK_EQ(page.claims, 0);
      break;
    case BlockPhase::kOpen:
      // P2: about to be made (a step that has not claimed all of its pages yet, R10, will), or lost
      // with a cut to come.
      if (!good && !CutToCome(s) && !IsBeingLent(s, owner)) {
        KVP_CHECK(StepCollects(s));
        KVP_CHECK(page.claims > 0 || !s.steps.step(s.collecting).claimed);
      }
      break;
    case BlockPhase::kSealed:
      // P2; a block that was lost stays until the sequences with it have been cut.
      if (!good) KVP_CHECK(!block.named);
      break;
    case BlockPhase::kDraining:
      KVP_CHECK(!pinned);  // P5
      KVP_CHECK_EQ(page.claims, 0);
      break;
  }
  if (block.write_pins > 0) {  // P3
    KVP_CHECK(block.phase == BlockPhase::kOpen);
    KVP_CHECK(hbm.valid());
    // A step that ends in turns (R10) has given up some pins, and all its write pins only at the
    // last.
    if (!StepEnds(s)) KVP_CHECK_GT(hbm.pins, 0);
    KVP_CHECK(page.copy(Tier::kHost).absent());
    KVP_CHECK(page.copy(Tier::kNvme).absent());
  }
  const Copy& nvme = page.copy(Tier::kNvme);
  if (!nvme.absent()) KVP_CHECK_EQ(nvme.frame.value, block.nvme_first.value + group);
}

struct Totals {
  std::array<uint32_t, kTierCount> frames{};
  std::array<uint32_t, kTierCount> pinned{};
  std::array<uint32_t, kTierCount> blocks{};
  std::array<uint32_t, 2> clean{};
  uint32_t claims = 0;
  uint32_t guarded = 0;
  uint32_t rows = 0;
  uint32_t named = 0;
  uint32_t durable = 0;
  uint32_t runs = 0;
  uint32_t open_host = 0;
};

void CountBlock(const CoreState& s, BlockIndex index, Totals& totals) {
  const Block& block = s.blocks.block(index);
  std::array<uint32_t, kTierCount> pages{};
  std::array<uint32_t, 2> clean{};
  uint32_t valid_nvme = 0;
  for (uint32_t group = 0; group < s.limits.num_groups; ++group) {
    const Page& page = s.blocks.page(s.blocks.page_of(index, group));
    for (size_t tier = 0; tier < kTierCount; ++tier) {
      pages[tier] += !page.copies[tier].absent();
      totals.pinned[tier] += page.copies[tier].pins > 0;
    }
    valid_nvme += page.copy(Tier::kNvme).valid();
    for (size_t tier : {0, 1}) clean[tier] += page.clean[tier];
    totals.claims += page.claims;
    totals.guarded += page.guarded;
  }
  for (size_t tier = 0; tier < kTierCount; ++tier) {
    KVP_CHECK_EQ(pages[tier], block.pages_in[tier]);
    totals.frames[tier] += pages[tier];
    totals.blocks[tier] += pages[tier] > 0;
  }
  for (size_t tier : {0, 1}) {
    KVP_CHECK_EQ(clean[tier], block.clean_pages[tier]);
    totals.clean[tier] += clean[tier];
  }
  KVP_CHECK_EQ(valid_nvme, block.pages_valid_nvme);
  KVP_CHECK(block.nvme_first.is_none() == (pages[TierIndex(Tier::kNvme)] == 0));
  totals.rows += block.phase != BlockPhase::kFree;
  totals.named += block.named;
  if (block.phase == BlockPhase::kOpen) totals.open_host += pages[TierIndex(Tier::kHost)];
  totals.durable += block.durable && block.live();
  totals.runs += !block.nvme_first.is_none();
  if (block.named) {
    KVP_CHECK(block.phase == BlockPhase::kSealed);
    KVP_CHECK(s.index.Find(block.key) == index);
  }
}

void VerifyReferences(const CoreState& s) {
  std::vector<uint32_t> references(s.limits.blocks_max, 0);
  for (uint32_t slot = 0; slot < s.sequences.slots(); ++slot) {
    const Sequence& sequence = s.sequences.at_slot(slot);
    if (sequence.phase == SequencePhase::kFree) continue;
    SequenceTable::Walk walk(s.sequences, sequence, 0);
    for (; walk.valid(); walk.Next()) ++references[walk.block().value];
    if (sequence.phase != SequencePhase::kOpen || sequence.busy > 0) continue;
    const uint64_t capacity = uint64_t{sequence.blocks} * s.limits.page_tokens;
    KVP_CHECK_LE(sequence.length_tokens, capacity);
    KVP_CHECK_LT(capacity, sequence.length_tokens + s.limits.page_tokens);
  }
  for (uint32_t slot = 0; slot < s.sequences.slots(); ++slot) {
    const BlockIndex lent = s.credits.at_slot(slot).block;
    if (!lent.is_none()) ++references[lent.value];
  }
  for (uint32_t slot = 0; slot < s.steps.slots(); ++slot) {
    const Step& step = s.steps.step(slot);
    if (step.phase == StepPhase::kFree) continue;
    for (uint32_t i = step.entry_first; i != kNoSlot; i = s.steps.entry(i).next) {
      const BlockIndex tail = s.steps.entry(i).tail_source;
      if (!tail.is_none()) ++references[tail.value];
    }
  }
  for (uint32_t row = 0; row < s.limits.blocks_max; ++row) {
    const Block& block = s.blocks.block(BlockIndex{row});
    if (block.phase == BlockPhase::kFree) continue;
    KVP_CHECK_EQ(block.references, references[row]);
  }
}

void VerifyChildren(const CoreState& s) {
  std::vector<uint32_t> children(s.limits.blocks_max, 0);
  std::vector<std::array<uint32_t, kTierCount>> children_in(s.limits.blocks_max);
  for (uint32_t row = 0; row < s.limits.blocks_max; ++row) {
    const Block& block = s.blocks.block(BlockIndex{row});
    const BlockIndex parent = s.blocks.ParentOf(BlockIndex{row});
    if (block.phase == BlockPhase::kFree || parent.is_none()) continue;
    ++children[parent.value];
    for (size_t tier = 0; tier < kTierCount; ++tier) {
      children_in[parent.value][tier] += block.pages_in[tier] > 0;
    }
  }
  for (uint32_t row = 0; row < s.limits.blocks_max; ++row) {
    const Block& block = s.blocks.block(BlockIndex{row});
    if (block.phase == BlockPhase::kFree) continue;
    KVP_CHECK_EQ(block.children, children[row]);
    for (size_t tier = 0; tier < kTierCount; ++tier) {
      KVP_CHECK_EQ(block.children_in[tier], children_in[row][tier]);
    }
  }
}

// Every frame in use is charged to its namespace, and nobody has more than its maximum: of NVMe
// only through blocks that were restored before it was known whose they are.
void VerifyCharges(const CoreState& s) {
  const Charges& charges = s.blocks.charges();
  const uint32_t none = s.limits.namespaces_max;
  std::vector<std::array<uint32_t, kTierCount>> used(none + 1);
  std::vector<uint32_t> restored(none + 1, 0);
  std::vector<uint32_t> open_host(charges.classes(), 0);
  std::vector<uint32_t> leaving(charges.classes(), 0);
  const auto row_of = [none](NamespaceId name) { return name.is_none() ? none : name.value; };
  for (uint32_t row = 0; row < s.limits.blocks_max; ++row) {
    const Block& block = s.blocks.block(BlockIndex{row});
    if (block.phase == BlockPhase::kFree) continue;
    const uint32_t runs = block.nvme_first.is_none() ? 0 : s.limits.num_groups;
    used[row_of(block.name_space)][0] += block.pages_in[TierIndex(Tier::kHbm)];
    used[row_of(block.name_space)][1] += block.pages_in[TierIndex(Tier::kHost)];
    used[row_of(block.name_space)][2] += runs;
    if (block.restored) restored[row_of(block.name_space)] += runs;
    for (uint32_t group = 0; group < s.limits.num_groups; ++group) {
      const Page& page = s.blocks.page(s.blocks.page_of(BlockIndex{row}, group));
      const bool retiring = page.copy(Tier::kHbm).state == CopyState::kRetiring;
      leaving[charges.ClassOf(block.name_space)] += retiring;
    }
    if (block.phase != BlockPhase::kOpen) continue;
    open_host[charges.ClassOf(block.name_space)] += block.pages_in[TierIndex(Tier::kHost)];
  }
  const auto count_leaving = [&](NamespaceId name) {
    ++used[row_of(name)][0];
    ++leaving[charges.ClassOf(name)];
  };
  s.blocks.limbo().ForEach(count_leaving);
  s.blocks.quarantine().ForEach(count_leaving);
  for (uint32_t row = 0; row <= none; ++row) {
    const NamespaceId name = row == none ? NamespaceId{} : NamespaceId{row};
    for (Tier tier : kTiers) {
      KVP_CHECK_EQ(used[row][TierIndex(tier)], charges.used(name, tier));
      if (row >= s.limits.quotas.size()) continue;
      const uint64_t max = s.limits.quotas[row].tiers[TierIndex(tier)].max;
      KVP_CHECK_LE(used[row][TierIndex(tier)], max + (tier == Tier::kNvme ? restored[row] : 0));
    }
  }
  for (uint32_t i = 0; i < charges.classes(); ++i) {
    KVP_CHECK_EQ(open_host[i], charges.open_host(i));
    KVP_CHECK_EQ(leaving[i], charges.leaving(i));
  }
}

// The lists by class hold what the tier's list holds, each block in that of its class.
void VerifyClasses(const CoreState& s, Tier tier) {
  if (!s.blocks.charges().any_quota()) return;
  const ResidencyPolicy& policy = s.blocks.policy();
  uint32_t count = 0;
  for (uint32_t i = 0; i < s.blocks.charges().classes(); ++i) {
    for (BlockIndex index = policy.ColdestOf(tier, i); !index.is_none();
         index = policy.WarmerOf(tier, index)) {
      const Block& block = s.blocks.block(index);
      KVP_CHECK_EQ(s.blocks.charges().ClassOf(block.name_space), i);
      KVP_CHECK_GT(block.pages_in[TierIndex(tier)], 0u);
      ++count;
    }
  }
  KVP_CHECK_EQ(count, s.blocks.blocks_in(tier));
}

uint32_t CountPolicy(const CoreState& s, Tier tier) {
  uint32_t count = 0;
  for (BlockIndex index = s.blocks.policy().Coldest(tier); !index.is_none();
       index = s.blocks.policy().Warmer(tier, index)) {
    KVP_CHECK_GT(s.blocks.block(index).pages_in[TierIndex(tier)], 0u);
    ++count;
  }
  return count;
}

// A lost tier keeps only what is being read or written, once all rows have been looked at.
void VerifyRuns(const CoreState& s, uint32_t runs) {
  if (!s.blocks.nvme_lost()) {
    KVP_CHECK_EQ(runs + s.blocks.runs_retired() + s.blocks.runs_held() + s.blocks.runs_free(),
                 s.blocks.runs_max());
    return;
  }
  for (uint32_t row = s.nvme_rows_left; row < s.limits.blocks_max; ++row) {
    for (uint32_t group = 0; group < s.limits.num_groups; ++group) {
      const Page& page = s.blocks.page(s.blocks.page_of(BlockIndex{row}, group));
      KVP_CHECK(!page.copy(Tier::kNvme).idle());
    }
  }
}

}  // namespace

void VerifyAll(const CoreState& s) {
  const InFlight in_flight(s);
  Totals totals;
  for (uint32_t row = 0; row < s.limits.blocks_max; ++row) {
    const BlockIndex index{row};
    for (uint32_t group = 0; group < s.limits.num_groups; ++group) {
      VerifyPage(s, in_flight, index, group);
    }
    CountBlock(s, index, totals);
  }
  for (Tier tier : {Tier::kHbm, Tier::kHost}) {
    const FreeMap& frames = s.blocks.frames(tier);
    const uint32_t waiting =
        tier == Tier::kHbm ? s.blocks.limbo().count() + s.blocks.quarantine().count() : 0;
    KVP_CHECK_EQ(totals.frames[TierIndex(tier)] + waiting + frames.free_count(), frames.size());
    KVP_CHECK_EQ(totals.clean[TierIndex(tier)], s.blocks.clean_pages(tier));
  }
  for (Tier tier : kTiers) {
    KVP_CHECK_EQ(totals.pinned[TierIndex(tier)], s.blocks.pinned_pages(tier));
    KVP_CHECK_EQ(totals.blocks[TierIndex(tier)], s.blocks.blocks_in(tier));
    KVP_CHECK_EQ(totals.blocks[TierIndex(tier)], CountPolicy(s, tier));
    VerifyClasses(s, tier);
  }
  VerifyCredits(s);
  KVP_CHECK_EQ(totals.rows + s.blocks.rows_free(), s.limits.blocks_max);
  VerifyRuns(s, totals.runs);
  KVP_CHECK_EQ(totals.named, s.index.size());
  KVP_CHECK_EQ(totals.durable, s.durable_blocks);
  KVP_CHECK_EQ(totals.open_host, s.blocks.open_pages_host());
  KVP_CHECK_EQ(totals.claims, s.blocks.claimed_pages());
  KVP_CHECK_LE(totals.guarded, s.guards.count());
  KVP_CHECK_EQ(totals.claims, StepCollects(s) ? s.steps.step(s.collecting).missing : 0u);
  VerifyCharges(s);
  VerifyReferences(s);
  VerifyChildren(s);
}

}  // namespace kvpager
