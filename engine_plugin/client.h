// engine_plugin/client.h
//
// The C ABI of kvpager.h in C++, with absl::Status. kvpager.h says what each call means; here is
// how it is done.
//
//   waited   open, fork, resume, evict, durable name: an operation (operation.h) that is started,
//            and answers taken in until it is complete or its time is over. What was submitted is
//            the same, without the wait. Compact runs a step.
//   posted   truncate, name, suspend, close, prefetch, step end: send and go on. What the daemon
//            answers is taken in by later calls; an error is reported by the next call on that
//            sequence (of a prefetch: by the next prefetch).
//   steps    begin sends, wait takes in answers until the step's own has come.
//
// Errors. After kUnavailable the client is dead: every later call returns the same. A sequence
// whose contents the daemon and the library can no longer agree on is broken: kFailedPrecondition
// until it is closed. Everything else is as kvpager.h says.
//
// Ownership: sequences and steps belong to the client. Thread-safety: one thread at a time.

#ifndef KVPAGER_ENGINE_PLUGIN_CLIENT_H_
#define KVPAGER_ENGINE_PLUGIN_CLIENT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine_plugin/digest.h"
#include "engine_plugin/exchange.h"
#include "engine_plugin/link.h"
#include "engine_plugin/operation.h"
#include "engine_plugin/sequence.h"
#include "engine_plugin/sequence_table.h"
#include "engine_plugin/step.h"
#include "ipc/credit_word.h"
#include "ipc/deadline.h"
#include "memmgr/base/geometry.h"
#include "memmgr/base/ids.h"

namespace kvpager::engine {

inline constexpr size_t kStepsOpenMax = 128;  // So that their begins leave room for other requests.
inline constexpr size_t kSubmittedMax = 1024;  // And not drained.

struct ClientOptions {
  std::string socket_path;  // Empty: ClientSocketPath().
  std::string pool;
  std::string name_space;
  std::string token;
  std::string model;
  std::string engine_name;
  Geometry geometry;
  uint64_t timeout_us = 0;
  bool message_free = true;  // Steps on resident pages send nothing.
  Transport transport = Transport::kAutomatic;
  uint32_t spin_us = 0;  // With the ring.
  bool gpu = false;      // Frames of HBM are reached with a GPU.
};

struct NameOptions {
  uint32_t block_first = 0;
  bool durable = false;
  uint64_t timeout_us = 0;  // With durable.
};

struct PrefetchOptions {
  Tier tier = Tier::kHbm;
  uint64_t deadline_us = 0;
  uint32_t priority = 0;
};

enum class KeepOrDiscard { kKeep, kDiscard };

class Client {
 public:
  static absl::StatusOr<std::unique_ptr<Client>> Open(const ClientOptions& options);

  // Ends open steps with discard and waits until the daemon has taken in what was posted, so that
  // a name given last is not lost. At most the client's timeout. Then destroy the client.
  void Finish();

  const Geometry& geometry() const { return geometry_; }
  const PoolInfo& pool() const { return link_->pool(); }
  // Frame 0 of HBM, or of host memory (read-only; null if the pool has none).
  uint8_t* frames(Tier tier) const { return tier == Tier::kHbm ? link_->hbm() : link_->host(); }

  absl::StatusOr<uint64_t> OpenSequence(absl::Span<const Digest> keys, Reuse* reuse);
  absl::StatusOr<uint64_t> Fork(uint64_t parent);
  absl::Status Name(uint64_t sequence, absl::Span<const Digest> keys, const NameOptions& options);
  absl::Status Truncate(uint64_t sequence, uint64_t tokens);
  absl::Status Compact(uint64_t sequence, uint32_t lane, uint64_t base_tokens,
                       absl::Span<const uint32_t> accepted);
  absl::StatusOr<uint64_t> Length(uint64_t sequence);
  absl::Status Suspend(uint64_t sequence);
  absl::Status Resume(uint64_t sequence);
  absl::Status Prefetch(uint64_t sequence, const PrefetchOptions& options);
  absl::Status PrefetchKeys(absl::Span<const Digest> keys, const PrefetchOptions& options);
  absl::Status Evict(uint64_t sequence, Tier tier);
  absl::Status Close(uint64_t sequence);

