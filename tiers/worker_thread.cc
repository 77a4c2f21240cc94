#include "tiers/worker_thread.h"

#include <pthread.h>
#include <signal.h>

#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"

namespace kvpager {

absl::Status WorkerThread::StartRaw(const char* name, void* (*function)(void*), void* argument) {
  KVP_CHECK(!started_);
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  KVP_CHECK_EQ(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
  const int error = pthread_create(&thread_, nullptr, function, argument);
  KVP_CHECK_EQ(pthread_sigmask(SIG_SETMASK, &before, nullptr), 0);
  if (error != 0) {
    return absl::UnavailableError(absl::StrCat("cannot start thread ", name, ": ",
                                               std::strerror(error),
                                               "; raise the limit of processes (ulimit -u)"));
  }
  pthread_setname_np(thread_, name);
  started_ = true;
  return absl::OkStatus();
}

void WorkerThread::Join() {
  if (!started_) return;
  KVP_CHECK_EQ(pthread_join(thread_, nullptr), 0);
  started_ = false;
}

}  // namespace kvpager
