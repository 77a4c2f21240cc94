// tools/kvpagerctl/text.h
//
// What people read: aligned tables, sizes in units that fit, durations like 3d 04:12.

#ifndef KVPAGER_TOOLS_KVPAGERCTL_TEXT_H_
#define KVPAGER_TOOLS_KVPAGERCTL_TEXT_H_

#include <cstdint>
#include <string>
#include <vector>

namespace kvpager::ctl {

enum class ByteUnits { kScaled, kRaw };

std::string BytesText(uint64_t bytes, ByteUnits units);  // "18.6 GiB"
std::string CountText(uint64_t count);                   // "9,523"
std::string ShareText(uint64_t part, uint64_t whole);    // "93%"; "-" of nothing.
std::string DurationText(uint64_t us);                   // "00:02:11", "3d 04:12:00"

// Columns are as wide as their widest cell; numbers are aligned to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> headings) : rows_{std::move(headings)} {}

  void Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  // `indent` spaces before each line.
  std::string Text(int indent) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace kvpager::ctl

#endif  // KVPAGER_TOOLS_KVPAGERCTL_TEXT_H_
