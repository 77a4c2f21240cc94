// memmgr/daemon/config_keys.h
//
// Every configuration key: its name, its default, and a sentence for --help and OPERATIONS.md. A
// key `hbm.size` is the TOML value `size` of table `[hbm]`, the flag --hbm.size and the environment
// variable KVPAGER_HBM_SIZE.
//
// Thread-safety: constants.

#ifndef KVPAGER_MEMMGR_DAEMON_CONFIG_KEYS_H_
#define KVPAGER_MEMMGR_DAEMON_CONFIG_KEYS_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/types/span.h"

namespace kvpager {

// In the order of ConfigKeys(), which is the order of --print-config.
enum class Key : size_t {
  kHbmDevice,
  kHbmSize,
  kHbmBlocks,
  kHostSize,
  kHostBlocks,
  kHostHugepages,
  kNvmePath,
  kNvmeSize,
  kNvmeBlocks,
  kNvmeAdmit,
  kNvmeWriteBudget,
  kNvmeIo,
  kNvmeEncryptionKeyFile,
  kDurableShare,
  kPoolNamespaces,
  kSecurityRequireToken,
  kListenSocket,
  kListenMode,
  kListenGroup,
  kRingEnabled,
  kRingSpinUs,
  kPolicyHbmFreeLow,
  kPolicyHbmFreeHigh,
  kPolicyHbmCleanLow,
  kPolicyHbmCleanHigh,
  kPolicyHostFreeLow,
  kPolicyHostFreeHigh,
  kPolicyHostCleanLow,
  kPolicyHostCleanHigh,
  kLimitsClients,
  kLimitsNamespaces,
  kLimitsSequences,
  kLimitsSteps,
  kLimitsRequests,
  kLimitsStepLease,
  kLogLevel,
  kLogFormat,
};
inline constexpr size_t kKeyCount = static_cast<size_t>(Key::kLogFormat) + 1;
inline constexpr size_t KeyIndex(Key key) { return static_cast<size_t>(key); }

// How --print-config writes the value.
enum class ValueShape { kString, kNumber, kBoolean, kStringList };

struct KeyInfo {
  Key key;
  std::string_view name;
  std::string_view default_text;  // As a flag would give it; a list is separated by commas.
  ValueShape shape;
  std::string_view help;
};

// Indexed by KeyIndex.
absl::Span<const KeyInfo> ConfigKeys();
const KeyInfo& InfoOf(Key key);

// Null if there is no such key.
const KeyInfo* FindKey(std::string_view name);

// "hbm.size" -> "KVPAGER_HBM_SIZE".
std::string EnvironmentName(std::string_view key_name);

// "; did you mean \"hbm.size\"?" or, if nothing is near, an empty string.
std::string DidYouMean(std::string_view name);
std::string DidYouMean(std::string_view name, absl::Span<const std::string_view> candidates);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_CONFIG_KEYS_H_
