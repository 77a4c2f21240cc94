#include "tiers/nvme/header_reader.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/geometry.h"
#include "tiers/nvme/aligned_buffer.h"
#include "tiers/nvme/uring.h"
#include "tiers/worker_thread.h"

namespace kvpager {
namespace {

constexpr uint32_t kThreads = 4;

uint64_t HeaderOffset(const PageFile& file, FrameIndex frame) {
  return file.OffsetOf(frame) + file.frame_bytes() - kFrameHeaderBytes;
}

bool IsBlank(const std::byte* header) {
  for (size_t i = 0; i < sizeof(FrameHeader); ++i) {
    if (header[i] != std::byte{0}) return false;
  }
  return true;
}

// `result` is bytes read, or -errno.
ScannedHeader Interpret(const std::byte* header, uint64_t fingerprint, int64_t result) {
  ScannedHeader scanned;
  if (result != int64_t{kFrameHeaderBytes}) return scanned;
  if (IsBlank(header)) {
    scanned.state = ScannedHeader::State::kEmpty;
  } else if (ReadIdentity(header, fingerprint, scanned.identity)) {
    scanned.state = ScannedHeader::State::kValid;
  }
  return scanned;
}

absl::Status CheckProgress(const PageFile& file, uint64_t failures, size_t count, int error) {
  if (count == 0 || failures < count) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      file.path(), ": cannot read any frame header: ", std::strerror(error == 0 ? EIO : error)));
}

class UringHeaderReader final : public HeaderReader {
 public:
  UringHeaderReader(const PageFile& file, std::unique_ptr<Uring> uring, uint32_t depth)
      : file_(file),
        fingerprint_(Fingerprint(file.geometry())),
        uring_(std::move(uring)),
        buffer_(depth * kFrameHeaderBytes),
        frames_(depth) {
    for (uint32_t slot = 0; slot < depth; ++slot) slots_free_.push_back(slot);
    uring_->SetFile(file.fd());
    uring_->Enable();
  }

  absl::Status Read(FrameIndex first, absl::Span<ScannedHeader> headers) override {
    size_t started = 0;
    size_t ended = 0;
    uint64_t failures = 0;
    int error = 0;
    while (ended < headers.size()) {
      while (started < headers.size() && !slots_free_.empty()) Start(first, started++);
      uring_->Submit(1);
      Uring::Result result;
      while (uring_->Next(result)) {
        const uint32_t slot = static_cast<uint32_t>(result.tag);
        headers[frames_[slot]] = Interpret(BufferOf(slot), fingerprint_, result.value);
        if (result.value < 0) error = -result.value;
        if (result.value != static_cast<int32_t>(kFrameHeaderBytes)) ++failures;
        slots_free_.push_back(slot);
        ++ended;
      }
    }
    return CheckProgress(file_, failures, headers.size(), error);
  }

 private:
  std::byte* BufferOf(uint32_t slot) { return buffer_.data() + slot * kFrameHeaderBytes; }

  void Start(FrameIndex first, size_t position) {
    const uint32_t slot = slots_free_.back();
    slots_free_.pop_back();
    frames_[slot] = position;
    const FrameIndex frame{first.value + static_cast<uint32_t>(position)};
    uring_->Read({.buffer = BufferOf(slot),
                  .bytes = static_cast<uint32_t>(kFrameHeaderBytes),
                  .offset_bytes = HeaderOffset(file_, frame),
                  .buffer_index = -1,
                  .tag = slot});
  }

  const PageFile& file_;
  const uint64_t fingerprint_;
  std::unique_ptr<Uring> uring_;
  AlignedBuffer buffer_;
  std::vector<size_t> frames_;  // By slot: position in the caller's span.
  std::vector<uint32_t> slots_free_;
};

// One share of the headers, read by one thread.
struct PreadShare {
  const PageFile* file = nullptr;
  uint64_t fingerprint = 0;
  FrameIndex first;
  absl::Span<ScannedHeader> headers;
  uint64_t failures = 0;
  int error = 0;

  void Run() {
    AlignedBuffer buffer(kFrameHeaderBytes);
    for (size_t i = 0; i < headers.size(); ++i) {
      const FrameIndex frame{first.value + static_cast<uint32_t>(i)};
      const ssize_t got = pread(file->fd(), buffer.data(), kFrameHeaderBytes,
                                static_cast<off_t>(HeaderOffset(*file, frame)));
      if (got < 0) error = errno;
      if (got != ssize_t{kFrameHeaderBytes}) ++failures;
      headers[i] = Interpret(buffer.data(), fingerprint, got);
    }
  }
};

class PreadHeaderReader final : public HeaderReader {
 public:
  explicit PreadHeaderReader(const PageFile& file)
      : file_(file), fingerprint_(Fingerprint(file.geometry())) {}

  absl::Status Read(FrameIndex first, absl::Span<ScannedHeader> headers) override {
    std::array<PreadShare, kThreads> shares;
    std::array<WorkerThread, kThreads> threads;
    for (uint32_t i = 0; i < kThreads; ++i) {
      const size_t begin = headers.size() * i / kThreads;
      const size_t end = headers.size() * (i + 1) / kThreads;
      shares[i] = {.file = &file_,
                   .fingerprint = fingerprint_,
                   .first = FrameIndex{first.value + static_cast<uint32_t>(begin)},
                   .headers = headers.subspan(begin, end - begin)};
      // Without a thread the share is read here.
      if (!threads[i].Start<PreadShare, &PreadShare::Run>("kvp-scan", &shares[i]).ok()) {
        shares[i].Run();
      }
    }
    uint64_t failures = 0;
    int error = 0;
    for (uint32_t i = 0; i < kThreads; ++i) {
      threads[i].Join();
      failures += shares[i].failures;
      if (shares[i].error != 0) error = shares[i].error;
    }
    return CheckProgress(file_, failures, headers.size(), error);
  }

 private:
  const PageFile& file_;
  const uint64_t fingerprint_;
};

}  // namespace

std::unique_ptr<HeaderReader> HeaderReader::Create(const PageFile& file,
                                                   const ScanOptions& options) {
  const uint32_t depth = std::clamp<uint32_t>(options.depth, 1, 1024);
  if (options.allow_uring) {
    if (auto uring = Uring::Create(depth); uring.ok()) {
      return std::make_unique<UringHeaderReader>(file, *std::move(uring), depth);
    }
  }
  return std::make_unique<PreadHeaderReader>(file);
}

}  // namespace kvpager
