#include "memmgr/daemon/answer_encoder.h"

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ipc/wire.h"
#include "memmgr/base/check.h"

namespace kvpager {
namespace {

constexpr size_t kReasonBytesMax = 1000;  // The protocol allows 1023.

wire::StepWait ToWire(const StepWait& wait) {
  return {
      wait.queue_ns,           wait.room_ns, wait.nvme_ns, wait.host_ns, wait.promoted_host_pages,
      wait.promoted_nvme_pages};
}

flatbuffers::Offset<wire::SequenceUpdate> BuildUpdate(const SequenceUpdate& update,
                                                      const Effects& effects,
                                                      flatbuffers::FlatBufferBuilder& builder) {
  std::vector<wire::BlockRun> runs;
  runs.reserve(update.run_count);
  for (uint32_t i = 0; i < update.run_count; ++i) {
    const BlockRun& run = effects.runs[update.run_first + i];
    runs.emplace_back(run.block_first, run.count, run.generation);
  }
  return wire::CreateSequenceUpdate(builder, update.sequence.value, update.length_tokens,
                                    update.block_position, builder.CreateVectorOfStructs(runs));
}

}  // namespace

std::string QuotaSentence(const QuotaRefusal& refusal, std::string_view name) {
  const std::string tier = refusal.tier == Tier::kHbm    ? "hbm"
                           : refusal.tier == Tier::kHost ? "host"
                                                         : "nvme";
  const std::string whose = absl::StrCat("namespace \"", std::string(name), "\"");
  if (refusal.limit == QuotaLimit::kGuarantees) {
    return absl::StrCat("the step needs ", refusal.needed_pages, " pages, and ", whose, " has ",
                        refusal.quota_pages, " of ", tier,
                        ", all that is not guaranteed to other namespaces; read fewer blocks at a "
                        "time, close sequences, or raise its ",
                        tier, ".guaranteed");
  }
  if (refusal.tier == Tier::kHbm && refusal.needed_pages > refusal.quota_pages) {
    return absl::StrCat("the step needs ", refusal.needed_pages, " pages of hbm, and ", whose,
                        " may have ", refusal.quota_pages,
                        "; read fewer blocks or groups at a time, or raise its hbm.max");
  }
  return absl::StrCat("the step needs ", refusal.needed_pages, " pages, and all ",
                      refusal.quota_pages, " of ", tier, " that ", whose,
                      " may have are in use by what can go nowhere else; close or suspend "
                      "sequences, or raise its ",
                      tier, ".max or what it may have below");
}

absl::Status AnswerEncoder::Encode(const Reply& reply, const Effects& effects,
                                   const SessionToken& session, MessageBytes& message) {
  builder_.Clear();
  std::vector<flatbuffers::Offset<wire::SequenceUpdate>> updates;
  updates.reserve(reply.update_count);
  for (uint32_t i = 0; i < reply.update_count; ++i) {
    updates.push_back(BuildUpdate(effects.updates[reply.update_first + i], effects, builder_));
  }
  flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<wire::SequenceUpdate>>> updates_at;
  if (!updates.empty()) updates_at = builder_.CreateVector(updates);
  flatbuffers::Offset<flatbuffers::String> reason_at;
  if (!reply.reason.empty()) {
    reason_at = builder_.CreateString(reply.reason.data(), reply.reason.size());
  }
  const wire::Ticket ticket = kvpager::ToWire(reply.ticket);
  const wire::StepWait wait = ToWire(reply.wait);
  wire::AnswerBuilder answer(builder_);
  answer.add_status(static_cast<uint32_t>(reply.status));
  if (!reason_at.IsNull()) answer.add_reason(reason_at);
  if (!reply.sequence.is_none()) answer.add_sequence(reply.sequence.value);
  answer.add_tokens(reply.tokens);
  answer.add_hit_blocks_hbm(reply.hit_blocks[TierIndex(Tier::kHbm)]);
  answer.add_hit_blocks_host(reply.hit_blocks[TierIndex(Tier::kHost)]);
  answer.add_hit_blocks_nvme(reply.hit_blocks[TierIndex(Tier::kNvme)]);
  if (reply.kind == ReplyKind::kStepReady) {
    answer.add_ticket(&ticket);
    answer.add_wait(&wait);
  }
  if (!updates_at.IsNull()) answer.add_updates(updates_at);
  return EncodeMessage<wire::Answer>(reply.request, session, builder_, answer.Finish(), message);
}

void AnswerEncoder::EncodeRefusal(uint64_t request, const absl::Status& status,
                                  const SessionToken& session, MessageBytes& message) {
  builder_.Clear();
  const std::string reason = std::string(status.message()).substr(0, kReasonBytesMax);
  const auto reason_at = builder_.CreateString(reason);
  wire::AnswerBuilder answer(builder_);
  answer.add_status(static_cast<uint32_t>(status.code()));
  answer.add_reason(reason_at);
  const absl::Status encoded =
      EncodeMessage<wire::Answer>(request, session, builder_, answer.Finish(), message);
  KVP_CHECK(encoded.ok());
}

}  // namespace kvpager
