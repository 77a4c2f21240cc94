// tests/fuzz/hostile_peer.h
//
// How the input of an attach fuzzer becomes what a peer does on the socket:
//
//   offset  size  field
//        0     1  descriptors sent with the first packet, modulo 13 (a handshake has room for 8)
//        1     1  their kinds, two bits each, over and over: see HostilePeer::HostilePeer
//        2     1  how, the bits of Plan::How
//        3     1  where a cut packet is cut, in 256ths
//        4        the packet; too short an input is a peer that comes and leaves
//
// Ownership: the peer owns the descriptors that it sends copies of. Thread-safety: one thread.
// Errors: what the system refuses to send is left out.

#ifndef KVPAGER_TESTS_FUZZ_HOSTILE_PEER_H_
#define KVPAGER_TESTS_FUZZ_HOSTILE_PEER_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "ipc/unique_fd.h"

namespace kvpager {

struct Plan {
  enum How : uint8_t {
    kEmptyFirst = 1,  // A packet of 0 bytes goes before.
    kTwice = 2,       // The packet is sent twice.
    kCut = 4,         // The packet is sent as two.
    kLeaves = 8,      // And then the peer hangs up.
    kLong = 16,       // Zeros follow the packet, to one byte more than a handshake may have.
  };

  uint8_t descriptors = 0;
  uint8_t kinds = 0;
  uint8_t how = 0;
  uint8_t cut = 0;
};
static_assert(sizeof(Plan) == 4);

inline constexpr uint64_t kHostileRegionBytes = 8192;

// What was sent.
struct Sent {
  size_t packets = 0;
  size_t first_bytes = 0;  // Of the first packet.
};

class HostilePeer {
 public:
  HostilePeer();

  // Does what `input` says on `connection`, and closes it if the plan is to leave.
  Sent Act(absl::Span<const uint8_t> input, UniqueFd& connection) const;

  // True for the one kind of the four that is a doorbell.
  static bool IsDoorbell(int fd);

 private:
  void Send(int connection, absl::Span<const uint8_t> packet, absl::Span<const int> fds) const;

  std::array<UniqueFd, 4> fds_;
};

// How many of the first 256 are open: more than before, and somebody has left one open.
size_t OpenDescriptorsCount();

}  // namespace kvpager

#endif  // KVPAGER_TESTS_FUZZ_HOSTILE_PEER_H_
