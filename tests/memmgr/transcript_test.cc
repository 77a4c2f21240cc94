// Golden transcripts: each file of tests/transcripts is a conversation with a core, commands above
// a line of dashes and every effect below it. The test replays the commands and compares.
//
//   transcript_test --rewrite      writes what the core does now; a person reads the difference
//
// Beside the inputs of tests/testing/parse.h a transcript has
//   finish     completes every operation in flight, in order, until none is left

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "memmgr/core/core.h"
#include "tests/testing/describe.h"
#include "tests/testing/parse.h"
#include "tests/testing/setup.h"

namespace kvpager {
namespace {

bool rewrite = false;

class Conversation {
 public:
  // Feeds one line and returns its effects as text.
  std::string Say(const std::string& line) {
    if (line == "finish") return Finish();
    absl::StatusOr<testing::ParsedInput> parsed = testing::ParseInput(line);
    if (!parsed.ok()) return Fail(std::string(parsed.status().message()));
    testing::ParsedInput& input = *parsed;
    if (input.now) now_ = *input.now;
    if (input.kind == testing::InputKind::kCreate) return Create(input.setup);
    if (core_ == nullptr) return Fail("a transcript starts with create");
    switch (input.kind) {
      case testing::InputKind::kCreate:
        break;
      case testing::InputKind::kRestore:
        return core_->Restore(input.restored) ? "" : "refused\n";
      case testing::InputKind::kHoldUnread:
        core_->HoldUnread();
        return "";
      case testing::InputKind::kReconcile: {
        const RunFinding finding = core_->Reconcile(now_, input.run, input.run_last, effects_);
        return testing::Describe(finding) + "\n" + TakeEffects() + RunLeftOver();
      }
      case testing::InputKind::kCommand:
        if (!input.has_request) input.command.request = ++requests_;
        core_->Step(now_, input.command, effects_);
        break;
      case testing::InputKind::kCompletion:
        std::erase(in_flight_, input.completion.op);
        core_->Complete(now_, input.completion, effects_);
        break;
      case testing::InputKind::kTick:
        core_->Tick(now_, effects_);
        break;
      case testing::InputKind::kLoseNvme:
        core_->LoseNvme(now_, effects_);
        break;
    }
    return TakeEffects() + RunLeftOver();
  }

 private:
  std::string Fail(const std::string& problem) {
    ADD_FAILURE() << problem;
    return absl::StrCat("error: ", problem, "\n");
  }

  std::string Create(const testing::CoreSetup& setup) {
    const absl::StatusOr<Limits> limits = testing::DeriveLimits(setup);
    if (!limits.ok()) return Fail(std::string(limits.status().message()));
    absl::StatusOr<std::unique_ptr<Core>> core = Core::Create(*limits);
    if (!core.ok()) return Fail(std::string(core.status().message()));
    core_ = *std::move(core);
    effects_ = core_->MakeEffects();
    return "";
  }

  std::string TakeEffects() {
    for (const CopyOp& copy : effects_.copies) in_flight_.push_back(copy.op);
    for (const CatalogueWrite& write : effects_.catalogue_writes) {
      if (!write.op.is_none()) in_flight_.push_back(write.op);
    }
    const std::string text = effects_.empty() ? "" : testing::Describe(effects_);
    effects_.Clear();
    core_->Verify();
    return text;
  }

  std::string RunLeftOver() {
    std::string text;
    for (int i = 0; core_->has_work() && i < 1000; ++i) {
      core_->Tick(now_, effects_);
      text += TakeEffects();
    }
    return text;
  }

  std::string Finish() {
    std::string text;
    while (!in_flight_.empty()) {
      const std::string line =
          absl::StrCat("complete ", testing::Describe(in_flight_.front()), " ok");
      absl::StrAppend(&text, "> ", line, "\n", Say(line));
    }
    return text;
  }

  std::unique_ptr<Core> core_;
  Effects effects_;
  Instant now_{1000};
  uint64_t requests_ = 0;
  std::deque<OpId> in_flight_;
};

// The transcript as it should read: the same comments and commands, the effects of now.
std::string Replay(const std::string& text) {
  Conversation conversation;
  std::string out;
  std::vector<std::string> commands;
  bool below_the_line = false;
  for (const auto& piece : absl::StrSplit(absl::StripSuffix(text, "\n"), '\n')) {
    const std::string line(piece);
    if (below_the_line) {
      if (!line.empty()) continue;  // What it said last time.
      below_the_line = false;
    }
    if (line == "----") {
      out += "----\n";
      std::string effects;
      for (const std::string& command : commands) effects += conversation.Say(command);
      out += effects.empty() ? "(none)\n" : effects;
      commands.clear();
      below_the_line = true;
      continue;
    }
    if (!line.empty() && line[0] != '#') commands.push_back(line);
    out += line + "\n";
  }
  EXPECT_TRUE(commands.empty()) << "the last commands have no line of dashes behind them";
  return out;
}

std::vector<std::string> Transcripts() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(KVPAGER_TRANSCRIPTS_DIR)) {
    if (entry.path().extension() == ".txt") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class Transcript : public ::testing::TestWithParam<std::string> {};

TEST_P(Transcript, SaysWhatTheCoreDoes) {
  const std::string path = absl::StrCat(KVPAGER_TRANSCRIPTS_DIR, "/", GetParam(), ".txt");
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  const std::string now = Replay(text.str());
  if (rewrite) {
    std::ofstream(path) << now;
    return;
  }
  EXPECT_EQ(now, text.str()) << "read the difference; if the core is right, run with --rewrite";
}

INSTANTIATE_TEST_SUITE_P(All, Transcript, ::testing::ValuesIn(Transcripts()),
                         [](const auto& tested) { return tested.param; });

TEST(Transcripts, TheFirstOneIsThere) {
  const std::vector<std::string> names = Transcripts();
  EXPECT_NE(std::find(names.begin(), names.end(), "a_full_pool_and_one_miss"), names.end());
}

}  // namespace
}  // namespace kvpager

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) kvpager::rewrite |= std::string(argv[i]) == "--rewrite";
  return RUN_ALL_TESTS();
}
