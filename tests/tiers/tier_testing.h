// tests/tiers/tier_testing.h
//
// What the tests of the tiers share: a small geometry, folders that vanish, payloads that follow
// from a seed, driving an executor until its operations are done, and running code in a child.

#ifndef KVPAGER_TESTS_TIERS_TIER_TESTING_H_
#define KVPAGER_TESTS_TIERS_TIER_TESTING_H_

#include <poll.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "memmgr/base/check.h"
#include "memmgr/base/geometry.h"
#include "memmgr/core/effect.h"
#include "tiers/executor.h"

namespace kvpager::testing {

// 4 groups of one layer; payload 8 KiB.
inline Geometry SmallGeometry() {
  return {.page_tokens = 16,
          .num_layers = 4,
          .layers_per_page = 1,
          .num_kv_heads = 2,
          .head_dim_k = 64,
          .head_dim_v = 64};
}

// A folder in the build directory (a real filesystem), removed at the end.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = std::string(KVP_TEST_FOLDER) + "/tmp-XXXXXX";
    KVP_CHECK(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Deterministic bytes; different seeds give different payloads.
inline void Fill(absl::Span<std::byte> payload, uint64_t seed) {
  uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;
  for (std::byte& byte : payload) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    byte = static_cast<std::byte>(state >> 56);
  }
}

inline bool HasFill(absl::Span<const std::byte> payload, uint64_t seed) {
  std::vector<std::byte> wanted(payload.size());
  Fill(absl::MakeSpan(wanted), seed);
  return std::memcmp(wanted.data(), payload.data(), payload.size()) == 0;
}

// Waits for `count` completions of anything with Poll, ready_fd and wants_poll.
template <typename Executor>
std::vector<Completion> Await(Executor& executor, size_t count) {
  std::vector<Completion> all;
  std::array<Completion, 7> some;  // Smaller than a batch, so that the rest has to wait.
  while (all.size() < count) {
    const size_t got = executor.Poll(absl::MakeSpan(some));
    all.insert(all.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(got));
    if (got > 0 || executor.wants_poll()) continue;
    struct pollfd ready {
      .fd = executor.ready_fd(), .events = POLLIN, .revents = 0
    };
    poll(&ready, 1, -1);
  }
  EXPECT_EQ(all.size(), count);
  EXPECT_EQ(executor.Poll(absl::MakeSpan(some)), 0u);
  return all;
}

inline Completion Perform(CopyExecutor& executor, const CopyOp& copy) {
  executor.Submit({&copy, 1});
  const Completion completion = Await(executor, 1).front();
  EXPECT_EQ(completion.op, copy.op);
  return completion;
}

// Runs `body` in a forked child and returns its wait status. The caller has no threads running.
template <typename Body>
int RunInChild(const Body& body) {
  const pid_t child = fork();
  KVP_CHECK(child >= 0);
  if (child == 0) _exit(body());
  int status = 0;
  KVP_CHECK_EQ(waitpid(child, &status, 0), child);
  return status;
}

inline bool ExitedWell(int status) { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }

// In a child: says what failed and ends it.
#define KVP_CHILD_CHECK(condition)                                                \
  do {                                                                            \
    if (!(condition)) {                                                           \
      std::fprintf(stderr, "%s:%d: child: %s\n", __FILE__, __LINE__, #condition); \
      return 1;                                                                   \
    }                                                                             \
  } while (false)

}  // namespace kvpager::testing

#endif  // KVPAGER_TESTS_TIERS_TIER_TESTING_H_
