// Which way includes point. The table below is that of docs/ARCHITECTURE.md, "Folders".

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/tidy/rules.h"

namespace kvpager::tidy {
namespace {

struct Layer {
  std::string_view folder;               // The longest match decides.
  std::vector<std::string_view> ours;    // What of ours it may include, beside its own folder.
  std::vector<std::string_view> others;  // Libraries, by the start of the path.
};

const std::vector<Layer>& Layers() {
  static const std::vector<Layer> layers = {
      {"memmgr/base", {}, {"absl/", "isa-l"}},
      {"memmgr/core", {"memmgr/base/"}, {"absl/"}},
      {"memmgr/cuda", {"memmgr/base/"}, {"absl/"}},
      {"memmgr/daemon",
       {"memmgr/", "tiers/", "ipc/", "engine_plugin/kvpager.h", "kernels/"},
       {"absl/", "spdlog/", "fmt/", "CLI/", "toml++/", "openssl/", "nlohmann/"}},
      {"tiers",
       {"memmgr/base/", "memmgr/cuda/", "memmgr/core/effect.h"},
       {"absl/", "liburing", "rocksdb/", "linux/", "isa-l", "openssl/"}},
      {"ipc", {"memmgr/base/"}, {"absl/", "zmq.h", "flatbuffers/", "linux/"}},
      {"engine_plugin",
       {"ipc/", "memmgr/base/", "memmgr/cuda/", "kernels/"},
       {"absl/", "openssl/"}},
      {"kernels", {}, {"hwy/", "cuda"}},
      {"tools",
       {"ipc/", "engine_plugin/", "kernels/", "memmgr/base/", "tools/support/"},
       {"absl/", "CLI/", "nlohmann/", "spdlog/", "fmt/", "zstd.h", "openssl/"}},
      {"tools/kvpager-bench",
       {"ipc/", "engine_plugin/", "kernels/", "memmgr/base/", "tiers/", "memmgr/core/",
        "tools/support/"},
       {"absl/", "CLI/", "nlohmann/", "zmq.h", "liburing"}},
      {"tools/kvpager-decode",
       {"ipc/", "engine_plugin/", "kernels/", "memmgr/base/", "tools/support/"},
       {"absl/", "CLI/", "nlohmann/", "liburing"}},
      {"tests",
       {"memmgr/", "tiers/", "ipc/", "engine_plugin/", "kernels/", "tools/"},
       {"absl/", "gtest/", "gmock/", "benchmark/", "zmq.h", "flatbuffers/", "liburing", "rocksdb/",
        "CLI/", "nlohmann/", "zstd.h", "openssl/", "linux/", "fuse"}},
  };
  return layers;
}

// CUDA is in three places only, and in the test of one that has no interface without it.
constexpr std::string_view kCudaPlaces[] = {"tiers/hbm/cuda_", "kernels/cuda/", "memmgr/cuda/",
                                            "tests/memmgr/cuda/", "tests/kernels/cuda_device"};

// What would let time, threads or files into the core.
constexpr std::string_view kNotInCore[] = {
    "thread",     "mutex",         "shared_mutex",  "condition_variable",
    "future",     "atomic",        "chrono",        "ctime",
    "time.h",     "random",        "fstream",       "filesystem",
    "iostream",   "unordered_map", "unordered_set", "unistd.h",
    "fcntl.h",    "semaphore",     "latch",         "barrier",
    "stop_token", "csignal",       "signal.h"};

struct Include {
  std::string_view path;
  bool angled = false;
};

// The #include on a line, if there is one. Literals count here, so this reads the raw line.
std::optional<Include> ParseInclude(std::string_view line) {
  size_t at = line.find_first_not_of(" \t");
  if (at == std::string_view::npos || line[at] != '#') return std::nullopt;
  at = line.find_first_not_of(" \t", at + 1);
  if (at == std::string_view::npos || !line.substr(at).starts_with("include")) return std::nullopt;
  const size_t open = line.find_first_of("<\"", at);
  if (open == std::string_view::npos) return std::nullopt;
  const bool angled = line[open] == '<';
  const size_t close = line.find(angled ? '>' : '"', open + 1);
  if (close == std::string_view::npos) return std::nullopt;
  return Include{line.substr(open + 1, close - open - 1), angled};
}

const Layer* LayerOf(const SourceFile& file) {
  const Layer* best = nullptr;
  for (const Layer& layer : Layers()) {
    if (!file.In(layer.folder)) continue;
    if (best == nullptr || layer.folder.size() > best->folder.size()) best = &layer;
  }
  return best;
}

bool StartsWithOne(std::string_view path, const std::vector<std::string_view>& starts) {
  for (const std::string_view start : starts) {
    if (path.starts_with(start)) return true;
  }
  return false;
}

bool IsOurs(std::string_view path) {
  for (const Layer& layer : Layers()) {
    const std::string_view top = layer.folder.substr(0, layer.folder.find('/'));
    if (path.starts_with(absl::StrCat(std::string(top), "/"))) return true;
  }
  return false;
}

// C++ and C headers, and those of the operating system.
bool IsStandard(const Include& include) {
  if (!include.angled) return false;
  const std::string_view path = include.path;
  if (path.find('.') == std::string_view::npos && path.find('/') == std::string_view::npos) {
    return true;
  }
  static const std::vector<std::string_view> system = {
      "sys/",      "arpa/",     "netinet/", "bits/",   "immintrin.h", "dirent.h",
      "dlfcn.h",   "errno.h",   "fcntl.h",  "grp.h",   "limits.h",    "math.h",
      "poll.h",    "pthread.h", "pwd.h",    "sched.h", "signal.h",    "stdarg.h",
      "stdbool.h", "stddef.h",  "stdint.h", "stdio.h", "stdlib.h",    "string.h",
      "termios.h", "time.h",    "unistd.h", "spawn.h", "ucontext.h",  "sanitizer/"};
  return StartsWithOne(path, system);
}

std::optional<std::string> Refusal(const SourceFile& file, const Layer& layer,
                                   const Include& include) {
  const std::string path(include.path);
  if (file.path == "engine_plugin/kvpager.h") {
    if (path == "stddef.h" || path == "stdint.h") return std::nullopt;
    return absl::StrCat("the C ABI includes only <stddef.h> and <stdint.h>, not ", path);
  }
  if (file.In("memmgr/core")) {
    for (const std::string_view banned : kNotInCore) {
      if (path != banned) continue;
      return absl::StrCat("core has no clocks, threads, files, randomness or hash order: <", path,
                          "> belongs to an executor or to the daemon");
    }
  }
  if (path.starts_with("cuda")) {
    for (const std::string_view place : kCudaPlaces) {
      if (file.path.starts_with(place)) return std::nullopt;
    }
    return std::string("CUDA stays in tiers/hbm/cuda_*, kernels/cuda and ipc/device_share_cuda*");
  }
  if (IsStandard(include)) return std::nullopt;
  if (IsOurs(path)) {
    if (include.angled) return absl::StrCat("write #include \"", path, "\" for a file of ours");
    if (path.starts_with(absl::StrCat(std::string(layer.folder), "/"))) return std::nullopt;
    if (StartsWithOne(path, layer.ours)) return std::nullopt;
    return absl::StrCat(std::string(layer.folder), " may not include ", path,
                        ": includes point down (docs/ARCHITECTURE.md, Folders)");
  }
  if (StartsWithOne(path, layer.others)) return std::nullopt;
  if (!include.angled && path.find('/') == std::string::npos) {
    return absl::StrCat("write the path of \"", path, "\" from the root of the checkout");
  }
  return absl::StrCat(std::string(layer.folder), " may not use ", path,
                      ": it is not a library of this layer (tests/tidy/include_rules.cc)");
}

}  // namespace

std::vector<Complaint> CheckIncludes(const SourceFile& file) {
  std::vector<Complaint> complaints;
  const Layer* layer = LayerOf(file);
  if (layer == nullptr) {
    complaints.push_back({file.path, 0, "is in no layer of docs/ARCHITECTURE.md"});
    return complaints;
  }
  for (size_t i = 0; i < file.lines.size(); ++i) {
    // A line whose code is blank at the '#' is inside a comment or a raw string.
    if (file.code[i].find('#') == std::string::npos) continue;
    const std::optional<Include> include = ParseInclude(file.lines[i]);
    if (!include.has_value()) continue;
    const std::optional<std::string> refusal = Refusal(file, *layer, *include);
    if (refusal.has_value()) complaints.push_back({file.path, i + 1, *refusal});
  }
  return complaints;
}

}  // namespace kvpager::tidy
