// tests/testing/no_alloc_scope.h
//
// Proves that a piece of code does not allocate: while a NoAllocScope lives, operator new on its
// thread stops the process. Linking this library replaces the global operator new and delete.
//
// Thread-safety: a scope concerns its own thread.

#ifndef KVPAGER_TESTS_TESTING_NO_ALLOC_SCOPE_H_
#define KVPAGER_TESTS_TESTING_NO_ALLOC_SCOPE_H_

namespace kvpager::testing {

class NoAllocScope {
 public:
  NoAllocScope();
  ~NoAllocScope();
  NoAllocScope(const NoAllocScope&) = delete;
  NoAllocScope& operator=(const NoAllocScope&) = delete;
};

}  // namespace kvpager::testing

#endif  // KVPAGER_TESTS_TESTING_NO_ALLOC_SCOPE_H_
