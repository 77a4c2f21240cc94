// engine_plugin/exchange.h
//
// Requests and their answers: numbers each request, keeps the number of unanswered ones bounded,
// and pairs every answer with what was asked, in whatever order answers come.
//
// Requests go out in the order they were queued, with one exception: *urgent* ones, which let steps
// go (StepEnd, StepCancel), pass those that wait for room. Otherwise requests that the daemon
// defers until a step ends could keep that very end from being sent. A StepEnd wants no answer.
//
// Ownership: borrows the link. Thread-safety: one thread at a time. Errors: kUnavailable the daemon
// is gone or sent something that cannot be read; this is final.

#ifndef KVPAGER_ENGINE_PLUGIN_EXCHANGE_H_
#define KVPAGER_ENGINE_PLUGIN_EXCHANGE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine_plugin/link.h"
#include "engine_plugin/step.h"
#include "ipc/deadline.h"
#include "ipc/wire.h"
#include "memmgr/base/ids.h"

namespace kvpager::engine {

// Below limits.requests of the daemon, which is 256 unless somebody changes it.
inline constexpr size_t kUnansweredMax = 192;        // Beside urgent requests.
inline constexpr size_t kUnansweredUrgentMax = 240;  // All together.

// What is now at and after `block_position` of a sequence.
struct SequenceUpdate {
  uint64_t sequence = 0;  // The daemon's id.
  uint64_t length_tokens = 0;
  uint32_t block_position = 0;
  std::vector<BlockRun> runs;
};

struct Answer {
  absl::Status status;
  uint64_t sequence = 0;
  uint64_t tokens = 0;
  std::array<uint32_t, kTierCount> hit_blocks{};
  Ticket ticket;
  StepTimes times;
  std::vector<SequenceUpdate> updates;
};

// What an answer needs to be understood.
struct Pending {
  MessageType type = MessageType{0};
  uint64_t sequence = 0;  // Handle.
  uint64_t tokens = 0;    // Truncate: what was asked for.
  Step* step = nullptr;   // StepBegin.
  bool urgent = false;
  bool unanswered = false;  // No answer is wanted: none comes, whatever happens.
  bool awaited = false;     // Somebody fetches the answer.
  uint64_t operation = 0;   // Which the answer is for; 0: none.
  bool abandoned = false;   // Whoever waited for it gave up.
  bool sent = false;        // It has left the outbox.
};

struct Arrival {
  uint64_t request = 0;  // 0: a notice.
  Pending pending;
  Answer answer;
};

class Exchange {
 public:
  explicit Exchange(Link& link) : link_(link) {}

  // An empty builder for the next request's body.
  flatbuffers::FlatBufferBuilder& builder() {
    builder_.Clear();
    return builder_;
  }

  // Queues a request whose body was made with builder(), sends what may be sent, and returns its
  // number (0 if no answer is wanted). kInvalidArgument if it is too large for a message; nothing
  // was queued then.
  template <typename Table>
  absl::StatusOr<uint64_t> Queue(flatbuffers::Offset<Table> root, Pending pending) {
    pending.type = kMessageTypeOf<Table>;
    MessageBytes bytes;
    const uint64_t request = pending.unanswered ? 0 : ++request_newest_;
    absl::Status encoded = EncodeMessage<Table>(request, link_.session(), builder_, root, bytes);
    if (!encoded.ok()) return encoded;
    return Enqueue(request, std::move(bytes), pending);
  }

  // Sends what may be sent now; never waits.
  absl::Status Flush();

  // The next answer or notice; nullopt if none came before the deadline. Flushes before, and again
  // after an answer, which may have made room.
  absl::StatusOr<std::optional<Arrival>> Next(const Deadline& deadline);

  Pending* Find(uint64_t request);
  size_t unanswered_count() const { return pending_.size(); }
  // Some answer is to come that somebody may want to hear.
  bool is_anything_wanted() const;
  size_t unsent_count() const { return outbox_.size(); }
  // Requests queued and messages taken in so far.
  uint64_t activity() const { return activity_; }

 private:
  struct Unsent {
    uint64_t request = 0;
    bool urgent = false;
    MessageBytes bytes;
  };

  absl::StatusOr<uint64_t> Enqueue(uint64_t request, MessageBytes bytes, const Pending& pending);
  // The unsent request that may go now, or end().
  std::deque<Unsent>::iterator NextToSend();
  absl::StatusOr<Arrival> Decode();

  Link& link_;
  flatbuffers::FlatBufferBuilder builder_{4096};
  std::deque<Unsent> outbox_;
  size_t outbox_urgent_count_ = 0;
  size_t sent_count_ = 0;                          // Whose answers are to come.
  std::unordered_map<uint64_t, Pending> pending_;  // Unsent ones included.
  uint64_t request_newest_ = 0;
  uint64_t activity_ = 0;
  MessageBytes received_;
};

}  // namespace kvpager::engine

#endif  // KVPAGER_ENGINE_PLUGIN_EXCHANGE_H_
