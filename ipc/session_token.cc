#include "ipc/session_token.h"

#include <sys/random.h>

#include <cerrno>

#include "memmgr/base/check.h"

namespace kvpager {

SessionToken RandomSessionToken() {
  SessionToken token;
  while (token.is_none()) {
    const ssize_t got = getrandom(token.words, sizeof(token.words), 0);
    if (got < 0 && errno == EINTR) continue;
    KVP_CHECK(got == static_cast<ssize_t>(sizeof(token.words)));  // Never short below 256 bytes.
  }
  return token;
}

}  // namespace kvpager
