// tools/kvpager-replay/request_run.h
//
// One request on its way through an engine: what it holds, what it will do next.
//
//   opened: the longest known prefix is there
//     prefill   at most prefill_blocks at a time, until the whole prompt is there
//     decode    one token at a time, until the answer is complete
//   finished: the last step compares every page once more
//
// A step that needs more blocks than the engine's window is done in parts: parts that only read,
// then one that appends (kvpager.h: "with few blocks at a time, a sequence larger than HBM runs
// too").
//
// Units: tokens of the pool, of which a trace's 512 are page_tokens. Ownership: values; sequence
// and step belong to the engine's client, which the runner opens and ends them with.

#ifndef KVPAGER_TOOLS_KVPAGER_REPLAY_REQUEST_RUN_H_
#define KVPAGER_TOOLS_KVPAGER_REPLAY_REQUEST_RUN_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine_plugin/kvpager.h"
#include "kernels/cpu/attend.h"
#include "tools/kvpager-replay/trace.h"

namespace kvpager::replay {

// How a request is cut into steps.
struct StepShape {
  uint32_t page_tokens = 16;
  uint32_t num_groups = 1;
  uint32_t prefill_blocks = 32;
  uint32_t window_blocks = 1;  // The most that one step may pin.
};

// Blocks [first, first + count) of the sequence, which one step reads.
struct BlockRange {
  uint32_t first = 0;
  uint32_t count = 0;
};

class RequestRun {
 public:
  RequestRun(uint32_t index, const Request& request, uint64_t name_space, const StepShape& shape);

  uint32_t index() const { return index_; }
  const std::vector<kvp_block_key>& keys() const { return keys_; }
  uint64_t tokens() const { return tokens_; }  // Kept so far.
  uint64_t prompt_tokens() const { return prompt_tokens_; }
  uint64_t decoded_tokens() const { return target_tokens_ - prompt_tokens_; }
  bool finished() const { return tokens_ == target_tokens_; }
  uint64_t trace_id(uint32_t block) const;  // For people; all ones: a block of its own.

  // The content of block `block` of this sequence.
  uint64_t IdentityOf(uint32_t block) const { return identities_[block]; }

  // Starts over, with nothing.
  void Reset();
  // The sequence was opened, `reused_tokens` are there.
  void Opened(kvp_seq sequence, uint64_t reused_tokens);
  // Only `tokens` are left; returns how many blocks must be computed again.
  uint64_t CutTo(uint64_t tokens);

  // Decides what the next step does. REQUIRES: !finished().
  void PlanStep();
  uint32_t append_tokens() const { return append_tokens_; }  // Of the step as a whole.
  bool is_decode() const { return is_decode_; }
  // Its last step: everything is compared once more.
  bool is_final() const { return tokens_ + append_tokens_ == target_tokens_; }

  // The parts of the step.
  bool in_parts() const { return parts_.size() > 1; }
  bool at_first_part() const { return part_ == 0; }
  bool at_last_part() const { return part_ + 1 == parts_.size(); }
  const BlockRange& part() const { return parts_[part_]; }
  uint32_t part_append_tokens() const { return at_last_part() ? append_tokens_ : 0; }
  void NextPart() { ++part_; }
  // The last part is done and its tokens are kept.
  void StepKept();

  // The frame in which this request compared a page, or ~0.
  uint32_t& VerifiedIn(uint32_t block, uint32_t group) {
    return verified_in_[uint64_t{block} * shape_.num_groups + group];
  }
  bool was_reused(uint32_t block) const { return block < reused_blocks_; }

  kvp_seq sequence = 0;
  kvp_step* step = nullptr;
  bool opened_before = false;
  // Per layer, of a decode step in parts: what its parts so far add up to.
  std::vector<std::unique_ptr<kernels::AttentionStates>> attention_so_far;
  uint32_t blocks_named = 0;  // Blocks [0, blocks_named) are named or were found by name.
  std::array<uint32_t, KVP_TIER_COUNT> hit_blocks{};
  uint64_t stall_ns = 0;          // Of the step in flight: in the calls of begin and wait.
  uint64_t begun_ns = 0;          // When it was asked for.
  uint64_t refused_since_ns = 0;  // RESOURCE_EXHAUSTED since then; 0: not refused.

 private:
  uint32_t BlocksOf(uint64_t tokens) const;

  const uint32_t index_;
  const Request* const request_;
  const StepShape shape_;
  std::vector<kvp_block_key> keys_;
  std::vector<uint64_t> identities_;
  uint64_t prompt_tokens_ = 0;
  uint64_t target_tokens_ = 0;

  uint64_t tokens_ = 0;
  uint32_t reused_blocks_ = 0;
  bool everything_was_read_ = false;
  uint32_t append_tokens_ = 0;
  bool is_decode_ = false;
  std::vector<BlockRange> parts_;
  size_t part_ = 0;
  std::vector<uint32_t> verified_in_;  // [block, group]
};

}  // namespace kvpager::replay

#endif  // KVPAGER_TOOLS_KVPAGER_REPLAY_REQUEST_RUN_H_
