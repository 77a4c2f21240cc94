#include "tests/sim/input_log.h"

#include <cstdio>
#include <fstream>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/core/core.h"
#include "tests/testing/describe.h"
#include "tests/testing/parse.h"
#include "tests/testing/setup.h"

namespace kvpager::sim {
namespace {

std::FILE* recording = nullptr;
bool is_verbose = false;

struct Replay {
  std::unique_ptr<Core> core;
  Effects effects;
  Instant now;
};

absl::Status Feed(const testing::ParsedInput& input, Replay& replay) {
  if (input.now) replay.now = *input.now;
  if (input.kind == testing::InputKind::kCreate) {
    KVP_ASSIGN_OR_RETURN(const Limits limits, testing::DeriveLimits(input.setup));
    KVP_ASSIGN_OR_RETURN(replay.core, Core::Create(limits));
    replay.effects = replay.core->MakeEffects();
    return absl::OkStatus();
  }
  if (replay.core == nullptr) return absl::InvalidArgumentError("the log has no create line");
  switch (input.kind) {
    case testing::InputKind::kCreate:
      break;
    case testing::InputKind::kRestore:
      std::printf("%s\n", replay.core->Restore(input.restored) ? "restored" : "no room");
      return absl::OkStatus();
    case testing::InputKind::kHoldUnread:
      replay.core->HoldUnread();
      return absl::OkStatus();
    case testing::InputKind::kReconcile:
      std::printf("%s\n", testing::Describe(replay.core->Reconcile(replay.now, input.run,
                                                                   input.run_last, replay.effects))
                              .c_str());
      break;
    case testing::InputKind::kCommand:
      replay.core->Step(replay.now, input.command, replay.effects);
      break;
    case testing::InputKind::kCompletion:
      replay.core->Complete(replay.now, input.completion, replay.effects);
      break;
    case testing::InputKind::kTick:
      replay.core->Tick(replay.now, replay.effects);
      break;
    case testing::InputKind::kLoseNvme:
      replay.core->LoseNvme(replay.now, replay.effects);
      break;
  }
  std::fputs(testing::Describe(replay.effects).c_str(), stdout);
  std::fflush(stdout);
  replay.effects.Clear();
  replay.core->Verify();
  return absl::OkStatus();
}

}  // namespace

absl::Status StartRecording(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  recording = std::fopen(path.c_str(), "w");
  if (recording == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("cannot write the input log ", path));
  }
  return absl::OkStatus();
}

void SetVerbose(bool verbose) { is_verbose = verbose; }
bool Recording() { return recording != nullptr; }
bool Verbose() { return is_verbose; }

void RecordInput(const std::string& line) {
  if (recording != nullptr) std::fprintf(recording, "%s\n", line.c_str());
  if (is_verbose) std::printf("> %s\n", line.c_str());
}

void FlushRecording() {
  if (recording != nullptr) std::fflush(recording);
  std::fflush(stdout);
}

absl::Status ReplayLog(const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read the input log ", path));
  Replay replay;
  std::string line;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') continue;
    std::printf("> %s\n", line.c_str());
    KVP_ASSIGN_OR_RETURN(const testing::ParsedInput input, testing::ParseInput(line));
    KVP_RETURN_IF_ERROR(Feed(input, replay));
  }
  return absl::OkStatus();
}

}  // namespace kvpager::sim
