#include "tests/testing/describe.h"

#include <cstdint>
#include <type_traits>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace kvpager::testing {
namespace {

struct ChannelEnds {
  Tier source;
  Tier target;
};

ChannelEnds EndsOf(Channel channel) {
  switch (channel) {
    case Channel::kHbmToHost:
      return {Tier::kHbm, Tier::kHost};
    case Channel::kHostToHbm:
      return {Tier::kHost, Tier::kHbm};
    case Channel::kHbmToHbm:
    case Channel::kScrub:
      return {Tier::kHbm, Tier::kHbm};
    case Channel::kHostToNvme:
      return {Tier::kHost, Tier::kNvme};
    case Channel::kNvmeToHost:
      return {Tier::kNvme, Tier::kHost};
  }
  return {Tier::kHbm, Tier::kHbm};
}

std::string Frame(Tier tier, FrameIndex frame) {
  return absl::StrCat(TierName(tier), ":", frame.value);
}

std::string Keys(absl::Span<const BlockKey> keys) {
  std::string text = " keys=";
  for (size_t i = 0; i < keys.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ",", Describe(keys[i]));
  }
  return text;
}

// Only where there is one to wait for.
std::string After(Ticket ticket) {
  return ticket.number == 0 ? "" : absl::StrCat(" after=", Describe(ticket));
}

std::string Count(uint32_t count) { return count == kAllOfThem ? "*" : absl::StrCat(count); }

std::string Entry(const StepEntry& entry) {
  std::string text = Describe(entry.sequence);
  if (entry.append_tokens > 0) absl::StrAppend(&text, "+", entry.append_tokens);
  if (entry.range.group_first != 0 || entry.range.group_count != kAllOfThem) {
    absl::StrAppend(&text, "/g", entry.range.group_first, "+", Count(entry.range.group_count));
  }
  if (entry.range.block_first != 0 || entry.range.block_count != kAllOfThem) {
    absl::StrAppend(&text, "/b", entry.range.block_first, "+", Count(entry.range.block_count));
  }
  if (entry.draft) absl::StrAppend(&text, "/draft");
  if (entry.rewrite_from_tokens != ~uint64_t{0}) {
    absl::StrAppend(&text, "/rewrite=", entry.rewrite_from_tokens);
  }
  return text;
}

// One overload per command: what follows the verb and the client.
struct BodyText {
  std::string operator()(const AttachCommand& body) const {
    return absl::StrCat(" ns=", body.name_space.value, body.message_free ? " message-free" : "");
  }
  std::string operator()(const GoneCommand&) const { return ""; }
  std::string operator()(const RevokeCommand&) const { return ""; }
  std::string operator()(const OpenCommand& body) const {
    return body.keys.empty() ? "" : Keys(body.keys);
  }
  std::string operator()(const ExtendCommand& body) const {
    return absl::StrCat(" ", Describe(body.sequence), Keys(body.keys));
  }
  std::string operator()(const ForkCommand& body) const {
    return absl::StrCat(" ", Describe(body.parent), After(body.ticket));
  }
  std::string operator()(const TruncateCommand& body) const {
    return absl::StrCat(" ", Describe(body.sequence), " tokens=", body.tokens,
                        body.accept ? " accept" : "", After(body.ticket));
  }
  std::string operator()(const NameCommand& body) const {
    return absl::StrCat(" ", Describe(body.sequence), " from=", body.block_first, Keys(body.keys),
                        body.durable ? " durable" : "", After(body.ticket));
  }
  std::string operator()(const SuspendCommand& body) const {
    return absl::StrCat(" ", Describe(body.sequence), After(body.ticket));
  }
  std::string operator()(const ResumeCommand& body) const {
    return absl::StrCat(" ", Describe(body.sequence));
  }
  std::string operator()(const CloseCommand& body) const {
    return absl::StrCat(" ", Describe(body.sequence), After(body.ticket));
  }
  std::string operator()(const AppendedCommand& body) const {
    return absl::StrCat(
        " ", Describe(body.sequence), " tokens=", body.length_tokens, "+", body.tokens,
        body.written_tokens == 0 ? "" : absl::StrCat(" written=", body.written_tokens));
  }
  std::string operator()(const UsedCommand& body) const {
    return absl::StrCat(" ", Describe(body.sequence));
  }
  std::string operator()(const StepBeginCommand& body) const {
    std::string text = absl::StrCat(" ", Describe(body.ticket),
                                    body.residency == Residency::kSplit ? " split" : "");
    for (const StepEntry& entry : body.entries) absl::StrAppend(&text, " ", Entry(entry));
    return text;
  }
  std::string operator()(const StepEndCommand& body) const {
    return absl::StrCat(" ", Describe(body.ticket));
  }
  std::string operator()(const StepCancelCommand& body) const {
    return absl::StrCat(" ", Describe(body.ticket));
  }
  std::string operator()(const PrefetchCommand& body) const {
    std::string text;
    if (!body.sequence.is_none()) absl::StrAppend(&text, " ", Describe(body.sequence));
    if (!body.keys.empty()) absl::StrAppend(&text, Keys(body.keys));
    absl::StrAppend(&text, " tier=", TierName(body.tier));
    if (body.deadline.ns != 0) absl::StrAppend(&text, " deadline=", body.deadline.ns);
    if (body.priority != 0) absl::StrAppend(&text, " priority=", body.priority);
    return text;
  }
  std::string operator()(const EvictCommand& body) const {
    return absl::StrCat(" ", Describe(body.sequence), " tier=", TierName(body.tier));
  }
};

