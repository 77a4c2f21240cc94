// tests/sim/epoch_model.h
//
// A model of the message-free step (docs/SHARED_PAGE_TABLE.md), small enough that every state
// it can reach is visited (epoch_checker.h). Two engines, each a host thread and lanes on which its
// kernels run, and the daemon. Whatever another party can see is one move: a load, a store, the end
// of a kernel. Moves interleave in every order, which is what seq_cst promises.
//
//   engine   begin -> [load the count] -> load the words -> launch
//                        \ unchanged: reuse the view       \ a word is not valid: fault ->
//                                                 wait -> begin, pinned -> load the words -> launch
//   lane     a kernel reads its frames one by one -> end (done = ticket)
//   daemon   withdraw a word, the frame is in limbo -> [raise the count] -> sample `begun` of every
//            lane -> wait until `done` has reached each sample -> free -> fill -> publish
//
// What must hold:
//
//   G1  a frame that a step read from the page table is not reused before that step's end
//   G3  a page that a step asked for by a fault stays until that step ends
//   and from every state everything can still finish (no deadlock)
//
// Variant{} is the protocol; each field that differs from its default is a choice that was
// considered. A step's pages are a bit mask; tickets count from 1 in each lane.

#ifndef KVPAGER_TESTS_SIM_EPOCH_MODEL_H_
#define KVPAGER_TESTS_SIM_EPOCH_MODEL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace kvpager::epoch {

inline constexpr size_t kEngines = 2;
inline constexpr size_t kPagesMax = 3;
inline constexpr size_t kFramesMax = 2;
inline constexpr size_t kLanesMax = 2;
inline constexpr size_t kStepsMax = 2;                // Of one engine.
inline constexpr size_t kStepPagesMax = 2;            // That one step reads.
inline constexpr size_t kKernelsMax = 2 * kStepsMax;  // A step that faults enqueues two ends.

// Every byte of State is at most 15, so that two of them fit into one: see epoch_checker.cc.
inline constexpr uint8_t kNone = 15;

// What an engine shows of its steps.
enum class EpochWords : uint8_t {
  kBegunAndDone,  // Per lane, two counters that only grow.
  kSingleSlot,    // One word: the ticket that runs, 0 if none.
};

// What a step that missed does with the epoch it began.
enum class FaultExit : uint8_t {
  kEndInLaneOrder,  // Enqueues its end behind older work of the lane.
  kHostStore,       // Stores the end from the host, whatever still runs.
  kStayInside,      // Does not end it, and waits for its pages inside.
};

// How a page is taken away, store by store. Where withdrawals are counted, an engine that finds the
// count as it was reuses the view that it has.
enum class RemovalOrder : uint8_t {
  kWithdrawSample,
  kSampleWithdraw,
  kWithdrawCountSample,
  kCountWithdrawSample,
  kWithdrawSampleCount,
};

enum class BeginStore : uint8_t { kSeqCst, kStoreBuffer };
enum class LaneOrder : uint8_t { kInOrder, kAnyOrder };
enum class FaultPin : uint8_t { kUntilStepEnds, kUntilCompletion };
// What happens to a fault on a page whose frame is in limbo.
enum class LimboFault : uint8_t { kRescue, kFillAgain };
enum class Eviction : uint8_t { kAtAnyTime, kOnDemand };
enum class EngineDeath : uint8_t { kNever, kFramesWaitForContext, kFramesReusedAtLeaseEnd };

struct Variant {
  uint8_t pages = 2;
  uint8_t frames = 2;
  std::array<uint8_t, kEngines> steps = {2, 1};
  uint8_t step_pages_max = 2;
  uint8_t steps_in_flight_max = 2;  // Launched by one engine and not ended.
  uint8_t lanes = 1;
  uint8_t withdrawals_max = 0;  // 0: any number.

  EpochWords epoch_words = EpochWords::kBegunAndDone;
  FaultExit fault_exit = FaultExit::kEndInLaneOrder;
  FaultPin fault_pin = FaultPin::kUntilStepEnds;
  LimboFault limbo_fault = LimboFault::kRescue;
  RemovalOrder removal_order = RemovalOrder::kWithdrawSample;
  BeginStore begin_store = BeginStore::kSeqCst;
  LaneOrder lane_order = LaneOrder::kInOrder;
  Eviction eviction = Eviction::kAtAnyTime;
  EngineDeath death = EngineDeath::kNever;  // Of engine 0.
};

