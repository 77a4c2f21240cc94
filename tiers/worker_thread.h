// tiers/worker_thread.h
//
// A named thread that is joined in the destructor. Unlike std::thread it reports, instead of
// throwing, when the system has no thread left; and it blocks all signals, so that they reach the
// thread that waits for them. docs/THREADS.md lists every use.

#ifndef KVPAGER_TIERS_WORKER_THREAD_H_
#define KVPAGER_TIERS_WORKER_THREAD_H_

#include <pthread.h>

#include <utility>

#include "absl/status/status.h"

namespace kvpager {

class WorkerThread {
 public:
  WorkerThread() = default;
  ~WorkerThread() { Join(); }
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;

  // Runs `object->*method()` on a new thread. `name` has at most 15 characters. kUnavailable if
  // the system refuses.
  template <typename T, void (T::*method)()>
  absl::Status Start(const char* name, T* object) {
    return StartRaw(name, &Call<T, method>, object);
  }

  // For plain functions of one pointer.
  absl::Status StartRaw(const char* name, void* (*function)(void*), void* argument);

  void Join();

 private:
  template <typename T, void (T::*method)()>
  static void* Call(void* object) {
    (static_cast<T*>(object)->*method)();
    return nullptr;
  }

  pthread_t thread_{};
  bool started_ = false;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_WORKER_THREAD_H_