  absl::StatusOr<Step*> BeginStep(uint32_t lane, StepResidency residency,
                                  absl::Span<const StepEntryRequest> entries);
  absl::Status WaitStep(Step* step, uint64_t timeout_us);
  // The lists of `group`; valid until the next call for this step. REQUIRES: tier is HBM or host.
  absl::StatusOr<const ViewLists*> ViewStep(Step* step, uint32_t group, Tier tier);
  absl::StatusOr<StepTimes> TimesOfStep(const Step* step);
  absl::Status EndStep(Step* step, KeepOrDiscard keep_or_discard);

  // ---- Without waiting (client_operations.cc) ----
  // Starts requests in their order; `accepted` says how many. What fails later than that, and
  // everything that succeeds, is told by Drain. kResourceExhausted: the rest is for later.
  absl::Status Submit(absl::Span<const OperationRequest> requests, size_t* accepted);
  // Takes in what has come, and appends what is complete, up to `max` in all. Once nothing is left
  // of a dead client, what it died of.
  absl::Status Drain(size_t max, std::vector<Completion>& completions);
  // Readable when Drain may have something to do. The client closes it.
  absl::StatusOr<int> EventFd();

 private:
  // Rows at and after this token are rewritten in place; none: all ones.
  static constexpr uint64_t kNoRewrite = ~uint64_t{0};
  // Handles of forks that the daemon has not answered; far from any id of the daemon.
  static constexpr uint64_t kForkHandles = uint64_t{1} << 63;

  Client(std::unique_ptr<Link> link, const ClientOptions& options)
      : geometry_(options.geometry),
        message_free_(options.message_free),
        timeout_us_(options.timeout_us),
        link_(std::move(link)),
        exchange_(*link_) {}

  // ---- Answers (client_answers.cc) ----
  absl::Status Die(absl::Status why);
  absl::Status Alive();                              // Takes in what has come, without waiting.
  absl::Status AliveLately();                        // The same, or it was done a moment ago.
  absl::Status NotRevoked();                         // One load; else the client is dead.
  absl::Status TakeInOne(const Deadline& deadline);  // kDeadlineExceeded: nothing came.
  absl::Status WaitForRoom(const Deadline& deadline);
  // Takes in answers until that of `request`, a StepCancel, has come, and returns it.
  absl::StatusOr<Answer> Await(uint64_t request, const Deadline& deadline);
  absl::Status Dispatch(Arrival arrival);
  absl::Status ApplyUpdates(const Arrival& arrival);
  absl::Status HandleStepAnswer(const Arrival& arrival);
  void HandlePostedError(const Arrival& arrival);
  absl::Status HandleNewSequence(const Arrival& arrival);

  // ---- Tokens that go away (client_answers.cc) ----
  // The step's answer was an error: its tokens, and those of later steps on top of them, are gone.
  absl::Status FailStep(Step* step, const absl::Status& why);
  // Blocks were lost: only `tokens_good` are left, less what open steps had put on top.
  absl::Status CutSequence(Sequence* sequence, uint64_t tokens_good, const Step* reported_by);
  enum class Readers { kKeep, kDrop };
  // The sequence ends at `tokens`; entries of steps after `after` that built on what is gone are
  // dropped with `why`. True if there was one.
  bool RollBack(Sequence* sequence, uint64_t tokens, const Step* after, Readers readers,
                const absl::Status& why);
  void RollBackForks(const Sequence* parent, uint64_t tokens);

  // ---- Operations (client_operations.cc) ----
  // Runs one to its end.
  absl::StatusOr<Completion> Call(const OperationRequest& request);
  Deadline DeadlineOf(const OperationRequest& request) const;
  void Start(Operation* operation);
  absl::Status StartOpen(Operation* operation);
  void StartWait(Operation* operation);
  absl::Status StartOnSequence(Operation* operation);
  absl::Status StartFork(Operation* operation, Sequence* parent);
  absl::Status StartName(Operation* operation, Sequence* sequence);
  static Pending PendingOf(const Operation& operation);
  static absl::Status Track(Operation* operation, const absl::StatusOr<uint64_t>& request);
  void StartUnresolved();
  void Advance(const Arrival& arrival);
  void AdvanceOpen(Operation* operation, const Answer& answer);
  void Complete(Operation* operation, const absl::Status& status);
  void CompleteWaits(Step* step, const absl::Status& status);
  void AbandonWaits(Step* step);
  void Expire(Operation* operation);
  void AbandonAll();
  void DropChild(const Operation& operation);
  void CloseUnseen(uint64_t handle);

