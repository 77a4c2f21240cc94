#include "tools/kvpagerctl/text.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memmgr/base/units.h"

namespace kvpager::ctl {
namespace {

bool IsNumeric(const std::string& cell) {
  return cell == "-" || (!cell.empty() && absl::ascii_isdigit(static_cast<unsigned char>(cell[0])));
}

}  // namespace

std::string BytesText(uint64_t bytes, ByteUnits units) {
  if (units == ByteUnits::kRaw) return absl::StrCat(bytes);
  const struct {
    uint64_t bytes;
    const char* name;
  } scales[] = {{1024 * kGiB, "TiB"}, {kGiB, "GiB"}, {kMiB, "MiB"}, {kKiB, "KiB"}};
  for (const auto& scale : scales) {
    if (bytes < scale.bytes) continue;
    return absl::StrFormat("%.1f %s", static_cast<double>(bytes) / static_cast<double>(scale.bytes),
                           scale.name);
  }
  return absl::StrCat(bytes, " B");
}

std::string CountText(uint64_t count) {
  std::string digits = absl::StrCat(count);
  for (size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

std::string ShareText(uint64_t part, uint64_t whole) {
  if (whole == 0) return "-";
  return absl::StrFormat("%.0f%%", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

std::string DurationText(uint64_t us) {
  const uint64_t seconds = us / 1'000'000;
  const std::string clock =
      absl::StrFormat("%02d:%02d:%02d", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
  return seconds < 86400 ? clock : absl::StrCat(seconds / 86400, "d ", clock);
}

std::string Table::Text(int indent) const {
  std::vector<size_t> widths(rows_.front().size());
  std::vector<bool> numeric(widths.size(), rows_.size() > 1);
  for (size_t row = 0; row < rows_.size(); ++row) {
    for (size_t column = 0; column < rows_[row].size(); ++column) {
      widths[column] = std::max(widths[column], rows_[row][column].size());
      if (row > 0 && !IsNumeric(rows_[row][column])) numeric[column] = false;
    }
  }
  std::string text;
  for (const std::vector<std::string>& row : rows_) {
    std::string line(static_cast<size_t>(indent), ' ');
    for (size_t column = 0; column < row.size(); ++column) {
      const std::string padding(widths[column] - row[column].size(), ' ');
      absl::StrAppend(&line, numeric[column] ? padding + row[column] : row[column] + padding,
                      column + 1 < row.size() ? "  " : "");
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

}  // namespace kvpager::ctl
