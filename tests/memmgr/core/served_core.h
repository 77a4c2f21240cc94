// tests/memmgr/core/served_core.h
//
// A core for tests, with copies that are done at once: what clients ask, and what they were told.
// Verified after every input.

#ifndef KVPAGER_TESTS_MEMMGR_CORE_SERVED_CORE_H_
#define KVPAGER_TESTS_MEMMGR_CORE_SERVED_CORE_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "memmgr/core/core.h"
#include "memmgr/core/limits.h"

namespace kvpager {

inline constexpr uint32_t kPageTokens = 4;

class ServedCore {
 public:
  explicit ServedCore(const PoolOptions& options, uint32_t pages_per_input = 0) {
    Limits limits = *DeriveLimits(options);
    limits.blocks_max = 512;  // Each input is verified.
    if (pages_per_input != 0) limits.pages_per_input = pages_per_input;
    core_ = *Core::Create(limits);
    effects_ = core_->MakeEffects();
  }

  // One input, and what it caused; copies are done at once, what is left over waits for Turn.
  template <typename Body>
  void Post(ClientId client, const Body& body) {
    core_->Step(now_, {.client = client, .request = ++requests_, .body = body}, effects_);
    Take();
  }
  // One more input, without a wish. False if nothing was left over.
  bool Turn() {
    if (!core_->has_work()) return false;
    core_->Tick(now_, effects_);
    Take();
    return true;
  }

  // Until nothing moves.
  template <typename Body>
  void Feed(ClientId client, const Body& body) {
    core_->Step(now_, {.client = client, .request = ++requests_, .body = body}, effects_);
    Execute();
  }

  SequenceId Open(ClientId client, const std::vector<BlockKey>& keys = {}) {
    Feed(client, OpenCommand{keys});
    return opened_;
  }

  // The answer, if there is one yet.
  void Begin(ClientId client, SequenceId sequence, uint32_t blocks) {
    const std::vector<StepEntry> entries = {Entry(sequence, blocks)};
    Feed(client, StepBeginCommand{.ticket = {0, ++tickets_[client.value]}, .entries = entries});
  }
  void PostBegin(ClientId client, SequenceId sequence, uint32_t blocks) {
    const std::vector<StepEntry> entries = {Entry(sequence, blocks)};
    Post(client, StepBeginCommand{.ticket = {0, ++tickets_[client.value]}, .entries = entries});
  }
  void PostEnd(ClientId client) {
    ended_[client.value] = tickets_[client.value];
    Post(client, StepEndCommand{.ticket = {0, ended_[client.value]}});
  }
  SequenceId opened() const { return opened_; }  // The newest.
  void End(ClientId client) { Feed(client, StepEndCommand{.ticket = {0, ++ended_[client.value]}}); }
  bool Step(ClientId client, SequenceId sequence, uint32_t blocks) {
    Begin(client, sequence, blocks);
    const bool ready = answered(client) && reply(client).status == absl::StatusCode::kOk;
    if (ready) {
      ended_[client.value] = tickets_[client.value] - 1;
      End(client);
    }
    return ready;
  }

  // Of the newest step.
  bool answered(ClientId client) const {
    return replies_.count({client.value, tickets_.at(client.value)}) > 0;
  }
  const Reply& reply(ClientId client) const {
    return replies_.at({client.value, tickets_.at(client.value)});
  }
  // Who has become ready, in order.
  const std::vector<ClientId>& ready() const { return ready_; }
  // What the word of the sequence's credit says.
  bool has_credit(SequenceId sequence) const { return credits_.count(sequence) > 0; }
  // As its engine does.
  void TakeCredit(SequenceId sequence) { credits_.at(sequence) = true; }
  void UndoCredit(SequenceId sequence) { credits_.at(sequence) = false; }
  // How many were taken back.
  uint32_t revoked() const { return revoked_; }
  void Wait(uint64_t ns) {
    now_.ns += ns;
    core_->Tick(now_, effects_);
    Execute();
  }
  const Core& core() const { return *core_; }
  uint32_t used(uint32_t name, Tier tier) const {
    return core_->frames_charged(NamespaceId{name}, tier);
  }

 private:
  static StepEntry Entry(SequenceId sequence, uint32_t blocks) {
    StepEntry entry;
    entry.sequence = sequence;
    entry.append_tokens = blocks * kPageTokens;
    return entry;
  }

  void TakeEffects() {
    for (const Reply& reply : effects_.replies) {
      if (reply.kind == ReplyKind::kStepReady) {
        replies_[{reply.client.value, reply.ticket.number}] = reply;
        if (reply.status == absl::StatusCode::kOk) ready_.push_back(reply.client);
      }
      if (!reply.sequence.is_none()) opened_ = reply.sequence;
    }
    for (const CreditWrite& write : effects_.credit_writes) TakeCreditWrite(write);
    for (const CopyOp& copy : effects_.copies) running_.push_back(copy.op);
    for (const CatalogueWrite& write : effects_.catalogue_writes) {
      if (!write.op.is_none()) running_.push_back(write.op);
    }
    effects_.Clear();
    core_->Verify();
  }

  void TakeCreditWrite(const CreditWrite& write) {
    const auto found = credits_.find(write.sequence);
    if (write.kind == CreditWriteKind::kGrant) {
      credits_[write.sequence] = false;
      return;
    }
    const bool taken = found != credits_.end() && found->second;
    if (write.kind == CreditWriteKind::kRevoke) asked_.push_back({write.sequence, taken});
    if (write.kind == CreditWriteKind::kRevoke && taken) return;
    revoked_ += write.kind == CreditWriteKind::kRevoke;
    if (found != credits_.end()) credits_.erase(found);
  }

  // What must be said before anything else, and the lanes: no step runs that is not told of.
  void AnswerAtOnce() {
    while (!asked_.empty() || core_->has_unstamped_frames()) {
      if (!asked_.empty()) {
        const auto [sequence, taken] = asked_.front();
        asked_.pop_front();
        core_->AnswerCredit(now_, sequence, taken, effects_);
      } else {
        core_->PassLimbo(now_, effects_);
      }
      TakeEffects();
    }
  }

  // With the completions of what is in flight.
  void Take() {
    TakeEffects();
    AnswerAtOnce();
    while (!running_.empty()) {
      const OpId op = running_.front();
      running_.pop_front();
      core_->Complete(now_, {.op = op, .outcome = Outcome::kOk}, effects_);
      TakeEffects();
      AnswerAtOnce();
    }
  }

  void Execute() {
    Take();
    while (Turn()) {
    }
  }

  std::unique_ptr<Core> core_;
  Effects effects_;
  std::deque<OpId> running_;
  Instant now_{1'000'000};
  uint64_t requests_ = 0;
  std::map<uint32_t, uint64_t> tickets_;
  std::map<uint32_t, uint64_t> ended_;
  std::map<std::pair<uint32_t, uint64_t>, Reply> replies_;
  std::vector<ClientId> ready_;
  SequenceId opened_;
  std::map<SequenceId, bool> credits_;  // Taken?
  std::deque<std::pair<SequenceId, bool>> asked_;
  uint32_t revoked_ = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_TESTS_MEMMGR_CORE_SERVED_CORE_H_
