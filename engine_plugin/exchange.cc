#include "engine_plugin/exchange.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"

namespace kvpager::engine {
namespace {

absl::Status Unreadable(const absl::Status& why) {
  return absl::UnavailableError(absl::StrCat("the daemon sent something this library cannot read (",
                                             why.message(),
                                             "); close this client and open a new one"));
}

SequenceUpdate ToUpdate(const wire::SequenceUpdate& update) {
  SequenceUpdate result;
  result.sequence = update.sequence();
  result.length_tokens = update.length_tokens();
  result.block_position = update.block_position();
  if (update.runs() != nullptr) {
    result.runs.reserve(update.runs()->size());
    for (const wire::BlockRun* run : *update.runs()) {
      result.runs.push_back(BlockRun{run->block_first(), run->count(), run->generation()});
    }
  }
  return result;
}

Answer ToAnswer(const wire::Answer& answer) {
  Answer result;
  result.status = StatusOf(answer.status(), StringOf(answer.reason()));
  result.sequence = answer.sequence();
  result.tokens = answer.tokens();
  result.hit_blocks = {answer.hit_blocks_hbm(), answer.hit_blocks_host(), answer.hit_blocks_nvme()};
  result.ticket = TicketOf(answer.ticket());
  if (const wire::StepWait* wait = answer.wait(); wait != nullptr) {
    result.times = StepTimes{wait->queue_ns(),
                             wait->room_ns(),
                             wait->nvme_ns(),
                             wait->host_ns(),
                             wait->promoted_host_pages(),
                             wait->promoted_nvme_pages()};
  }
  if (answer.updates() != nullptr) {
    for (const wire::SequenceUpdate* update : *answer.updates()) {
      result.updates.push_back(ToUpdate(*update));
    }
  }
  return result;
}

}  // namespace

absl::StatusOr<uint64_t> Exchange::Enqueue(uint64_t request, MessageBytes bytes,
                                           const Pending& pending) {
  ++activity_;
  outbox_.push_back(Unsent{request, pending.urgent, std::move(bytes)});
  if (pending.urgent) ++outbox_urgent_count_;
  if (request != 0) pending_.emplace(request, pending);
  KVP_RETURN_IF_ERROR(Flush());
  return request;
}

std::deque<Exchange::Unsent>::iterator Exchange::NextToSend() {
  if (outbox_.empty()) return outbox_.end();
  if (sent_count_ < kUnansweredMax) return outbox_.begin();
  if (outbox_urgent_count_ == 0) return outbox_.end();
  return std::find_if(outbox_.begin(), outbox_.end(), [this](const Unsent& unsent) {
    return unsent.urgent && (unsent.request == 0 || sent_count_ < kUnansweredUrgentMax);
  });
}

absl::Status Exchange::Flush() {
  for (auto next = NextToSend(); next != outbox_.end(); next = NextToSend()) {
    const absl::Status sent = link_.Send(next->bytes);
    if (absl::IsDeadlineExceeded(sent)) return absl::OkStatus();  // Full: a later flush goes on.
    KVP_RETURN_IF_ERROR(sent);
    if (next->urgent) --outbox_urgent_count_;
    if (next->request != 0) {
      ++sent_count_;
      pending_.at(next->request).sent = true;
    }
    outbox_.erase(next);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Arrival>> Exchange::Next(const Deadline& deadline) {
  KVP_RETURN_IF_ERROR(Flush());
  const absl::Status received = link_.Receive(deadline, received_);
  if (absl::IsDeadlineExceeded(received)) return std::nullopt;
  KVP_RETURN_IF_ERROR(received);
  ++activity_;
  KVP_ASSIGN_OR_RETURN(Arrival arrival, Decode());
  Flush().IgnoreError();  // What has come counts; the next flush fails again.
  return std::optional<Arrival>(std::move(arrival));
}

absl::StatusOr<Arrival> Exchange::Decode() {
  absl::StatusOr<MessageView> message = DecodeMessage(received_);
  if (!message.ok()) return Unreadable(message.status());
  if (message->type() != MessageType::kAnswer) {
    return Unreadable(absl::InvalidArgumentError(
        absl::StrCat("a ", std::string(MessageTypeName(message->type())), " message")));
  }
  Arrival arrival;
  arrival.request = message->header().request;
  arrival.answer = ToAnswer(message->body<wire::Answer>());
  if (arrival.request == 0) return arrival;
  const auto found = pending_.find(arrival.request);
  if (found == pending_.end()) {
    return Unreadable(absl::InvalidArgumentError(
        absl::StrCat("an answer to request ", arrival.request, ", which waits for none")));
  }
  if (!found->second.sent) {
    return Unreadable(absl::InvalidArgumentError(
        absl::StrCat("an answer to request ", arrival.request, ", which was not sent yet")));
  }
  --sent_count_;
  arrival.pending = found->second;
  pending_.erase(found);
  return arrival;
}

bool Exchange::is_anything_wanted() const {
  return std::any_of(pending_.begin(), pending_.end(),
                     [](const auto& pending) { return !pending.second.abandoned; });
}

Pending* Exchange::Find(uint64_t request) {
  const auto found = pending_.find(request);
  return found == pending_.end() ? nullptr : &found->second;
}

}  // namespace kvpager::engine
