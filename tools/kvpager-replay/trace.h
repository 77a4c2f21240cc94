// tools/kvpager-replay/trace.h
//
// A request trace: what was asked, in order. As in the published ones, a prompt is cut into blocks
// of 512 tokens, each with an id that names the block *and* all blocks before it; the last, partial
// block may have an id too.
//
// Ownership: values. Thread-safety: plain values.

#ifndef KVPAGER_TOOLS_KVPAGER_REPLAY_TRACE_H_
#define KVPAGER_TOOLS_KVPAGER_REPLAY_TRACE_H_

#include <cstdint>
#include <string>
#include <vector>

namespace kvpager::replay {

inline constexpr uint64_t kTraceBlockTokens = 512;

struct Request {
  uint64_t timestamp_ms = 0;
  uint64_t input_tokens = 0;
  uint64_t output_tokens = 0;
  std::vector<uint64_t> hash_ids;  // At least full_blocks() of them.

  // The blocks that can be looked up: a partial one has no name.
  uint64_t full_blocks() const { return input_tokens / kTraceBlockTokens; }
};

struct Trace {
  std::string name;  // For people: the file, or how it was generated.
  std::vector<Request> requests;
  uint64_t lines_skipped = 0;  // Garbage, where that was allowed.
};

}  // namespace kvpager::replay

#endif  // KVPAGER_TOOLS_KVPAGER_REPLAY_TRACE_H_
