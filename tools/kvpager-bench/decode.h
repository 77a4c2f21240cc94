// tools/kvpager-bench/decode.h
//
// Attention on this CPU, beside what it cannot beat, with the same threads in turns of a tenth of a
// second: reading the same rows of the same pages, and multiply-adds in registers. The one that
// takes longer for the case's bytes and operations is the limit.
//
//   types     32K tokens, every type of element, 1, 4 and 8 query heads per K and V head
//   context   1K to 1M tokens        batch   1 to 64 entries        shape   layouts, heads, latent
//   rows,
//                                                                           a chunk of a prefill

#ifndef KVPAGER_TOOLS_KVPAGER_BENCH_DECODE_H_
#define KVPAGER_TOOLS_KVPAGER_BENCH_DECODE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/kvpager-bench/figure.h"
#include "tools/kvpager-bench/flags.h"
#include "tools/kvpager-bench/paged_batch.h"

namespace kvpager::bench {

struct DecodeCase {
  std::string part;
  std::string name;
  BatchShape shape;
  int32_t threads = 1;
  bool promised = false;
};

// The cases that options.only names, 1 and 2 threads each. A wrong output is an error; a case that
// does not fit into memory is left out, and told.
absl::Status MeasureDecode(const Options& options, std::vector<Figure>& figures);

absl::StatusOr<Figure> MeasureDecodeCase(const DecodeCase& one, const Options& options);

}  // namespace kvpager::bench

#endif  // KVPAGER_TOOLS_KVPAGER_BENCH_DECODE_H_
