#include "tools/kvpager-replay/injector.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace kvpager::replay {
namespace {

constexpr double kShareFirst = 0.15;
constexpr double kShareLast = 0.95;
constexpr int kAttemptsMax = 256;          // To find a place that holds something.
constexpr uint64_t kNvmeFirstByte = 8192;  // Behind whatever a data file begins with.
constexpr char kArenaName[] = "/memfd:kvpager-host";

absl::Status ErrorOf(int error, const std::string& what) {
  const std::string text = absl::StrCat(what, ": ", std::strerror(error));
  return error == EPERM || error == EACCES ? absl::PermissionDeniedError(text)
                                           : absl::NotFoundError(text);
}

}  // namespace

Injector::Injector(const InjectorOptions& options) : options_(options), random_(options.seed) {
  host_status_ = options.daemon_pid == 0
                     ? absl::NotFoundError("the daemon did not say its process id")
                     : FindHostArena();
  if (options.nvme_file.empty()) {
    nvme_status_ = absl::NotFoundError("the daemon has no NVMe file");
    return;
  }
  nvme_fd_ = open(options.nvme_file.c_str(), O_RDWR | O_CLOEXEC | O_DSYNC);
  if (nvme_fd_ < 0) nvme_status_ = ErrorOf(errno, absl::StrCat("cannot open ", options.nvme_file));
}

Injector::~Injector() {
  if (nvme_fd_ >= 0) close(nvme_fd_);
}

absl::Status Injector::FindHostArena() {
  const std::string path = absl::StrCat("/proc/", options_.daemon_pid, "/maps");
  std::ifstream maps(path);
  if (!maps) return ErrorOf(errno, absl::StrCat("cannot read ", path));
  std::string line;
  while (std::getline(maps, line)) {
    if (line.find(kArenaName) == std::string::npos) continue;
    unsigned long long first = 0;
    unsigned long long end = 0;
    if (std::sscanf(line.c_str(), "%llx-%llx", &first, &end) != 2) continue;
    if (end - first <= arena_bytes_) continue;
    arena_address_ = first;
    arena_bytes_ = end - first;
  }
  if (arena_bytes_ == 0) return absl::NotFoundError(absl::StrCat("no ", kArenaName, " in ", path));
  return absl::OkStatus();
}

void Injector::Advance(double share) {
  if (share < kShareFirst) return;
  const double part = std::min(1.0, (share - kShareFirst) / (kShareLast - kShareFirst));
  const auto due = static_cast<uint64_t>(part * static_cast<double>(options_.flips));
  for (; done_ < due; ++done_) {
    const bool host_first = done_ % 2 == 0;
    if (host_first ? FlipHost() : FlipNvme()) continue;
    if (host_first) {
      FlipNvme();
    } else {
      FlipHost();
    }
  }
}

// Places that are all zero were never used: flipping there would prove nothing.
bool Injector::FlipHost() {
  for (int attempt = 0; host_status_.ok() && attempt < kAttemptsMax; ++attempt) {
    uint64_t word = 0;
    const uint64_t address = arena_address_ + random_.Below(arena_bytes_ / 8) * 8;
    iovec local = {&word, sizeof word};
    iovec remote = {reinterpret_cast<void*>(address), sizeof word};
    if (process_vm_readv(static_cast<pid_t>(options_.daemon_pid), &local, 1, &remote, 1, 0) < 0) {
      host_status_ = ErrorOf(errno, "cannot read the daemon's host frames");
      return false;
    }
    if (word == 0) continue;
    word ^= uint64_t{1} << random_.Below(64);
    if (process_vm_writev(static_cast<pid_t>(options_.daemon_pid), &local, 1, &remote, 1, 0) < 0) {
      host_status_ = ErrorOf(errno, "cannot write the daemon's host frames");
      return false;
    }
    ++flipped_host_;
    return true;
  }
  return false;
}

bool Injector::FlipNvme() {
  struct stat file = {};
  if (!nvme_status_.ok() || fstat(nvme_fd_, &file) != 0) return false;
  const auto bytes = static_cast<uint64_t>(file.st_size);
  if (bytes <= kNvmeFirstByte) return false;
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    uint64_t word = 0;
    const auto offset = static_cast<off_t>(
        kNvmeFirstByte + random_.Below((bytes - kNvmeFirstByte) / sizeof word) * sizeof word);
    // The daemon reads and writes past the page cache; so nothing may stay in it.
    posix_fadvise(nvme_fd_, 0, 0, POSIX_FADV_DONTNEED);
    if (pread(nvme_fd_, &word, sizeof word, offset) != sizeof word || word == 0) continue;
    word ^= uint64_t{1} << random_.Below(64);
    if (pwrite(nvme_fd_, &word, sizeof word, offset) != sizeof word) {
      nvme_status_ = ErrorOf(errno, absl::StrCat("cannot write ", options_.nvme_file));
      return false;
    }
    posix_fadvise(nvme_fd_, 0, 0, POSIX_FADV_DONTNEED);
    ++flipped_nvme_;
    return true;
  }
  return false;
}

}  // namespace kvpager::replay
