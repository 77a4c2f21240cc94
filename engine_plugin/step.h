// engine_plugin/step.h
//
// One forward pass, from begin to end, and the lanes that keep steps in order.
//
//   pending --answer ok--> ready --+
//      |                           +--end--> gone
//      +----answer error--> failed-+
//
// Each entry remembers how long its sequence was at begin. An entry is *dropped* when its tokens
// are gone before the step has ended: an earlier step was discarded or failed, or blocks were lost.
//
// Ownership: the client owns steps through its lanes. Thread-safety: none.

#ifndef KVPAGER_ENGINE_PLUGIN_STEP_H_
#define KVPAGER_ENGINE_PLUGIN_STEP_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "engine_plugin/kvpager.h"
#include "engine_plugin/sequence.h"
#include "memmgr/base/ids.h"

namespace kvpager::engine {

inline constexpr uint32_t kLaneCount = 8;
inline constexpr uint32_t kAll = KVP_ALL;

// As in the C ABI and on the wire.
enum class StepResidency : uint32_t { kResident = 0, kSplit = 2 };

// What a caller asks for, per sequence, as it crosses the C ABI. The range restricts what is pinned
// and listed; pages appended to are always included.
using StepEntryRequest = ::kvp_step_entry;

struct StepEntry {
  const StepEntryRequest* request = nullptr;  // In Step::asked.
  Sequence* sequence = nullptr;
  uint64_t begin_tokens = 0;  // The sequence's length without this step's tokens.
  // Block positions: of the first that the step appends to, if it does, and behind the last.
  uint32_t append_position = 0;
  uint32_t blocks_end = 0;
  std::shared_ptr<const BlockList> blocks;  // As of the answer; null in a step without a message.
  uint64_t tail_changes = 0;                // Of the sequence, when it was asked for.
  bool dropped = false;
  absl::Status dropped_why;  // Ok: the caller discarded an earlier step and knows.

  uint64_t end_tokens() const { return begin_tokens + request->append_tokens; }
  // The length it begins with. REQUIRES: `request` is set.
  void Place(uint64_t tokens, uint32_t page_tokens);
};

// Where the time of a ready step went, as the daemon saw it.
struct StepTimes {
  uint64_t queue_ns = 0;
  uint64_t room_ns = 0;
  uint64_t nvme_ns = 0;
  uint64_t host_ns = 0;
  uint64_t promoted_host_pages = 0;
  uint64_t promoted_nvme_pages = 0;
};

// One batch in FlashInfer's form, over the frames of one tier.
struct ViewLists {
  std::vector<int32_t> indptr;
  std::vector<int32_t> indices;
  std::vector<int32_t> last_page_len;
  std::vector<int32_t> positions;

  void Clear();
};

// A page of a SPLIT step that was in both tiers when it was listed in HBM. Perhaps the daemon
// pinned the copy in host memory and the one in HBM came later, so it may go: end looks once more.
struct UnsurePage {
  uint32_t group = 0;
  BlockRef block;
  uint32_t frame_hbm = 0;
};

// Bits of one word of SharedLanes::touched.
struct TouchedBits {
  uint32_t word = 0;
  uint64_t bits = 0;
};

enum class StepState { kPending, kReady, kFailed };

class Step {
 public:
  // A step is used again and again, so that beginning one allocates nothing: Clear, fill in the
  // entries, Begin.
  void Clear();
  // Some page is not there after all: it is to be begun with a message.
  void ForgetFound();
  void Begin(Ticket ticket, StepResidency residency);
  // The same step once more, later: its places are still right, and so are its entries and lists
  // but for the tokens that are new, which wait until somebody asks (repeats_unsettled, view_lag).
  void BeginAgain(Ticket ticket);

  Ticket ticket() const { return ticket_; }
  StepResidency residency() const { return residency_; }
  std::vector<StepEntry>& entries() { return entries_; }
  const std::vector<StepEntry>& entries() const { return entries_; }

