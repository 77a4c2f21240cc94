#include "ipc/ring_port.h"

#include <new>
#include <utility>

#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"

namespace kvpager {
namespace {

RingMemory RequestsOf(const ShmRegion& region) {
  KVP_CHECK(region.bytes() >= kRingRegionBytes);
  auto* controls = reinterpret_cast<RingControls*>(region.data());
  return {&controls->requests, {region.data() + kRingDataOffset, kRingBytes}};
}

RingMemory AnswersOf(const ShmRegion& region) {
  KVP_CHECK(region.bytes() >= kRingRegionBytes);
  auto* controls = reinterpret_cast<RingControls*>(region.data());
  return {&controls->answers, {region.data() + kRingDataOffset + kRingBytes, kRingBytes}};
}

RingMemory Incoming(const ShmRegion& region, RingSide side) {
  return side == RingSide::kDaemon ? RequestsOf(region) : AnswersOf(region);
}

RingMemory Outgoing(const ShmRegion& region, RingSide side) {
  return side == RingSide::kDaemon ? AnswersOf(region) : RequestsOf(region);
}

}  // namespace

absl::StatusOr<ShmRegion> RingPort::MakeRegion() {
  absl::StatusOr<ShmRegion> region = ShmRegion::Create("kvpager-ring", kRingRegionBytes);
  if (region.ok()) new (region->data()) RingControls{};
  return region;
}

RingPort::RingPort(ShmRegion region, Doorbell bell, RingSide side)
    : region_(std::move(region)),
      bell_(std::move(bell)),
      consumer_(Incoming(region_, side)),
      producer_(Outgoing(region_, side)) {}

absl::Status RingPort::Note(const absl::Status& status) {
  if (broken_.ok()) broken_ = status;
  return status;
}

void RingPort::Ring() {
  ++bells_rung_;
  bell_.Ring();
}

absl::StatusOr<bool> RingPort::Receive(MessageBytes& bytes) {
  KVP_RETURN_IF_ERROR(broken_);
  absl::StatusOr<bool> got = consumer_.Read(bytes);
  if (!got.ok()) return Note(got.status());
  if (consumer_.TakeBell()) Ring();
  return got;
}

absl::Status RingPort::Send(absl::Span<const uint8_t> bytes) {
  KVP_CHECK(!bytes.empty() && bytes.size() <= kMessageBytesMax);
  KVP_RETURN_IF_ERROR(Pump());
  size_t begin = 0;
  if (backlog_.empty()) {
    const absl::StatusOr<size_t> written = producer_.Write(bytes, 0);
    if (!written.ok()) return Note(written.status());
    begin = *written;
    if (begin > 0 && producer_.TakeBell()) Ring();
    if (begin == bytes.size()) return absl::OkStatus();
    begin_ = begin;
  } else if (backlog_.size() >= kBacklogMessagesMax ||
             backlog_bytes_ + bytes.size() > kBacklogBytesMax) {
    return absl::ResourceExhaustedError("the other side of the ring does not read");
  }
  backlog_.emplace_back(bytes.begin(), bytes.end());
  backlog_bytes_ += bytes.size();
  return absl::OkStatus();
}

absl::Status RingPort::Pump() {
  KVP_RETURN_IF_ERROR(broken_);
  if (backlog_.empty()) return absl::OkStatus();
  return Note(PumpSome());
}

absl::Status RingPort::PumpSome() {
  bool wrote = false;
  absl::Status result;
  while (!backlog_.empty()) {
    const MessageBytes& message = backlog_.front();
    const absl::StatusOr<size_t> written = producer_.Write(message, begin_);
    if (!written.ok()) result = written.status();
    if (!written.ok() || *written == begin_) break;
    wrote = true;
    begin_ = *written;
    if (begin_ < message.size()) break;
    begin_ = 0;
    backlog_bytes_ -= message.size();
    backlog_.pop_front();
  }
  if (wrote && producer_.TakeBell()) Ring();
  return result;
}

bool RingPort::Sleep() {
  if (!broken_.ok()) return true;  // Nothing more is expected of it.
  if (!backlog_.empty() && !producer_.WaitForRoom(backlog_.front(), begin_)) return false;
  return consumer_.Sleep();
}

}  // namespace kvpager
