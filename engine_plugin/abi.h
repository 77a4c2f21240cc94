// engine_plugin/abi.h
//
// What the files of the C ABI share: what handles are, how a status becomes a code and a text, and
// the checks of arguments that several calls take.
//
// Ownership: a kvp_client has its client and every step handle. Thread-safety: as kvpager.h;
// LastError is of the thread.

#ifndef KVPAGER_ENGINE_PLUGIN_ABI_H_
#define KVPAGER_ENGINE_PLUGIN_ABI_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine_plugin/client.h"
#include "engine_plugin/kvpager.h"
#include "engine_plugin/operation.h"
#include "engine_plugin/step.h"

struct kvp_step {
  kvp_client* client = nullptr;
  kvpager::engine::Step* step = nullptr;
};

struct kvp_client {
  std::unique_ptr<kvpager::engine::Client> client;
  std::deque<kvp_step> steps;  // Every handle there has been at once; they are used again.
  std::vector<kvp_step*> spare_steps;
  std::vector<kvpager::engine::OperationRequest> operations;  // That are being submitted.
  std::vector<kvpager::engine::Completion> completions;       // Of the last drain.
  std::deque<std::string> completion_errors;                  // Likewise.
  std::string error;
};

namespace kvpager::engine {

// Of calls that have no client to keep it.
std::string& LastError();

kvp_status ToCode(const absl::Status& status);
// Keeps the text for the client; null: for the thread.
kvp_status Fail(kvp_client* client, const absl::Status& status);
kvp_status Finish(kvp_client* client, const absl::Status& status);
kvp_status Invalid(kvp_client* client, std::string text);

// struct_size of something this library reads: at least what it had when it was new, and nothing
// that we would ignore.
absl::Status CheckRead(const char* what, size_t struct_size, size_t size_first, size_t size_now);
// struct_size of something this library writes.
absl::Status CheckWritten(const char* what, size_t struct_size, size_t size_first);
absl::Status CheckKeys(const kvp_block_key* keys, size_t num_keys);
absl::Status CheckTier(int32_t tier, int32_t first, int32_t last, const char* allowed);

}  // namespace kvpager::engine

#endif  // KVPAGER_ENGINE_PLUGIN_ABI_H_