  // ---- Requests (client_requests.cc) ----
  enum class Accept { kNo, kYes };
  absl::Status PostTruncate(Sequence* sequence, uint64_t tokens, Ticket ticket, Accept accept);
  absl::Status PostClose(uint64_t id);
  absl::StatusOr<uint64_t> SendOpen(absl::Span<const Digest> keys, const Pending& pending);
  absl::StatusOr<uint64_t> SendExtend(uint64_t id, absl::Span<const Digest> keys,
                                      const Pending& pending);
  absl::StatusOr<uint64_t> SendFork(uint64_t parent, Ticket after, const Pending& pending);
  absl::Status SendSuspend(const Sequence* sequence);
  // What steps without a message have appended since the daemon was told, and up to where the rows
  // are there.
  absl::Status SendAppended(Sequence* sequence, uint64_t written_tokens);
  absl::StatusOr<uint64_t> SendResume(uint64_t id, const Pending& pending);
  absl::StatusOr<uint64_t> SendEvict(uint64_t id, Tier tier, const Pending& pending);
  absl::StatusOr<uint64_t> SendStepCancel(Ticket cancelled);
  absl::Status PostStepEnd(Ticket ticket);
  enum class NameHow { kAtOnce, kDurably };
  absl::StatusOr<uint64_t> SendName(const Sequence* sequence, uint32_t block_first,
                                    absl::Span<const Digest> keys, NameHow how, Pending pending);
  absl::StatusOr<uint64_t> SendStepBegin(Step* step, uint64_t rewrite_from_tokens);
  absl::StatusOr<uint64_t> SendPrefetch(uint64_t id, absl::Span<const Digest> keys,
                                        const PrefetchOptions& options);

  // ---- Sequences (client_sequences.cc) ----
  // The sequence of a handle, alive, not broken, without a remembered error.
  absl::StatusOr<Sequence*> Usable(uint64_t handle);
  absl::StatusOr<Sequence*> UsableAsKnown(uint64_t handle);  // Without a look at what has come.
  // Waits until a fork that was posted has its id.
  absl::Status Resolve(Sequence* sequence, const Deadline& deadline);
  absl::Status CheckMayResolve(const Sequence& sequence);
  absl::Status NameDurably(uint64_t sequence, absl::Span<const Digest> keys,
                           const NameOptions& options);
  absl::Status PostName(const Sequence* sequence, const HeldName& name);
  uint64_t BlocksEndTokens(uint32_t block_first, size_t count) const;
  absl::Status CheckFullBlocks(const Sequence& sequence, uint32_t block_first, size_t count) const;
  static absl::Status InStep(std::string_view what);
  // Settled: what repeated steps have done to it, it shows.
  Sequence* FindById(uint64_t id);
  Sequence* FindByHandle(uint64_t handle);

  // ---- Steps (client_steps.cc) ----
  // A step that is not open, with `entries` as they are, checked.
  absl::StatusOr<std::unique_ptr<Step>> CheckEntries(uint32_t lane,
                                                     absl::Span<const StepEntryRequest> entries);
  std::unique_ptr<Step> SpareStep();
  absl::Status CheckEntry(uint32_t lane, size_t index, const StepEntryRequest& entry,
                          const Sequence& sequence) const;
  absl::StatusOr<Step*> BeginChecked(uint32_t lane, StepResidency residency,
                                     std::unique_ptr<Step> step, uint64_t rewrite_from_tokens);
  absl::Status EndNow(Step* step, KeepOrDiscard keep_or_discard);
  absl::Status OutcomeOf(const Step* step);  // Of one that is not pending.
  absl::Status CancelPending(Step* step);
  absl::Status EndReady(Step* step, KeepOrDiscard keep_or_discard);
  absl::Status SendHeldNames(Sequence* sequence, Ticket ended);
  void Remove(Step* step);
  void Spare(std::unique_ptr<Step> step);

