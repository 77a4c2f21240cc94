#include "tests/testing/setup.h"

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"

namespace kvpager::testing {
namespace {

struct Number {
  const char* name;
  uint32_t* (*field)(CoreSetup&);
};

constexpr Number kNumbers[] = {
    {"tokens", [](CoreSetup& s) { return &s.options.page_tokens; }},
    {"groups", [](CoreSetup& s) { return &s.options.num_groups; }},
    {"hbm", [](CoreSetup& s) { return &s.options.blocks_hbm; }},
    {"host", [](CoreSetup& s) { return &s.options.blocks_host; }},
    {"nvme", [](CoreSetup& s) { return &s.options.blocks_nvme; }},
    {"clients", [](CoreSetup& s) { return &s.options.clients_max; }},
    {"namespaces", [](CoreSetup& s) { return &s.options.namespaces_max; }},
    {"sequences", [](CoreSetup& s) { return &s.options.sequences_max; }},
    {"steps", [](CoreSetup& s) { return &s.options.steps_max; }},
    {"durable_permille", [](CoreSetup& s) { return &s.options.durable_permille; }},
    {"credits_permille", [](CoreSetup& s) { return &s.options.credits_permille; }},
    {"free_hbm_low", [](CoreSetup& s) { return &s.options.free_hbm.low_permille; }},
    {"free_hbm_high", [](CoreSetup& s) { return &s.options.free_hbm.high_permille; }},
    {"clean_hbm_low", [](CoreSetup& s) { return &s.options.clean_hbm.low_permille; }},
    {"clean_hbm_high", [](CoreSetup& s) { return &s.options.clean_hbm.high_permille; }},
    {"free_host_low", [](CoreSetup& s) { return &s.options.free_host.low_permille; }},
    {"free_host_high", [](CoreSetup& s) { return &s.options.free_host.high_permille; }},
    {"clean_host_low", [](CoreSetup& s) { return &s.options.clean_host.low_permille; }},
    {"clean_host_high", [](CoreSetup& s) { return &s.options.clean_host.high_permille; }},
    {"write_budget", [](CoreSetup& s) { return &s.options.write_budget_blocks; }},
    {"rows", [](CoreSetup& s) { return &s.blocks_max; }},
    {"in_flight", [](CoreSetup& s) { return &s.in_flight_max; }},
    {"pages_per_input", [](CoreSetup& s) { return &s.pages_per_input; }},
    {"deferred", [](CoreSetup& s) { return &s.deferred_max; }},
    {"prefetches", [](CoreSetup& s) { return &s.prefetches_max; }},
    {"evictions", [](CoreSetup& s) { return &s.evictions_max; }},
    {"durable_names", [](CoreSetup& s) { return &s.durable_names_max; }},
    {"split_steps", [](CoreSetup& s) { return &s.split_steps_max; }},
    {"step_entries", [](CoreSetup& s) { return &s.step_entries_max; }},
    {"chunks", [](CoreSetup& s) { return &s.sequence_chunks_max; }},
};

constexpr const char* kAdmissions[] = {"never", "second_touch", "always"};

constexpr const char* kTiers[] = {"hbm", "host", "nvme"};

// "0.hbm:2-6": namespace 0 has 2 pages of hbm guaranteed, and 6 at most; "0.hbm:2-" has no maximum.
bool SetQuota(std::string_view text, PoolOptions& options) {
  const size_t dot = text.find('.');
  const size_t colon = text.find(':');
  const size_t dash = text.find('-');
  if (dot > colon || colon > dash || dash == std::string_view::npos) return false;
  uint32_t name = 0;
  if (!absl::SimpleAtoi(std::string(text.substr(0, dot)), &name) || name >= kQuotasMax) {
    return false;
  }
  if (options.quotas.size() <= name) options.quotas.resize(name + 1);
  for (size_t tier = 0; tier < kTierCount; ++tier) {
    if (text.substr(dot + 1, colon - dot - 1) != kTiers[tier]) continue;
    Quota& quota = options.quotas[name].tiers[tier];
    const std::string max(text.substr(dash + 1));
    return absl::SimpleAtoi(std::string(text.substr(colon + 1, dash - colon - 1)),
                            &quota.guaranteed) &&
           (max.empty() || absl::SimpleAtoi(max, &quota.max));
  }
  return false;
}

// "0:3": namespace 0 has a share of 3.
bool SetShare(std::string_view text, PoolOptions& options) {
  const size_t colon = text.find(':');
  uint32_t name = 0;
  if (colon == std::string_view::npos ||
      !absl::SimpleAtoi(std::string(text.substr(0, colon)), &name) || name >= kQuotasMax) {
    return false;
  }
  if (options.quotas.size() <= name) options.quotas.resize(name + 1);
  return absl::SimpleAtoi(std::string(text.substr(colon + 1)), &options.quotas[name].share);
}

std::string DescribeQuotas(const PoolOptions& options) {
  std::string text;
  for (size_t name = 0; name < options.quotas.size(); ++name) {
    if (options.quotas[name].share != 1) {
      absl::StrAppend(&text, " share=", name, ":", options.quotas[name].share);
    }
    for (size_t tier = 0; tier < kTierCount; ++tier) {
      const Quota& quota = options.quotas[name].tiers[tier];
      if (quota == Quota{}) continue;
      absl::StrAppend(&text, " quota=", name, ".", kTiers[tier], ":", quota.guaranteed, "-");
      if (quota.max != Quota{}.max) absl::StrAppend(&text, quota.max);
    }
  }
  return text;
}

}  // namespace

absl::StatusOr<Limits> DeriveLimits(const CoreSetup& setup) {
  KVP_ASSIGN_OR_RETURN(Limits limits, kvpager::DeriveLimits(setup.options));
  const auto override_with = [](uint32_t value, uint32_t& limit) {
    if (value != 0) limit = value;
  };
  for (uint32_t& in_flight : limits.in_flight_max) override_with(setup.in_flight_max, in_flight);
  override_with(setup.blocks_max, limits.blocks_max);
  override_with(setup.pages_per_input, limits.pages_per_input);
  override_with(setup.deferred_max, limits.deferred_max);
  override_with(setup.prefetches_max, limits.prefetches_max);
  override_with(setup.evictions_max, limits.evictions_max);
  override_with(setup.durable_names_max, limits.durable_names_max);
  override_with(setup.split_steps_max, limits.split_steps_max);
  override_with(setup.step_entries_max, limits.step_entries_max);
  override_with(setup.sequence_chunks_max, limits.sequence_chunks_max);
  return limits;
}

std::string Describe(const CoreSetup& setup) {
  CoreSetup given = setup;
  CoreSetup plain;
  std::string text = "create";
  for (const Number& number : kNumbers) {
    const uint32_t value = *number.field(given);
    if (value != *number.field(plain)) absl::StrAppend(&text, " ", number.name, "=", value);
  }
  absl::StrAppend(&text, " admission=", kAdmissions[static_cast<size_t>(setup.options.admission)]);
  if (setup.options.incarnation != plain.options.incarnation) {
    absl::StrAppend(&text, " incarnation=", setup.options.incarnation);
  }
  return text + DescribeQuotas(setup.options);
}

bool SetField(std::string_view word, CoreSetup& setup) {
  const size_t equals = word.find('=');
  if (equals == std::string_view::npos) return false;
  const std::string name(word.substr(0, equals));
  const std::string value(word.substr(equals + 1));
  if (name == "stocks" && value == "none") {  // R6 does nothing in the background.
    PoolOptions& options = setup.options;
    options.free_hbm = options.clean_hbm = options.free_host = options.clean_host = Watermark{};
    return true;
  }
  if (name == "quota") return SetQuota(value, setup.options);
  if (name == "share") return SetShare(value, setup.options);
  if (name == "incarnation") return absl::SimpleAtoi(value, &setup.options.incarnation);
  if (name == "admission") {
    for (size_t i = 0; i < std::size(kAdmissions); ++i) {
      if (value != kAdmissions[i]) continue;
      setup.options.admission = static_cast<Admission>(i);
      return true;
    }
    return false;
  }
  for (const Number& number : kNumbers) {
    if (name == number.name) return absl::SimpleAtoi(value, number.field(setup));
  }
  return false;
}

}  // namespace kvpager::testing
