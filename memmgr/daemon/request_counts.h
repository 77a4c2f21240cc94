// memmgr/daemon/request_counts.h
//
// What the server counts; docs/OPERATIONS.md explains each. Plain integers of the loop thread.

#ifndef KVPAGER_MEMMGR_DAEMON_REQUEST_COUNTS_H_
#define KVPAGER_MEMMGR_DAEMON_REQUEST_COUNTS_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace kvpager {

inline constexpr size_t kRequestTypes = 64;  // Requests have numbers below it.

struct RequestCounts {
  std::array<uint64_t, kRequestTypes> by_type{};  // Indexed by MessageType.
  uint64_t malformed = 0;                         // Messages that could not be decoded.
  uint64_t refused_session = 0;                   // With a token that is nobody's.
  uint64_t refused_arguments = 0;                 // Decoded, but refused before the core saw them.
  uint64_t refused_in_flight = 0;                 // Above limits.requests.
  uint64_t cut_off = 0;                           // Engines.
  uint64_t overdue = 0;                           // Found inside a step for half a lease.
  uint64_t revoked = 0;                           // By lease or by an administrator.
  uint64_t answers = 0;
  uint64_t answers_lost = 0;   // Their reader had gone, or stopped reading.
  uint64_t ring_messages = 0;  // Received through rings.
  uint64_t ring_bells = 0;     // Rung for engines that slept.
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_REQUEST_COUNTS_H_
