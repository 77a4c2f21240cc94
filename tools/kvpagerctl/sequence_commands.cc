#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "ipc/wire.h"
#include "memmgr/base/status_macros.h"
#include "tools/kvpagerctl/commands.h"
#include "tools/kvpagerctl/reports.h"
#include "tools/kvpagerctl/text.h"

namespace kvpager::ctl {
namespace {

const char* StateOf(const SequenceReport& sequence) {
  if (sequence.suspended) return "suspended";
  return sequence.steps > 0 ? "in a step" : "idle";
}

std::string ListText(const std::vector<SequenceReport>& sequences) {
  if (sequences.empty()) return "no sequences\n";
  Table table({"SEQ", "CLIENT", "NAMESPACE", "TOKENS", "BLOCKS", "HBM", "HOST", "NVME", "STATE"});
  for (const SequenceReport& sequence : sequences) {
    table.Add({FormatSequence(sequence.sequence), absl::StrCat(sequence.client),
               sequence.name_space, CountText(sequence.length_tokens), CountText(sequence.blocks),
               CountText(sequence.pages[TierIndex(Tier::kHbm)]),
               CountText(sequence.pages[TierIndex(Tier::kHost)]),
               CountText(sequence.pages[TierIndex(Tier::kNvme)]), StateOf(sequence)});
  }
  return table.Text(0);
}

std::string ShowText(const SequenceReport& sequence) {
  return absl::StrCat("sequence ", FormatSequence(sequence.sequence), "  client ", sequence.client,
                      "  namespace ", sequence.name_space, "  ", CountText(sequence.length_tokens),
                      " tokens  ", CountText(sequence.blocks), " blocks  ", StateOf(sequence), "\n",
                      "  pages  hbm ", CountText(sequence.pages[TierIndex(Tier::kHbm)]), "   host ",
                      CountText(sequence.pages[TierIndex(Tier::kHost)]), "   nvme ",
                      CountText(sequence.pages[TierIndex(Tier::kNvme)]),
                      "   (a page may be in several tiers)\n  steps  ", sequence.steps, "\n");
}

Printout Done(const char* verb, const char* text, const Options& options) {
  if (options.json) return Printout{DoneJson(verb, options.sequence) + "\n"};
  return Printout{absl::StrCat("sequence ", FormatSequence(options.sequence), ": ", text, "\n")};
}

}  // namespace

absl::StatusOr<Printout> RunSequenceList(Connection& connection, const Options& options) {
  KVP_ASSIGN_OR_RETURN(const std::vector<SequenceReport> sequences, AskSequences(connection));
  return Printout{options.json ? SequencesJson(sequences) + "\n" : ListText(sequences)};
}

absl::StatusOr<Printout> RunSequenceShow(Connection& connection, const Options& options) {
  KVP_ASSIGN_OR_RETURN(const SequenceReport sequence, AskSequence(connection, options.sequence));
  return Printout{options.json ? SequenceJson(sequence) + "\n" : ShowText(sequence)};
}

absl::StatusOr<Printout> RunEvict(Connection& connection, const Options& options) {
  flatbuffers::FlatBufferBuilder builder;
  const auto request = wire::CreateEvictRequest(builder, options.sequence.value,
                                                static_cast<uint32_t>(options.tier));
  KVP_RETURN_IF_ERROR((connection.AskFor<wire::Answer>(builder, request)).status());
  return Done("evict", "moved down, except pages that a step reads", options);
}

absl::StatusOr<Printout> RunPrefetch(Connection& connection, const Options& options) {
  flatbuffers::FlatBufferBuilder builder;
  const auto request = wire::CreatePrefetchRequest(builder, options.sequence.value, 0,
                                                   static_cast<uint32_t>(options.tier),
                                                   options.deadline_us, options.priority);
  KVP_RETURN_IF_ERROR((connection.AskFor<wire::Answer>(builder, request)).status());
  return Done("prefetch", "on its way", options);
}

}  // namespace kvpager::ctl
