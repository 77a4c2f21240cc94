// engine_plugin/operation.h
//
// What waits for the daemon: an operation is started, takes in its answers, and completes once. A
// blocking call runs one to its end; kvp_submit leaves it here until kvp_drain fetches what came of
// it (client_operations.cc).
//
//   Add --> open --Complete--> of a call: TakeCall
//                              submitted: in line, until TakeCompleted
//
// Ownership: the operations. Thread-safety: none.

#ifndef KVPAGER_ENGINE_PLUGIN_OPERATION_H_
#define KVPAGER_ENGINE_PLUGIN_OPERATION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine_plugin/digest.h"
#include "engine_plugin/step.h"
#include "ipc/deadline.h"
#include "memmgr/base/ids.h"

namespace kvpager::engine {

struct Reuse {
  uint64_t tokens = 0;
  std::array<uint32_t, kTierCount> hit_blocks{};
};

enum class OperationKind { kOpen, kFork, kResume, kEvict, kName, kStep };

struct OperationRequest {
  OperationKind kind = OperationKind::kOpen;
  uint64_t user_data = 0;
  uint64_t timeout_us = 0;        // 0: the client's.
  uint64_t sequence = 0;          // Handle. Fork: the parent.
  Step* step = nullptr;           // Step: which one is waited for.
  absl::Span<const Digest> keys;  // Open, Name.
  uint32_t block_first = 0;       // Name.
  Tier tier = Tier::kHost;        // Evict.
};

struct Completion {
  OperationKind kind = OperationKind::kOpen;
  uint64_t user_data = 0;
  absl::Status status;
  uint64_t sequence = 0;  // Handle. Open, Fork: the new one, if ok.
  Reuse reuse;            // Open.
};

enum class StartedBy { kCall, kSubmit };

struct Operation {
  uint64_t id = 0;
  StartedBy started_by = StartedBy::kCall;
  OperationRequest request;
  std::vector<Digest> keys;  // What request.keys points to, if submitted.
  Deadline deadline;
  absl::InlinedVector<uint64_t, 1> unanswered;  // Requests of it.
  uint64_t asked_tokens = 0;                    // Open: by the keys that were sent.
  absl::Status first_error;                     // Name: of its pieces.
  uint64_t started_ns = 0;
  Completion completion;
  bool is_complete = false;
};

// Those that are open, by id, and so in the order of their start; and those that wait to be
// fetched.
class Operations {
 public:
  // Copies the keys, unless a call keeps them alive.
  Operation* Add(const OperationRequest& request, const Deadline& deadline, StartedBy started_by);

  // Null: it has completed.
  Operation* Find(uint64_t id);

  // Frees a submitted operation.
  void Complete(Operation* operation, absl::Status status);
  // Every one that is open.
  void CompleteAll(const absl::Status& status);

  // Of a call. REQUIRES: it is complete.
  Completion TakeCall(Operation* operation);
  // In the order in which they completed. REQUIRES: has_completed().
  Completion TakeCompleted();
  bool has_completed() const { return !completed_.empty(); }

  // Submitted and not fetched.
  size_t submitted_count() const { return open_.size() + completed_.size(); }
  bool has_open() const { return !open_.empty(); }

  // Of the submitted ones that are open: the one with the earliest deadline (null: there is none),
  // and that deadline (all ones).
  Operation* FindEarliest();
  uint64_t deadline_ns_earliest() const {
    return deadlines_.empty() ? ~uint64_t{0} : deadlines_.begin()->first;
  }
  // REQUIRES: has_open().
  uint64_t started_ns_earliest() const { return open_.begin()->second.started_ns; }

 private:
  std::map<uint64_t, Operation> open_;
  std::set<std::pair<uint64_t, uint64_t>> deadlines_;  // Of submitted ones: ns, id.
  std::deque<Completion> completed_;
  uint64_t id_newest_ = 0;
};

}  // namespace kvpager::engine

#endif  // KVPAGER_ENGINE_PLUGIN_OPERATION_H_
