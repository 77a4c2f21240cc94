#include "tiers/nvme/page_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "memmgr/base/crash_point.h"
#include "memmgr/base/status_macros.h"
#include "tiers/nvme/aligned_buffer.h"
#include "tiers/nvme/recording_tap.h"
#include "tiers/nvme/superblock.h"

namespace kvpager {
namespace {

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status SystemError(const std::string& path, const char* what, int error) {
  const std::string sentence = absl::StrCat(path, ": cannot ", what, ": ", std::strerror(error));
  if (error == EACCES || error == EPERM || error == EROFS) {
    return absl::PermissionDeniedError(
        absl::StrCat(sentence, "; choose an nvme path that this user may write"));
  }
  if (error == ENOENT || error == ENOTDIR || error == EISDIR) {
    return absl::FailedPreconditionError(
        absl::StrCat(sentence, "; the nvme path must be a file in a folder that exists"));
  }
  return absl::UnavailableError(sentence);
}

// Why the space could not be reserved.
absl::Status NoRoom(const std::string& path, uint64_t bytes_needed, int error) {
  if (error == EFBIG) {
    struct rlimit limit {};
    getrlimit(RLIMIT_FSIZE, &limit);
    return absl::ResourceExhaustedError(absl::StrCat(
        path, ": the page file needs ", bytes_needed, " bytes, but a file may have at most ",
        limit.rlim_cur, " here (ulimit -f, or the filesystem); raise that or make nvme smaller"));
  }
  struct statvfs info {};
  statvfs(FolderOf(path).c_str(), &info);
  return absl::ResourceExhaustedError(absl::StrCat(
      path, ": the page file needs ", bytes_needed, " bytes, ", info.f_bavail * info.f_frsize,
      " are free (", std::strerror(error), "); make room there or make nvme smaller"));
}

// A limit on file sizes must be an error of the call, not the end of the process.
void IgnoreFileSizeSignal() {
  struct sigaction action {};
  if (sigaction(SIGXFSZ, nullptr, &action) == 0 && action.sa_handler == SIG_DFL) {
    action.sa_handler = SIG_IGN;
    sigaction(SIGXFSZ, &action, nullptr);
  }
}

void PauseMilliseconds(long milliseconds) {
  const struct timespec pause { .tv_sec = 0, .tv_nsec = milliseconds * 1'000'000 };
  nanosleep(&pause, nullptr);
}

// Zeroes only: the file was made, but its owner died before it wrote the first superblock.
bool IsBlank(const std::byte* block) {
  for (uint64_t i = 0; i < kSuperblockBytes; ++i) {
    if (block[i] != std::byte{0}) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PageFile>> PageFile::Open(const Options& options) {
  if (options.frames == 0 || options.frames % options.geometry.num_groups() != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        options.path, ": a page file of ", options.frames, " frames cannot hold whole blocks of ",
        options.geometry.num_groups(), " frames; give it a multiple"));
  }
  IgnoreFileSizeSignal();
  auto file = std::unique_ptr<PageFile>(new PageFile(options));
  KVP_RETURN_IF_ERROR(file->OpenAndLock());
  file->ChooseDirectIo();
  absl::Status status = file->LoadOrCreate();
  if (!status.ok()) {
    // Only what this call made is taken away; the lock is still held.
    if (file->created_) unlink(options.path.c_str());
    return status;
  }
  return file;
}

PageFile::PageFile(const Options& options)
    : options_(options), frame_bytes_(options.geometry.frame_bytes_host()) {
  if (options_.tap == nullptr) options_.tap = RecordingTap::FromEnvironment();
}

PageFile::~PageFile() {
  if (fd_ < 0) return;
  // All I/O has ended here. Rings let go of their reference to the file late; the lock need not
  // wait for that.
  flock(fd_, LOCK_UN);
  close(fd_);
}

absl::Status PageFile::OpenAndLock() {
  const char* path = options_.path.c_str();
  fd_ = open(path, O_RDWR | O_CLOEXEC | O_CREAT | O_EXCL, 0600);
  created_ = fd_ >= 0;
  if (fd_ < 0 && errno == EEXIST) fd_ = open(path, O_RDWR | O_CLOEXEC);
  if (fd_ < 0) return SystemError(options_.path, "open", errno);
  constexpr long kPauseMs = 10;
  for (int64_t left_ms = options_.lock_wait_ms; flock(fd_, LOCK_EX | LOCK_NB) != 0;
       left_ms -= kPauseMs) {
    if (errno != EWOULDBLOCK && errno != EINTR) return SystemError(options_.path, "lock", errno);
    if (left_ms <= 0) {
      created_ = false;  // It is somebody else's by now.
      return absl::FailedPreconditionError(
          absl::StrCat(options_.path,
                       ": another process is using this page file; stop that kvpagerd, or give "
                       "this one another nvme path"));
    }
    PauseMilliseconds(kPauseMs);
  }
  struct stat opened {};
  struct stat named {};
  if (fstat(fd_, &opened) != 0) return SystemError(options_.path, "inspect", errno);
  if (stat(path, &named) != 0 || named.st_ino != opened.st_ino || named.st_dev != opened.st_dev) {
    created_ = false;
    return absl::FailedPreconditionError(
        absl::StrCat(options_.path, ": the page file was replaced while it was opened; try again"));
  }
  if (!S_ISREG(opened.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(options_.path, ": not a regular file; choose another nvme path"));
  }
  return absl::OkStatus();
}

void PageFile::ChooseDirectIo() {
  detail_ = "buffered: direct I/O was not asked for";
  if (options_.direct_io == DirectIo::kNever) return;
  const int flags = fcntl(fd_, F_GETFL);
  if (fcntl(fd_, F_SETFL, flags | O_DIRECT) != 0) {
    detail_ = absl::StrCat("buffered: the filesystem refuses O_DIRECT: ", std::strerror(errno));
    return;
  }
  AlignedBuffer block(kSuperblockBytes);
  if (pread(fd_, block.data(), block.size(), 0) < 0) {
    detail_ = absl::StrCat("buffered: the device refuses direct reads of ", kSuperblockBytes,
                           " bytes: ", std::strerror(errno));
    KVP_CHECK_EQ(fcntl(fd_, F_SETFL, flags), 0);
    return;
  }
  direct_ = true;
  detail_ = "direct I/O";
}

absl::Status PageFile::LoadOrCreate() {
  AlignedBuffer block(kSuperblockBytes);
  const ssize_t got = pread(fd_, block.data(), block.size(), 0);
  if (got < 0) return SystemError(options_.path, "read", errno);
  struct stat info {};
  if (fstat(fd_, &info) != 0) return SystemError(options_.path, "inspect", errno);
  uint64_t frames_before = 0;
  if (info.st_size > 0 && !(got == ssize_t{kSuperblockBytes} && IsBlank(block.data()) &&
                            static_cast<uint64_t>(info.st_size) == kSuperblockBytes)) {
    KVP_RETURN_IF_ERROR(CheckSuperblock(block.data(), options_.path, options_.geometry,
                                        options_.model_fingerprint));
    Superblock found;
    std::memcpy(&found, block.data(), sizeof(found));
    if (found.state != static_cast<uint32_t>(PageFileState::kAllocating)) {
      was_clean_ = found.state == static_cast<uint32_t>(PageFileState::kClean);
      incarnation_previous_ = found.incarnation;
      frames_before = found.frames;
    }
  }
  if (frames_before == 0) {
    // From here on the file says whose it is, even if this process dies while it reserves space.
    KVP_RETURN_IF_ERROR(WriteSuperblock(PageFileState::kAllocating, 0));
  }
  KVP_RETURN_IF_ERROR(Reserve(frames_before, static_cast<uint64_t>(info.st_size)));
  return WriteSuperblock(PageFileState::kOpen, frames_in_file_);
}

// Makes the file large enough for the frames it has and those asked for.
absl::Status PageFile::Reserve(uint64_t frames_before, uint64_t bytes_before) {
  frames_in_file_ = frames_before > options_.frames ? frames_before : options_.frames;
  if (frames_before > options_.frames) {
    absl::StrAppend(&detail_, "; the file has ", frames_before, " frames, of which the first ",
                    options_.frames, " are used");
  }
  const uint64_t bytes = kSuperblockBytes + frames_in_file_ * frame_bytes_;
  if (frames_before >= options_.frames && bytes_before >= bytes) return absl::OkStatus();
  int error = 0;
  do {
    error = fallocate(fd_, 0, 0, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
  } while (error == EINTR);
  if (error != 0) {
    if (error != EOPNOTSUPP) {
      // Back to what it was; Open removes a file that was just made.
      if (ftruncate(fd_, static_cast<off_t>(bytes_before)) != 0) {
        return SystemError(options_.path, "shrink", errno);
      }
      if (error != ENOSPC && error != EFBIG && error != EDQUOT) {
        return SystemError(options_.path, "reserve space", error);
      }
      return NoRoom(options_.path, bytes, error);
    }
    if (ftruncate(fd_, static_cast<off_t>(bytes)) != 0) {
      return SystemError(options_.path, "grow", errno);
    }
    absl::StrAppend(&detail_, "; the filesystem cannot reserve space, so a write may find it full");
  }
  if (fsync(fd_) != 0) return SystemError(options_.path, "flush", errno);
  KVP_CRASH_POINT("page_file_allocated");
  if (!created_) return absl::OkStatus();
  // So that the name survives a power cut too.
  const int folder = open(FolderOf(options_.path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return SystemError(options_.path, "open the folder of", errno);
  const int result = fsync(folder);
  error = errno;
  close(folder);
  return result == 0 ? absl::OkStatus() : SystemError(options_.path, "flush the folder of", error);
}

// Bytes written, or -1 with errno.
ssize_t PageFile::WriteBlock(const std::byte* block) {
  const IoRequest request{.write = true,
                          .offset_bytes = 0,
                          .bytes = static_cast<uint32_t>(kSuperblockBytes),
                          .buffer = block};
  if (tap() != nullptr) tap()->Starts(request);
  const ssize_t put = pwrite(fd_, block, request.bytes, 0);
  if (tap() == nullptr) return put;
  const int64_t told = tap()->Ends(request, put < 0 ? -int64_t{errno} : int64_t{put});
  if (told < 0) errno = static_cast<int>(-told);
  return told < 0 ? -1 : static_cast<ssize_t>(told);
}

// 0 or an errno.
int PageFile::SyncData() {
  if (tap() != nullptr) tap()->FlushStarts();
  const int error = fdatasync(fd_) == 0 ? 0 : errno;
  return tap() == nullptr ? error : tap()->FlushEnds(error);
}

absl::Status PageFile::WriteSuperblock(PageFileState state, uint64_t frames_in_file) {
  AlignedBuffer block(kSuperblockBytes);
  PackSuperblock(options_.geometry, options_.model_fingerprint,
                 {.state = state, .frames = frames_in_file, .incarnation = options_.incarnation},
                 block.data());
  const ssize_t put = WriteBlock(block.data());
  if (put != static_cast<ssize_t>(block.size())) {
    const int error = put < 0 ? errno : ENOSPC;
    if (error == ENOSPC || error == EFBIG || error == EDQUOT) {
      return NoRoom(options_.path, kSuperblockBytes, error);
    }
    return SystemError(options_.path, "write the superblock of", error);
  }
  if (const int error = SyncData(); error != 0) {
    return SystemError(options_.path, "flush the superblock of", error);
  }
  KVP_CRASH_POINT("superblock_written");
  return absl::OkStatus();
}

uint64_t PageFile::OffsetOf(FrameIndex frame) const {
  KVP_CHECK_LT(frame.value, options_.frames);
  return kSuperblockBytes + frame.value * frame_bytes_;
}

absl::Status PageFile::Flush() {
  if (flush_error_.load() == 0) {
    if (const int failed = SyncData(); failed != 0) flush_error_.store(failed);
  }
  const int error = flush_error_.load();
  return error == 0 ? absl::OkStatus() : SystemError(options_.path, "flush", error);
}

absl::Status PageFile::MarkClean() {
  KVP_RETURN_IF_ERROR(Flush());
  return WriteSuperblock(PageFileState::kClean, frames_in_file_);
}

}  // namespace kvpager
