// engine_plugin/sequence.h
//
// What the library knows of one sequence: which blocks it consists of, how many tokens it has, and
// which steps of this client it takes part in.
//
// The block list follows the daemon: every update says what is now at and after a position. It is
// shared with the steps that were answered while it looked like this, and copied when it changes
// under them, so a step's view never moves.
//
// The length is the library's own: begin adds a step's tokens at once, so that steps may overlap;
// discard, truncate, a failed step and a loss take tokens away.
//
// Units: tokens, blocks. Ownership: the client owns sequences; they outlive their open steps.
// Thread-safety: none. Errors: kUnavailable where the daemon contradicts itself.

#ifndef KVPAGER_ENGINE_PLUGIN_SEQUENCE_H_
#define KVPAGER_ENGINE_PLUGIN_SEQUENCE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine_plugin/digest.h"
#include "engine_plugin/resident_pages.h"
#include "ipc/credit_word.h"
#include "memmgr/base/ids.h"

namespace kvpager::engine {

class Step;

// One block, as the daemon named it.
struct BlockRef {
  uint32_t block = 0;
  uint32_t generation = 0;  // Its pages' words must show the same.

  friend bool operator==(const BlockRef&, const BlockRef&) = default;
};
using BlockList = std::vector<BlockRef>;

// Names whose blocks an open step still writes. They are sent when that step has ended with keep:
// a discarded step must never leave a name on what it wrote.
struct HeldName {
  Ticket ticket;
  uint32_t block_first = 0;
  std::vector<Digest> keys;
};

// A credit that a step without a message has taken, of which the daemon was not told yet.
struct TakenCredit {
  CreditWord word;        // As it was granted.
  uint32_t position = 0;  // Of its block in the sequence.
};

// What every step touches comes first, in two cache lines of its own.
class Sequence {
 public:
  using OpenSteps = absl::InlinedVector<Step*, 2>;

  Sequence(uint64_t handle, uint32_t page_tokens) : page_tokens_(page_tokens), handle_(handle) {}

  // The last list of entries that named it: of the client's checks.
  alignas(64) uint64_t named_in = 0;

 private:
  uint64_t length_tokens_ = 0;
  OpenSteps open_steps_;
  uint64_t id_ = 0;
  const uint32_t page_tokens_;
  uint32_t blocks_count_ = 0;
  bool tail_is_ours_ = false;
  bool is_sound_ = true;
  alignas(64) ResidentPages resident_;

 public:
  bool suspended = false;

  uint64_t handle() const { return handle_; }
  // The daemon's name for it; 0 while a fork waits for a step of its parent.
  uint64_t id() const { return id_; }
  void set_id(uint64_t id) { id_ = id; }

  uint64_t length_tokens() const { return length_tokens_; }
  void set_length_tokens(uint64_t tokens) { length_tokens_ = tokens; }
  uint32_t page_tokens() const { return page_tokens_; }

  // The length that the daemon has, or will have when it has read what was sent. Steps that ran
  // without a message may have put more behind it.
  uint64_t told_tokens() const { return told_tokens_; }
  void set_told_tokens(uint64_t tokens) { told_tokens_ = tokens; }

  // Rows behind the last may be written where the tail is, without a word: a pinned step has made
  // it ours alone, and nothing has happened since that step was asked for that may have changed
  // that.
  bool tail_is_ours() const { return tail_is_ours_; }
  uint64_t tail_changes() const { return tail_changes_; }
  void TakeTail(uint64_t changes_at_begin) { tail_is_ours_ = changes_at_begin == tail_changes_; }
  void GiveUpTail() {
    tail_is_ours_ = false;
    ++tail_changes_;
  }

  ResidentPages& resident() { return resident_; }

  // Ask the cache for what every step touches, then, of a sequence that has run none, for its block
  // list, then for its blocks.
  void Prefetch() const {
    __builtin_prefetch(this);
    __builtin_prefetch(&resident_);
    __builtin_prefetch(&blocks_);
  }
  void PrefetchBlockList() const {
    if (resident_.is_empty()) __builtin_prefetch(blocks_.get());
  }
  void PrefetchBlocks() const {
    if (resident_.is_empty()) __builtin_prefetch(blocks_->data());
  }

  const std::shared_ptr<const BlockList>& blocks() const { return blocks_; }
  uint32_t blocks_count() const { return blocks_count_; }

  // Everything at and after `block_position` is now what the runs say. kUnavailable, and nothing
  // changes, if that leaves a gap or names a block that does not exist.
  absl::Status ApplyRuns(uint32_t block_position, absl::Span<const BlockRun> runs,
                         uint32_t blocks_max);

  // Steps of this client that read or write it and have not ended, oldest first, all in one lane.
  OpenSteps& open_steps() { return open_steps_; }
  const OpenSteps& open_steps() const { return open_steps_; }
  bool in_step() const { return !open_steps_.empty(); }
  // The tokens that no open step is still writing.
  uint64_t stable_tokens() const;

  // The moment behind every open step of this sequence; number 0 if there is none. A step that
  // failed has passed.
  Ticket newest_ticket() const;

  // The first error of a posted request since the last call on this sequence; taking it clears it.
  void Remember(absl::Status error);
  absl::Status TakeError();

  // Neither such an error nor broken.
  bool is_sound() const { return is_sound_; }

  // A state that only closing leaves: the daemon's contents and ours can no longer be the same.
  const absl::Status& broken() const { return broken_; }
  void Break(absl::Status why);

  std::optional<TakenCredit> credit;
  std::vector<HeldName> held_names;

  // The least that a loss has left; all ones: none. A truncate to more than that fails, rightly.
  uint64_t cut_tokens = ~uint64_t{0};

  // A fork that the daemon has not answered: the parent's step it is ordered behind, and the tokens
  // that are still wanted of it when it comes.
  Ticket fork_ticket;
  uint64_t fork_parent = 0;  // Handle.

 private:
  const uint64_t handle_;
  uint64_t told_tokens_ = 0;
  uint64_t tail_changes_ = 0;
  std::shared_ptr<const BlockList> blocks_ = std::make_shared<BlockList>();
  absl::Status error_;
  absl::Status broken_;
};

}  // namespace kvpager::engine

#endif  // KVPAGER_ENGINE_PLUGIN_SEQUENCE_H_
