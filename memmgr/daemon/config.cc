#include "memmgr/daemon/config.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "ipc/default_paths.h"
#include "memmgr/base/units.h"
#include "memmgr/daemon/config_keys.h"
#include "memmgr/daemon/config_values.h"

namespace kvpager {
namespace {

constexpr uint64_t kAutoHbmBytesMax = kGiB;
constexpr uint64_t kAutoGpuPercent = 80;  // Engines need some, too.
constexpr uint64_t kAutoHostBytesMax = 4 * kGiB;
constexpr uint64_t kAutoNvmeBytesMax = 64 * kGiB;
constexpr uint64_t kBlocksMax = uint64_t{1} << 26;  // Frames have 26 bits in a page table word.
constexpr size_t kNameLengthMax = 64;
constexpr size_t kSocketPathLengthMax =
    100;  // sun_path has 108, and ZeroMQ's socket adds a suffix.

struct AutoSize {
  uint64_t free_bytes;
  uint64_t divisor;    // auto: free_bytes / divisor ...
  uint64_t bytes_max;  // ... but not more than this.
};

// A size and its twin in blocks. Of two that are set, the source with precedence wins; two from one
// source contradict each other.
SizeSetting ReadSize(ValueReader& reader, const RawConfig& raw, Key size_key, Key blocks_key,
                     const AutoSize& automatic) {
  SizeSetting size = reader.Size(size_key);
  const uint64_t blocks = reader.Number(blocks_key, 0, kBlocksMax);
  if (blocks > 0) {
    const bool size_set =
        raw[size_key].source != ConfigSource::kDefault && size.unit != SizeUnit::kAuto;
    if (size_set && raw[size_key].source == raw[blocks_key].source) {
      reader.Refuse(blocks_key,
                    absl::StrCat("and ", Quote(raw, size_key), " contradict each other; set one"));
    }
    if (!size_set || raw[blocks_key].source > raw[size_key].source) {
      return SizeSetting{.unit = SizeUnit::kBlocks, .value = blocks};
    }
  }
  switch (size.unit) {
    case SizeUnit::kAuto:
      size.bytes = std::min(automatic.free_bytes / automatic.divisor, automatic.bytes_max);
      break;
    case SizeUnit::kPercent:
      size.bytes = automatic.free_bytes / 100 * size.value;
      break;
    case SizeUnit::kBytes:
      if (size.value == 0) reader.Refuse(size_key, "leaves no room; give at least a few MiB");
      break;
    case SizeUnit::kBlocks:
      break;
  }
  return size;
}

// A tier in ordinary memory that the machine cannot have.
void RefuseTooMuch(ValueReader& reader, const Machine& machine, Key key, const SizeSetting& size) {
  if (size.bytes > machine.memory_free_bytes) {
    reader.Refuse(
        key, absl::StrCat("is ", FormatBytes(size.bytes), ", but only ",
                          FormatBytes(machine.memory_free_bytes), " of memory are free; lower it"));
  }
  if (size.bytes > machine.file_size_bytes_max) {
    reader.Refuse(key, absl::StrCat("is more than the limit on file sizes of ",
                                    FormatBytes(machine.file_size_bytes_max),
                                    "; raise it (ulimit -f) or lower the size"));
  }
}

// Whether HBM is on a GPU.
void ReadDevice(ValueReader& reader, const RawConfig& raw, const Machine& machine, Config& config) {
  const absl::StatusOr<HbmDevice> device = ParseHbmDevice(raw[Key::kHbmDevice].text);
  if (!device.ok()) {
    reader.Refuse(Key::kHbmDevice, std::string(device.status().message()));
    return;
  }
  if (device->place == HbmPlace::kHost) return;
  config.gpu_ordinal = device->ordinal;
  config.hbm_on_gpu = machine.gpu_free_bytes.ok();
  if (config.hbm_on_gpu) return;
  const std::string reason(machine.gpu_free_bytes.status().message());
  if (device->place == HbmPlace::kGpuIfAny) {
    config.no_gpu_reason = reason;
    return;
  }
  reader.Refuse(Key::kHbmDevice,
                absl::StrCat("cannot be used: ", reason, "; say \"host\" for ordinary memory"));
}

void ReadMemory(ValueReader& reader, const RawConfig& raw, const Machine& machine, Config& config) {
  ReadDevice(reader, raw, machine, config);
  const uint64_t free_bytes = machine.memory_free_bytes;
  const uint64_t gpu_free_bytes = config.hbm_on_gpu ? *machine.gpu_free_bytes : 0;
  config.hbm = ReadSize(
      reader, raw, Key::kHbmSize, Key::kHbmBlocks,
      config.hbm_on_gpu
          ? AutoSize{gpu_free_bytes, 1, gpu_free_bytes / 100 * kAutoGpuPercent}
          : AutoSize{.free_bytes = free_bytes, .divisor = 16, .bytes_max = kAutoHbmBytesMax});
  config.host = ReadSize(reader, raw, Key::kHostSize, Key::kHostBlocks,
                         {.free_bytes = free_bytes, .divisor = 4, .bytes_max = kAutoHostBytesMax});
  if (config.host.unit == SizeUnit::kBlocks && config.host.value < 2) {
    reader.Refuse(Key::kHostBlocks,
                  "is too few: host memory keeps one frame in reserve, so give at least 2 blocks");
  }
  constexpr std::array<std::string_view, 2> kHugepages = {"auto", "off"};
  config.hugepages = static_cast<Hugepages>(reader.Choice(Key::kHostHugepages, kHugepages));
  if (config.hbm_on_gpu && config.hbm.bytes > gpu_free_bytes) {
    reader.Refuse(Key::kHbmSize, absl::StrCat("is ", FormatBytes(config.hbm.bytes), ", but only ",
                                              FormatBytes(gpu_free_bytes), " of cuda:",
                                              config.gpu_ordinal, " are free; lower it"));
  }
  if (!config.hbm_on_gpu) RefuseTooMuch(reader, machine, Key::kHbmSize, config.hbm);
  RefuseTooMuch(reader, machine, Key::kHostSize, config.host);
  const uint64_t hbm_bytes = config.hbm_on_gpu ? 0 : config.hbm.bytes;
  if (hbm_bytes + config.host.bytes > free_bytes) {
    reader.Refuse(Key::kHostSize,
                  absl::StrCat("and ", Quote(raw, Key::kHbmSize), " are together ",
                               FormatBytes(hbm_bytes + config.host.bytes), ", but only ",
                               FormatBytes(free_bytes), " of memory are free; lower one of them"));
  }
}

// A size or a key without a directory is a mistake, unless the tier was switched off on purpose.
void RefuseWhatNeedsAPath(ValueReader& reader, const RawConfig& raw) {
  const RawValue& path = raw[Key::kNvmePath];
  for (Key key : {Key::kNvmeSize, Key::kNvmeBlocks, Key::kNvmeEncryptionKeyFile}) {
    const RawValue& value = raw[key];
    if (value.source == ConfigSource::kDefault || value.text == InfoOf(key).default_text) continue;
    if (path.source != ConfigSource::kDefault && path.source >= value.source) continue;
    reader.Refuse(key,
                  "is set, but nvme.path is empty; set nvme.path to a directory (or \"auto\"), or "
                  "remove it");
  }
}

void ReadNvme(ValueReader& reader, const RawConfig& raw, const Machine& machine, Config& config) {
  constexpr std::array<std::string_view, 3> kAdmit = {"never", "second-touch", "always"};
  constexpr std::array<std::string_view, 2> kIo = {"auto", "threads"};
  config.pool.admission = static_cast<Admission>(reader.Choice(Key::kNvmeAdmit, kAdmit));
  config.nvme_encryption_key_file = raw[Key::kNvmeEncryptionKeyFile].text;
  config.nvme_io = static_cast<NvmeIo>(reader.Choice(Key::kNvmeIo, kIo));
  if (const std::string& text = raw[Key::kNvmeWriteBudget].text; text != "none") {
    const absl::StatusOr<SizeSetting> budget = ParseQuota(text);
    if (budget.ok() && budget->unit != SizeUnit::kBlocks && budget->value > 0) {
      config.nvme_write_budget = *budget;
    } else {
      reader.Refuse(Key::kNvmeWriteBudget,
                    "is no amount for a day; write \"500GiB\", \"50%\" of the tier, or \"none\"");
    }
  }
  config.pool.durable_permille = reader.Permille(Key::kDurableShare);
  config.nvme_path = NvmeDirectoryOf(raw, machine);
  if (config.nvme_path.empty()) {
    RefuseWhatNeedsAPath(reader, raw);
    return;
  }
  if (config.nvme_path.front() != '/') {
    reader.Refuse(Key::kNvmePath, "is relative; give a directory that starts with /");
  }
  if (const std::string& file = config.nvme_encryption_key_file;
      !file.empty() && file.front() != '/' && file.rfind("credential:", 0) != 0) {
    reader.Refuse(Key::kNvmeEncryptionKeyFile,
                  "is neither a path that starts with / nor credential:NAME; write one of them");
  }
  config.nvme = ReadSize(
      reader, raw, Key::kNvmeSize, Key::kNvmeBlocks,
      {.free_bytes = machine.disk_free_bytes, .divisor = 2, .bytes_max = kAutoNvmeBytesMax});
  if (config.nvme.bytes > machine.disk_free_bytes) {
    reader.Refuse(Key::kNvmeSize,
                  absl::StrCat("is ", FormatBytes(config.nvme.bytes), ", but only ",
                               FormatBytes(machine.disk_free_bytes), " are free in ",
                               config.nvme_path, "; lower it or free some space"));
  }
  if (config.nvme.bytes > machine.file_size_bytes_max) {
    reader.Refuse(Key::kNvmeSize, absl::StrCat("is more than the limit on file sizes of ",
                                               FormatBytes(machine.file_size_bytes_max),
                                               "; raise it (ulimit -f) or lower the size"));
  }
}

void ReadPolicy(ValueReader& reader, Config& config) {
  const struct {
    Key low;
    Key high;
    Watermark& watermark;
  } watermarks[] = {
      {Key::kPolicyHbmFreeLow, Key::kPolicyHbmFreeHigh, config.pool.free_hbm},
      {Key::kPolicyHbmCleanLow, Key::kPolicyHbmCleanHigh, config.pool.clean_hbm},
      {Key::kPolicyHostFreeLow, Key::kPolicyHostFreeHigh, config.pool.free_host},
      {Key::kPolicyHostCleanLow, Key::kPolicyHostCleanHigh, config.pool.clean_host},
  };
  for (const auto& row : watermarks) {
    row.watermark = {reader.Permille(row.low), reader.Permille(row.high)};
    if (row.watermark.low_permille >= row.watermark.high_permille) {
      reader.Refuse(row.low, absl::StrCat("must be below ", std::string(InfoOf(row.high).name),
                                          " = ", reader.Text(row.high),
                                          "; lower the one or raise "
                                          "the other"));
    }
  }
}

void ReadLimits(ValueReader& reader, Config& config) {
  config.pool.clients_max = static_cast<uint32_t>(reader.Number(Key::kLimitsClients, 1, 1024));
  config.pool.namespaces_max =
      static_cast<uint32_t>(reader.Number(Key::kLimitsNamespaces, 1, 4096));
  config.pool.sequences_max =
      static_cast<uint32_t>(reader.Number(Key::kLimitsSequences, 1, 1 << 20));
  config.pool.steps_max = static_cast<uint32_t>(reader.Number(Key::kLimitsSteps, 1, 1 << 16));
  config.requests_per_client_max =
      static_cast<uint32_t>(reader.Number(Key::kLimitsRequests, 1, 900));
  config.step_lease_s = static_cast<uint32_t>(reader.Number(Key::kLimitsStepLease, 0, 86400));
}

void ReadRing(ValueReader& reader, Config& config) {
  config.ring_enabled = reader.Boolean(Key::kRingEnabled);
  config.ring_spin_us = static_cast<uint32_t>(reader.Number(Key::kRingSpinUs, 0, 1000));
}

void ReadListen(ValueReader& reader, const RawConfig& raw, const Machine& machine, Config& config) {
  config.socket_path = raw[Key::kListenSocket].text;
  if (config.socket_path == "auto") {
    config.socket_path = machine.runtime_directory + "/kvpager.sock";
  }
  if (config.socket_path.empty() || config.socket_path.front() != '/') {
    reader.Refuse(Key::kListenSocket, "must be a path that starts with /, or \"auto\"");
  }
  if (config.socket_path.size() > kSocketPathLengthMax) {
    reader.Refuse(Key::kListenSocket, absl::StrCat("gives a path of ", config.socket_path.size(),
                                                   " characters, and a unix socket allows ",
                                                   kSocketPathLengthMax, "; choose a shorter one"));
  }
  constexpr std::array<std::string_view, 4> kModes = {"0600", "0660", "600", "660"};
  config.socket_mode = reader.Choice(Key::kListenMode, kModes) % 2 == 0 ? 0600 : 0660;
  config.socket_group = raw[Key::kListenGroup].text;
  if (config.socket_mode == 0660 && config.socket_group.empty()) {
    reader.Refuse(Key::kListenMode, "lets a group in; say which with listen.group");
  }
  if (config.socket_mode == 0660 && raw[Key::kListenSocket].text == "auto") {
    reader.Refuse(Key::kListenMode,
                  "lets a group in, but the default socket lies in a private directory; set "
                  "listen.socket to a path in a directory that the group may enter");
  }
  if (config.socket_mode == 0600 && !config.socket_group.empty()) {
    reader.Refuse(Key::kListenGroup,
                  "has no effect with listen.mode 0600; set listen.mode = \"0660\"");
  }
}

void ReadLog(ValueReader& reader, const RawConfig& raw, Config& config) {
  constexpr std::array<std::string_view, 5> kLevels = {"debug", "info", "warning", "error", "off"};
  constexpr std::array<std::string_view, 3> kFormats = {"auto", "text", "json"};
  reader.Choice(Key::kLogLevel, kLevels);
  config.log_level = raw[Key::kLogLevel].text;
  config.log_format = static_cast<LogFormat>(reader.Choice(Key::kLogFormat, kFormats));
}

absl::Status CheckName(const std::string& name, const std::string& where) {
  const bool printable =
      std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 127; });
  if (!name.empty() && name.size() <= kNameLengthMax && printable) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("namespace \"", name, "\" (from ", where,
                                                 ") must have 1 to ", kNameLengthMax,
                                                 " printable characters without spaces"));
}

