// memmgr/daemon/namespaces.h
//
// Who may attach as which namespace, and the secret that its keys are derived from. A namespace
// that no [[namespace]] lists is admitted with an empty token, unless security.require_token asks
// for one or pool.namespaces leaves it out.
//
// Ownership: secrets. Thread-safety: one thread. Errors: kPermissionDenied (the sentence never says
// which half was wrong), kResourceExhausted.

#ifndef KVPAGER_MEMMGR_DAEMON_NAMESPACES_H_
#define KVPAGER_MEMMGR_DAEMON_NAMESPACES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "memmgr/base/ids.h"
#include "memmgr/daemon/config.h"

namespace kvpager {

inline constexpr std::string_view kDefaultNamespace = "default";

class NamespaceTable {
 public:
  // Reads the secret files. `data_secret` is where secrets come from that are not configured.
  static absl::StatusOr<NamespaceTable> Create(const Config& config, std::string data_secret);

  // The namespace `name` (empty: "default"), if `token` lets its bearer in. Gives it a number when
  // it is seen for the first time.
  absl::StatusOr<NamespaceId> Admit(std::string_view name, std::string_view token);

  // REQUIRES: an id that Admit gave out.
  const std::string& NameOf(NamespaceId id) const;
  const std::string& SecretOf(NamespaceId id) const;
  // Ids below it have been given out. Namespaces with quotas have the first, in the order of the
  // configuration, whether they have attached or not.
  uint32_t size() const { return static_cast<uint32_t>(seen_.size()); }

 private:
  NamespaceId Number(const std::string& name, const std::string& secret);

  struct Seen {
    std::string name;
    std::string secret;
  };

  std::vector<NamespaceConfig> configured_;  // Secrets from files are filled in.
  std::vector<std::string> allowed_;
  std::string data_secret_;
  std::vector<Seen> seen_;
  uint32_t seen_max_ = 0;
  bool token_required_ = false;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_NAMESPACES_H_
