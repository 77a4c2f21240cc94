// tools/kvpager-decode/summary.h
//
// All tokens of a mode in a few numbers.
//
// Units: seconds, bytes. Thread-safety: pure functions. Errors: none.

#ifndef KVPAGER_TOOLS_KVPAGER_DECODE_SUMMARY_H_
#define KVPAGER_TOOLS_KVPAGER_DECODE_SUMMARY_H_

#include <cstddef>
#include <string>

#include "tools/kvpager-decode/decode_run.h"

namespace kvpager::decode {

// Of one mode.
struct ModeSummary {
  double p50 = 0;
  double p99 = 0;
  double max = 0;        // After the first kTokensSettling tokens.
  double plain_p50 = 0;  // Of the slowest link, for the same bytes.
  double plain_p99 = 0;
  double link_ratio = 0;  // plain_p50 / p50: what of the slowest link's bandwidth is reached.
  std::string link;       // Which one that is; empty: none was used, or there was no comparison.
  double nvme_bytes = 0;  // Per token.
  double copied_bytes = 0;
};

inline constexpr size_t kTokensSettling = 3;

ModeSummary Summarize(const ModeFigures& figures);
}  // namespace kvpager::decode

#endif  // KVPAGER_TOOLS_KVPAGER_DECODE_SUMMARY_H_
