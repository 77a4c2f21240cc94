// tests/crash/load.h
//
// Engines that write and name blocks as fast as they can until their daemon is gone, and a journal
// of what they were promised; and the reader that holds a later daemon to it.
//
// Thread-safety: a Journal, any thread; the rest, one.

#ifndef KVPAGER_TESTS_CRASH_LOAD_H_
#define KVPAGER_TESTS_CRASH_LOAD_H_

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace kvpager::crash {

// A prompt that was asked for. Its content follows from its number.
struct Named {
  uint64_t prompt = 0;
  uint32_t blocks = 0;
  bool durable = false;         // That was acknowledged ...
  uint64_t recorded_bytes = 0;  // ... when the record of the disk was so long.
};

class Journal {
 public:
  uint64_t TakePrompt() { return next_prompt_.fetch_add(1); }
  void Add(const Named& named);
  std::vector<Named> All() const;

 private:
  std::atomic<uint64_t> next_prompt_{1};
  mutable std::mutex mutex_;
  std::vector<Named> all_;
};

class Load {
 public:
  struct Options {
    std::string socket_path;
    std::string record_path;  // Empty: none.
    Journal* journal = nullptr;
    uint32_t engines = 3;
  };
  // Returns when every engine has attached, or could not.
  explicit Load(const Options& options);
  // Waits until every engine was told that the daemon is gone.
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  uint64_t mismatched_blocks() const { return mismatched_; }

 private:
  void Run(uint32_t engine);

  const Options options_;
  std::atomic<uint32_t> attached_{0};
  std::atomic<uint64_t> mismatched_{0};
  std::vector<std::thread> threads_;
};

// Brings as many fresh blocks to NVMe as it has, so that everything that may be evicted is. An
// error, or an empty text.
std::string Press(const std::string& socket_path, uint32_t blocks_nvme, Journal& journal);

struct Found {
  uint64_t blocks_read = 0;
  uint64_t blocks_wrong = 0;
  uint64_t blocks_missing = 0;   // Never promised.
  uint64_t durable_prompts = 0;  // Promised ...
  uint64_t durable_missing = 0;  // ... and not whole.
  std::string error;             // Empty: every prompt could be asked for.
};

// Reads everything back. Promises acknowledged when the record was longer do not count.
Found ReadBack(const std::string& socket_path, const std::vector<Named>& journal,
               uint64_t recorded_bytes);

}  // namespace kvpager::crash

#endif  // KVPAGER_TESTS_CRASH_LOAD_H_
