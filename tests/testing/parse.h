// tests/testing/parse.h
//
// Reads one line of text as an input of the core: the other half of describe.h.
//
//   [@ns] create hbm=2 ...        | restore KEY parent=KEY frame=N stamp=I.C use=N [durable]
//         | VERB CLIENT ... [#N]  | complete op0.1 ok | tick | lose-nvme
//
// Ownership: a ParsedInput owns the lists that its command's spans point into, so it moves but is
// not copied. Errors: kInvalidArgument names the word that is wrong.

#ifndef KVPAGER_TESTS_TESTING_PARSE_H_
#define KVPAGER_TESTS_TESTING_PARSE_H_

#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "memmgr/base/ids.h"
#include "memmgr/core/command.h"
#include "memmgr/core/core.h"
#include "memmgr/core/effect.h"
#include "tests/testing/setup.h"

namespace kvpager::testing {

enum class InputKind {
  kCreate,
  kRestore,
  kHoldUnread,
  kCommand,
  kCompletion,
  kTick,
  kLoseNvme,
  kReconcile
};

struct ParsedInput {
  InputKind kind = InputKind::kTick;
  std::optional<Instant> now;
  CoreSetup setup;
  RestoredBlock restored;
  FoundRun run;
  bool run_last = false;
  Command command;
  bool has_request = false;  // "#N" was given.
  Completion completion;
  std::vector<BlockKey> keys;
  std::vector<StepEntry> entries;

  ParsedInput() = default;
  ParsedInput(ParsedInput&&) = default;
  ParsedInput& operator=(ParsedInput&&) = default;
};

absl::StatusOr<ParsedInput> ParseInput(std::string_view line);

}  // namespace kvpager::testing

#endif  // KVPAGER_TESTS_TESTING_PARSE_H_
