// engine_plugin/frame_list.h
//
// The frames of a sequence's pages in one group, by block position: a list that several may hold
// and that is copied when it changes under one of them. Its count of holders is an ordinary number,
// and it lies in one piece of memory with the frames, because a step takes and gives back one list
// per sequence and group.
//
// Ownership: shared; the last holder frees. Thread-safety: none, also not for copies.

#ifndef KVPAGER_ENGINE_PLUGIN_FRAME_LIST_H_
#define KVPAGER_ENGINE_PLUGIN_FRAME_LIST_H_

#include <cstddef>
#include <cstdint>
#include <utility>

namespace kvpager::engine {

class FrameList {
 public:
  FrameList() = default;
  FrameList(const FrameList& other) : shared_(other.shared_) {
    if (shared_ != nullptr) ++shared_->holders;
  }
  FrameList(FrameList&& other) noexcept : shared_(std::exchange(other.shared_, nullptr)) {}
  FrameList& operator=(FrameList other) noexcept {
    std::swap(shared_, other.shared_);
    return *this;
  }
  ~FrameList() {
    if (shared_ != nullptr && --shared_->holders == 0) Free(shared_);
  }

  uint32_t size() const { return shared_ == nullptr ? 0 : shared_->size; }
  // REQUIRES: not empty.
  const int32_t* data() const { return FramesOf(shared_); }
  int32_t operator[](size_t position) const { return data()[position]; }

  // Changes here only: other holders keep what they have. REQUIRES, of Mutable: not empty; valid
  // until the next change of size or holders.
  int32_t* Mutable();
  void Resize(uint32_t size, int32_t frame_added);  // Those behind the old end are `frame_added`.

 private:
  struct Shared {
    uint32_t holders;
    uint32_t size;
    uint32_t size_max;
  };
  static int32_t* FramesOf(Shared* shared) { return reinterpret_cast<int32_t*>(shared + 1); }
  static void Free(Shared* shared);
  // Makes this the only holder of a list with room for `size`.
  void Own(uint32_t size);

  Shared* shared_ = nullptr;
};

}  // namespace kvpager::engine

#endif  // KVPAGER_ENGINE_PLUGIN_FRAME_LIST_H_
