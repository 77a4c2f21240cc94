// memmgr/daemon/answer_encoder.h
//
// From a Reply of the core, or a refusal of the daemon, to the bytes of an Answer.
//
// Ownership: the builder, reused. Thread-safety: one thread. Errors: kInvalidArgument if a block
// list is longer than a message may be.

#ifndef KVPAGER_MEMMGR_DAEMON_ANSWER_ENCODER_H_
#define KVPAGER_MEMMGR_DAEMON_ANSWER_ENCODER_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "ipc/wire.h"
#include "memmgr/core/effect.h"

namespace kvpager {

// Why quotas refuse a step of the namespace, and what to change.
std::string QuotaSentence(const QuotaRefusal& refusal, std::string_view name);

class AnswerEncoder {
 public:
  // `reply` is one of `effects`.
  absl::Status Encode(const Reply& reply, const Effects& effects, const SessionToken& session,
                      MessageBytes& message);

  // An answer with nothing but a status.
  void EncodeRefusal(uint64_t request, const absl::Status& status, const SessionToken& session,
                     MessageBytes& message);

 private:
  flatbuffers::FlatBufferBuilder builder_;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_ANSWER_ENCODER_H_
