#include "tools/kvpager-decode/served.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/base/units.h"

namespace kvpager::decode {
namespace {

constexpr char kWho[] = "kvpager-decode";
constexpr uint32_t kTimeoutUs = 60'000'000;

std::vector<std::string> FlagsOf(const TierBlocks& blocks) {
  std::vector<std::string> flags = {absl::StrCat("--hbm.blocks=", blocks.hbm),
                                    absl::StrCat("--host.blocks=", blocks.host)};
  if (blocks.nvme > 0) {
    flags.push_back(absl::StrCat("--nvme.path=", tools::PrivateDaemon::kDirectory, "/nvme"));
    flags.push_back(absl::StrCat("--nvme.blocks=", blocks.nvme));
  }
  return flags;
}

}  // namespace

uint64_t BlockBytes(const ModelShape& model) {
  return TokenBytes(model) * model.geometry.page_tokens;
}

uint64_t BlocksOf(const Options& options, uint64_t context_tokens) {
  const uint64_t decoded = options.decode_tokens * (options.modes.size() + 1);
  return CeilDiv(context_tokens + decoded, uint64_t{options.model.geometry.page_tokens});
}

absl::StatusOr<std::unique_ptr<Served>> Served::Start(const Options& options,
                                                      const TierBlocks& blocks) {
  std::unique_ptr<Served> served(new Served(options));
  KVP_ASSIGN_OR_RETURN(
      served->daemon_,
      tools::PrivateDaemon::Start(options.kvpagerd, FlagsOf(blocks), options.nvme_parent));
  KVP_RETURN_IF_ERROR(served->Attach(options));
  return served;
}

absl::Status Served::Attach(const Options& options) {
  kvp_client_options client{};
  client.struct_size = sizeof client;
  client.abi_version = KVP_ABI_MAJOR << 16 | KVP_ABI_MINOR;
  client.socket_path = daemon_->socket().c_str();
  client.pool = kWho;
  client.model = model_.name.c_str();
  client.engine_name = kWho;
  client.geometry = &model_.geometry;
  client.timeout_us = kTimeoutUs;
  if (const kvp_status code = kvp_client_open(&client, &client_); code != KVP_OK) {
    return absl::Status(static_cast<absl::StatusCode>(code), kvp_last_error());
  }
  if (const kvp_status code = kvp_seq_open(client_, nullptr, 0, &seq_, nullptr); code != KVP_OK) {
    return absl::Status(static_cast<absl::StatusCode>(code), kvp_client_error(client_));
  }
  attention::AttentionEngineOptions engine;
  engine.client = client_;
  engine.geometry = model_.geometry;
  engine.query_heads = model_.query_heads;
  engine.head_dim_v = model_.head_dim_v;
  engine.chunk_blocks = options.chunk_blocks;
  engine.workers = attention::Workers(
      crew_.size(), [this](const attention::Workers::Work& work) { crew_.Run(work); });
  KVP_ASSIGN_OR_RETURN(engine_, attention::AttentionEngine::Create(engine));
  return absl::OkStatus();
}

Served::~Served() {
  engine_.reset();
  kvp_client_close(client_);
}

absl::StatusOr<tools::DaemonStatus> Served::Ask() const {
  return tools::AskDaemon(daemon_->socket(), kWho);
}

absl::StatusOr<std::string> Served::NvmeFile() const {
  KVP_ASSIGN_OR_RETURN(const tools::DaemonStatus status, Ask());
  const auto found = status.tier_details.find("nvme");
  // "PATH, how it is read and written"
  if (found == status.tier_details.end() || found->second.rfind('/', 0) != 0) return std::string();
  return found->second.substr(0, found->second.find(", "));
}

}  // namespace kvpager::decode
