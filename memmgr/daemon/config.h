// memmgr/daemon/config.h
//
// What kvpagerd was told: parsed, typed and checked. Code behind the pool uses Limits, never this.
//
//   command line, environment, file  --config_parse.cc-->  RawConfig (texts, each with its source)
//   RawConfig, Machine               --config.cc------->   Config    (values), or one sentence
//
// Precedence: flag > environment > file > default. A key and its twin (hbm.size and hbm.blocks)
// from one source contradict each other; from two, the source with precedence wins.
//
// Units: names carry them. Ownership: values. Thread-safety: none needed.
// Errors: kInvalidArgument, one sentence that names the key, its source, and what to change.

#ifndef KVPAGER_MEMMGR_DAEMON_CONFIG_H_
#define KVPAGER_MEMMGR_DAEMON_CONFIG_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memmgr/base/ids.h"
#include "memmgr/core/limits.h"
#include "memmgr/daemon/config_keys.h"

namespace kvpager {

// In the directory nvme.path. The catalogue and the secret lie beside it.
inline constexpr std::string_view kDataFileName = "pages.kvp";

// In order of precedence.
enum class ConfigSource { kDefault, kFile, kEnvironment, kFlag };

struct RawValue {
  std::string text;
  ConfigSource source = ConfigSource::kDefault;
  std::string where;  // For people: "--hbm.size", "KVPAGER_HBM_SIZE", "kvpager.toml:4", "default".
};

inline constexpr std::array<std::string_view, kTierCount> kQuotaTables = {"hbm", "host", "nvme"};

struct RawNamespace {
  std::string name;
  std::string token;
  std::string secret;
  std::string secret_file;
  std::string where;
  std::string share;
  // By tier, as written: hbm = { guaranteed = "10%", max = "50%" }. Empty: not set.
  std::array<std::string, kTierCount> guaranteed;
  std::array<std::string, kTierCount> max;
};

struct RawConfig {
  std::array<RawValue, kKeyCount> values;
  std::vector<RawNamespace> namespaces;

  RawConfig();  // All defaults.
  const RawValue& operator[](Key key) const { return values[KeyIndex(key)]; }
  RawValue& operator[](Key key) { return values[KeyIndex(key)]; }
};

// What the machine has, as an input, so that tests choose it.
struct Machine {
  uint64_t memory_free_bytes = 0;               // Available, the control group's limit respected.
  uint64_t file_size_bytes_max = ~uint64_t{0};  // RLIMIT_FSIZE.
  uint64_t disk_free_bytes = 0;  // Where nvme.path is or would be; its data file's included.
  // Of the GPU that hbm.device asks for; an error says why there is none.
  absl::StatusOr<uint64_t> gpu_free_bytes = absl::UnavailableError("hbm.device asks for no GPU");
  std::string runtime_directory;  // For the socket: exists or may be made.
  std::string state_directory;    // For nvme.path = "auto".
};

enum class SizeUnit { kAuto, kBytes, kPercent, kBlocks };

struct SizeSetting {
  SizeUnit unit = SizeUnit::kAuto;
  uint64_t value = 0;  // As given: bytes, percent, blocks.
  uint64_t bytes = 0;  // Resolved on this machine; 0 if the unit is kBlocks (the geometry decides).
};

// hbm.device as people write it.
enum class HbmPlace { kHost, kGpu, kGpuIfAny };
struct HbmDevice {
  HbmPlace place = HbmPlace::kHost;
  int ordinal = 0;  // Of the GPU, as the driver counts them.
};

enum class Hugepages { kAuto, kOff };
enum class NvmeIo { kAuto, kThreads };
enum class LogFormat { kAuto, kText, kJson };

// Of the tier, in the unit it was given in; kAuto: not set. Resolved when the pool is made.
struct QuotaSetting {
  SizeSetting guaranteed;
  SizeSetting max;
};

struct NamespaceConfig {
  std::string name;
  std::string token;        // Empty: none asked for.
  std::string secret;       // Empty: the data directory's own.
  std::string secret_file;  // Its first line is the secret.
  uint32_t share = 1;
  std::array<QuotaSetting, kTierCount> quotas;

