// tests/e2e/test_engine.h
//
// The smallest engine that notices wrong bytes: through the C ABI it serves prompts whose K and V
// follow from (prompt, block, layer), and compares every reused page in full.
//
// Thread-safety: one thread. Errors: kvp_status, as the library gave it, with error() in words.

#ifndef KVPAGER_TESTS_E2E_TEST_ENGINE_H_
#define KVPAGER_TESTS_E2E_TEST_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "engine_plugin/kvpager.h"

namespace kvpager::e2e {

struct EngineOptions {
  std::string socket_path;
  std::string pool = "e2e";
  std::string model = "test-model-1";
  std::string name_space = "default";
  uint32_t layers_per_page = 2;
  uint32_t num_kv_heads = 2;
  uint32_t head_dim = 64;
  uint32_t page_tokens = 16;
  uint32_t call_timeout_us = 20'000'000;
  const char* engine_name = "e2e-test";
  uint32_t memory = KVP_MEMORY_HOST;
  // How it reads and writes frames: one of the two sides is in a frame.
  void (*copy)(void* target, const void* source, size_t bytes) = nullptr;  // Null: memcpy.
};

struct Served {
  kvp_status status = KVP_OK;
  uint32_t reused_blocks = 0;
  uint32_t mismatched_blocks = 0;
};

class TestEngine {
 public:
  TestEngine() = default;
  ~TestEngine() { Close(); }
  TestEngine(const TestEngine&) = delete;
  TestEngine& operator=(const TestEngine&) = delete;

  kvp_status Open(const EngineOptions& options);
  void Close();

  // Takes what is known of the prompt, checks it, computes the rest and names all of it; returns
  // when it is named, with `flags` KVP_NAME_DURABLE when that is durable.
  Served Serve(uint64_t prompt, uint32_t blocks, uint32_t flags);

  // The same, and then moves the prompt's pages down to NVMe before it lets go of them.
  Served ServeAndEvict(uint64_t prompt, uint32_t blocks);

  // The same in pieces, for tests that stop in between. A sequence starts with what is known of the
  // prompt.
  kvp_status OpenPrompt(uint64_t prompt, uint32_t blocks, kvp_seq* sequence,
                        uint32_t* reused_blocks);
  kvp_status Begin(kvp_seq sequence, uint32_t append_tokens, kvp_step** step);
  // Compares the first `served.reused_blocks` of `blocks` with the prompt and writes the others.
  kvp_status CheckAndFill(kvp_step* step, uint64_t prompt, uint32_t blocks, Served& served);
  kvp_status NamePrompt(kvp_seq sequence, uint64_t prompt, uint32_t blocks, uint32_t flags);
  // Writes the row that the newest token of a step over one sequence has in the first layer.
  kvp_status WriteLastRow(kvp_step* step, uint64_t tokens);
  kvp_client* client() const { return client_; }

  const std::string& error() const { return error_; }

 private:
  kvp_status Note(kvp_status status);
  void Copy(void* target, const void* source, size_t bytes) const;
  Served ServeOne(uint64_t prompt, uint32_t blocks, uint32_t flags, bool evict);
  kvp_status Forward(kvp_seq sequence, uint64_t prompt, uint32_t blocks, Served& served);

  EngineOptions options_;
  kvp_client* client_ = nullptr;
  kvp_pool_info pool_{};
  std::string error_;
};

}  // namespace kvpager::e2e

#endif  // KVPAGER_TESTS_E2E_TEST_ENGINE_H_
