// tools/kvpager-decode/report.h
//
// What was found, as a table, as JSON and as a picture.
//
// Units: names and headings carry them. Errors: WriteJson and WritePlot, the file.

#ifndef KVPAGER_TOOLS_KVPAGER_DECODE_REPORT_H_
#define KVPAGER_TOOLS_KVPAGER_DECODE_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tools/kvpager-decode/decode_run.h"
#include "tools/kvpager-decode/options.h"
#include "tools/kvpager-decode/summary.h"

namespace kvpager::decode {

struct Report {
  uint64_t kv_bytes = 0;  // Of the sequence when its decode begins.
  TierBlocks blocks;
  uint64_t block_bytes = 0;
  ModeFigures prefill;
  std::vector<ModeFigures> modes;  // Resident first, where it was run.

  // No output was off by more than kTolerance.
  bool right() const;
};

std::string Table(const Options& options, const Report& report);
absl::Status WriteJson(const Options& options, const Report& report);

}  // namespace kvpager::decode

#endif  // KVPAGER_TOOLS_KVPAGER_DECODE_REPORT_H_
