// tools/kvpager-bench/engine.h
//
// One attached engine with the smallest pages there are: what is measured is not the bytes.
//
// Ownership: the client. Thread-safety: one thread. Errors: those of the C ABI.

#ifndef KVPAGER_TOOLS_KVPAGER_BENCH_ENGINE_H_
#define KVPAGER_TOOLS_KVPAGER_BENCH_ENGINE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine_plugin/kvpager.h"

namespace kvpager::bench {

struct EngineOptions {
  std::string socket;
  std::string pool = "bench";
  std::string name_space = "bench";
  std::string name = "kvpager-bench";
  uint32_t page_tokens = 16;
  uint32_t transport = KVP_TRANSPORT_AUTO;
  uint32_t spin_us = 0;        // 0: the library's choice.
  uint32_t page_bytes = 4096;  // A multiple of 64 * page_tokens.
};

class Engine {
 public:
  static absl::StatusOr<std::unique_ptr<Engine>> Attach(const EngineOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  kvp_client* client() const { return client_; }
  uint32_t page_tokens() const { return page_tokens_; }
  absl::Status StatusOf(kvp_status code) const;

  // One step over `entries`, kept, waited for.
  absl::Status RunStep(const kvp_step_entry* entries, size_t count) const;

 private:
  Engine() = default;

  kvp_client* client_ = nullptr;
  uint32_t page_tokens_ = 0;
};

// An entry that reads all of `sequence` and appends `tokens`.
kvp_step_entry EntryOf(kvp_seq sequence, uint32_t tokens);

}  // namespace kvpager::bench

#endif  // KVPAGER_TOOLS_KVPAGER_BENCH_ENGINE_H_
