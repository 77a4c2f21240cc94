// memmgr/base/check.h
//
// KVP_CHECK: a programmer error stops the process, in release builds too. A wrong byte served is
// worse than a daemon that restarts. Operating errors are absl::Status, never a check.
//
// KVP_CHECK(condition) or KVP_CHECK_EQ(a, b), which prints both values when they are integers.

#ifndef KVPAGER_MEMMGR_BASE_CHECK_H_
#define KVPAGER_MEMMGR_BASE_CHECK_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace kvpager::internal {

[[noreturn]] inline void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, condition);
  std::abort();
}

[[noreturn]] inline void CheckFailedValues(const char* file, int line, const char* condition,
                                           uint64_t left, uint64_t right) {
  std::fprintf(stderr, "%s:%d: check failed: %s (%llu, %llu)\n", file, line, condition,
               static_cast<unsigned long long>(left), static_cast<unsigned long long>(right));
  std::abort();
}

}  // namespace kvpager::internal

#define KVP_CHECK(condition)                                            \
  do {                                                                  \
    if (!(condition)) [[unlikely]]                                      \
      ::kvpager::internal::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)

#define KVP_CHECK_COMPARE(left, op, right)                                                 \
  do {                                                                                     \
    const auto kvp_left = (left);                                                          \
    const auto kvp_right = (right);                                                        \
    if (!(kvp_left op kvp_right)) [[unlikely]]                                             \
      ::kvpager::internal::CheckFailedValues(__FILE__, __LINE__, #left " " #op " " #right, \
                                             static_cast<uint64_t>(kvp_left),              \
                                             static_cast<uint64_t>(kvp_right));            \
  } while (false)

#define KVP_CHECK_EQ(left, right) KVP_CHECK_COMPARE(left, ==, right)
#define KVP_CHECK_LE(left, right) KVP_CHECK_COMPARE(left, <=, right)
#define KVP_CHECK_LT(left, right) KVP_CHECK_COMPARE(left, <, right)
#define KVP_CHECK_GT(left, right) KVP_CHECK_COMPARE(left, >, right)

#endif  // KVPAGER_MEMMGR_BASE_CHECK_H_
