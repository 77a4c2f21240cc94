#include "tools/kvpager-bench/recovery.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memmgr/base/status_macros.h"
#include "tools/kvpager-bench/engine.h"
#include "tools/kvpager-bench/sample.h"
#include "tools/support/clock.h"
#include "tools/support/daemon_status.h"
#include "tools/support/private_daemon.h"

namespace kvpager::bench {
namespace {

constexpr uint32_t kBlocksPerPrompt = 256;
constexpr uint32_t kBlocksHbm = 8192;
constexpr uint32_t kBlocksHost = 16384;
constexpr uint32_t kRounds = 3;
constexpr double kMiB = 1024.0 * 1024.0;
constexpr double kPromisedMs = 3000;
constexpr uint64_t kPauseUs = 20'000;
constexpr int kPausesMax = 30'000;  // Ten minutes.

// Of block `block` of prompt `prompt`.
kvp_block_key KeyOf(uint64_t prompt, uint64_t block) {
  kvp_block_key key = {};
  ++prompt;  // A key of zeroes is none.
  std::memcpy(key.bytes, &prompt, sizeof prompt);
  std::memcpy(key.bytes + 8, &block, sizeof block);
  return key;
}

std::vector<kvp_block_key> KeysOf(uint64_t prompt) {
  std::vector<kvp_block_key> keys;
  for (uint32_t i = 0; i < kBlocksPerPrompt; ++i) keys.push_back(KeyOf(prompt, i));
  return keys;
}

// Appends and names one prompt; what its pages hold does not matter here.
absl::Status WritePrompt(const Engine& engine, uint64_t prompt) {
  kvp_client* const client = engine.client();
  kvp_seq sequence = 0;
  KVP_RETURN_IF_ERROR(engine.StatusOf(kvp_seq_open(client, nullptr, 0, &sequence, nullptr)));
  const kvp_step_entry entry = EntryOf(sequence, kBlocksPerPrompt * engine.page_tokens());
  KVP_RETURN_IF_ERROR(engine.RunStep(&entry, 1));
  const std::vector<kvp_block_key> keys = KeysOf(prompt);
  KVP_RETURN_IF_ERROR(
      engine.StatusOf(kvp_seq_name(client, sequence, 0, keys.data(), keys.size(), 0, 0)));
  return engine.StatusOf(kvp_seq_close(client, sequence));
}

// Blocks of the prompt that are known.
absl::StatusOr<uint32_t> Known(const Engine& engine, uint64_t prompt) {
  const std::vector<kvp_block_key> keys = KeysOf(prompt);
  kvp_seq sequence = 0;
  kvp_reuse reuse = {};
  reuse.struct_size = sizeof reuse;
  KVP_RETURN_IF_ERROR(
      engine.StatusOf(kvp_seq_open(engine.client(), keys.data(), keys.size(), &sequence, &reuse)));
  KVP_RETURN_IF_ERROR(engine.StatusOf(kvp_seq_close(engine.client(), sequence)));
  return reuse.tokens / engine.page_tokens();
}

uint64_t ResidentBytes(uint32_t pid) {
  std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
  for (std::string line; std::getline(status, line);) {
    uint64_t kib = 0;
    if (std::sscanf(line.c_str(), "RssAnon: %lu kB", &kib) == 1) return kib * 1024;
  }
  return 0;
}

// One tier, from its first block to its last restart.
class Tier {
 public:
  static absl::StatusOr<std::unique_ptr<Tier>> Make(const Options& options) {
    auto tier = std::make_unique<Tier>();
    tier->blocks_ = options.recovery_blocks;
    const std::vector<std::string> flags = {
        "--hbm.blocks",  std::to_string(kBlocksHbm),
        "--host.blocks", std::to_string(kBlocksHost),
        "--nvme.blocks", std::to_string(options.recovery_blocks),
        "--nvme.path",   absl::StrCat(tools::PrivateDaemon::kDirectory, "/nvme"),
        "--nvme.admit",  "always"};
    KVP_ASSIGN_OR_RETURN(tier->daemon_,
                         tools::PrivateDaemon::Start(options.kvpagerd, flags, options.nvme_folder));
    KVP_RETURN_IF_ERROR(tier->Attach());
    KVP_ASSIGN_OR_RETURN(const tools::DaemonStatus status, tier->Ask());
    tier->empty_bytes_ = ResidentBytes(status.pid);
    return tier;
  }

  // Until every block of the tier has been written, and `more` prompts beyond.
  absl::Status Fill(uint64_t more) {
    const uint64_t end = blocks_ / kBlocksPerPrompt + more;
    const uint64_t began_ns = tools::NowNs();
    while (prompts_ < end) KVP_RETURN_IF_ERROR(WritePrompt(*engine_, prompts_++));
    fill_ns_ = tools::NowNs() - began_ns;
    return absl::OkStatus();
  }