constexpr const char* kVerbs[] = {"attach",   "gone",  "revoke",  "open",   "extend",   "fork",
                                  "truncate", "name",  "suspend", "resume", "close",    "appended",
                                  "used",     "begin", "end",     "cancel", "prefetch", "evict"};
static_assert(std::size(kVerbs) == std::variant_size_v<decltype(Command::body)>);

std::string Wait(const StepWait& wait) {
  std::string text;
  const auto add = [&text](const char* name, uint64_t value) {
    if (value != 0) absl::StrAppend(&text, " ", name, "=", value);
  };
  add("queue_ns", wait.queue_ns);
  add("room_ns", wait.room_ns);
  add("nvme_ns", wait.nvme_ns);
  add("host_ns", wait.host_ns);
  add("promoted_host", wait.promoted_host_pages);
  add("promoted_nvme", wait.promoted_nvme_pages);
  return text;
}

std::string Update(const SequenceUpdate& update, const Effects& effects) {
  std::string text = absl::StrCat("  ", Describe(update.sequence), " tokens=", update.length_tokens,
                                  " blocks from ", update.block_position, ":");
  if (update.run_count == 0) absl::StrAppend(&text, " none");
  for (uint32_t i = 0; i < update.run_count; ++i) {
    const BlockRun& run = effects.runs[update.run_first + i];
    absl::StrAppend(&text, i == 0 ? " b" : ", b", run.block_first);
    if (run.count > 1) absl::StrAppend(&text, "-b", run.block_first + run.count - 1);
    absl::StrAppend(&text, " gen=", run.generation);
  }
  return text;
}

std::string Status(const Reply& reply) {
  if (reply.status == absl::StatusCode::kOk) return " ok";
  std::string text = absl::StrCat(" ", absl::StatusCodeToString(reply.status));
  if (!reply.reason.empty()) absl::StrAppend(&text, " \"", std::string(reply.reason), "\"");
  return text;
}

}  // namespace

const char* TierName(Tier tier) {
  switch (tier) {
    case Tier::kHbm:
      return "hbm";
    case Tier::kHost:
      return "host";
    case Tier::kNvme:
      return "nvme";
  }
  return "?";
}

const char* OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kOk:
      return "ok";
    case Outcome::kFailed:
      return "failed";
    case Outcome::kCorrupt:
      return "corrupt";
  }
  return "?";
}

std::string Describe(BlockKey key) {
  if (key.is_none()) return "none";
  std::string text = absl::StrCat("k", absl::Hex(key.words[0]));
  if (key.words[1] != 0) absl::StrAppend(&text, ".", absl::Hex(key.words[1]));
  return text;
}

std::string Describe(SequenceId sequence) {
  if (sequence.is_none()) return "none";
  return absl::StrCat("s", sequence.value & 0xffffffff, ".", sequence.value >> 32);
}

std::string Describe(Ticket ticket) { return absl::StrCat(ticket.lane, ":", ticket.number); }

std::string Describe(OpId op) {
  return op.is_none() ? "none" : absl::StrCat("op", op.slot, ".", op.generation);
}

std::string Describe(const Command& command) {
  std::string text = kVerbs[command.body.index()];
  absl::StrAppend(&text, " ");
  if (command.client.is_none()) {
    absl::StrAppend(&text, "admin");
  } else {
    absl::StrAppend(&text, "c", command.client.value);
  }
  absl::StrAppend(&text, std::visit(BodyText{}, command.body), " #", command.request);
  return text;
}

std::string Describe(const Completion& completion) {
  return absl::StrCat("complete ", Describe(completion.op), " ", OutcomeName(completion.outcome));
}

std::string Describe(const RestoredBlock& block) {
  return absl::StrCat("restore ", Describe(block.key), " parent=", Describe(block.parent_key),
                      " frame=", block.frame_first.value, " stamp=", block.stamp.incarnation, ".",
                      block.stamp.counter, " use=", block.last_use,
                      block.durable ? " durable" : "");
}

std::string Describe(const FoundRun& run, bool last) {
  std::string text = absl::StrCat("reconcile frame=", run.frame_first.value);
  if (!run.found.key.is_none()) {
    absl::StrAppend(&text, " found=", Describe(run.found.key),
                    " parent=", Describe(run.found.parent_key),
                    " stamp=", run.found.stamp.incarnation, ".", run.found.stamp.counter);
  }
  if (!run.expected_key.is_none()) {
    absl::StrAppend(&text, " expected=", Describe(run.expected_key),
                    " expected-stamp=", run.expected_stamp.incarnation, ".",
                    run.expected_stamp.counter);
  }
  if (last) absl::StrAppend(&text, " last");
  return text;
}