  // One of the quotas is set, or the share is not 1.
  bool has_quota() const;
};

struct Config {
  RawConfig raw;  // For --print-config.

  bool hbm_on_gpu = false;
  int gpu_ordinal = 0;
  std::string no_gpu_reason;  // hbm.device = "auto" found none: why. Else empty.
  SizeSetting hbm;
  SizeSetting host;
  SizeSetting nvme;
  SizeSetting nvme_write_budget;  // Per day; kAuto: no limit.
  Hugepages hugepages = Hugepages::kAuto;
  std::string nvme_path;  // Empty: off.
  NvmeIo nvme_io = NvmeIo::kAuto;
  std::string nvme_encryption_key_file;  // Or credential:NAME; empty: not encrypted.

  std::vector<std::string> pool_namespaces;
  std::vector<NamespaceConfig> namespaces;
  bool token_required = false;

  std::string socket_path;
  uint32_t socket_mode = 0600;
  std::string socket_group;

  // Without the fields that the first attach brings: page_tokens, num_groups, blocks_*.
  PoolOptions pool;
  uint32_t requests_per_client_max = 256;
  bool ring_enabled = true;
  uint32_t ring_spin_us = 0;
  uint32_t step_lease_s = 60;  // 0: never ends.

  std::string log_level;
  LogFormat log_format = LogFormat::kAuto;
};

// A size as people write it: "64MiB", "1.5GiB", "1000000", "80%", "auto".
absl::StatusOr<SizeSetting> ParseSize(std::string_view text);

// A quota as people write it: a size, a share of the tier, or "12 blocks". "auto" is refused.
absl::StatusOr<SizeSetting> ParseQuota(std::string_view text);

// config_device.cc. "host", "auto", "cuda:0".
absl::StatusOr<HbmDevice> ParseHbmDevice(std::string_view text);

// Free memory of the GPU that the configuration asks for; else why there is none. Starts the
// driver.
absl::StatusOr<uint64_t> GpuFreeBytes(const RawConfig& raw);

// config_quotas.cc: what a [[namespace]] says of quotas, checked as far as that can be before the
// tiers' sizes are known.
absl::Status ReadQuotas(const RawNamespace& raw, NamespaceConfig& config);

// A share as people write it, 0.85 or "85%", in thousandths.
absl::StatusOr<uint32_t> ParsePermille(std::string_view text);

// "65536" or "64.0 MiB": the largest unit that fits.
std::string FormatBytes(uint64_t bytes);

absl::StatusOr<Config> ResolveConfig(const RawConfig& raw, const Machine& machine);

// nvme.path as a directory: "auto" resolved, empty if the tier is off.
std::string NvmeDirectoryOf(const RawConfig& raw, const Machine& machine);

// The whole configuration as TOML that kvpagerd reads back, each value with its source as comment.
// Tokens and secrets are not shown.
std::string PrintConfig(const Config& config);

// ---- config_parse.cc
// -----------------------------------------------------------------------------

enum class CommandAction { kRun, kCheckConfig, kPrintConfig, kForgetNamespace, kVersion, kHelp };

struct CommandLine {
  CommandAction action = CommandAction::kRun;
  std::string config_path;                                   // Empty: look in the usual places.
  bool config_given = false;                                 // --config was there, maybe empty.
  std::vector<std::pair<std::string, std::string>> options;  // (key, text), in order.
  std::string forget_namespace;                              // kForgetNamespace: its name.
  std::string help_text;
};

// `arguments` without the program's name. An error is a usage error (exit code 2).
absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments);

using Environment = std::vector<std::pair<std::string, std::string>>;
Environment ProcessEnvironment();

// Defaults, file, environment, flags: each over the one before.
absl::StatusOr<RawConfig> LoadRawConfig(const CommandLine& command_line,
                                        const Environment& environment);

// ---- machine.cc
// ----------------------------------------------------------------------------------

// The directory of nvme.path need not exist yet.
Machine DetectMachine(const Environment& environment, const RawConfig& raw);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_CONFIG_H_
