// ipc/attach.h
//
// The two messages of the handshake as plain values, and their encoding.
//
// Ownership: values; nothing points into a message. Errors: decoding is DecodeMessage of
// ipc/wire.h, then the ranges that these structs promise (names without control characters, sizes
// that fit).

#ifndef KVPAGER_IPC_ATTACH_H_
#define KVPAGER_IPC_ATTACH_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ipc/session_token.h"
#include "ipc/wire.h"
#include "memmgr/base/geometry.h"

namespace kvpager {

// The regions of an attach, in the order of the descriptors.
inline constexpr std::string_view kRegionPageTable = "page_table";  // Read-only.
inline constexpr std::string_view kRegionHbm = "hbm";               // Writable.
inline constexpr std::string_view kRegionHost = "host";             // Read-only.
inline constexpr std::string_view kRegionLanes = "lanes";           // Writable; ipc/lanes.h.
// Only if the request asked for a ring and the daemon gives one: then both, and this client says
// nothing on ZeroMQ.
inline constexpr std::string_view kRegionRing = "ring";          // Writable.
inline constexpr std::string_view kRegionDoorbell = "doorbell";  // 0 bytes: a socket, no memory.
// In place of "hbm" where the pool is on a GPU: its parts, one behind the other, as descriptors
// that the CUDA driver exported.
inline constexpr size_t kGpuPartsMax = 64;
std::string GpuPartName(size_t index);  // "gpu_part.0"
inline constexpr size_t kRegionsMax = 8 + kGpuPartsMax;
inline constexpr size_t kAttachBytesMax = 16 * 1024;  // A request or a reply.

struct AttachRequest {
  uint16_t version_major = kWireMajor;
  uint16_t version_minor = kWireMinor;
  bool admin = false;         // Then pool, geometry and model are not looked at.
  std::string pool;           // At most 255 bytes; not empty unless admin.
  Geometry geometry;          // As the engine said it: Validate it before use.
  std::string model;          // At most 1023 bytes.
  std::string name_space;     // At most 255 bytes. Empty: "default".
  std::string token;          // At most 4095 bytes. Empty: none.
  std::string engine_name;    // At most 255 bytes. For people.
  bool message_free = false;  // It keeps its lanes (ipc/lanes.h).
  bool ring = false;          // It takes a ring if it gets one (ipc/ring_layout.h).
  bool gpu = false;           // It reads and writes frames with a GPU, not with the CPU.
};

// All zero: none.
using GpuUuid = std::array<uint8_t, 16>;

struct PoolInfo {
  uint32_t blocks_max = 0;
  uint32_t num_groups = 0;
  uint64_t frames_hbm = 0;
  uint64_t frame_bytes_hbm = 0;
  uint64_t frames_host = 0;
  uint64_t frame_bytes_host = 0;
  uint64_t blocks_nvme = 0;
  uint32_t page_tokens = 0;
  uint32_t keys_per_command_max = 0;
  uint32_t entries_per_step_max = 0;
  GpuUuid gpu{};  // Where the frames of HBM are; none: they are ordinary memory.
};

struct RegionInfo {
  std::string name;
  uint64_t bytes = 0;
  bool writable = false;
};

struct AttachReply {
  absl::Status status;  // Not OK: the refusal, and nothing below has a meaning.
  uint32_t client = 0;
  SessionToken session;
  std::string endpoint;  // "ipc://..."; for ZmqClient.
  PoolInfo pool;         // All zero for an administrator.
  std::vector<RegionInfo> regions;
};

absl::Status EncodeAttachRequest(const AttachRequest& request, MessageBytes& message);
absl::StatusOr<AttachRequest> DecodeAttachRequest(absl::Span<const uint8_t> bytes);

absl::Status EncodeAttachReply(const AttachReply& reply, MessageBytes& message);
absl::StatusOr<AttachReply> DecodeAttachReply(absl::Span<const uint8_t> bytes);

}  // namespace kvpager

#endif  // KVPAGER_IPC_ATTACH_H_
