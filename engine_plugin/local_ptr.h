// engine_plugin/local_ptr.h
//
// A shared pointer for one thread: its count is an ordinary number, where std::shared_ptr's is
// atomic. A step takes and gives back one per sequence and group, and the two locked instructions
// would be most of what it costs.
//
// Ownership: shared; the last pointer deletes. Thread-safety: none, also not for copies.

#ifndef KVPAGER_ENGINE_PLUGIN_LOCAL_PTR_H_
#define KVPAGER_ENGINE_PLUGIN_LOCAL_PTR_H_

#include <cstdint>
#include <utility>

namespace kvpager::engine {

template <typename T>
class LocalPtr {
 public:
  // A fresh T made from `arguments`.
  template <typename... Arguments>
  static LocalPtr Make(Arguments&&... arguments) {
    return LocalPtr(new Node{1, T(std::forward<Arguments>(arguments)...)});
  }

  LocalPtr() = default;
  LocalPtr(const LocalPtr& other) : node_(other.node_) {
    if (node_ != nullptr) ++node_->count;
  }
  LocalPtr(LocalPtr&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  LocalPtr& operator=(LocalPtr other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~LocalPtr() {
    if (node_ != nullptr && --node_->count == 0) delete node_;
  }

  T& operator*() const { return node_->value; }
  T* operator->() const { return &node_->value; }
  bool is_null() const { return node_ == nullptr; }
  bool is_shared() const { return node_ != nullptr && node_->count > 1; }

 private:
  struct Node {
    uint64_t count;
    T value;
  };
  explicit LocalPtr(Node* node) : node_(node) {}

  Node* node_ = nullptr;
};

}  // namespace kvpager::engine

#endif  // KVPAGER_ENGINE_PLUGIN_LOCAL_PTR_H_
