// memmgr/daemon/request_decoder.h
//
// From a verified message to a Command of the core: converts numbers to ids, derives keys, and
// checks what only the daemon can know (its own bounds, who may ask).
//
// Ownership: the spans of a Command point into the decoder and are valid until the next Decode.
// Thread-safety: one thread. Errors: kInvalidArgument; kPermissionDenied for an administrator who
// asks for what only engines may; kUnimplemented for streamed steps.

#ifndef KVPAGER_MEMMGR_DAEMON_REQUEST_DECODER_H_
#define KVPAGER_MEMMGR_DAEMON_REQUEST_DECODER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ipc/wire.h"
#include "memmgr/base/ids.h"
#include "memmgr/core/command.h"
#include "memmgr/daemon/keys.h"

namespace kvpager {

struct DecodeBounds {
  uint32_t keys_max = 0;          // Limits::keys_per_command_max.
  uint32_t step_entries_max = 0;  // Limits::step_entries_per_step_max.
};

struct Requester {
  ClientId client;                   // None: an administrator.
  const KeyDeriver* keys = nullptr;  // Null: an administrator.
};

// True for the three questions that only administrators ask and the daemon itself answers.
bool IsAdminQuery(MessageType type);

class RequestDecoder {
 public:
  explicit RequestDecoder(const DecodeBounds& bounds);

  // REQUIRES: not an admin query.
  absl::StatusOr<Command> Decode(const MessageView& message, const Requester& requester,
                                 Instant now);

 private:
  using Keys = flatbuffers::Vector<const wire::Key*>;

  absl::Status DecodeKeys(const Keys* keys, const Requester& requester);
  absl::Status DecodeEntries(const wire::StepBeginRequest& body);
  absl::Status DecodeEngine(const MessageView& message, const Requester& requester,
                            Command& command);
  absl::Status DecodeStep(const MessageView& message, Command& command);
  absl::Status DecodePrefetch(const wire::PrefetchRequest& body, const Requester& requester,
                              Instant now, Command& command);

  DecodeBounds bounds_;
  std::vector<BlockKey> keys_;
  std::vector<StepEntry> entries_;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_REQUEST_DECODER_H_