  // It was begun without a message, and where its pages were then: by entry, then by group; empty:
  // none of that group is listed.
  bool message_free = false;
  std::vector<FrameList> frames;
  // What those places hang on, and which bits say that the sequences are used: for a next step over
  // the same batch (client_again.cc).
  std::vector<Watch> watches;
  bool watches_distinct = false;  // Each counter is there once.
  std::vector<TouchedBits> touches;
  uint64_t changes = 0;  // Of the client, at begin, then at end.
  bool appends = false;
  bool fills = false;                   // Some entry writes the last row of a block.
  bool takes_credits = false;           // Some entry needs a block more than its sequence has.
  std::vector<StepEntryRequest> asked;  // The entries, as the caller named them.
  uint64_t repeats_left = 0;            // Until some entry would write the last row of a block.
  uint64_t check = 0;                   // Of the client's checks, the one of these entries.
  uint64_t checks_seen = 0;  // No later one, up to this one, named a sequence of this step.
  // Repeats that its entries do not show yet, and begins that its sequences do not
  // (Client::Settle).
  uint64_t repeats_unsettled = 0;
  uint64_t begins_unsettled = 0;
  uint64_t view_lag = 0;   // Repeats that its lists do not show yet.
  bool deferred = false;   // The client settles it.
  bool is_listed = false;  // Its sequences list it.
  // Its end has been said, although it may still be listed.
  bool ended = false;

  // The answer has come. Ready: takes the sequences' block lists as they are now.
  void SetReady(const StepTimes& times);
  void SetFailed(absl::Status why);
  StepState state() const { return state_; }
  const absl::Status& failure() const { return failure_; }
  const StepTimes& times() const { return times_; }

  // Why the caller may not use this step although its pages are there; ok if it may.
  absl::Status dropped_why() const;

  // The caller ended it before its turn in the lane; it is discarded when the turn comes.
  bool ended_early = false;
  uint64_t request = 0;         // Of its StepBegin.
  std::vector<uint64_t> waits;  // Submitted ones that complete when it is ready.

  // SPLIT: device and host lists per group, made once, so that each page is in exactly one of them
  // however often they are asked for. RESIDENT: one pair, overwritten by the next view.
  struct Views {
    ViewLists device;
    ViewLists host;
  };
  std::vector<std::unique_ptr<Views>> views;
  uint32_t view_group = kAll;  // Whose lists a RESIDENT step's are.
  std::vector<UnsurePage> unsure_pages;

 private:
  Ticket ticket_;
  StepResidency residency_ = StepResidency::kResident;
  std::vector<StepEntry> entries_;
  StepState state_ = StepState::kPending;
  absl::Status failure_;
  StepTimes times_;
};

// The open steps of each lane, oldest first, and the next step number.
class Lanes {
 public:
  // REQUIRES: lane < kLaneCount.
  Ticket NextTicket(uint32_t lane) { return Ticket{lane, ++lanes_[lane].number}; }
  Step* Add(std::unique_ptr<Step> step);
  bool is_oldest(const Step* step) const;
  // Takes a step out of its lane, wherever it stands.
  std::unique_ptr<Step> Remove(const Step* step);
  // The oldest step of the lane, or null.
  Step* oldest(uint32_t lane) const;
  size_t open_count() const { return open_count_; }
  // True if the daemon still has to answer for one of them.
  bool any_pending() const;
  // The newest step of the lane before which all have ended, itself included; 0: none.
  uint64_t done(uint32_t lane) const;

 private:
  struct Lane {
    uint64_t number = 0;
    std::deque<std::unique_ptr<Step>> steps;
  };
  std::array<Lane, kLaneCount> lanes_;
  size_t open_count_ = 0;
};

}  // namespace kvpager::engine

#endif  // KVPAGER_ENGINE_PLUGIN_STEP_H_
