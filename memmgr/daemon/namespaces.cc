#include "memmgr/daemon/namespaces.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "memmgr/daemon/keys.h"

namespace kvpager {
namespace {

absl::Status LoadSecretFile(NamespaceConfig& entry) {
  if (entry.secret_file.empty()) return absl::OkStatus();
  std::ifstream stream(entry.secret_file);
  if (!stream || !std::getline(stream, entry.secret) || entry.secret.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("namespace \"", entry.name, "\": cannot read a secret from the first line of ",
                     entry.secret_file, "; check the path and its permissions"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<NamespaceTable> NamespaceTable::Create(const Config& config,
                                                      std::string data_secret) {
  NamespaceTable table;
  table.configured_ = config.namespaces;
  table.allowed_ = config.pool_namespaces;
  table.data_secret_ = std::move(data_secret);
  table.seen_max_ = config.pool.namespaces_max;
  table.token_required_ = config.token_required;
  for (size_t i = 0; i < table.configured_.size(); ++i) {
    NamespaceConfig& entry = table.configured_[i];
    if (absl::Status status = LoadSecretFile(entry); !status.ok()) return status;
    for (size_t j = 0; j < i; ++j) {
      if (entry.secret.empty() || entry.secret != table.configured_[j].secret) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("namespaces \"", table.configured_[j].name, "\" and \"", entry.name,
                       "\" have the same secret, so they would share blocks; change one"));
    }
  }
  // Those with quotas come first: the pool knows their quotas by number (pool_sizes.cc).
  for (const NamespaceConfig& entry : table.configured_) {
    if (!entry.has_quota()) continue;
    if (table.seen_.size() == table.seen_max_) {
      return absl::InvalidArgumentError(
          absl::StrCat("more than ", table.seen_max_,
                       " namespaces have quotas; raise limits.namespaces, or remove some"));
    }
    table.Number(entry.name, entry.secret);
  }
  return table;
}

absl::StatusOr<NamespaceId> NamespaceTable::Admit(std::string_view name, std::string_view token) {
  if (name.empty()) name = kDefaultNamespace;
  const auto refuse = [&](std::string_view why) {
    return absl::PermissionDeniedError(
        absl::StrCat("namespace \"", std::string(name), "\": ", std::string(why)));
  };
  if (!allowed_.empty() && std::find(allowed_.begin(), allowed_.end(), name) == allowed_.end()) {
    return refuse("this daemon does not serve it (pool.namespaces)");
  }
  const auto entry = std::find_if(configured_.begin(), configured_.end(),
                                  [&](const NamespaceConfig& item) { return item.name == name; });
  const bool listed = entry != configured_.end();
  const std::string wanted = listed ? entry->token : "";
  if (token_required_ && wanted.empty()) return refuse("this daemon asks for a token");
  if (!EqualSecrets(wanted, token)) return refuse("the token is not the right one");

  const auto seen =
      std::find_if(seen_.begin(), seen_.end(), [&](const Seen& item) { return item.name == name; });
  if (seen != seen_.end()) return NamespaceId{static_cast<uint32_t>(seen - seen_.begin())};
  if (seen_.size() == seen_max_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("all ", seen_max_, " namespaces are in use; raise limits.namespaces"));
  }
  return Number(std::string(name), listed ? entry->secret : "");
}

NamespaceId NamespaceTable::Number(const std::string& name, const std::string& secret) {
  seen_.push_back({name, secret.empty() ? NamespaceSecretFrom(data_secret_, name) : secret});
  return NamespaceId{static_cast<uint32_t>(seen_.size() - 1)};
}

const std::string& NamespaceTable::NameOf(NamespaceId id) const {
  KVP_CHECK_LT(id.value, seen_.size());
  return seen_[id.value].name;
}

const std::string& NamespaceTable::SecretOf(NamespaceId id) const {
  KVP_CHECK_LT(id.value, seen_.size());
  return seen_[id.value].secret;
}

}  // namespace kvpager
