#include "engine_plugin/operation.h"

#include <utility>

#include "memmgr/base/check.h"

namespace kvpager::engine {

Operation* Operations::Add(const OperationRequest& request, const Deadline& deadline,
                           StartedBy started_by) {
  const uint64_t id = ++id_newest_;
  Operation& operation = open_[id];
  operation.id = id;
  operation.started_by = started_by;
  operation.request = request;
  operation.deadline = deadline;
  operation.started_ns = MonotonicNs();
  operation.completion.kind = request.kind;
  operation.completion.user_data = request.user_data;
  if (started_by == StartedBy::kSubmit) {
    operation.keys.assign(request.keys.begin(), request.keys.end());
    operation.request.keys = operation.keys;
    deadlines_.emplace(deadline.at_ns(), id);
  }
  return &operation;
}

Operation* Operations::Find(uint64_t id) {
  const auto found = open_.find(id);
  return found == open_.end() || found->second.is_complete ? nullptr : &found->second;
}

void Operations::Complete(Operation* operation, absl::Status status) {
  KVP_CHECK(!operation->is_complete);
  operation->is_complete = true;
  operation->completion.status = std::move(status);
  if (!operation->completion.status.ok()) operation->completion.sequence = 0;
  if (operation->started_by == StartedBy::kCall) return;
  deadlines_.erase({operation->deadline.at_ns(), operation->id});
  completed_.push_back(std::move(operation->completion));
  open_.erase(operation->id);
}

void Operations::CompleteAll(const absl::Status& status) {
  while (!open_.empty()) Complete(&open_.begin()->second, status);
}

Completion Operations::TakeCall(Operation* operation) {
  KVP_CHECK(operation->started_by == StartedBy::kCall && operation->is_complete);
  Completion completion = std::move(operation->completion);
  open_.erase(operation->id);
  return completion;
}

Completion Operations::TakeCompleted() {
  KVP_CHECK(has_completed());
  Completion completion = std::move(completed_.front());
  completed_.pop_front();
  return completion;
}

Operation* Operations::FindEarliest() {
  return deadlines_.empty() ? nullptr : &open_.at(deadlines_.begin()->second);
}

}  // namespace kvpager::engine
