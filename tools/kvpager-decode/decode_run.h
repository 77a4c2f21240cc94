// tools/kvpager-decode/decode_run.h
//
// One sequence: prefilled, then decoded token by token in one mode or another. After each token the
// same bytes go over the same links with nobody in the way.
//
// Units: seconds, bytes, tokens. Thread-safety: one thread. Errors: the first of any part.

#ifndef KVPAGER_TOOLS_KVPAGER_DECODE_DECODE_RUN_H_
#define KVPAGER_TOOLS_KVPAGER_DECODE_DECODE_RUN_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/kvpager-decode/content.h"
#include "tools/kvpager-decode/oracle.h"
#include "tools/kvpager-decode/plain_links.h"
#include "tools/kvpager-decode/served.h"

namespace kvpager::decode {

struct TokenFigures {
  double seconds = 0;
  uint64_t nvme_bytes = 0;        // Read from NVMe.
  uint64_t copied_bytes = 0;      // From host memory to HBM.
  double plain_nvme_seconds = 0;  // The same bytes, with nobody in the way.
  double plain_copy_seconds = 0;
};

struct ModeFigures {
  std::string name;
  uint64_t context_tokens = 0;  // Before the first token.
  std::vector<TokenFigures> tokens;
  uint64_t checked = 0;
  double worst_error = 0;
};

// Called now and then with what is being done and how far it has come, 0 to 1. False: stop.
using Progress = std::function<bool(const std::string& what, double share)>;

class DecodeRun {
 public:
  DecodeRun(const Options& options, Served& served, PlainLinks* plain, Progress progress);

  // Appends up to `context_tokens`, and attends some chunks, or all of them.
  absl::StatusOr<ModeFigures> Prefill(uint64_t context_tokens);
  absl::StatusOr<ModeFigures> Decode(attention::Mode mode);

 private:
  struct Rows {
    std::vector<float> query;
    std::vector<float> k;
    std::vector<float> v;
    std::vector<float> output;
  };

  enum class Attend { kNo, kYes };
  void Generate(uint64_t token, uint32_t count, Attend attend);
  absl::Status RunPass(attention::Mode mode, uint32_t count, Attend attend);
  void TakeSamples(uint64_t token, uint32_t count, uint32_t samples);
  absl::Status CompareWithPlain(TokenFigures& figures);
  absl::Status Check(ModeFigures& figures);

  const Options& options_;
  Served& served_;
  PlainLinks* plain_;  // Null: nothing to compare with.
  const Progress progress_;
  const Content content_;
  uint64_t length_tokens_ = 0;
  std::vector<Rows> layers_;
  std::vector<Sample> samples_;
  uint64_t sampled_ = 0;  // So far, of all modes: decides what is taken next.
};

std::string NameOf(attention::Mode mode);

}  // namespace kvpager::decode

#endif  // KVPAGER_TOOLS_KVPAGER_DECODE_DECODE_RUN_H_
