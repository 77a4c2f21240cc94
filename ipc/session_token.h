// ipc/session_token.h
//
// 128 random bits that an attach hands out and every later message carries. They prove which client
// a ZeroMQ message comes from; routing ids prove nothing.

#ifndef KVPAGER_IPC_SESSION_TOKEN_H_
#define KVPAGER_IPC_SESSION_TOKEN_H_

#include <compare>
#include <cstdint>

namespace kvpager {

struct SessionToken {
  uint64_t words[2] = {0, 0};

  constexpr bool is_none() const { return words[0] == 0 && words[1] == 0; }
  friend constexpr auto operator<=>(const SessionToken&, const SessionToken&) = default;
};

// From the kernel's random source. Never none.
SessionToken RandomSessionToken();

}  // namespace kvpager

#endif  // KVPAGER_IPC_SESSION_TOKEN_H_
