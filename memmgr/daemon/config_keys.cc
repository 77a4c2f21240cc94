#include "memmgr/daemon/config_keys.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "memmgr/base/check.h"

namespace kvpager {
namespace {

using enum ValueShape;

constexpr std::array<KeyInfo, kKeyCount> kKeys = {{
    {Key::kHbmDevice, "hbm.device", "host", kString,
     "Where HBM is: host (ordinary memory), cuda:N (that GPU), auto (cuda:0, else host)."},
    {Key::kHbmSize, "hbm.size", "auto", kString,
     "Device memory for pages: bytes, \"64MiB\", \"80%\" of the free memory, or \"auto\"."},
    {Key::kHbmBlocks, "hbm.blocks", "0", kNumber,
     "Device memory as a number of blocks, instead of hbm.size; 0: not set."},
    {Key::kHostSize, "host.size", "auto", kString,
     "Host memory for pages: bytes, \"1GiB\", \"50%\" of the free memory, or \"auto\"."},
    {Key::kHostBlocks, "host.blocks", "0", kNumber,
     "Host memory as a number of blocks, instead of host.size; 0: not set."},
    {Key::kHostHugepages, "host.hugepages", "auto", kString,
     "Huge pages for the host arena: auto (where available), off."},
    {Key::kNvmePath, "nvme.path", "", kString,
     "Directory of the data file; \"auto\": $XDG_STATE_HOME/kvpager; empty: no NVMe tier."},
    {Key::kNvmeSize, "nvme.size", "auto", kString,
     "Size of the data file: bytes, \"100GiB\", \"80%\" of the free disk space, or \"auto\"."},
    {Key::kNvmeBlocks, "nvme.blocks", "0", kNumber,
     "Size of the data file as a number of blocks, instead of nvme.size; 0: not set."},
    {Key::kNvmeAdmit, "nvme.admit", "second-touch", kString,
     "Which cached blocks are worth an NVMe write: always, second-touch, never."},
    {Key::kNvmeWriteBudget, "nvme.write_budget", "none", kString,
     "Bytes to write to NVMe in a day, or a share of the tier: 500GiB, 50%; none: no limit."},
    {Key::kNvmeIo, "nvme.io", "auto", kString,
     "How the data file is read and written: auto (io_uring where allowed), threads."},
    {Key::kNvmeEncryptionKeyFile, "nvme.encryption_key_file", "", kString,
     "Encrypts the data file: a file with a key of 32 bytes, or credential:NAME of systemd."},
    {Key::kDurableShare, "durable.share", "0.5", kNumber,
     "Share of the NVMe tier that durable blocks may fill: 0.5 or \"50%\"."},
    {Key::kPoolNamespaces, "pool.namespaces", "", kStringList,
     "Namespaces that may attach, separated by commas; empty: every namespace."},
    {Key::kSecurityRequireToken, "security.require_token", "false", kBoolean,
     "Refuse namespaces that no [[namespace]] with a token lists."},
    {Key::kListenSocket, "listen.socket", "auto", kString,
     "Path of the unix socket; auto: $XDG_RUNTIME_DIR/kvpager/kvpager.sock or a private "
     "directory."},
    {Key::kListenMode, "listen.mode", "0600", kString,
     "Mode of the sockets: 0600 (this user), or 0660 together with listen.group."},
    {Key::kListenGroup, "listen.group", "", kString,
     "Group that may connect when listen.mode is 0660."},
    {Key::kRingEnabled, "ring.enabled", "true", kBoolean,
     "Offer engines a ring in shared memory for their messages; false: ZeroMQ only."},
    {Key::kRingSpinUs, "ring.spin_us", "0", kNumber,
     "Microseconds that the loop looks at the rings again before it sleeps; 0: none."},
    {Key::kPolicyHbmFreeLow, "policy.hbm_free_low", "0.02", kNumber,
     "Free HBM frames are refilled below this share ..."},
    {Key::kPolicyHbmFreeHigh, "policy.hbm_free_high", "0.04", kNumber, "... up to this share."},
    {Key::kPolicyHbmCleanLow, "policy.hbm_clean_low", "0.15", kNumber,
     "HBM pages with a copy below are made more below this share ..."},
    {Key::kPolicyHbmCleanHigh, "policy.hbm_clean_high", "0.25", kNumber, "... up to this share."},
    {Key::kPolicyHostFreeLow, "policy.host_free_low", "0.02", kNumber,
     "Free host frames are refilled below this share ..."},
    {Key::kPolicyHostFreeHigh, "policy.host_free_high", "0.04", kNumber, "... up to this share."},
    {Key::kPolicyHostCleanLow, "policy.host_clean_low", "0.60", kNumber,
     "Host pages with a copy below are made more below this share ..."},
    {Key::kPolicyHostCleanHigh, "policy.host_clean_high", "0.85", kNumber, "... up to this share."},
    {Key::kLimitsClients, "limits.clients", "64", kNumber, "Engines attached at once."},
    {Key::kLimitsNamespaces, "limits.namespaces", "64", kNumber,
     "Namespaces used between two starts."},
    {Key::kLimitsSequences, "limits.sequences", "4096", kNumber, "Sequences open at once."},
    {Key::kLimitsSteps, "limits.steps", "1024", kNumber, "Steps waiting or running at once."},
    {Key::kLimitsRequests, "limits.requests", "256", kNumber,
     "Unanswered requests of one engine; one more is RESOURCE_EXHAUSTED."},
    {Key::kLimitsStepLease, "limits.step_lease", "60", kNumber,
     "Seconds that an engine may be inside one step before it is revoked; 0: any."},
    {Key::kLogLevel, "log.level", "info", kString, "debug, info, warning, error, off."},
    {Key::kLogFormat, "log.format", "auto", kString,
     "text, json, or auto: text on a terminal, else json."},
}};

constexpr bool KeysAreInOrder() {
  for (size_t i = 0; i < kKeyCount; ++i) {
    if (KeyIndex(kKeys[i].key) != i) return false;
  }
  return true;
}
static_assert(KeysAreInOrder());

// Edits (insert, remove, replace) that turn one word into the other.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

absl::Span<const KeyInfo> ConfigKeys() { return kKeys; }

const KeyInfo& InfoOf(Key key) {
  KVP_CHECK_LT(KeyIndex(key), kKeyCount);
  return kKeys[KeyIndex(key)];
}

const KeyInfo* FindKey(std::string_view name) {
  for (const KeyInfo& info : kKeys) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

std::string EnvironmentName(std::string_view key_name) {
  std::string name = "KVPAGER_";
  for (char c : key_name) {
    name.push_back(c == '.' ? '_' : absl::ascii_toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

std::string DidYouMean(std::string_view name, absl::Span<const std::string_view> candidates) {
  std::string_view best;
  size_t best_distance = std::max<size_t>(3, name.size() / 3);
  for (std::string_view candidate : candidates) {
    const size_t distance = EditDistance(name, candidate);
    if (distance <= best_distance && (best.empty() || distance < best_distance)) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best.empty() ? "" : absl::StrCat("; did you mean \"", std::string(best), "\"?");
}

std::string DidYouMean(std::string_view name) {
  std::vector<std::string_view> names;
  for (const KeyInfo& info : kKeys) names.push_back(info.name);
  return DidYouMean(name, names);
}

}  // namespace kvpager
