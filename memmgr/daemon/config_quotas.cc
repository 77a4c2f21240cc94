// Quotas of namespaces: from texts to settings.

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/daemon/config.h"

namespace kvpager {
namespace {

constexpr std::string_view kBlocksSuffix = " blocks";

// One setting of one tier, or a sentence that names both.
absl::Status ReadOne(const RawNamespace& raw, std::string_view key, const std::string& text,
                     SizeSetting& setting) {
  if (text.empty()) return absl::OkStatus();
  const absl::StatusOr<SizeSetting> parsed = ParseQuota(text);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("namespace \"", raw.name, "\" (from ", raw.where,
                                                   "): ", std::string(key), " = \"", text, "\" ",
                                                   parsed.status().message()));
  }
  setting = *parsed;
  return absl::OkStatus();
}

absl::Status ReadShare(const RawNamespace& raw, uint32_t& share) {
  if (raw.share.empty()) return absl::OkStatus();
  const char* const end = raw.share.data() + raw.share.size();
  const auto [stop, error] = std::from_chars(raw.share.data(), end, share);
  if (error == std::errc() && stop == end && share >= 1 && share <= kShareMax) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("namespace \"", raw.name, "\" (from ", raw.where, "): share = ", raw.share,
                   " must be a whole number in [1, ", kShareMax, "]"));
}

}  // namespace

absl::StatusOr<SizeSetting> ParseQuota(std::string_view text) {
  if (text.size() > kBlocksSuffix.size() &&
      text.substr(text.size() - kBlocksSuffix.size()) == kBlocksSuffix) {
    const std::string_view digits = text.substr(0, text.size() - kBlocksSuffix.size());
    uint64_t blocks = 0;
    const auto [stop, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), blocks);
    if (error == std::errc() && stop == digits.data() + digits.size()) {
      return SizeSetting{.unit = SizeUnit::kBlocks, .value = blocks};
    }
  }
  if (text == "0%") return SizeSetting{.unit = SizeUnit::kPercent};
  const absl::StatusOr<SizeSetting> size = ParseSize(text);
  if (size.ok() && size->unit != SizeUnit::kAuto) return *size;
  if (!size.ok() && text.find('%') != std::string_view::npos) return size.status();
  return absl::InvalidArgumentError(
      "is no quota; write bytes (67108864), \"64MiB\", \"12 blocks\" or \"25%\" of the tier");
}

bool NamespaceConfig::has_quota() const {
  bool any = share != 1;
  for (const QuotaSetting& quota : quotas) {
    any |= quota.guaranteed.unit != SizeUnit::kAuto || quota.max.unit != SizeUnit::kAuto;
  }
  return any;
}

absl::Status ReadQuotas(const RawNamespace& raw, NamespaceConfig& config) {
  KVP_RETURN_IF_ERROR(ReadShare(raw, config.share));
  for (size_t tier = 0; tier < kTierCount; ++tier) {
    const std::string name(kQuotaTables[tier]);
    QuotaSetting& quota = config.quotas[tier];
    KVP_RETURN_IF_ERROR(ReadOne(raw, name + ".guaranteed", raw.guaranteed[tier], quota.guaranteed));
    KVP_RETURN_IF_ERROR(ReadOne(raw, name + ".max", raw.max[tier], quota.max));
    const bool same_unit =
        quota.guaranteed.unit == quota.max.unit && quota.max.unit != SizeUnit::kAuto;
    if (!same_unit || quota.guaranteed.value <= quota.max.value) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("namespace \"", raw.name, "\" (from ", raw.where, "): ", name,
                     ".guaranteed = ", raw.guaranteed[tier], " is more than ", name,
                     ".max = ", raw.max[tier], "; lower the one or raise the other"));
  }
  return absl::OkStatus();
}

}  // namespace kvpager
