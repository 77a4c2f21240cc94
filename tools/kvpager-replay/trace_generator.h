// tools/kvpager-replay/trace_generator.h
//
// An hour of traffic as the published traces have it, from a seed:
//
//   chat    conversations of a few turns behind one of a few system prompts; each prompt is the
//           whole conversation so far plus a new message; long documents now and then
//   agents  sessions of many calls behind one of a few long tool descriptions; each call adds what
//           a tool returned; short answers, short gaps
//
// Sessions begin as a Poisson process. Prompts have a median near 7,000 tokens with a long tail,
// answers one near 350 (chat) and 90 (agents); with an infinite cache about half of all blocks
// would be hit. The same options give the same trace, to the byte.

#ifndef KVPAGER_TOOLS_KVPAGER_REPLAY_TRACE_GENERATOR_H_
#define KVPAGER_TOOLS_KVPAGER_REPLAY_TRACE_GENERATOR_H_

#include <cstdint>

#include "tools/kvpager-replay/trace.h"

namespace kvpager::replay {

struct TraceGeneratorOptions {
  uint64_t requests = 4000;
  uint64_t seed = 1;
};

Trace GenerateTrace(const TraceGeneratorOptions& options);

}  // namespace kvpager::replay

#endif  // KVPAGER_TOOLS_KVPAGER_REPLAY_TRACE_GENERATOR_H_
