// tools/kvpager-replay/engine.h
//
// One attached engine: a client of libkvpager, its pool's measures and where each layer lies.
//
// Ownership: the client. Thread-safety: one thread. Errors: those of the C ABI, whose numbers are
// absl's, with the library's text.

#ifndef KVPAGER_TOOLS_KVPAGER_REPLAY_ENGINE_H_
#define KVPAGER_TOOLS_KVPAGER_REPLAY_ENGINE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine_plugin/kvpager.h"
#include "kernels/paged_kv.h"
#include "tools/kvpager-replay/options.h"

namespace kvpager::replay {

class Engine {
 public:
  static absl::StatusOr<std::unique_ptr<Engine>> Attach(const Options& options, uint32_t index);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  kvp_client* client() const { return client_; }
  const kvp_pool_info& pool() const { return pool_; }
  const Geometry& geometry() const { return geometry_; }
  uint64_t name_space() const { return name_space_; }  // NamespaceIdentity of its namespace.

  // All blocks that the pool's tiers hold between them.
  uint64_t block_places() const;
  uint32_t blocks_hbm() const { return pool_.frames_hbm / pool_.num_groups; }

  // K and V of one layer, over the pages of `view`.
  kernels::PagedKv LayerOf(const kvp_view& view, uint32_t layer) const;

  // The status of a call on this client.
  absl::Status StatusOf(kvp_status code) const;

 private:
  Engine() = default;
  absl::Status MapLayers();

  kvp_client* client_ = nullptr;
  kvp_pool_info pool_{};
  Geometry geometry_;
  uint64_t name_space_ = 0;
  std::vector<void*> k_layers_;
  std::vector<void*> v_layers_;
};

}  // namespace kvpager::replay

#endif  // KVPAGER_TOOLS_KVPAGER_REPLAY_ENGINE_H_
