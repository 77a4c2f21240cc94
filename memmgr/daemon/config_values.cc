#include "memmgr/daemon/config_values.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "memmgr/base/units.h"

namespace kvpager {
namespace {

struct Unit {
  std::string_view name;  // Lower case.
  uint64_t bytes;
};

constexpr std::array<Unit, 6> kUnits = {
    {{"", 1}, {"b", 1}, {"kib", kKiB}, {"mib", kMiB}, {"gib", kGiB}, {"tib", 1024 * kGiB}}};

std::string_view StripSpaces(std::string_view text) {
  while (!text.empty() && absl::ascii_isspace(static_cast<unsigned char>(text.front()))) {
    text.remove_prefix(1);
  }
  while (!text.empty() && absl::ascii_isspace(static_cast<unsigned char>(text.back()))) {
    text.remove_suffix(1);
  }
  return text;
}

// The number at the front of `text` (digits, one point), which is cut off.
bool TakeDecimal(std::string_view& text, double& value) {
  size_t length = 0;
  while (length < text.size() &&
         (absl::ascii_isdigit(static_cast<unsigned char>(text[length])) || text[length] == '.')) {
    ++length;
  }
  if (length == 0) return false;
  if (!absl::SimpleAtod(absl::string_view(text.data(), length), &value)) return false;
  text.remove_prefix(length);
  return true;
}

absl::Status BadSize() {
  return absl::InvalidArgumentError(
      "is not a size; write bytes (67108864), \"64MiB\", \"1.5GiB\", \"80%\" or \"auto\"");
}

}  // namespace

absl::StatusOr<SizeSetting> ParseSize(std::string_view text) {
  text = StripSpaces(text);
  if (text == "auto") return SizeSetting{.unit = SizeUnit::kAuto};
  uint64_t exact = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), exact);
  if (error == std::errc() && end == text.data() + text.size()) {
    return SizeSetting{.unit = SizeUnit::kBytes, .value = exact, .bytes = exact};
  }
  double number = 0;
  if (!TakeDecimal(text, number)) return BadSize();
  text = StripSpaces(text);
  if (text == "%") {
    if (number > 100) {
      return absl::InvalidArgumentError("is more than everything; write at most \"100%\"");
    }
    if (number < 1 || number != std::floor(number)) {
      return absl::InvalidArgumentError("must be a whole percentage in \"1%\" to \"100%\"");
    }
    return SizeSetting{.unit = SizeUnit::kPercent, .value = static_cast<uint64_t>(number)};
  }
  const std::string name = absl::AsciiStrToLower(absl::string_view(text.data(), text.size()));
  for (const Unit& unit : kUnits) {
    if (name != unit.name) continue;
    const double bytes = number * static_cast<double>(unit.bytes);
    if (bytes >= 9.0e18) return absl::InvalidArgumentError("is larger than any machine");
    const uint64_t whole = static_cast<uint64_t>(bytes);
    return SizeSetting{.unit = SizeUnit::kBytes, .value = whole, .bytes = whole};
  }
  for (std::string_view decimal : {"k", "kb", "m", "mb", "g", "gb", "t", "tb"}) {
    if (name != decimal) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "has the unit \"", name, "\", which is ambiguous; write KiB, MiB, GiB or TiB"));
  }
  return BadSize();
}

absl::StatusOr<uint32_t> ParsePermille(std::string_view text) {
  text = StripSpaces(text);
  double number = 0;
  if (!TakeDecimal(text, number) || !(text.empty() || text == "%")) {
    return absl::InvalidArgumentError("is not a share; write 0.85 or \"85%\"");
  }
  if (text == "%") number /= 100;
  if (number > 1) return absl::InvalidArgumentError("is more than 1 (100%); write at most 1");
  return static_cast<uint32_t>(std::lround(number * 1000));
}

std::string FormatBytes(uint64_t bytes) {
  if (bytes >= 1024 * kGiB) {
    return absl::StrFormat("%.1f TiB", static_cast<double>(bytes) / (1024.0 * kGiB));
  }
  if (bytes >= kGiB) return absl::StrFormat("%.1f GiB", static_cast<double>(bytes) / kGiB);
  if (bytes >= kMiB) return absl::StrFormat("%.1f MiB", static_cast<double>(bytes) / kMiB);
  if (bytes >= kKiB) return absl::StrFormat("%.1f KiB", static_cast<double>(bytes) / kKiB);
  return absl::StrCat(bytes, " B");
}

std::string Quote(const RawConfig& raw, Key key) {
  const RawValue& value = raw[key];
  return absl::StrCat(std::string(InfoOf(key).name), " = \"", value.text, "\" (from ", value.where,
                      ")");
}

std::vector<std::string> SplitList(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view item = StripSpaces(text.substr(0, comma));
    if (!item.empty()) items.emplace_back(item);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return items;
}

void ValueReader::Refuse(Key key, std::string_view complaint) {
  if (!status_.ok()) return;
  status_ = absl::InvalidArgumentError(
      absl::StrCat(Quote(raw_, key), " ", absl::string_view(complaint.data(), complaint.size())));
}

SizeSetting ValueReader::Size(Key key) {
  const absl::StatusOr<SizeSetting> size = ParseSize(raw_[key].text);
  if (size.ok()) return *size;
  Refuse(key, std::string(size.status().message()));
  return SizeSetting{};
}

uint64_t ValueReader::Number(Key key, uint64_t value_min, uint64_t value_max) {
  const std::string_view text = StripSpaces(raw_[key].text);
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    Refuse(key, "is not a whole number");
    return value_min;
  }
  if (number < value_min || number > value_max) {
    Refuse(key, absl::StrCat("must be in [", value_min, ", ", value_max, "]"));
    return value_min;
  }
  return number;
}

uint32_t ValueReader::Permille(Key key) {
  const absl::StatusOr<uint32_t> permille = ParsePermille(raw_[key].text);
  if (permille.ok()) return *permille;
  Refuse(key, std::string(permille.status().message()));
  return 0;
}

bool ValueReader::Boolean(Key key) {
  const std::string& text = raw_[key].text;
  if (text == "true") return true;
  if (text != "false") Refuse(key, "is neither true nor false");
  return false;
}

size_t ValueReader::Choice(Key key, absl::Span<const std::string_view> choices) {
  for (size_t i = 0; i < choices.size(); ++i) {
    if (raw_[key].text == choices[i]) return i;
  }
  std::vector<std::string> names(choices.begin(), choices.end());
  Refuse(key, absl::StrCat("is unknown; write one of: ", absl::StrJoin(names, ", "),
                           DidYouMean(raw_[key].text, choices)));
  return 0;
}

}  // namespace kvpager
