// tests/sim/frame_watch.h
//
// Who uses which frame now: operations in flight, ready steps, words of the page table. Checks what
// may not happen at once:
//
//   E1  no frame is written by an operation while another reads or writes it
//   E2  no more operations per channel than the limit
//   W1  a frame that a ready step reads is not written, scrubbed or withdrawn before the step's end
//   W2  a frame that a ready step writes is not read by an operation either, except by the copy of
//   a
//       tail: of that only the rows below the fork matter, and those are not written
//   G1  a frame that a step without a message read from the table is not written, and not given to
//       another page, before that step's end; it may be withdrawn
//   Q1  a frame that a revoked engine may still write is not written, and not given to another
//   page,
//       before that engine is gone
//   W3  a frame stands in the word of one page at most, and is not written while it stands there

#ifndef KVPAGER_TESTS_SIM_FRAME_WATCH_H_
#define KVPAGER_TESTS_SIM_FRAME_WATCH_H_

#include <array>
#include <cstdint>
#include <vector>

#include "memmgr/core/effect.h"
#include "memmgr/core/limits.h"

namespace kvpager::sim {

struct Word {
  FrameIndex frame_hbm;
  FrameIndex frame_host;
  uint32_t generation = 0;
};

struct ChannelTiers {
  Tier source;
  Tier target;
  bool has_source;
};
ChannelTiers TiersOf(Channel channel);

class FrameWatch {
 public:
  explicit FrameWatch(const Limits& limits);

  void Publish(const PageTableWrite& write);
  const Word& word(PageIndex page) const { return words_[page.value]; }

  void OperationStarted(const CopyOp& copy);
  void OperationEnded(const CopyOp& copy);

  void Pin(Tier tier, FrameIndex frame);
  void Unpin(Tier tier, FrameIndex frame);
  void EnterEpoch(FrameIndex frame, PageIndex page);
  void LeaveEpoch(FrameIndex frame);
  void WriteBegins(FrameIndex frame);
  void WriteEnds(FrameIndex frame);
  // A revoked engine may write it, as the page that stands there now.
  void HauntBegins(FrameIndex frame);
  void HauntEnds(FrameIndex frame);
  bool pinned(Tier tier, FrameIndex frame) const { return at(tier, frame).pins > 0; }
  bool idle(Tier tier, FrameIndex frame) const;

  uint32_t in_flight() const;

 private:
  struct Use {
    PageIndex published;
    uint32_t readers = 0;         // Operations.
    uint32_t readers_of_all = 0;  // Of every row: all but copies of a tail.
    uint32_t writers = 0;
    uint32_t pins = 0;     // Steps.
    uint32_t epochs = 0;   // Steps without a message ...
    PageIndex epoch_page;  // ... that read this page here.
    uint32_t step_writers = 0;
    uint32_t haunts = 0;   // Revoked engines that may write it ...
    PageIndex haunt_page;  // ... as this page.
  };

  Use& at(Tier tier, FrameIndex frame);
  const Use& at(Tier tier, FrameIndex frame) const;
  void Republish(Tier tier, PageIndex page, FrameIndex from, FrameIndex to);

  std::vector<Word> words_;
  std::array<std::vector<Use>, kTierCount> uses_;
  std::array<uint32_t, kChannelCount> in_flight_{};
  std::array<uint32_t, kChannelCount> in_flight_max_{};
};

}  // namespace kvpager::sim

#endif  // KVPAGER_TESTS_SIM_FRAME_WATCH_H_