  // Kills or stops it, and measures how it comes back. `before_start` may change files.
  absl::Status Return(bool clean, const std::function<absl::Status()>& before_start) {
    engine_.reset();
    daemon_->Stop(clean);
    KVP_RETURN_IF_ERROR(before_start());
    const uint64_t began_ns = tools::NowNs();
    KVP_RETURN_IF_ERROR(daemon_->Restart(false));
    KVP_RETURN_IF_ERROR(Attach());
    // The latest may have been in memory only, the oldest are overwritten.
    KVP_ASSIGN_OR_RETURN(known_, Known(*engine_, prompts_ - blocks_ / kBlocksPerPrompt / 2));
    ready_ms_.Add(Ms(tools::NowNs() - began_ns));
    KVP_ASSIGN_OR_RETURN(tools::DaemonStatus status, Ask());
    for (int i = 0; status.Counter("restored_headers_unread") > 0 && i < kPausesMax; ++i) {
      tools::PauseUs(kPauseUs);
      KVP_ASSIGN_OR_RETURN(status, Ask());
    }
    all_read_ms_.Add(Ms(tools::NowNs() - began_ns));
    restored_ = status.Counter("restored_blocks");
    resident_bytes_ = ResidentBytes(status.pid);
    return absl::OkStatus();
  }

  Figure Take(const std::string& name, double allowed_ms) {
    Figure figure;
    figure.part = "recovery";
    figure.name = name;
    figure.unit = "ms";
    figure.ours = ready_ms_.Median();
    figure.limit_name = absl::StrFormat(
        "%d blocks found, %d of a prompt at the first open; all headers read after %.0f ms; "
        "%.0f MiB of memory, %.0f of an empty tier",
        restored_, known_, all_read_ms_.Median(), static_cast<double>(resident_bytes_) / kMiB,
        static_cast<double>(empty_bytes_) / kMiB);
    figure.also = {{"ready_ms_max", ready_ms_.Quantile(1)},
                   {"headers_read_ms", all_read_ms_.Median()},
                   {"restored_blocks", static_cast<double>(restored_)},
                   {"resident_bytes", static_cast<double>(resident_bytes_)},
                   {"resident_bytes_empty", static_cast<double>(empty_bytes_)}};
    figure.allowed = allowed_ms;
    figure.samples = ready_ms_.count();
    ready_ms_ = Samples();
    all_read_ms_ = Samples();
    return figure;
  }

  uint64_t fill_ns() const { return fill_ns_; }
  std::string catalogue() const { return daemon_->directory() + "/nvme/catalogue"; }

 private:
  static double Ms(uint64_t ns) { return static_cast<double>(ns) / 1e6; }

  absl::Status Attach() {
    EngineOptions options;
    options.socket = daemon_->socket();
    KVP_ASSIGN_OR_RETURN(engine_, Engine::Attach(options));
    return absl::OkStatus();
  }
  absl::StatusOr<tools::DaemonStatus> Ask() {
    return tools::AskDaemon(daemon_->socket(), "kvpager-bench");
  }

  uint64_t blocks_ = 0;
  uint64_t prompts_ = 0;
  uint64_t fill_ns_ = 0;
  std::unique_ptr<tools::PrivateDaemon> daemon_;
  std::unique_ptr<Engine> engine_;
  Samples ready_ms_;
  Samples all_read_ms_;
  uint32_t known_ = 0;
  uint64_t restored_ = 0;
  uint64_t empty_bytes_ = 0;
  uint64_t resident_bytes_ = 0;
};

}  // namespace

absl::Status MeasureRecovery(const Options& options, std::vector<Figure>& figures) {
  const auto nothing = [] { return absl::OkStatus(); };
  const uint64_t blocks = options.recovery_blocks;
  // Beyond a full tier, so that it is killed while it evicts and overwrites.
  const uint64_t more = 2 * (kBlocksHbm + kBlocksHost) / kBlocksPerPrompt;
  KVP_ASSIGN_OR_RETURN(const std::unique_ptr<Tier> tier, Tier::Make(options));
  KVP_RETURN_IF_ERROR(tier->Fill(more));
  std::printf("%lu blocks written at %.0f a second\n", blocks,
              static_cast<double>(blocks) / (static_cast<double>(tier->fill_ns()) / 1e9));
  std::fflush(stdout);
  for (uint32_t round = 0; round < kRounds; ++round) {
    KVP_RETURN_IF_ERROR(tier->Return(false, nothing));
    KVP_RETURN_IF_ERROR(tier->Fill(more * (round + 2)));
  }
  figures.push_back(tier->Take(absl::StrCat(blocks, " blocks, killed while writing"), kPromisedMs));
  const std::string catalogue = tier->catalogue();
  KVP_RETURN_IF_ERROR(tier->Return(false, [&catalogue] {
    std::error_code error;
    std::filesystem::remove_all(catalogue, error);
    return error ? absl::UnavailableError(absl::StrCat(catalogue, ": ", error.message()))
                 : absl::OkStatus();
  }));
  figures.push_back(tier->Take(absl::StrCat(blocks, " blocks, killed, catalogue removed"), 0));
  KVP_RETURN_IF_ERROR(tier->Return(true, nothing));
  figures.push_back(tier->Take(absl::StrCat(blocks, " blocks, clean stop"), kPromisedMs));
  return absl::OkStatus();
}

}  // namespace kvpager::bench
