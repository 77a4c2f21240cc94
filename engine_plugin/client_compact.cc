// engine_plugin/client_compact.cc
//
// Compaction of an accepted path of a draft: a step of its own that moves rows to the front, then a
// truncate that accepts them.

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine_plugin/client.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"

namespace kvpager::engine {
namespace {

// One K or V array within a page: rows of `row_bytes`, `heads` of them per token.
struct RowShape {
  size_t row_bytes = 0;
  size_t token_stride_bytes = 0;
  size_t head_stride_bytes = 0;
  uint32_t heads = 0;
};

RowShape ShapeOf(const Geometry& geometry, uint32_t head_dim) {
  RowShape shape;
  const size_t head_bytes = size_t{head_dim} * geometry.element_bytes();
  if (geometry.layout == KvLayout::kNhd) {  // All heads of a token lie side by side: one row.
    shape.row_bytes = head_bytes * geometry.num_kv_heads;
    shape.token_stride_bytes = shape.row_bytes;
    shape.heads = 1;
  } else {
    shape.row_bytes = head_bytes;
    shape.token_stride_bytes = head_bytes;
    shape.head_stride_bytes = head_bytes * geometry.page_tokens;
    shape.heads = geometry.num_kv_heads;
  }
  return shape;
}

void CopyToken(const RowShape& shape, const uint8_t* source, uint32_t source_slot, uint8_t* target,
               uint32_t target_slot) {
  for (uint32_t head = 0; head < shape.heads; ++head) {
    const size_t head_offset = head * shape.head_stride_bytes;
    std::memmove(target + head_offset + target_slot * shape.token_stride_bytes,
                 source + head_offset + source_slot * shape.token_stride_bytes, shape.row_bytes);
  }
}

// The first of `accepted` that has to move, or accepted.size().
size_t FirstMoved(absl::Span<const uint32_t> accepted) {
  size_t index = 0;
  while (index < accepted.size() && accepted[index] == index) ++index;
  return index;
}

absl::Status CheckAccepted(absl::Span<const uint32_t> accepted, uint64_t draft_tokens) {
  for (size_t i = 0; i < accepted.size(); ++i) {
    if (accepted[i] >= draft_tokens) {
      return absl::InvalidArgumentError(absl::StrCat("accepted[", i, "] is ", accepted[i],
                                                     "; behind base_tokens there are ",
                                                     draft_tokens, " tokens"));
    }
    if (i > 0 && accepted[i] <= accepted[i - 1]) {
      return absl::InvalidArgumentError(absl::StrCat("accepted[", i, "] is ", accepted[i],
                                                     " after ", accepted[i - 1],
                                                     "; it must be ascending and distinct"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Client::Compact(uint64_t handle, uint32_t lane, uint64_t base_tokens,
                             absl::Span<const uint32_t> accepted) {
  KVP_ASSIGN_OR_RETURN(Sequence * sequence, Usable(handle));
  KVP_RETURN_IF_ERROR(Resolve(sequence, Deadline::AfterUs(timeout_us_)));
  if (sequence->in_step()) {
    return absl::FailedPreconditionError(
        "compact: the sequence is in a step of this client that has not ended; end the step first");
  }
  if (base_tokens > sequence->length_tokens()) {
    return absl::InvalidArgumentError(absl::StrCat("base_tokens is ", base_tokens,
                                                   " in a sequence of ", sequence->length_tokens(),
                                                   " tokens"));
  }
  KVP_RETURN_IF_ERROR(CheckAccepted(accepted, sequence->length_tokens() - base_tokens));
  if (const size_t moved = FirstMoved(accepted); moved < accepted.size()) {
    if (link_->on_gpu()) {
      return absl::UnimplementedError(
          "compact: rows of a pool on a GPU are not moved by the library; move them with a kernel "
          "of yours in a step, then truncate the sequence");
    }
    StepEntryRequest entry{};
    entry.seq = handle;
    entry.num_groups = kAll;
    entry.num_blocks = kAll;
    entry.first_block = static_cast<uint32_t>((base_tokens + moved) / geometry_.page_tokens);
    KVP_ASSIGN_OR_RETURN(std::unique_ptr<Step> checked, CheckEntries(lane, {&entry, 1}));
    KVP_ASSIGN_OR_RETURN(Step * step, BeginChecked(lane, StepResidency::kResident,
                                                   std::move(checked), base_tokens + moved));
    absl::Status done = WaitStep(step, timeout_us_);
    if (done.ok()) done = MoveRows(step, base_tokens, accepted);
    const absl::Status ended =
        EndStep(step, done.ok() ? KeepOrDiscard::kKeep : KeepOrDiscard::kDiscard);
    KVP_RETURN_IF_ERROR(done);
    KVP_RETURN_IF_ERROR(ended);
  }
  const uint64_t left_tokens = base_tokens + accepted.size();
  KVP_RETURN_IF_ERROR(Report(sequence));
  KVP_RETURN_IF_ERROR(PostTruncate(sequence, left_tokens, sequence->newest_ticket(), Accept::kYes));
  sequence->set_length_tokens(left_tokens);
  return absl::OkStatus();
}

absl::Status Client::MoveRows(Step* step, uint64_t base_tokens,
                              absl::Span<const uint32_t> accepted) {
  // All lists first: once a row has moved, nothing may fail.
  std::vector<std::vector<int32_t>> frames(pool().num_groups);
  for (uint32_t group = 0; group < pool().num_groups; ++group) {
    KVP_ASSIGN_OR_RETURN(const ViewLists* const view, ViewStep(step, group, Tier::kHbm));
    frames[group] = view->indices;
  }
  const uint32_t block_first = step->entries().front().request->first_block;
  const auto page_of = [&](uint32_t group, uint64_t token) {
    const int32_t frame = frames[group].at(token / geometry_.page_tokens - block_first);
    return link_->hbm() + static_cast<uint64_t>(frame) * pool().frame_bytes_hbm;
  };
  const RowShape k_shape = ShapeOf(geometry_, geometry_.head_dim_k);
  const RowShape v_shape = ShapeOf(geometry_, geometry_.head_dim_v);
  for (size_t i = FirstMoved(accepted); i < accepted.size(); ++i) {
    const uint64_t source_token = base_tokens + accepted[i];
    const uint64_t target_token = base_tokens + i;
    const auto source_slot = static_cast<uint32_t>(source_token % geometry_.page_tokens);
    const auto target_slot = static_cast<uint32_t>(target_token % geometry_.page_tokens);
    for (uint32_t group = 0; group < pool().num_groups; ++group) {
      for (uint32_t layer = 0; layer < geometry_.layers_per_page; ++layer) {
        const uint64_t k_offset = layer * geometry_.layer_bytes();
        const uint64_t v_offset = k_offset + geometry_.k_bytes();
        CopyToken(k_shape, page_of(group, source_token) + k_offset, source_slot,
                  page_of(group, target_token) + k_offset, target_slot);
        CopyToken(v_shape, page_of(group, source_token) + v_offset, source_slot,
                  page_of(group, target_token) + v_offset, target_slot);
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace kvpager::engine
