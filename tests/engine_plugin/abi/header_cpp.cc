// kvpager.h and kvpager.hpp alone, in each C++ standard that CMake asks for.

#include "engine_plugin/kvpager.hpp"

static_assert(sizeof(kvp_seq) == 8, "a handle is 64 bits");
static_assert(sizeof(kvp_status) == 4, "a status is 32 bits");

kvp_status UseWrappers(const kvp_client_options& options) {
  kvp::Client client;
  if (client.open(options) != KVP_OK) return KVP_UNAVAILABLE;
  kvp::Sequence sequence;
  if (sequence.open(client, {}) != KVP_OK) return KVP_UNAVAILABLE;
  kvp_request request = kvp_request();
  request.op = KVP_OP_OPEN;
  int fd = -1;
  size_t accepted = 0;
  std::vector<kvp_completion> completions;
  if (client.event_fd(&fd) != KVP_OK || client.submit({request}, &accepted) != KVP_OK ||
      client.drain(1, &completions) != KVP_OK) {
    return KVP_UNAVAILABLE;
  }
  if (!completions.empty()) sequence.adopt(client, completions.front().seq);
  kvp::Step step;
  if (step.begin(client, {kvp::entry(sequence, 1)}) != KVP_OK) return KVP_UNAVAILABLE;
  kvp_view view;
  if (step.wait(1) != KVP_OK || step.view(0, KVP_TIER_HBM, &view) != KVP_OK) return KVP_ABORTED;
  return step.end(KVP_STEP_KEEP);
}
