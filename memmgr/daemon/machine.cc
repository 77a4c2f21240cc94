// What this machine has: free memory under the control group's limit, free disk space, directories.

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include "absl/strings/numbers.h"
#include "ipc/default_paths.h"
#include "memmgr/base/units.h"
#include "memmgr/daemon/config.h"

namespace kvpager {
namespace {

std::string VariableOr(const Environment& environment, std::string_view name,
                       const std::string& fallback) {
  for (const auto& [key, value] : environment) {
    if (key == name && !value.empty()) return value;
  }
  return fallback;
}

uint64_t MemAvailableBytes() {
  std::ifstream stream("/proc/meminfo");
  std::string line;
  while (std::getline(stream, line)) {
    std::istringstream words(line);
    std::string name;
    uint64_t kilobytes = 0;
    if (words >> name >> kilobytes && name == "MemAvailable:") return kilobytes * kKiB;
  }
  return 0;
}

bool ReadNumber(const std::string& path, uint64_t& value) {
  std::ifstream stream(path);
  std::string text;
  return stream >> text && absl::SimpleAtoi(text, &value);
}

// What the control group (version 2) of this process still allows; all ones without a limit.
uint64_t ControlGroupFreeBytes() {
  std::ifstream stream("/proc/self/cgroup");
  std::string line;
  std::string group;
  while (std::getline(stream, line)) {
    if (line.compare(0, 3, "0::") == 0) group = line.substr(3);
  }
  uint64_t free_bytes = ~uint64_t{0};
  for (const std::string& directory : {"/sys/fs/cgroup" + group, std::string("/sys/fs/cgroup")}) {
    uint64_t limit = 0;
    uint64_t used = 0;
    if (!ReadNumber(directory + "/memory.max", limit)) continue;  // "max" is no number: no limit.
    if (!ReadNumber(directory + "/memory.current", used)) continue;
    free_bytes = std::min(free_bytes, limit > used ? limit - used : 0);
  }
  return free_bytes;
}

// Free bytes where `directory` is or would be made; the files of an earlier run in it count as
// free.
uint64_t DiskFreeBytes(const std::string& directory) {
  std::string place = directory;
  struct statvfs file_system {};
  while (statvfs(place.c_str(), &file_system) != 0) {
    const size_t slash = place.rfind('/');
    if (slash == std::string::npos || place == "/") return 0;
    place = slash == 0 ? "/" : place.substr(0, slash);
  }
  uint64_t free_bytes = uint64_t{file_system.f_bavail} * file_system.f_frsize;
  struct stat data {};
  if (stat((directory + "/" + std::string(kDataFileName)).c_str(), &data) == 0) {
    free_bytes += static_cast<uint64_t>(data.st_blocks) * 512;
  }
  return free_bytes;
}

}  // namespace

Machine DetectMachine(const Environment& environment, const RawConfig& raw) {
  Machine machine;
  machine.memory_free_bytes = std::min(MemAvailableBytes(), ControlGroupFreeBytes());
  struct rlimit limit {};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    machine.file_size_bytes_max = limit.rlim_cur;
  }
  const std::string home = VariableOr(environment, "HOME", "/tmp");
  machine.state_directory =
      VariableOr(environment, "XDG_STATE_HOME", home + "/.local/state") + "/kvpager";
  machine.runtime_directory = DefaultSocketDirectory();
  const std::string nvme_directory = NvmeDirectoryOf(raw, machine);
  machine.gpu_free_bytes = GpuFreeBytes(raw);
  if (!nvme_directory.empty()) machine.disk_free_bytes = DiskFreeBytes(nvme_directory);
  return machine;
}

}  // namespace kvpager
