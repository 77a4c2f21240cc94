#include "tools/kvpager-bench/ring_traffic.h"

#include <sys/uio.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"

namespace kvpager::bench {

RingTraffic::RingTraffic(HostArena* arena, PageFile* file, uint32_t host_first, uint32_t first,
                         uint32_t frames, const NvmeCase& one)
    : arena_(arena),
      file_(file),
      host_first_(host_first),
      turns_(first, frames, one.read_percent),
      begin_ns_(one.depth) {}

RingTraffic::~RingTraffic() {
  if (has_ring_) io_uring_queue_exit(&ring_);
}

absl::StatusOr<std::unique_ptr<RingTraffic>> RingTraffic::Create(HostArena* arena, PageFile* file,
                                                                 uint32_t host_first,
                                                                 uint32_t first, uint32_t frames,
                                                                 const NvmeCase& one) {
  std::unique_ptr<RingTraffic> traffic(
      new RingTraffic(arena, file, host_first, first, frames, one));
  int error = io_uring_queue_init(one.depth, &traffic->ring_,
                                  IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
  if (error == -EINVAL) error = io_uring_queue_init(one.depth, &traffic->ring_, 0);
  if (error != 0) {
    return absl::UnavailableError(absl::StrCat("io_uring is refused: ", std::strerror(-error)));
  }
  traffic->has_ring_ = true;
  const int fd = file->fd();
  traffic->file_registered_ = io_uring_register_files(&traffic->ring_, &fd, 1) == 0;
  const struct iovec buffers = {arena->frame(FrameIndex{host_first}),
                                one.depth * arena->frame_bytes()};
  traffic->buffers_registered_ = io_uring_register_buffers(&traffic->ring_, &buffers, 1) == 0;
  return traffic;
}

void RingTraffic::Start(uint32_t slot) {
  const NvmeTurns::Turn turn = turns_.Next();
  struct io_uring_sqe* const entry = io_uring_get_sqe(&ring_);
  KVP_CHECK(entry != nullptr);
  const int fd = file_registered_ ? 0 : file_->fd();
  std::byte* const buffer = arena_->frame(FrameIndex{host_first_ + slot});
  const auto bytes = static_cast<unsigned>(arena_->frame_bytes());
  const uint64_t offset_bytes = file_->OffsetOf(turn.frame);
  if (buffers_registered_) {
    if (turn.is_read) {
      io_uring_prep_read_fixed(entry, fd, buffer, bytes, offset_bytes, 0);
    } else {
      io_uring_prep_write_fixed(entry, fd, buffer, bytes, offset_bytes, 0);
    }
  } else if (turn.is_read) {
    io_uring_prep_read(entry, fd, buffer, bytes, offset_bytes);
  } else {
    io_uring_prep_write(entry, fd, buffer, bytes, offset_bytes);
  }
  if (file_registered_) entry->flags |= IOSQE_FIXED_FILE;
  io_uring_sqe_set_data64(entry, slot);
  begin_ns_[slot] = tools::NowNs();
}

absl::StatusOr<NvmeSlice> RingTraffic::Run(uint64_t slice_ns) {
  NvmeSlice slice;
  const uint64_t begin_ns = tools::NowNs();
  const uint64_t cpu_ns = ProcessCpuNs();
  auto in_flight = static_cast<uint32_t>(begin_ns_.size());
  for (uint32_t slot = 0; slot < in_flight; ++slot) Start(slot);
  while (in_flight > 0) {
    io_uring_submit_and_wait(&ring_, 1);
    ++slice.system_calls;
    struct io_uring_cqe* entry = nullptr;
    while (io_uring_peek_cqe(&ring_, &entry) == 0) {
      const auto slot = static_cast<uint32_t>(io_uring_cqe_get_data64(entry));
      const int32_t moved = entry->res;
      io_uring_cqe_seen(&ring_, entry);
      if (moved != static_cast<int32_t>(arena_->frame_bytes())) {
        return absl::InternalError(
            absl::StrCat("the bare loop moved ", moved, " bytes of ", arena_->frame_bytes()));
      }
      slice.bytes += arena_->frame_bytes();
      const uint64_t now_ns = tools::NowNs();
      latency_ns_.Add(static_cast<double>(now_ns - begin_ns_[slot]));
      if (now_ns - begin_ns < slice_ns) {
        Start(slot);
      } else {
        --in_flight;
      }
    }
  }
  slice.ns = tools::NowNs() - begin_ns;
  slice.cpu_ns = ProcessCpuNs() - cpu_ns;
  return slice;
}

}  // namespace kvpager::bench
