// faulty_fs BACKING MOUNTPOINT FAULT_FILE: a filesystem in user space that shows the folder BACKING
// and spoils what is done with the frames of its page file. What it does is read from FAULT_FILE at
// each request, so that a test can change its mind:
//
//   (empty)               nothing
//   read ERRNO [N]        the next N reads (all without N) fail with the number ERRNO; write alike
//   read short [N]        half of the bytes come; write alike
//   read flip [N]         one bit is another one
//   read slow [N]         the answer takes two seconds; write alike
//   write torn [N]        half of the bytes land, and all are reported
//   gone                  everything that touches the page file fails with ENODEV
//
// Runs in the foreground until SIGTERM, which unmounts it.

#define FUSE_USE_VERSION 35

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <string_view>

namespace {

constexpr size_t kFrameBytesMin = 8192;  // Less is the superblock, or a header that a scan reads.

std::string backing;
std::string fault_path;
std::mutex mutex;
std::string fault_text;     // As it was read last ...
int64_t requests_left = 0;  // ... and how many requests it still strikes.

enum class Strike { kNone, kError, kShort, kFlip, kSlow, kTorn };

std::string Below(const char* path) { return backing + path; }

bool IsPageFile(const char* path) { return std::string_view(path).ends_with(".kvp"); }

int Result(int64_t result) { return result < 0 ? -errno : static_cast<int>(result); }

std::string ReadFault() {
  std::ifstream in(fault_path);
  std::string line;
  std::getline(in, line);
  return line;
}

bool Gone(const char* path) { return IsPageFile(path) && ReadFault() == "gone"; }

// What becomes of this request; `error` where it is to fail.
Strike StrikeOf(const char* path, const char* verb, size_t bytes, int& error) {
  if (!IsPageFile(path)) return Strike::kNone;
  const std::string text = ReadFault();
  error = ENODEV;
  if (text == "gone") return Strike::kError;
  const std::lock_guard<std::mutex> lock(mutex);
  std::istringstream words(text);
  std::string whom;
  std::string what;
  words >> whom >> what;
  if (text != fault_text) {
    fault_text = text;
    if (!(words >> requests_left)) requests_left = INT64_MAX;
  }
  if (whom != verb || bytes < kFrameBytesMin || requests_left == 0) return Strike::kNone;
  --requests_left;
  if (what == "short") return Strike::kShort;
  if (what == "flip") return Strike::kFlip;
  if (what == "slow") return Strike::kSlow;
  if (what == "torn") return Strike::kTorn;
  error = std::atoi(what.c_str());
  return Strike::kError;
}

void PauseTwoSeconds() {
  const struct timespec pause = {2, 0};
  nanosleep(&pause, nullptr);
}

int Getattr(const char* path, struct stat* info, struct fuse_file_info*) {
  return Result(lstat(Below(path).c_str(), info));
}

int Readdir(const char* path, void* buffer, fuse_fill_dir_t fill, off_t, struct fuse_file_info*,
            enum fuse_readdir_flags) {
  DIR* folder = opendir(Below(path).c_str());
  if (folder == nullptr) return -errno;
  while (const struct dirent* entry = readdir(folder)) {
    fill(buffer, entry->d_name, nullptr, 0, static_cast<enum fuse_fill_dir_flags>(0));
  }
  closedir(folder);
  return 0;
}

int Keep(const char* path, int fd, struct fuse_file_info* info) {
  if (fd < 0) return -errno;
  info->fh = static_cast<uint64_t>(fd);
  info->direct_io = IsPageFile(path) ? 1 : 0;
  return 0;
}

int Open(const char* path, struct fuse_file_info* info) {
  return Keep(path, open(Below(path).c_str(), info->flags & ~(O_DIRECT | O_APPEND)), info);
}

int Create(const char* path, mode_t mode, struct fuse_file_info* info) {
  return Keep(path, open(Below(path).c_str(), info->flags & ~(O_DIRECT | O_APPEND), mode), info);
}

int Read(const char* path, char* buffer, size_t bytes, off_t at, struct fuse_file_info* info) {
  int error = 0;
  const Strike strike = StrikeOf(path, "read", bytes, error);
  if (strike == Strike::kError) return -error;
  if (strike == Strike::kSlow) PauseTwoSeconds();
  const ssize_t got = pread(static_cast<int>(info->fh), buffer, bytes, at);
  if (strike == Strike::kFlip && got > 0) buffer[got / 3] ^= 4;
  if (strike == Strike::kShort && got > 0) return Result(got / 2);
  return Result(got);
}

int Write(const char* path, const char* buffer, size_t bytes, off_t at,
          struct fuse_file_info* info) {
  int error = 0;
  const Strike strike = StrikeOf(path, "write", bytes, error);
  if (strike == Strike::kError) return -error;
  if (strike == Strike::kSlow) PauseTwoSeconds();
  const bool half = strike == Strike::kTorn || strike == Strike::kShort;
  const ssize_t put = pwrite(static_cast<int>(info->fh), buffer, half ? bytes / 2 : bytes, at);
  return Result(strike == Strike::kTorn && put > 0 ? static_cast<ssize_t>(bytes) : put);
}

int Fsync(const char* path, int data_only, struct fuse_file_info* info) {
  if (Gone(path)) return -ENODEV;
  const int fd = static_cast<int>(info->fh);
  return Result(data_only != 0 ? fdatasync(fd) : fsync(fd));
}

int Fsyncdir(const char*, int, struct fuse_file_info*) { return 0; }

int Truncate(const char* path, off_t bytes, struct fuse_file_info*) {
  return Result(truncate(Below(path).c_str(), bytes));
}

int Fallocate(const char*, int mode, off_t at, off_t bytes, struct fuse_file_info* info) {
  return Result(fallocate(static_cast<int>(info->fh), mode, at, bytes));
}

int Release(const char*, struct fuse_file_info* info) {
  return Result(close(static_cast<int>(info->fh)));
}

int Unlink(const char* path) { return Result(unlink(Below(path).c_str())); }
int Mkdir(const char* path, mode_t mode) { return Result(mkdir(Below(path).c_str(), mode)); }
int Rmdir(const char* path) { return Result(rmdir(Below(path).c_str())); }
int Rename(const char* from, const char* to, unsigned) {
  return Result(rename(Below(from).c_str(), Below(to).c_str()));
}
int Chmod(const char* path, mode_t mode, struct fuse_file_info*) {
  return Result(chmod(Below(path).c_str(), mode));
}
int Utimens(const char* path, const struct timespec times[2], struct fuse_file_info*) {
  return Result(utimensat(AT_FDCWD, Below(path).c_str(), times, AT_SYMLINK_NOFOLLOW));
}
int Statfs(const char* path, struct statvfs* info) {
  return Result(statvfs(Below(path).c_str(), info));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s BACKING MOUNTPOINT FAULT_FILE\n", argv[0]);
    return 2;
  }
  backing = argv[1];
  fault_path = argv[3];
  struct fuse_operations operations {};
  operations.getattr = Getattr;
  operations.readdir = Readdir;
  operations.open = Open;
  operations.create = Create;
  operations.read = Read;
  operations.write = Write;
  operations.fsync = Fsync;
  operations.fsyncdir = Fsyncdir;
  operations.truncate = Truncate;
  operations.fallocate = Fallocate;
  operations.release = Release;
  operations.unlink = Unlink;
  operations.mkdir = Mkdir;
  operations.rmdir = Rmdir;
  operations.rename = Rename;
  operations.chmod = Chmod;
  operations.utimens = Utimens;
  operations.statfs = Statfs;
  char foreground[] = "-f";
  char* arguments[] = {argv[0], foreground, argv[2], nullptr};
  return fuse_main(3, arguments, &operations, nullptr);
}
