// tests/sim/model.h
//
// What one fake engine knows, as libkvpager would: its sequences with their block lists, its steps,
// and its requests without an answer; and what only the oracle knows: which content every token of
// every sequence must have.
//
// The content of a sequence changes when the answer comes, in the order of the answers.

#ifndef KVPAGER_TESTS_SIM_MODEL_H_
#define KVPAGER_TESTS_SIM_MODEL_H_

#include <cstdint>
#include <map>
#include <vector>

#include "memmgr/base/ids.h"
#include "memmgr/core/command.h"
#include "tests/sim/content.h"
#include "tests/sim/frame_watch.h"

namespace kvpager::sim {

struct BlockReference {
  uint32_t block = 0;
  uint32_t generation = 0;
};

// The word of a sequence's credit, which the daemon and the engine share.
struct ModelCredit {
  BlockReference block;
  bool taken = false;
};

struct ModelSequence {
  SequenceId id;
  std::vector<Token> tokens;
  std::vector<BlockReference> blocks;
  uint64_t accepted_tokens = 0;  // Behind these are drafts.
  uint64_t told_tokens = 0;      // What the core knows, or will when it has read the outbox.
  bool tail_is_ours = false;     // Rows may be appended to it without a message.
  uint32_t conversation = 0;
  uint64_t named_blocks = 0;
  uint32_t lane = 0;
  uint64_t newest_step = 0;  // In its lane; 0: none.
  uint32_t steps_waiting = 0;
  uint32_t steps_ready = 0;
  uint32_t draft_steps_waiting = 0;
  uint32_t unanswered = 0;  // Commands that may change it.
  uint32_t losses = 0;
  bool reused_only = false;  // Extend is allowed.
  bool suspended = false;
  bool closing = false;
};

// A row of a frame that a step reads, and what must be there.
struct RowRead {
  Tier tier = Tier::kHbm;
  FrameIndex frame;
  uint32_t row = 0;
  Row expected = 0;
  PageIndex unsure;  // Not pinned here, perhaps: holds only while the word of this page does.
};

struct RowWrite {
  FrameIndex frame;
  uint32_t row = 0;
  Row value = 0;
};

struct FramePin {
  Tier tier = Tier::kHbm;
  FrameIndex frame;
  PageIndex unsure;
};

enum class StepPhase : uint8_t { kWaiting, kReady, kEnded };

struct ModelStep {
  Ticket ticket;
  uint64_t request = 0;
  StepPhase phase = StepPhase::kWaiting;
  Residency residency = Residency::kResident;
  bool message_free = false;
  std::vector<StepEntry> entries;
  std::vector<uint32_t> losses;        // Of each entry's sequence, when it was asked for.
  std::vector<uint64_t> begin_tokens;  // Likewise, when it became ready: what it writes is behind.
  std::vector<RowRead> reads;
  std::vector<RowWrite> writes;
  size_t writes_counted = 0;
  size_t writes_landed = 0;
  std::vector<FramePin> pins;
  std::vector<FrameIndex> write_pins;
  std::vector<FrameIndex> epoch_frames;
  uint64_t hang_until_ns = 0;
  uint64_t asked_ns = 0;
};

// A request without an answer, and what its success will mean.
struct Pending {
  size_t kind = 0;  // Index into Command::body.
  SequenceId sequence;
  Ticket ticket;
  uint32_t conversation = 0;
  uint32_t keys_count = 0;
  uint32_t block_first = 0;
  bool durable = false;
  bool accept = false;
  uint64_t tokens = 0;
  std::vector<BlockKey> keys;
  std::vector<Token> prompt;  // What the keys are made from.
  bool nonsense = false;      // Must be refused.
};

// A command that is on its way, with what its spans point at.
struct Outgoing {
  Command command;
  std::vector<BlockKey> keys;
  std::vector<StepEntry> entries;
  uint64_t due_ns = 0;
};

}  // namespace kvpager::sim

#endif  // KVPAGER_TESTS_SIM_MODEL_H_
