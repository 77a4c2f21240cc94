// ipc/wire_version.h
//
// The version of everything two processes say to each other: header, tables, handshake.
//
// Compatibility rule. The major number changes when an old peer would misread; peers of different
// major numbers refuse each other, in words, at attach. The minor number grows when something is
// added: fields at the end of a table, a message type. Peers of one major number understand each
// other whatever their minor numbers: unknown fields are ignored, an unknown type is answered with
// kUnimplemented and nothing changes. The header's layout and the first four fields of AttachReply
// are the same for every major number, for ever.

#ifndef KVPAGER_IPC_WIRE_VERSION_H_
#define KVPAGER_IPC_WIRE_VERSION_H_

#include <cstdint>

namespace kvpager {

inline constexpr uint16_t kWireMajor = 1;
inline constexpr uint16_t kWireMinor = 0;

}  // namespace kvpager

#endif  // KVPAGER_IPC_WIRE_VERSION_H_
