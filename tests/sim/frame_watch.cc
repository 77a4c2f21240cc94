#include "tests/sim/frame_watch.h"

#include "absl/strings/str_cat.h"
#include "tests/sim/failure.h"
#include "tests/testing/describe.h"

namespace kvpager::sim {
namespace {

std::string Name(Tier tier, FrameIndex frame) {
  return absl::StrCat(testing::TierName(tier), ":", frame.value);
}

}  // namespace

ChannelTiers TiersOf(Channel channel) {
  switch (channel) {
    case Channel::kHbmToHost:
      return {Tier::kHbm, Tier::kHost, true};
    case Channel::kHostToHbm:
      return {Tier::kHost, Tier::kHbm, true};
    case Channel::kHbmToHbm:
      return {Tier::kHbm, Tier::kHbm, true};
    case Channel::kScrub:
      return {Tier::kHbm, Tier::kHbm, false};
    case Channel::kHostToNvme:
      return {Tier::kHost, Tier::kNvme, true};
    case Channel::kNvmeToHost:
      return {Tier::kNvme, Tier::kHost, true};
  }
  return {Tier::kHbm, Tier::kHbm, false};
}

FrameWatch::FrameWatch(const Limits& limits)
    : words_(limits.pages_max()), in_flight_max_(limits.in_flight_max) {
  for (size_t tier = 0; tier < kTierCount; ++tier) uses_[tier].resize(limits.frames_max[tier]);
}

FrameWatch::Use& FrameWatch::at(Tier tier, FrameIndex frame) {
  std::vector<Use>& uses = uses_[TierIndex(tier)];
  if (frame.value >= uses.size()) Fail(absl::StrCat(Name(tier, frame), " does not exist"));
  return uses[frame.value];
}

const FrameWatch::Use& FrameWatch::at(Tier tier, FrameIndex frame) const {
  return const_cast<FrameWatch*>(this)->at(tier, frame);
}

void FrameWatch::Republish(Tier tier, PageIndex page, FrameIndex from, FrameIndex to) {
  if (from == to) return;
  if (!from.is_none()) {
    Use& use = at(tier, from);
    if (use.pins > 0) {
      Fail(absl::StrCat("W1: ", Name(tier, from), " of p", page.value,
                        " is withdrawn although a ready step reads it"));
    }
    use.published = PageIndex{};
  }
  if (to.is_none()) return;
  Use& use = at(tier, to);
  if (!use.published.is_none()) {
    Fail(absl::StrCat("W3: ", Name(tier, to), " is published for p", page.value,
                      " but stands in the word of p", use.published.value));
  }
  if (use.epochs > 0 && use.epoch_page != page) {
    Fail(absl::StrCat("G1: ", Name(tier, to), " is given to p", page.value,
                      " although a step still reads p", use.epoch_page.value, " there"));
  }
  if (use.haunts > 0 && use.haunt_page != page) {
    Fail(absl::StrCat("Q1: ", Name(tier, to), " is given to p", page.value,
                      " although a revoked engine may write it"));
  }
  if (use.writers > 0) {
    Fail(absl::StrCat("W3: ", Name(tier, to), " is published while it is being written"));
  }
  use.published = page;
}

void FrameWatch::Publish(const PageTableWrite& write) {
  if (write.page.value >= words_.size())
    Fail(absl::StrCat("p", write.page.value, " does not exist"));
  if (write.generation >= 1024) Fail("a generation has more than 10 bits");
  Word& word = words_[write.page.value];
  const bool was_pinned = (!word.frame_hbm.is_none() && at(Tier::kHbm, word.frame_hbm).pins > 0) ||
                          (!word.frame_host.is_none() && at(Tier::kHost, word.frame_host).pins > 0);
  if (was_pinned && word.generation != write.generation) {
    Fail(absl::StrCat("W1: the generation of p", write.page.value,
                      " changes although a ready step reads it"));
  }
  Republish(Tier::kHbm, write.page, word.frame_hbm, write.frame_hbm);
  Republish(Tier::kHost, write.page, word.frame_host, write.frame_host);
  word = Word{write.frame_hbm, write.frame_host, write.generation};
}

void FrameWatch::OperationStarted(const CopyOp& copy) {
  const ChannelTiers tiers = TiersOf(copy.channel);
  const std::string what = testing::Describe(copy);
  uint32_t& in_flight = in_flight_[ChannelIndex(copy.channel)];
  if (++in_flight > in_flight_max_[ChannelIndex(copy.channel)]) {
    Fail(absl::StrCat("E2: more operations than the limit: ", what));
  }
  Use& target = at(tiers.target, copy.target);
  if (target.readers + target.writers > 0) Fail(absl::StrCat("E1: target is in use: ", what));
  if (target.pins + target.step_writers > 0) {
    Fail(absl::StrCat("W1: target is in a ready step: ", what));
  }
  if (target.epochs > 0) Fail(absl::StrCat("G1: a step still reads the target: ", what));
  if (target.haunts > 0) Fail(absl::StrCat("Q1: a revoked engine may write the target: ", what));
  if (!target.published.is_none()) {
    Fail(absl::StrCat("W3: target stands in the word of p", target.published.value, ": ", what));
  }
  ++target.writers;
  if (!tiers.has_source) return;
  Use& source = at(tiers.source, copy.source);
  if (source.writers > 0) Fail(absl::StrCat("E1: source is being written: ", what));
  if (copy.channel != Channel::kHbmToHbm) {
    if (source.step_writers > 0) Fail(absl::StrCat("W2: a ready step writes the source: ", what));
    ++source.readers_of_all;
  }
  ++source.readers;
}

void FrameWatch::OperationEnded(const CopyOp& copy) {
  const ChannelTiers tiers = TiersOf(copy.channel);
  --in_flight_[ChannelIndex(copy.channel)];
  --at(tiers.target, copy.target).writers;
  if (!tiers.has_source) return;
  --at(tiers.source, copy.source).readers;
  if (copy.channel != Channel::kHbmToHbm) --at(tiers.source, copy.source).readers_of_all;
}

void FrameWatch::Pin(Tier tier, FrameIndex frame) {
  Use& use = at(tier, frame);
  if (use.writers > 0) {
    Fail(
        absl::StrCat("W1: a step became ready on ", Name(tier, frame), ", which is being written"));
  }
  ++use.pins;
}

void FrameWatch::EnterEpoch(FrameIndex frame, PageIndex page) {
  Use& use = at(Tier::kHbm, frame);
  if (use.writers > 0) {
    Fail(absl::StrCat("G1: a step began on ", Name(Tier::kHbm, frame), ", which is being written"));
  }
  if (use.epochs > 0 && use.epoch_page != page) {
    Fail(absl::StrCat("G1: ", Name(Tier::kHbm, frame), " is of two pages"));
  }
  ++use.epochs;
  use.epoch_page = page;
}

void FrameWatch::LeaveEpoch(FrameIndex frame) { --at(Tier::kHbm, frame).epochs; }

void FrameWatch::Unpin(Tier tier, FrameIndex frame) { --at(tier, frame).pins; }

void FrameWatch::WriteBegins(FrameIndex frame) {
  Use& use = at(Tier::kHbm, frame);
  if (use.readers_of_all > 0) {
    Fail(absl::StrCat("W2: a step became ready to write ", Name(Tier::kHbm, frame),
                      ", which an operation reads"));
  }
  ++use.step_writers;
}

void FrameWatch::WriteEnds(FrameIndex frame) { --at(Tier::kHbm, frame).step_writers; }

void FrameWatch::HauntBegins(FrameIndex frame) {
  Use& use = at(Tier::kHbm, frame);
  ++use.haunts;
  use.haunt_page = use.published;
}

void FrameWatch::HauntEnds(FrameIndex frame) { --at(Tier::kHbm, frame).haunts; }

bool FrameWatch::idle(Tier tier, FrameIndex frame) const {
  const Use& use = at(tier, frame);
  return use.readers + use.writers + use.pins + use.epochs + use.step_writers == 0;
}

uint32_t FrameWatch::in_flight() const {
  uint32_t sum = 0;
  for (uint32_t count : in_flight_) sum += count;
  return sum;
}

}  // namespace kvpager::sim
