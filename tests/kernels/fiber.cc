#include "tests/kernels/fiber.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace kvpager::kernels {
namespace {

constexpr size_t kStackBytes = 256 << 10;

}  // namespace

#if defined(__x86_64__)

// Saves what a function has to keep for its caller, and takes up where `to` was left.
extern "C" void KvpagerTestSwitchStack(void** from, void* to);
asm(R"(
.text
.globl KvpagerTestSwitchStack
.type KvpagerTestSwitchStack, @function
KvpagerTestSwitchStack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size KvpagerTestSwitchStack, .-KvpagerTestSwitchStack
)");

void Fiber::Start(Entry entry) {
  if (stack_ == nullptr) stack_.reset(new uint8_t[kStackBytes]);
  bottom_ = stack_.get();
  bytes_ = kStackBytes;
  // Six registers, where to return to, and nowhere to return to from there.
  auto end = reinterpret_cast<uintptr_t>(stack_.get() + kStackBytes) / 16 * 16;
  auto* const words = reinterpret_cast<uintptr_t*>(end) - 8;
  for (int i = 0; i < 8; ++i) words[i] = 0;
  words[6] = reinterpret_cast<uintptr_t>(entry);
  top_ = words;
}

#define KVPAGER_SWITCH(from, to) KvpagerTestSwitchStack(&(from).top_, (to).top_)

#else

void Fiber::Start(Entry entry) {
  if (stack_ == nullptr) stack_.reset(new uint8_t[kStackBytes]);
  bottom_ = stack_.get();
  bytes_ = kStackBytes;
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_.get();
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
}

#define KVPAGER_SWITCH(from, to) swapcontext(&(from).context_, &(to).context_)

#endif

void Fiber::Switch(Fiber& from, Fiber& to, Leaves leaves) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(leaves == Leaves::kForGood ? nullptr : &from.fake_stack_,
                                 to.bottom_, to.bytes_);
#else
  (void)leaves;
#endif
  KVPAGER_SWITCH(from, to);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::Arrive(Fiber& from) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &from.bottom_, &from.bytes_);
#else
  (void)from;
#endif
}

}  // namespace kvpager::kernels
