#include "memmgr/daemon/pool.h"

#include <poll.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/daemon/clock.h"
#include "memmgr/daemon/log.h"
#include "memmgr/daemon/pool_restore.h"
#include "tiers/catalogue/rocksdb_catalogue.h"
#include "tiers/hbm/cuda_device.h"
#include "tiers/hbm/host_device.h"

namespace kvpager {
namespace {

constexpr uint64_t kRepairsPerBatch = 4096;
// A file of so many frames is read within this time on most disks.
constexpr uint32_t kHeadStartFrames = 32'768;
constexpr uint64_t kHeadStartNs = 500'000'000;
constexpr int kRepairRoundsMax = 5000;  // Of a millisecond each, per batch.

absl::Status Differs(std::string_view field, const std::string& theirs, const std::string& ours) {
  return absl::FailedPreconditionError(absl::StrCat(
      "the pool of this daemon has another ", std::string(field), ": ", ours, ", the attach says ",
      theirs, "; attach with the same, or start another daemon"));
}

// Waits until the catalogue has taken what was submitted; before the loop runs, so it may wait.
void WriteRepairs(Catalogue& catalogue, absl::Span<const CatalogueWrite> repairs) {
  const auto taken = [&] {
    const CatalogueStats stats = catalogue.stats();
    return stats.entries_written + stats.hints_dropped + stats.writes_failed;
  };
  while (!repairs.empty()) {
    const size_t count = std::min<size_t>(repairs.size(), kRepairsPerBatch);
    const uint64_t target = taken() + count;
    catalogue.Submit(repairs.subspan(0, count));
    repairs.remove_prefix(count);
    for (int round = 0; taken() < target && round < kRepairRoundsMax; ++round) {
      const timespec millisecond{0, 1'000'000};
      nanosleep(&millisecond, nullptr);
    }
  }
}

absl::StatusOr<std::unique_ptr<Device>> MakeDevice(const Config& config, uint32_t frames,
                                                   const Geometry& geometry) {
  if (!config.hbm_on_gpu) {
    if (!config.no_gpu_reason.empty()) {
      LogWarning(absl::StrCat("hbm.device = \"auto\": HBM is ordinary memory, because ",
                              config.no_gpu_reason));
    }
    return HostDevice::Create({.frames = frames, .frame_bytes = geometry.frame_bytes_hbm()});
  }
  const absl::StatusOr<cuda::DriverTable>& driver = cuda::ProcessDriver();
  if (!driver.ok()) return driver.status();
  return CudaDevice::Create({.driver = *driver,
                             .ordinal = config.gpu_ordinal,
                             .frames = frames,
                             .frame_bytes = geometry.frame_bytes_hbm()});
}

}  // namespace

absl::StatusOr<std::unique_ptr<Pool>> Pool::Create(const Config& config,
                                                   const DataDirectory& directory,
                                                   const PoolIdentity& identity) {
  auto pool = std::unique_ptr<Pool>(new Pool(identity));
  const Machine machine = DetectMachine(ProcessEnvironment(), config.raw);
  KVP_ASSIGN_OR_RETURN(PoolOptions options,
                       PoolOptionsOf(config, identity.geometry, machine.memory_free_bytes));
  options.incarnation = RandomIncarnation();
  KVP_ASSIGN_OR_RETURN(pool->limits_, DeriveLimits(options));
  KVP_RETURN_IF_ERROR(pool->BuildNvme(config, directory));
  KVP_RETURN_IF_ERROR(pool->BuildMemory(config, directory));
  KVP_RETURN_IF_ERROR(pool->BuildCore());
  pool->LogSummary();
  return pool;
}

absl::Status Pool::BuildNvme(const Config& config, const DataDirectory& directory) {
  if (config.nvme_path.empty()) return absl::OkStatus();
  KVP_ASSIGN_OR_RETURN(page_file_,
                       PageFile::Open({.path = directory.data_file(),
                                       .geometry = identity_.geometry,
                                       .model_fingerprint = identity_.model,
                                       .frames = limits_.frames_max[TierIndex(Tier::kNvme)],
                                       .incarnation = limits_.incarnation}));
  KVP_ASSIGN_OR_RETURN(catalogue_, OpenRocksdbCatalogue({.path = directory.catalogue(),
                                                         .geometry = identity_.geometry,
                                                         .model_fingerprint = identity_.model,
                                                         .flusher = page_file_.get()}));
  if (!catalogue_->detail().empty()) {
    LogInfo(absl::StrCat("catalogue: ", std::string(catalogue_->detail())));
  }
  return absl::OkStatus();
}

absl::Status Pool::BuildMemory(const Config& config, const DataDirectory& directory) {
  const Geometry& geometry = identity_.geometry;
  KVP_ASSIGN_OR_RETURN(device_,
                       MakeDevice(config, limits_.frames_max[TierIndex(Tier::kHbm)], geometry));
  KVP_ASSIGN_OR_RETURN(
      arena_,
      HostArena::Create({.geometry = geometry,
                         .frames = limits_.frames_max[TierIndex(Tier::kHost)],
                         .huge_pages = config.hugepages == Hugepages::kOff ? HugePages::kNever
                                                                           : HugePages::kTry}));
  KVP_RETURN_IF_ERROR(device_->RegisterHostMemory(arena_->base(), arena_->bytes()));
  KVP_ASSIGN_OR_RETURN(device_executor_,
                       DeviceExecutor::Create(
                           {.device = device_.get(), .arena = arena_.get(), .geometry = geometry}));
  if (device_->cpu_addressable()) {
    KVP_ASSIGN_OR_RETURN(copy_thread_,
                         CopyThread::Create({.executor = device_executor_.get(),
                                             .payload_bytes = geometry.payload_bytes()}));
  }
  if (page_file_ == nullptr) return absl::OkStatus();
  encrypted_ = directory.keys() != nullptr;
  KVP_ASSIGN_OR_RETURN(
      nvme_executor_,
      NvmeExecutor::Create({.arena = arena_.get(),
                            .file = page_file_.get(),
                            .backend = config.nvme_io == NvmeIo::kThreads ? NvmeBackend::kThreads
                                                                          : NvmeBackend::kAuto,
                            .sealer = encrypted_ ? &sealer_ : nullptr}));
  return absl::OkStatus();
}

absl::Status Pool::BuildCore() {
  KVP_ASSIGN_OR_RETURN(core_, Core::Create(limits_));
  absl::StatusOr<PageTableWriter> table =
      PageTableWriter::Create(limits_.blocks_max, limits_.num_groups, limits_.incarnation);
  if (!table.ok()) return table.status();
  page_table_.emplace(*std::move(table));
  if (page_file_ != nullptr) KVP_RETURN_IF_ERROR(Restore());
  page_table_->SetState(PageTableState::kServing);
  return absl::OkStatus();
}

absl::Status Pool::Restore() {
  std::vector<CatalogueEntry> entries;
  const absl::Status listed =
      catalogue_->ForEach([&](const CatalogueEntry& entry) { entries.push_back(entry); });
  if (absl::IsDataLoss(listed)) {
    LogWarning(std::string(listed.message()));
    entries.clear();
  } else {
    KVP_RETURN_IF_ERROR(listed);
  }
  const bool clean = page_file_->was_clean() && catalogue_->was_clean();
  RestorePlan plan =
      clean ? TrustCatalogue(entries) : TrustHints(entries, page_file_->incarnation_previous());
  entries = {};
  restored_.repaired = plan.repairs.size();
  restored_.durable_lost = plan.durable_lost;
  for (const RestoredBlock& block : plan.blocks) {
    if (core_->Restore(block)) {
      ++restored_.blocks;
    } else {
      ++restored_.refused;
    }
  }
  WriteRepairs(*catalogue_, plan.repairs);
  if (clean || (page_file_->created() && plan.blocks.empty())) return absl::OkStatus();
  return StartReconciler(std::move(plan.blocks));
}

absl::Status Pool::StartReconciler(std::vector<RestoredBlock> expected) {
  LogWarning(
      "the catalogue may be behind (the last stop was not clean): reading the headers of the data "
      "file");
  core_->HoldUnread();
  KVP_ASSIGN_OR_RETURN(reconciler_, Reconciler::Start(*page_file_, std::move(expected)));
  if (page_file_->frames() <= kHeadStartFrames) ReconcileAtStart();
  return absl::OkStatus();
}

// A small file is read before anybody asks; for a large one nobody has to wait.
void Pool::ReconcileAtStart() {
  Effects effects = core_->MakeEffects();
  const uint64_t end_ns = MonotonicNow().ns + kHeadStartNs;
  for (uint64_t now_ns = MonotonicNow().ns; now_ns < end_ns; now_ns = MonotonicNow().ns) {
    // The loop's turn began before now, and the core's time may not go back.
    if (Reconcile(Instant{}, effects)) {
      // Nobody has attached, so there is nothing else to carry out.
      KVP_CHECK(effects.replies.empty() && effects.copies.empty());
      catalogue_->Submit(effects.catalogue_writes);
      effects.Clear();
      continue;
    }
    if (reconciler_ == nullptr) return;
    pollfd ready{.fd = reconciler_->ready_fd(), .events = POLLIN, .revents = 0};
    poll(&ready, 1, static_cast<int>((end_ns - now_ns) / 1'000'000) + 1);
  }
}

bool Pool::Reconcile(Instant now, Effects& effects) {
  if (reconciler_ == nullptr) return false;
  const std::optional<Reconciler::Shown> shown = reconciler_->Next();
  if (!shown.has_value()) {
    if (reconciler_->finished()) EndReconciliation();
    return false;
  }
  const RunFinding finding = core_->Reconcile(now, shown->run, shown->last, effects);
  reconciler_->Note(*shown, finding);
  restored_.blocks += finding.restored ? 1 : 0;
  restored_.repaired += (finding.restored ? 1 : 0) + (finding.lost ? 1 : 0);
  restored_.durable_lost += finding.lost_durable ? 1 : 0;
  if (shown->last) return true;
  restored_.scanned += shown->state == ScannedRun::State::kBlock ? 1 : 0;
  restored_.torn_runs += shown->state == ScannedRun::State::kTorn ? 1 : 0;
  return true;
}

void Pool::EndReconciliation() {
  reconciled_ = true;
  if (const uint64_t failed = reconciler_->windows_failed(); failed > 0) {
    LogWarning(absl::StrCat(failed,
                            " stretches of headers could not be read; blocks in them are "
                            "found by the catalogue alone"));
  }
  reconciler_.reset();
  LogInfo(absl::StrCat("all headers are read: ", restored_.scanned, " blocks, ",
                       restored_.torn_runs, " torn, ", restored_.repaired,
                       " catalogue entries repaired"));
  if (restored_.durable_lost == 0) return;
  LogError(absl::StrCat(restored_.durable_lost,
                        " durable blocks are lost: the data file does not hold them any more"));
}

bool Pool::reconciles_now() { return reconciler_ != nullptr && reconciler_->has_next(); }

int Pool::headers_fd() const { return reconciler_ == nullptr ? -1 : reconciler_->ready_fd(); }

uint64_t Pool::headers_unread() const {
  return reconciler_ == nullptr ? 0 : reconciler_->frames_left();
}

void Pool::LogSummary() const {
  const auto blocks = [&](Tier tier) {
    return limits_.frames_max[TierIndex(tier)] / limits_.num_groups;
  };
  LogInfo(absl::StrCat("pool \"", identity_.name, "\": ", Describe(identity_.geometry),
                       ", model \"", identity_.model, "\""));
  LogInfo(absl::StrCat("hbm: ", blocks(Tier::kHbm), " blocks, ",
                       FormatBytes(device_->frames() * device_->frame_bytes()), ", ",
                       std::string(device_->detail())));
  LogInfo(absl::StrCat("host: ", blocks(Tier::kHost), " blocks, ", FormatBytes(arena_->bytes()),
                       ", ", std::string(arena_->detail())));
  if (page_file_ == nullptr) {
    LogInfo("nvme: off (nvme.path is empty)");
    return;
  }
  LogInfo(absl::StrCat("nvme: ", blocks(Tier::kNvme), " blocks, ",
                       FormatBytes(page_file_->frames() * page_file_->frame_bytes()), " in ",
                       page_file_->path(), ", ", std::string(page_file_->detail()), ", ",
                       std::string(nvme_executor_->detail()), encrypted_ ? ", encrypted" : ""));
  const bool by_headers = reconciled_ || reconciler_ != nullptr;
  LogInfo(absl::StrCat("nvme: restored ", restored_.blocks, " blocks (",
                       by_headers ? "by reading headers" : "from the catalogue", "), ",
                       restored_.refused, " refused, ", restored_.torn_runs, " torn, ",
                       restored_.repaired, " catalogue entries repaired",
                       headers_unread() == 0
                           ? ""
                           : absl::StrCat("; ", headers_unread(), " headers are being read")));
}

absl::Status Pool::PrepareNamespace(NamespaceId name_space, std::string_view name,
                                    const DataDirectory& directory) {
  if (!encrypted_ || sealer_.HasKey(name_space)) return absl::OkStatus();
  KVP_ASSIGN_OR_RETURN(const Key256 key, directory.keys()->KeyOf(name));
  sealer_.SetKey(name_space, key);
  return absl::OkStatus();
}

CopyExecutor& Pool::device_copies() {
  if (copy_thread_ != nullptr) return *copy_thread_;
  return *device_executor_;
}

uint32_t Pool::blocks_nvme() const {
  return limits_.frames_max[TierIndex(Tier::kNvme)] / limits_.num_groups;
}

absl::Status Pool::Match(const PoolIdentity& identity) const {
  if (identity.name != identity_.name) {
    return absl::FailedPreconditionError(absl::StrCat("this daemon serves the pool \"",
                                                      identity_.name,
                                                      "\" and one pool only; attach "
                                                      "to it, or start another daemon for \"",
                                                      identity.name, "\""));
  }
  if (const std::string_view field = DifferingField(identity_.geometry, identity.geometry);
      !field.empty()) {
    return Differs(field, Describe(identity.geometry), Describe(identity_.geometry));
  }
  if (identity.model != identity_.model) {
    return Differs("model", absl::StrCat("\"", identity.model, "\""),
                   absl::StrCat("\"", identity_.model, "\""));
  }
  return absl::OkStatus();
}

PoolInfo Pool::info() const {
  const std::optional<DeviceUuid> gpu = device_->gpu();
  return {.blocks_max = limits_.blocks_max,
          .num_groups = limits_.num_groups,
          .frames_hbm = device_->frames(),
          .frame_bytes_hbm = device_->frame_bytes(),
          .frames_host = arena_->frames(),
          .frame_bytes_host = arena_->frame_bytes(),
          .blocks_nvme = blocks_nvme(),
          .page_tokens = limits_.page_tokens,
          .keys_per_command_max = limits_.keys_per_command_max,
          .entries_per_step_max = limits_.step_entries_per_step_max,
          .gpu = gpu.value_or(GpuUuid{})};
}

absl::Status Pool::CloseClean() {
  page_table_->SetState(PageTableState::kStopped);
  const bool all_known = reconciler_ == nullptr;
  reconciler_.reset();
  nvme_executor_.reset();  // Waits for what was submitted.
  copy_thread_.reset();
  device_executor_.reset();
  if (page_file_ == nullptr) return absl::OkStatus();
  if (core_->nvme_lost()) {
    return absl::UnavailableError(
        "the nvme tier is out of service; the next start reads the headers of the data file");
  }
  if (!all_known) {
    LogInfo("not all headers were read: the next start reads them again");
    return absl::OkStatus();
  }
  KVP_RETURN_IF_ERROR(catalogue_->CloseClean());
  return page_file_->MarkClean();
}

}  // namespace kvpager
