// ipc/wire_values.h
//
// The checks that follow the FlatBuffers verifier: every value of a message that has a range, and
// every field that a reader needs although FlatBuffers calls it optional. Part of DecodeMessage;
// nobody else calls it.
//
// The work is bounded by the message: lists are counted together, because in a FlatBuffer many
// offsets may lead to one and the same long list.

#ifndef KVPAGER_IPC_WIRE_VALUES_H_
#define KVPAGER_IPC_WIRE_VALUES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "ipc/wire.h"

namespace kvpager {

inline constexpr uint32_t kLanesPerClientMax = 8;
inline constexpr uint32_t kReplyItemsMax = 16384;  // Tables in one list of a reply.
inline constexpr uint32_t kReplyRunsMax = 131072;  // Block runs of one answer, together.
inline constexpr uint32_t kReplyNameBytesMax = kMessageBytesMax;  // Names of one reply, together.
inline constexpr uint32_t kNameBytesMax = 255;     // Pool, namespace, engine, region, counter.
inline constexpr uint32_t kDetailBytesMax = 8191;  // How a tier is backed: a path and some words.
inline constexpr uint32_t kModelBytesMax = 1023;
inline constexpr uint32_t kTokenBytesMax = 4095;
inline constexpr uint32_t kReasonBytesMax = 1023;

// The overloads that have something to check; all other tables have none.
absl::Status CheckValues(const wire::OpenRequest& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::ExtendRequest& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::ForkRequest& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::TruncateRequest& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::NameRequest& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::AppendedRequest& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::SuspendRequest& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::ResumeRequest& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::CloseRequest& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::StepBeginRequest& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::StepEndRequest& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::StepCancelRequest& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::PrefetchRequest& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::EvictRequest& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::StatusRequest& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::SequencesRequest& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::ClientsRequest& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::RevokeRequest& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::Answer& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::StatusReply& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::SequencesReply& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::ClientsReply& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::AttachRequest& body, const WireBounds& bounds);
absl::Status CheckValues(const wire::AttachReply& body, const WireBounds& bounds);

}  // namespace kvpager

#endif  // KVPAGER_IPC_WIRE_VALUES_H_
