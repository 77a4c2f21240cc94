#include "engine_plugin/frame_list.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "memmgr/base/check.h"

namespace kvpager::engine {
namespace {

constexpr uint32_t kSizeMin = 13;  // With its counts, a cache line.

}  // namespace

void FrameList::Free(Shared* shared) { ::operator delete(shared); }

void FrameList::Own(uint32_t size) {
  const bool is_ours = shared_ != nullptr && shared_->holders == 1;
  if (is_ours && size <= shared_->size_max) return;
  const uint32_t old_size = std::min(this->size(), size);
  // A list that grows block by block is not copied for each.
  const uint64_t room = size > this->size() ? uint64_t{size} + this->size() / 2 : size;
  const auto size_max = static_cast<uint32_t>(std::max<uint64_t>(room, kSizeMin));
  auto* const made =
      new (::operator new (sizeof(Shared) + size_t{size_max} * sizeof(int32_t))) Shared{};
  made->holders = 1;
  made->size = old_size;
  made->size_max = size_max;
  if (old_size > 0) std::memcpy(FramesOf(made), data(), old_size * sizeof(int32_t));
  if (shared_ != nullptr && --shared_->holders == 0) Free(shared_);
  shared_ = made;
}

int32_t* FrameList::Mutable() {
  KVP_CHECK(size() > 0);
  Own(size());
  return FramesOf(shared_);
}

void FrameList::Resize(uint32_t size, int32_t frame_added) {
  if (size == this->size()) return;
  Own(size);
  if (size > shared_->size)
    std::fill(FramesOf(shared_) + shared_->size, FramesOf(shared_) + size, frame_added);
  shared_->size = size;
}

}  // namespace kvpager::engine
