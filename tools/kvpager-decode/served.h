// tools/kvpager-decode/served.h
//
// A kvpagerd of this program's own, a client of it, one sequence, and the attention engine.
//
// Ownership: all of them, and the threads that attend. Thread-safety: one thread.
// Errors: those of the daemon and of the C ABI, in their words.

#ifndef KVPAGER_TOOLS_KVPAGER_DECODE_SERVED_H_
#define KVPAGER_TOOLS_KVPAGER_DECODE_SERVED_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine_plugin/attention_engine/attention_engine.h"
#include "tools/kvpager-decode/options.h"
#include "tools/support/crew.h"
#include "tools/support/daemon_status.h"
#include "tools/support/private_daemon.h"

namespace kvpager::decode {

// Blocks of the three tiers.
struct TierBlocks {
  uint64_t hbm = 0;
  uint64_t host = 0;
  uint64_t nvme = 0;  // 0: no NVMe tier.
};

class Served {
 public:
  static absl::StatusOr<std::unique_ptr<Served>> Start(const Options& options,
                                                       const TierBlocks& blocks);
  ~Served();
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  attention::AttentionEngine& engine() { return *engine_; }
  kvp_seq seq() const { return seq_; }
  absl::StatusOr<tools::DaemonStatus> Ask() const;
  // Of the NVMe tier; empty if there is none.
  absl::StatusOr<std::string> NvmeFile() const;

 private:
  explicit Served(const Options& options) : model_(options.model), crew_(options.threads) {}
  absl::Status Attach(const Options& options);

  const ModelShape model_;
  tools::Crew crew_;
  std::unique_ptr<tools::PrivateDaemon> daemon_;
  kvp_client* client_ = nullptr;
  kvp_seq seq_ = 0;
  std::unique_ptr<attention::AttentionEngine> engine_;
};

// Blocks that the whole sequence takes, decoded tokens included.
uint64_t BlocksOf(const Options& options, uint64_t context_tokens);
// Bytes that one block takes in HBM.
uint64_t BlockBytes(const ModelShape& model);

}  // namespace kvpager::decode

#endif  // KVPAGER_TOOLS_KVPAGER_DECODE_SERVED_H_