std::string Describe(const RunFinding& finding) {
  return absl::StrCat("run", finding.restored ? " restored" : "", finding.lost ? " lost" : "",
                      finding.lost_durable ? " durable" : "", finding.again ? " again" : "");
}

std::string Describe(const CopyOp& copy) {
  if (copy.channel == Channel::kScrub) {
    return absl::StrCat("scrub ", Describe(copy.op), " ", Frame(Tier::kHbm, copy.target));
  }
  const ChannelEnds ends = EndsOf(copy.channel);
  std::string text = absl::StrCat("copy ", Describe(copy.op), " ", Frame(ends.source, copy.source),
                                  " -> ", Frame(ends.target, copy.target));
  if (!copy.page.is_none()) absl::StrAppend(&text, " p", copy.page.value);
  if (copy.channel == Channel::kHostToNvme || copy.channel == Channel::kNvmeToHost) {
    absl::StrAppend(&text, " key=", Describe(copy.key));
    if (copy.channel == Channel::kHostToNvme) {
      absl::StrAppend(&text, " parent=", Describe(copy.parent_key));
    }
    absl::StrAppend(&text, " group=", copy.group, " stamp=", copy.stamp.incarnation, ".",
                    copy.stamp.counter);
  }
  return text;
}

std::string Describe(const CatalogueWrite& write) {
  std::string text = absl::StrCat("catalogue ", Describe(write.key), " ");
  if (write.frame_first.is_none()) {
    absl::StrAppend(&text, "nowhere");
  } else {
    absl::StrAppend(&text, "at ", Frame(Tier::kNvme, write.frame_first),
                    " parent=", Describe(write.parent_key), " stamp=", write.stamp.incarnation, ".",
                    write.stamp.counter, " use=", write.last_use);
  }
  if (!write.op.is_none()) absl::StrAppend(&text, " durable ", Describe(write.op));
  return text;
}

std::string Describe(const PageTableWrite& write) {
  std::string text = absl::StrCat("table p", write.page.value);
  if (!write.frame_hbm.is_none()) absl::StrAppend(&text, " ", Frame(Tier::kHbm, write.frame_hbm));
  if (!write.frame_host.is_none()) {
    absl::StrAppend(&text, " ", Frame(Tier::kHost, write.frame_host));
  }
  if (write.frame_hbm.is_none() && write.frame_host.is_none()) absl::StrAppend(&text, " nowhere");
  absl::StrAppend(&text, " gen=", write.generation);
  return text;
}

std::string Describe(const CreditWrite& write) {
  constexpr const char* kKinds[] = {"grant", "revoke", "clear"};
  return absl::StrCat("credit ", kKinds[static_cast<size_t>(write.kind)], " c", write.client.value,
                      " ", Describe(write.sequence), " b", write.block.value,
                      " gen=", write.generation);
}

std::string Describe(const Reply& reply, const Effects& effects) {
  const std::string client = absl::StrCat(" c", reply.client.value);
  const std::string request = reply.request == 0 ? "" : absl::StrCat(" #", reply.request);
  std::string text;
  switch (reply.kind) {
    case ReplyKind::kAnswer:
      text = absl::StrCat("reply", client, request, Status(reply));
      if (!reply.sequence.is_none()) absl::StrAppend(&text, " ", Describe(reply.sequence));
      if (reply.tokens != 0) absl::StrAppend(&text, " tokens=", reply.tokens);
      if (reply.hit_blocks[0] + reply.hit_blocks[1] + reply.hit_blocks[2] != 0) {
        absl::StrAppend(&text, " hits=", reply.hit_blocks[0], "/", reply.hit_blocks[1], "/",
                        reply.hit_blocks[2]);
      }
      break;
    case ReplyKind::kStepReady:
      text = absl::StrCat("ready", client, " ", Describe(reply.ticket), request, Status(reply),
                          Wait(reply.wait));
      break;
    case ReplyKind::kLossNotice:
      text = absl::StrCat("loss", client, Status(reply));
      break;
    case ReplyKind::kClientReleased:
      text = absl::StrCat("released", client, Status(reply));
      break;
    case ReplyKind::kClientRevoked:
      text = absl::StrCat("revoked", client, Status(reply));
      break;
  }
  for (uint32_t i = 0; i < reply.update_count; ++i) {
    absl::StrAppend(&text, "\n", Update(effects.updates[reply.update_first + i], effects));
  }
  return text;
}

std::string Describe(const Effects& effects) {
  if (effects.empty()) return "(none)\n";
  std::string text;
  for (const PageTableWrite& write : effects.page_table_writes) {
    absl::StrAppend(&text, Describe(write), "\n");
  }
  for (const CreditWrite& write : effects.credit_writes) {
    absl::StrAppend(&text, Describe(write), "\n");
  }
  for (const Reply& reply : effects.replies) {
    absl::StrAppend(&text, Describe(reply, effects), "\n");
  }
  for (const CopyOp& copy : effects.copies) absl::StrAppend(&text, Describe(copy), "\n");
  for (const CatalogueWrite& write : effects.catalogue_writes) {
    absl::StrAppend(&text, Describe(write), "\n");
  }
  return text;
}

}  // namespace kvpager::testing
