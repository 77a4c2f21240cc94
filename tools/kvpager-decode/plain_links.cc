#include "tools/kvpager-decode/plain_links.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "memmgr/base/geometry.h"
#include "memmgr/base/units.h"
#include "tools/support/clock.h"

namespace kvpager::decode {

PlainLinks::Buffer PlainLinks::Allocate(uint64_t bytes) {
  auto* const memory = static_cast<std::byte*>(std::aligned_alloc(kFrameAlignment, bytes));
  KVP_CHECK(memory != nullptr);
  std::memset(memory, 0, bytes);
  return Buffer(memory);
}

PlainLinks::PlainLinks(uint64_t page_bytes)
    : page_bytes_(AlignUp(page_bytes, kFrameAlignment)),
      source_bytes_(std::max(kSourceBytes, 2 * page_bytes_)),
      target_bytes_(std::max(kSourceBytes / 4, page_bytes_)),
      buffers_(Allocate(page_bytes_ * kDepth)),
      source_(Allocate(source_bytes_)),
      target_(Allocate(target_bytes_)) {}

PlainLinks::~PlainLinks() {
  if (has_ring_) io_uring_queue_exit(&ring_);
}

absl::StatusOr<std::unique_ptr<PlainLinks>> PlainLinks::Create(const std::string& nvme_file,
                                                               uint64_t page_bytes) {
  std::unique_ptr<PlainLinks> links(new PlainLinks(page_bytes));
  if (nvme_file.empty()) return links;
  links->file_ = UniqueFd(open(nvme_file.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  if (links->file_.is_none()) {
    return absl::UnavailableError(
        absl::StrCat("cannot read ", nvme_file, " for comparison: ", std::strerror(errno)));
  }
  if (const int result = io_uring_queue_init(kDepth, &links->ring_, 0); result != 0) {
    return absl::UnavailableError(absl::StrCat("io_uring is refused: ", std::strerror(-result)));
  }
  links->has_ring_ = true;
  return links;
}

void PlainLinks::QueueRead(uint64_t slot, uint64_t written_bytes) {
  if (read_offset_ + page_bytes_ > written_bytes) read_offset_ = 0;
  struct io_uring_sqe* const entry = io_uring_get_sqe(&ring_);
  KVP_CHECK(entry != nullptr);
  io_uring_prep_read(entry, file_.get(), buffers_.get() + slot * page_bytes_,
                     static_cast<unsigned>(page_bytes_), read_offset_);
  io_uring_sqe_set_data64(entry, slot);
  read_offset_ += page_bytes_;
}

absl::StatusOr<double> PlainLinks::ReadNvme(uint64_t bytes, uint64_t written_bytes) {
  if (!has_ring_ || written_bytes < page_bytes_) return 0.0;
  const uint64_t pages = bytes / page_bytes_;
  const uint64_t begin_ns = tools::NowNs();
  uint64_t queued = 0;
  for (; queued < std::min<uint64_t>(pages, kDepth); ++queued) QueueRead(queued, written_bytes);
  for (uint64_t done = 0; done < pages; ++done) {
    io_uring_submit_and_wait(&ring_, 1);
    struct io_uring_cqe* entry = nullptr;
    if (const int result = io_uring_wait_cqe(&ring_, &entry); result != 0) {
      return absl::UnavailableError(absl::StrCat("a plain read: ", std::strerror(-result)));
    }
    const int32_t read_bytes = entry->res;
    const uint64_t slot = io_uring_cqe_get_data64(entry);
    io_uring_cqe_seen(&ring_, entry);
    if (read_bytes != static_cast<int32_t>(page_bytes_)) {
      return absl::UnavailableError(
          absl::StrCat("a plain read gave ", read_bytes, " of ", page_bytes_, " bytes"));
    }
    if (queued == pages) continue;
    QueueRead(slot, written_bytes);
    ++queued;
  }
  return static_cast<double>(tools::NowNs() - begin_ns) / 1e9;
}

double PlainLinks::Copy(uint64_t bytes) {
  const uint64_t begin_ns = tools::NowNs();
  for (uint64_t done = 0; done + page_bytes_ <= bytes; done += page_bytes_) {
    const uint64_t target = copy_offset_ % (target_bytes_ - page_bytes_ + 1);
    std::memcpy(target_.get() + target / kFrameAlignment * kFrameAlignment,
                source_.get() + copy_offset_, page_bytes_);
    copy_offset_ += page_bytes_;
    if (copy_offset_ + page_bytes_ > source_bytes_) copy_offset_ = 0;
  }
  return static_cast<double>(tools::NowNs() - begin_ns) / 1e9;
}

}  // namespace kvpager::decode
