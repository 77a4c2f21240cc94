// tools/kvpager-replay/trace_reader.h
//
// Reads a trace of JSON lines, plain or packed with zstd:
//
//   {"timestamp": ms, "input_length": tokens, "output_length": tokens, "hash_ids": [id, ...]}
//
// Other members are passed over. Blank lines too. Errors: kInvalidArgument "FILE:LINE: what is
// wrong", unless bad lines are to be skipped; those of line_reader.h.

#ifndef KVPAGER_TOOLS_KVPAGER_REPLAY_TRACE_READER_H_
#define KVPAGER_TOOLS_KVPAGER_REPLAY_TRACE_READER_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "tools/kvpager-replay/trace.h"

namespace kvpager::replay {

enum class BadLines : uint8_t { kRefuse, kSkip };

struct TraceReaderOptions {
  std::string path;
  BadLines bad_lines = BadLines::kRefuse;
  uint64_t requests_max = ~uint64_t{0};
};

absl::StatusOr<Trace> ReadTrace(const TraceReaderOptions& options);

}  // namespace kvpager::replay

#endif  // KVPAGER_TOOLS_KVPAGER_REPLAY_TRACE_READER_H_
