// ipc/wire_version.h
//
// The version of everything two processes say to each other: header, tables, handshake.
//
// Compatibility rule. The major number changes when an old peer would misread; peers of different
// major numbers refuse each other, in words, at attach. The minor number grows when something is
// added: fields at the end of a table, a message type. Peers of one major number understand each
// other whatever their minor numbers: unknown fields are ignored, an unknown type is answered with
// kUnimplemented and nothing changes. The header's layout is the same for every major number, for
// ever, so that either side can name the version of the other.

#ifndef KVPAGER_IPC_WIRE_VERSION_H_
#define KVPAGER_IPC_WIRE_VERSION_H_

#include <cstdint>

namespace kvpager {

inline constexpr uint16_t kWireMajor = 1;
inline constexpr uint16_t kWireMinor = 0;

// "1.0 to 1.x": for people.
inline constexpr char kWireVersionsSupported[] = "1.0 to 1.x";
static_assert(kWireMajor == 1, "say so above, too");

}  // namespace kvpager

#endif  // KVPAGER_IPC_WIRE_VERSION_H_
