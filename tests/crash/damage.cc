#include "tests/crash/damage.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "absl/strings/str_cat.h"

namespace kvpager::crash {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kSparedBytes = 4096;
constexpr uint64_t kStretchBytesMax = 2 << 20;
constexpr uint64_t kFlipsMax = 40;

struct Range {
  uint64_t first = 0;
  uint64_t end = 0;
};

std::string ZeroOrFlip(const std::string& path, Range range, std::mt19937_64& random) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  const uint64_t bytes = range.end - range.first;
  const uint64_t at = range.first + random() % bytes;
  if (random() % 2 == 0) {
    const uint64_t count = 1 + random() % std::min(kStretchBytesMax, range.end - at);
    file.seekp(static_cast<std::streamoff>(at));
    file << std::string(count, '\0');
    return absl::StrCat(path, ": ", count, " zeroes from byte ", at);
  }
  const uint64_t flips = 1 + random() % kFlipsMax;
  for (uint64_t i = 0; i < flips; ++i) {
    const auto place = static_cast<std::streamoff>(range.first + random() % bytes);
    file.seekg(place);
    const int byte = file.get();
    file.seekp(place);
    file.put(static_cast<char>(byte ^ (1 << (random() % 8))));
  }
  return absl::StrCat(path, ": ", flips, " bits flipped");
}

std::string FileToDamage(const std::string& folder, std::mt19937_64& random) {
  if (random() % 4 != 0) return folder + "/pages.kvp";
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(folder + "/catalogue")) {
    if (entry.file_size() > 0) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files[random() % files.size()];
}

}  // namespace

std::string Damage(const std::string& folder, std::mt19937_64& random) {
  const std::string path = FileToDamage(folder, random);
  const bool pages = path == folder + "/pages.kvp";
  const Range range{.first = pages ? kSparedBytes : 0, .end = fs::file_size(path)};
  if (random() % 3 == 0) {
    const uint64_t left = range.first + random() % (range.end - range.first);
    fs::resize_file(path, left);
    return absl::StrCat(path, ": cut to ", left, " bytes");
  }
  return ZeroOrFlip(path, range, random);
}

}  // namespace kvpager::crash
