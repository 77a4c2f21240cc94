#include "tools/kvpager-decode/plain_links.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"
#include "tools/support/clock.h"

namespace kvpager::decode {

PlainLinks::PlainLinks(uint64_t page_bytes)
    : page_bytes_(AlignUp(page_bytes, kFrameAlignment)),
      buffers_(page_bytes_ * kDepth),
      source_(std::max(kSourceBytes, 2 * page_bytes_)),
      target_(std::max(kSourceBytes / 4, page_bytes_)) {}

absl::StatusOr<std::unique_ptr<PlainLinks>> PlainLinks::Create(const std::string& nvme_file,
                                                               uint64_t page_bytes) {
  std::unique_ptr<PlainLinks> links(new PlainLinks(page_bytes));
  if (nvme_file.empty()) return links;
  links->file_ = UniqueFd(open(nvme_file.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  if (links->file_.is_none()) {
    return absl::UnavailableError(
        absl::StrCat("cannot read ", nvme_file, " for comparison: ", std::strerror(errno)));
  }
  KVP_ASSIGN_OR_RETURN(links->uring_, Uring::Create(kDepth));
  links->uring_->SetFile(links->file_.get());
  links->uring_->Enable();
  return links;
}

void PlainLinks::QueueRead(uint64_t slot, uint64_t written_bytes) {
  if (read_offset_ + page_bytes_ > written_bytes) read_offset_ = 0;
  Uring::Request request;
  request.buffer = buffers_.data() + slot * page_bytes_;
  request.bytes = static_cast<uint32_t>(page_bytes_);
  request.offset_bytes = read_offset_;
  request.tag = slot;
  uring_->Read(request);
  read_offset_ += page_bytes_;
}

absl::StatusOr<double> PlainLinks::ReadNvme(uint64_t bytes, uint64_t written_bytes) {
  if (uring_ == nullptr || written_bytes < page_bytes_) return 0.0;
  const uint64_t pages = bytes / page_bytes_;
  const uint64_t begin_ns = tools::NowNs();
  uint64_t queued = 0;
  for (; queued < std::min<uint64_t>(pages, kDepth); ++queued) QueueRead(queued, written_bytes);
  for (uint64_t done = 0; done < pages;) {
    uring_->SubmitAndWait(1);
    for (Uring::Result result; uring_->Next(result); ++done) {
      if (result.value != static_cast<int32_t>(page_bytes_)) {
        return absl::UnavailableError(
            absl::StrCat("a plain read gave ", result.value, " of ", page_bytes_, " bytes"));
      }
      if (queued == pages) continue;
      QueueRead(result.tag, written_bytes);
      ++queued;
    }
  }
  return static_cast<double>(tools::NowNs() - begin_ns) / 1e9;
}

double PlainLinks::Copy(uint64_t bytes) {
  const uint64_t begin_ns = tools::NowNs();
  for (uint64_t done = 0; done + page_bytes_ <= bytes; done += page_bytes_) {
    const uint64_t target = copy_offset_ % (target_.size() - page_bytes_ + 1);
    std::memcpy(target_.data() + target / kFrameAlignment * kFrameAlignment,
                source_.data() + copy_offset_, page_bytes_);
    copy_offset_ += page_bytes_;
    if (copy_offset_ + page_bytes_ > source_.size()) copy_offset_ = 0;
  }
  return static_cast<double>(tools::NowNs() - begin_ns) / 1e9;
}

}  // namespace kvpager::decode