absl::Status ReadNamespaces(const RawConfig& raw, Config& config) {
  bool any_token = false;
  for (const RawNamespace& entry : raw.namespaces) {
    if (absl::Status status = CheckName(entry.name, entry.where); !status.ok()) return status;
    for (const NamespaceConfig& earlier : config.namespaces) {
      if (earlier.name != entry.name) continue;
      return absl::InvalidArgumentError(absl::StrCat("namespace \"", entry.name, "\" (from ",
                                                     entry.where, ") is listed twice; keep one"));
    }
    if (!entry.secret.empty() && !entry.secret_file.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("namespace \"", entry.name, "\" (from ",
                                                     entry.where,
                                                     ") has secret and secret_file; keep one"));
    }
    any_token = any_token || !entry.token.empty();
    NamespaceConfig fresh{.name = entry.name,
                          .token = entry.token,
                          .secret = entry.secret,
                          .secret_file = entry.secret_file,
                          .quotas = {}};
    if (absl::Status status = ReadQuotas(entry, fresh); !status.ok()) return status;
    config.namespaces.push_back(fresh);
  }
  const RawValue& list = raw[Key::kPoolNamespaces];
  for (const std::string& name : config.pool_namespaces) {
    if (absl::Status status = CheckName(name, list.where); !status.ok()) return status;
  }
  if (config.token_required && !any_token) {
    return absl::InvalidArgumentError(
        absl::StrCat(Quote(raw, Key::kSecurityRequireToken),
                     ", but no [[namespace]] has a token, so nobody could attach; list one"));
  }
  return absl::OkStatus();
}

}  // namespace

RawConfig::RawConfig() {
  for (const KeyInfo& info : ConfigKeys()) {
    values[KeyIndex(info.key)] = {std::string(info.default_text), ConfigSource::kDefault,
                                  "default"};
  }
}

std::string NvmeDirectoryOf(const RawConfig& raw, const Machine& machine) {
  std::string path = raw[Key::kNvmePath].text;
  if (path == "auto") path = machine.state_directory;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

absl::StatusOr<Config> ResolveConfig(const RawConfig& raw, const Machine& machine) {
  Config config;
  config.raw = raw;
  ValueReader reader(raw);
  ReadMemory(reader, raw, machine, config);
  ReadNvme(reader, raw, machine, config);
  config.pool_namespaces = SplitList(raw[Key::kPoolNamespaces].text);
  config.token_required = reader.Boolean(Key::kSecurityRequireToken);
  ReadListen(reader, raw, machine, config);
  ReadPolicy(reader, config);
  ReadRing(reader, config);
  ReadLimits(reader, config);
  ReadLog(reader, raw, config);
  if (!reader.status().ok()) return reader.status();
  if (absl::Status status = ReadNamespaces(raw, config); !status.ok()) return status;
  return config;
}

}  // namespace kvpager