  // ---- Steps without a message (client_message_free.cc) ----
  bool MayRunMessageFree(StepResidency residency, Step* step, uint64_t rewrite_from_tokens) const;
  // False, and nothing has changed: some page is not in HBM.
  bool TryMessageFree(uint32_t lane, Step* step);
  // Adds where the entry's pages are, by group. False: one of them is not in HBM.
  bool FindResident(const StepEntry& entry, Step* step) const;
  bool FindAllResident(Step* step) const;
  void PublishDone(uint32_t lane);
  // The block behind the sequence's last that the daemon has put at its disposal.
  std::optional<CreditWord> CreditOf(const Sequence& sequence) const;
  bool TakeCredit(Sequence* sequence);
  void UndoCredit(Sequence* sequence);
  // Undoes it if the sequence ends at `tokens`.
  void UndoCreditBehind(Sequence* sequence, uint64_t tokens);
  bool TakeCredits(const Step& step);
  void UndoCredits(const Step& step);
  // What the step has filled may be sealed, and perhaps the next credit comes.
  void ReportFilled(const Step& ended);

  // ---- The same batch as before (client_again.cc) ----
  // Whatever changes a sequence, other than beginning and keeping a step without a message, changes
  // this too: nearly all of it sends or takes in a message.
  // Reports of what such steps have filled change nothing here.
  uint64_t changes() const { return exchange_.activity() - reports_ + silent_changes_; }
  // The step, begun; null: there is no earlier one that it repeats, or not any more.
  Step* BeginAgain(uint32_t lane, absl::Span<const StepEntryRequest> entries);
  std::unique_ptr<Step> TakeRepeated(uint32_t lane, absl::Span<const StepEntryRequest> entries);
  bool Repeats(Step& step, absl::Span<const StepEntryRequest> entries) const;
  bool IsNewestOfItsSequences(Step& step) const;
  void Defer(Step* step);
  // What steps without a message change about their sequences waits until somebody looks at one.
  void Settle() {
    if (!deferred_.empty()) SettleNow();
  }
  void SettleNow();
  // True if nothing has happened to the step but its begin.
  bool is_undisturbed(const Step* step) const {
    return step->message_free && step->changes == changes();
  }
  void KeepDistinct(std::vector<Watch>& watches);
  void EndUndisturbed(Step* step);
  static void List(Step* step);
  static void Unlist(Step* step);
  // Says what such steps have appended. Before every message that depends on the length.
  absl::Status Report(Sequence* sequence);

  // ---- Compaction (client_compact.cc) ----
  absl::Status MoveRows(Step* step, uint64_t base_tokens, absl::Span<const uint32_t> accepted);

  const Geometry geometry_;
  const bool message_free_;
  const uint64_t timeout_us_;
  std::unique_ptr<Link> link_;
  Exchange exchange_;
  absl::Status dead_;
  absl::Status prefetch_error_;
  SequenceTable sequences_;
  std::unordered_map<uint64_t, Sequence*> sequences_by_id_;
  std::unordered_map<uint64_t, Answer> awaited_;  // Answers that Await has yet to fetch.
  Operations operations_;
  std::vector<uint64_t> unresolved_;  // Of them, those on a fork that has no id yet.
  uint64_t fork_handle_newest_ = 0;
  Lanes lanes_;
  std::vector<std::unique_ptr<Step>> spare_steps_;
  std::vector<Step*> deferred_;  // Spare or open; no two have a sequence in common.
  std::vector<bool> watched_;    // By counter; all false between calls.
  uint64_t silent_changes_ = 0;  // Names that wait, steps rolled back, death.
  uint64_t reports_ = 0;         // Of filled blocks.
  uint64_t checks_ = 0;          // Of lists of entries; repeats need none.
  uint64_t looked_at_ns_ = 0;    // When what had come was taken in.
};

}  // namespace kvpager::engine

#endif  // KVPAGER_ENGINE_PLUGIN_CLIENT_H_
