// tests/kernels/fiber.h
//
// Stacks of their own for functions that take turns: a switch saves registers and nothing else, so
// that millions of them are cheap. (swapcontext asks the kernel for signal masks each time, and
// under the address sanitizer clears a whole stack.)
//
// Thread-safety: none; all fibers that switch to each other are of one thread.

#ifndef KVPAGER_TESTS_KERNELS_FIBER_H_
#define KVPAGER_TESTS_KERNELS_FIBER_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace kvpager::kernels {

class Fiber {
 public:
  Fiber() = default;  // That of the caller, once it has switched to another.
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Gives it a stack, on which `entry` starts at the first switch here. `entry` begins with
  // Arrive, does not return, and leaves kForGood.
  using Entry = void (*)();
  void Start(Entry entry);

  // Returns when somebody switches to `from`.
  enum class Leaves : uint8_t { kForNow, kForGood };
  static void Switch(Fiber& from, Fiber& to, Leaves leaves = Leaves::kForNow);

  // Tells the address sanitizer, from the new stack, that `from` was left.
  static void Arrive(Fiber& from);

 private:
  std::unique_ptr<uint8_t[]> stack_;
  const void* bottom_ = nullptr;
  size_t bytes_ = 0;
  void* fake_stack_ = nullptr;  // The address sanitizer's.
#if defined(__x86_64__)
  void* top_ = nullptr;  // Where its registers are.
#else
  ucontext_t context_;
#endif
};

}  // namespace kvpager::kernels

#endif  // KVPAGER_TESTS_KERNELS_FIBER_H_
