#include "tools/kvpager-replay/request_run.h"

#include <algorithm>

#include "memmgr/base/check.h"
#include "memmgr/base/units.h"
#include "tools/kvpager-replay/block_keys.h"

namespace kvpager::replay {
namespace {

constexpr uint32_t kNowhere = ~uint32_t{0};

}  // namespace

RequestRun::RequestRun(uint32_t index, const Request& request, uint64_t name_space,
                       const StepShape& shape)
    : index_(index), request_(&request), shape_(shape), keys_(PromptKeys(request)) {
  const uint64_t tail = request.input_tokens % kTraceBlockTokens;
  prompt_tokens_ = keys_.size() * shape.page_tokens + tail * shape.page_tokens / kTraceBlockTokens;
  target_tokens_ =
      prompt_tokens_ +
      std::max<uint64_t>(1, request.output_tokens * shape.page_tokens / kTraceBlockTokens);
  const uint32_t blocks = BlocksOf(target_tokens_);
  identities_.reserve(blocks);
  for (const kvp_block_key& key : keys_) identities_.push_back(BlockIdentity(name_space, key));
  while (identities_.size() < blocks) {
    identities_.push_back(PrivateBlockIdentity(name_space, index, identities_.size()));
  }
  Reset();
}

uint32_t RequestRun::BlocksOf(uint64_t tokens) const {
  return static_cast<uint32_t>(CeilDiv(tokens, shape_.page_tokens));
}

uint64_t RequestRun::trace_id(uint32_t block) const {
  return block < keys_.size() ? request_->hash_ids[block] : ~uint64_t{0};
}

void RequestRun::Reset() {
  sequence = 0;
  step = nullptr;
  blocks_named = 0;
  hit_blocks = {};
  refused_since_ns = 0;
  tokens_ = 0;
  reused_blocks_ = 0;
  everything_was_read_ = false;
  append_tokens_ = 0;
  parts_.clear();
  part_ = 0;
  verified_in_.assign(uint64_t{identities_.size()} * shape_.num_groups, kNowhere);
}

void RequestRun::Opened(kvp_seq opened, uint64_t reused_tokens) {
  sequence = opened;
  tokens_ = reused_tokens;
  reused_blocks_ = BlocksOf(reused_tokens);
  blocks_named = reused_blocks_;
}

uint64_t RequestRun::CutTo(uint64_t tokens) {
  KVP_CHECK_LT(tokens, tokens_);
  const auto kept_blocks = static_cast<uint32_t>(tokens / shape_.page_tokens);
  const uint64_t lost = BlocksOf(tokens_) - kept_blocks;
  tokens_ = tokens;
  reused_blocks_ = std::min(reused_blocks_, kept_blocks);
  blocks_named = std::min(blocks_named, kept_blocks);
  parts_.clear();
  part_ = 0;
  std::fill(verified_in_.begin() + static_cast<int64_t>(kept_blocks) * shape_.num_groups,
            verified_in_.end(), kNowhere);
  return lost;
}

void RequestRun::PlanStep() {
  KVP_CHECK(!finished());
  is_decode_ = tokens_ >= prompt_tokens_;
  if (is_decode_) {
    append_tokens_ = 1;
  } else {
    const uint64_t blocks = std::min(shape_.prefill_blocks, shape_.window_blocks);
    const uint64_t room = blocks * shape_.page_tokens - tokens_ % shape_.page_tokens;
    append_tokens_ = static_cast<uint32_t>(std::min(room, prompt_tokens_ - tokens_));
  }
  parts_.clear();
  part_ = 0;
  const uint32_t end = BlocksOf(tokens_ + append_tokens_);
  if (end <= shape_.window_blocks) {
    parts_.push_back({0, end});
    return;
  }
  const auto tail = static_cast<uint32_t>(tokens_ / shape_.page_tokens);
  // A prefill step in the middle has nothing to read that was not compared before.
  if (is_decode_ || is_final() || !everything_was_read_) {
    for (uint32_t first = 0; first < tail; first += shape_.window_blocks) {
      parts_.push_back({first, std::min(shape_.window_blocks, tail - first)});
    }
  }
  parts_.push_back({tail, end - tail});
}

void RequestRun::StepKept() {
  KVP_CHECK(at_last_part());
  everything_was_read_ = true;
  tokens_ += append_tokens_;
  append_tokens_ = 0;
}

}  // namespace kvpager::replay