// In stream order. Without pages it is the bare end of a step that gave up.
struct Kernel {
  uint8_t ticket = 0;
  uint8_t pages = 0;
  uint8_t pages_read = 0;
  std::array<uint8_t, kStepPagesMax> frames = {kNone, kNone};
};

struct Lane {
  uint8_t issued = 0;  // The newest ticket.
  uint8_t begun = 0;   // With kSingleSlot, lane 0: the slot.
  uint8_t done = 0;
  uint8_t kernels_count = 0;
  std::array<Kernel, kKernelsMax> kernels;
};

struct Pin {
  uint8_t pages = 0;
  uint8_t lane = 0;
  uint8_t ticket = 0;  // 0: no pin.
};

enum class FaultPhase : uint8_t { kUnused, kPosted, kCompleted };

struct Fault {
  FaultPhase phase = FaultPhase::kUnused;
  uint8_t pages = 0;
  uint8_t lane = 0;
  uint8_t ticket = 0;
};

// Frames that an engine found earlier, and the count that it loaded before.
struct View {
  uint8_t pages = 0;  // 0: no view.
  uint8_t count = 0;
  std::array<uint8_t, kStepPagesMax> frames = {kNone, kNone};
};

enum class Life : uint8_t {
  kAlive,
  kHostKilled,
  kGone
};  // A killed host leaves its kernels running.
enum class HostPhase : uint8_t { kIdle, kLoadCount, kLoadWords, kMissed, kWaiting, kPinned };

struct Engine {
  Life life = Life::kAlive;
  HostPhase phase = HostPhase::kIdle;
  uint8_t steps_launched = 0;
  uint8_t pages = 0;  // Of the step that is being prepared.
  uint8_t lane = 0;
  uint8_t words_loaded = 0;
  uint8_t count_loaded = 0;
  uint8_t begun_buffered = 0;  // Stored, but not seen by others yet; 0: nothing.
  std::array<uint8_t, kStepPagesMax> frames = {kNone, kNone};
  Fault fault;
  std::array<Pin, kStepsMax> pins;
  View view;
  std::array<Lane, kLanesMax> lanes;
};

enum class FrameUse : uint8_t { kFree, kPublished, kLimbo, kFilling };

struct Frame {
  FrameUse use = FrameUse::kFree;
  uint8_t page = kNone;
  uint8_t content = kNone;                                         // The page whose bytes it holds.
  std::array<std::array<uint8_t, kLanesMax>, kEngines> samples{};  // 0: nothing to wait for.
};

struct Removal {
  uint8_t frame = kNone;  // kNone: no removal is under way.
  uint8_t act = 0;        // The next one, in RemovalOrder.
  uint8_t slot = 0;       // The next one to sample.
};

struct State {
  std::array<Engine, kEngines> engines;
  std::array<uint8_t, kPagesMax> words = {kNone, kNone, kNone};  // The page table: frames.
  uint8_t count = 0;        // Of withdrawals, as engines see it.
  uint8_t withdrawals = 0;  // Only if withdrawals_max is set.
  std::array<Frame, kFramesMax> frames;
  Removal removal;
  std::array<uint8_t, kEngines> faults = {kNone,
                                          kNone};  // Engines whose fault waits, oldest first.
};

enum class Verdict : uint8_t { kHolds, kFrameReused, kPageGone, kDeadlock };

struct Move {
  State to;
  Verdict verdict = Verdict::kHolds;  // Otherwise the move itself breaks G1 or G3.
  std::string sentence;
};

enum class Sentences : uint8_t { kOmitted, kWritten };

State FirstState(const Variant& variant);

// True if every engine that is still there has run all its steps.
bool IsFinal(const Variant& variant, const State& state);

// Lists what may happen next, in a fixed order.
void ListMoves(const Variant& variant, const State& state, Sentences sentences,
               std::vector<Move>& moves);

}  // namespace kvpager::epoch

#endif  // KVPAGER_TESTS_SIM_EPOCH_MODEL_H_
