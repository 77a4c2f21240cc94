// tools/support/crew.h
//
// A few threads that do one thing at the same time, again and again, without being started anew.
// The caller is one of them.
//
// Ownership: its threads end with the object. Thread-safety: one caller.

#ifndef KVPAGER_TOOLS_SUPPORT_CREW_H_
#define KVPAGER_TOOLS_SUPPORT_CREW_H_

#include <barrier>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace kvpager::tools {

class Crew {
 public:
  // REQUIRES: size > 0.
  explicit Crew(int32_t size);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  int32_t size() const { return size_; }
  // Calls work(0) to work(size - 1) at once, and returns when all have.
  void Run(const std::function<void(int32_t)>& work);

 private:
  int32_t size_;
  std::barrier<> start_;
  std::barrier<> end_;
  const std::function<void(int32_t)>* work_ = nullptr;  // Null: the end.
  std::vector<std::thread> threads_;
};

}  // namespace kvpager::tools

#endif  // KVPAGER_TOOLS_SUPPORT_CREW_H_
