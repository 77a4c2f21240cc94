// tests/sim/engine.h
//
// A fake engine: posts commands as its dice say, keeps the books that libkvpager would keep, and
// checks every answer. Its kernels write a step's new rows one at a time between the answer and the
// step's end.
//
//   engine_post.cc     what it asks for
//   engine_queue.cc    what is on its way; nonsense; what the drain asks for
//   engine_replies.cc  what an answer changes
//   engine_message_free.cc  steps that the core is not told of
//   engine_revoked.cc  what its process does after the core has taken everything back
//   engine_steps.cc    ready steps: views, content, ends
//
// All its commands go through one queue, in order, with a delay.

#ifndef KVPAGER_TESTS_SIM_ENGINE_H_
#define KVPAGER_TESTS_SIM_ENGINE_H_

#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "memmgr/core/command.h"
#include "memmgr/core/effect.h"
#include "memmgr/core/limbo.h"
#include "tests/sim/environment.h"
#include "tests/sim/model.h"

namespace kvpager::sim {

class Engine {
 public:
  Engine(Environment& environment, ClientId client, NamespaceId name_space, bool message_free);

  ClientId client() const { return client_; }
  NamespaceId name_space() const { return name_space_; }

  // Posts one command of the drawn kind, or nothing if it makes no sense now.
  void Act();
  bool Do(Action action);

  // The engine's process dies: nothing more is sent, nothing more is written.
  void Die();
  bool alive() const { return alive_; }

  // The core takes everything back, but the process cannot be killed: it sends nothing more, and
  // its kernels go on to write what they were about to.
  void Revoke();
  // From then until it ends, which its steps find out, or it dies.
  bool haunts() const { return haunts_; }
  void RunRevoked();
  void EndRevoked();
  // The core has let go of everything: the slot may be used again.
  bool released() const { return released_; }

  bool has_due() const;
  // Takes the oldest command that is due; its books are as if the core had it.
  Outgoing TakeDue();

  void OnReply(const Reply& reply, const Effects& effects);

  // It runs steps on resident pages without a message, and says so in its lanes.
  bool message_free() const { return message_free_; }
  const LaneCounters& lanes() {
    UpdateDone();
    return lanes_;
  }

  // What the core does to the word of a sequence's credit. Revoke: true if it was taken already.
  void GrantCredit(const CreditWrite& write);
  bool RevokeCredit(const CreditWrite& write);
  void ClearCredit(const CreditWrite& write);

  // Some rows of running steps arrive.
  void RunKernels();

  // ---- For the drain at the end
  bool quiet() const { return outbox_.empty() && pending_.empty() && steps_.empty(); }
  bool outbox_empty() const { return outbox_.empty(); }
  uint64_t next_due_ns() const { return outbox_.empty() ? ~uint64_t{0} : outbox_.front().due_ns; }
  bool has_ready_step() const;
  void EndAllReady();
  // Asks to close every sequence that is in no step. True if it asked for anything.
  bool CloseAll();
  void OpenText(const std::vector<Token>& text);
  // A step over all of the only sequence.
  void StepOverAll(uint32_t append_tokens);
  const std::list<ModelStep>& steps() const { return steps_; }
  const std::map<uint64_t, ModelSequence>& sequences() const { return sequences_; }
  const std::map<uint64_t, Pending>& pending() const { return pending_; }
  std::string Describe() const;

 private:
  // ---- engine_post.cc
  template <typename Body>
  uint64_t Post(const Body& body, Pending pending, bool wants_answer);
  ModelSequence* PickSequence();
  ModelSequence* Find(SequenceId id);
  Ticket NewestTicket(const ModelSequence& sequence) const;
  bool PostOpen();
  bool PostExtend();
  bool PostBegin();
  bool FillEntry(ModelSequence& sequence, StepEntry& entry);
  bool PostEnd();
  void PostEndOf(ModelStep& step);
  void NoteLosses(Ticket ticket);
  bool PostCancel();
  bool PostFork();
  bool PostTruncate();
  bool PostAccept();
  bool PostName();
  bool PostSuspend();
  bool PostResume();
  bool PostPrefetch();
  bool PostEvict();
  bool PostClose(ModelSequence& sequence);
  bool PostNonsense();
  bool WantsAnswer() const;

  // ---- engine_replies.cc
  void OnAnswer(const Reply& reply, const Effects& effects, const Pending& pending);
  void OnOpened(const Reply& reply, const Effects& effects, const Pending& pending);
  void OnExtended(const Reply& reply, const Effects& effects, const Pending& pending);
  void OnForked(const Reply& reply, const Effects& effects, const Pending& pending);
  void OnTruncated(const Reply& reply, const Effects& effects, const Pending& pending);
  void OnNamed(const Pending& pending);
  void OnCut(const Reply& reply, const Effects& effects);
  // Adopts what the reply says of the block list of `sequence`; its length must be as given.
  void Adopt(const Reply& reply, const Effects& effects, ModelSequence& sequence);
  void CheckReused(const Pending& pending, const ModelSequence& sequence) const;

  // ---- engine_message_free.cc
  bool TryMessageFree(ModelStep& step);
  bool MayRunMessageFree(const ModelStep& step);
  bool AllResident(const ModelStep& step);
  bool FitsWithCredit(const ModelSequence& sequence, uint32_t append_tokens) const;
  bool TakeCredits(const ModelStep& step);
  uint64_t WrittenTokens(const ModelSequence& sequence) const;
  void Report(ModelSequence& sequence);
  void ReportWritten(const ModelStep& ended);
  void UpdateDone();

  // ---- engine_revoked.cc
  void LandHaunt();

  // ---- engine_steps.cc
  void OnStepAnswer(const Reply& reply, const Effects& effects);
  void OnReady(ModelStep& step, const Reply& reply, const Effects& effects);
  void AppendTokens(ModelSequence& sequence, const StepEntry& entry);
  void View(ModelStep& step, const StepEntry& entry, const ModelSequence& sequence,
            const std::vector<Token>& tokens_before);
  FramePin PinPage(ModelStep& step, const ModelSequence& sequence, uint64_t position,
                   uint32_t group, bool written);
  void CheckRow(const RowRead& read, const char* when) const;
  void Land(ModelStep& step);
  // The step's end passes: everything it read was still right, everything it wrote is there.
  void PassEnd(ModelStep& step);
  void NoteRefusal(const ModelStep& step);
  void ReleasePins(ModelStep& step);
  void Forget(std::list<ModelStep>::iterator step);
  ModelStep* FirstUnended(uint32_t lane);

  [[noreturn]] void Complain(const std::string& what) const;

  Environment& env_;
  const ClientId client_;
  const NamespaceId name_space_;
  bool alive_ = true;
  bool released_ = false;
  bool haunts_ = false;
  std::vector<RowWrite> haunt_writes_;
  std::vector<FrameIndex> haunt_frames_;
  uint64_t requests_ = 0;
  std::map<uint64_t, ModelSequence> sequences_;
  std::list<ModelStep> steps_;  // In the order asked for.
  std::map<uint64_t, Pending> pending_;
  std::deque<Outgoing> outbox_;
  const bool message_free_;
  LaneCounters lanes_;
  std::map<uint64_t, ModelCredit> credits_;  // By sequence.
  std::vector<uint64_t> lane_numbers_;
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> rows_unwritten_;  // (frame, row) -> writers.
};

}  // namespace kvpager::sim

#endif  // KVPAGER_TESTS_SIM_ENGINE_H_
