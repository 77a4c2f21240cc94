// tools/kvpager-decode/options.h
//
// What is to be run: a shape of model, how long a sequence, how much memory, which modes.
//
// Units: names carry them. Thread-safety: plain values.

#ifndef KVPAGER_TOOLS_KVPAGER_DECODE_OPTIONS_H_
#define KVPAGER_TOOLS_KVPAGER_DECODE_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "engine_plugin/attention_engine/attention_engine.h"

namespace kvpager::decode {

inline constexpr int kExitPassed = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

struct ModelShape {
  std::string name;
  kvp_geometry geometry{};
  uint32_t query_heads = 0;
  uint32_t head_dim_v = 0;  // Of the output.
};

struct Options {
  ModelShape model;
  uint64_t context_tokens = 0;
  uint64_t hbm_bytes = 0;   // Of the emulated HBM; 0: 1/16 of the sequence.
  uint64_t host_bytes = 0;  // 0: 7/16 of the sequence.
  std::string nvme_parent;  // Folder for the NVMe tier's file; empty: where temporary files are.
  uint32_t decode_tokens = 0;
  std::vector<attention::Mode> modes;
  bool resident = true;  // The same with everything in HBM, or as much as fits, for comparison.
  uint32_t threads = 0;
  uint32_t chunk_blocks = 0;  // 0: the engine chooses.
  bool full_prefill = false;
  uint32_t checks = 0;  // Outputs that are compared, of every mode.
  uint64_t seed = 0;
  std::string kvpagerd;  // Empty: beside this program.
  std::string json;
  std::string plot;
  bool quiet = false;
};

// Bytes of K and V of one token.
uint64_t TokenBytes(const ModelShape& model);

}  // namespace kvpager::decode

#endif  // KVPAGER_TOOLS_KVPAGER_DECODE_OPTIONS_H_
