#include "tests/testing/no_alloc_scope.h"

#include <cstdio>
#include <cstdlib>
#include <new>

namespace kvpager::testing {
namespace {

thread_local int scopes_alive = 0;

void* Allocate(size_t size_bytes) {
  if (scopes_alive > 0) {
    scopes_alive = 0;  // What follows may allocate: handlers of the abort, for example.
    std::fprintf(stderr, "allocation of %zu bytes inside a NoAllocScope\n", size_bytes);
    std::abort();
  }
  void* memory = std::malloc(size_bytes == 0 ? 1 : size_bytes);
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace

NoAllocScope::NoAllocScope() { ++scopes_alive; }
NoAllocScope::~NoAllocScope() { --scopes_alive; }

}  // namespace kvpager::testing

void* operator new(size_t size) { return kvpager::testing::Allocate(size); }
void* operator new[](size_t size) { return kvpager::testing::Allocate(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return kvpager::testing::Allocate(size);
}
void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  return kvpager::testing::Allocate(size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
