// tools/kvpager-replay/runner.h
//
// Takes every request of a trace through one or two engines, several in flight at a time, in one
// thread: while the daemon fetches the pages of some steps, the engine works on another.
//
//   start   open the sequence, begin a step                  -> waiting
//   wait    for the oldest step: those of a client become ready in the order of begin
//   ready   compare, write, attend (step_work.h); end it; begin the next -> waiting, or close
//
// What may go wrong, and what then:
//   DATA_LOSS           the sequence was cut: what is missing is computed again
//   RESOURCE_EXHAUSTED  the request is put aside until another step has ended, and for a while
//                       fewer are in flight
//   UNAVAILABLE         a new client; its requests start over. Gives up after reconnect_seconds
//
// Ownership: borrows options and trace; owns engines and runs. Thread-safety: one thread.
// Errors: kUnavailable the daemon is lost; kCancelled stopped by the caller; anything else cannot
// be gone on with.

#ifndef KVPAGER_TOOLS_KVPAGER_REPLAY_RUNNER_H_
#define KVPAGER_TOOLS_KVPAGER_REPLAY_RUNNER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "tools/kvpager-replay/engine.h"
#include "tools/kvpager-replay/metrics.h"
#include "tools/kvpager-replay/options.h"
#include "tools/kvpager-replay/request_run.h"
#include "tools/kvpager-replay/step_work.h"
#include "tools/kvpager-replay/trace.h"

namespace kvpager::replay {

class Runner {
 public:
  // `turn` is called after every step, at most a few milliseconds apart; false stops the replay.
  using Turn = std::function<bool(const Metrics&)>;

  Runner(const Options& options, const Trace& trace, Metrics& metrics);

  absl::Status Attach();
  absl::Status Run(const Turn& turn);

  // Of the first engine. REQUIRES: Attach succeeded and the daemon is not lost.
  const Engine& engine() const { return *lanes_[0].engine; }
  uint64_t requests_total() const { return trace_.requests.size() * lanes_.size(); }

 private:
  // One engine and the requests it is at work on.
  struct Lane {
    uint32_t index = 0;
    std::unique_ptr<Engine> engine;
    uint32_t request_next = 0;
    std::vector<bool> finished;                       // [request]
    std::vector<std::unique_ptr<RequestRun>> active;  // All that have started.
    std::deque<RequestRun*> waiting;                  // Their steps, in the order of begin.
    std::deque<RequestRun*> aside;                    // To be gone on with: refused, or cut off.
    uint32_t in_flight_max = 0;                       // Fewer than asked for after a refusal.
  };

  absl::Status TakeTurn(Lane& lane, uint64_t wait_us);
  absl::Status StartRequests(Lane& lane);
  bool MayStart(const Lane& lane) const;
  absl::Status GoOn(Lane& lane, RequestRun& run);
  absl::Status OpenSequence(Lane& lane, RequestRun& run);
  absl::Status BeginStep(Lane& lane, RequestRun& run);
  absl::Status WaitForOldest(Lane& lane, uint64_t wait_us, bool& ready);
  absl::Status HandleReady(Lane& lane, RequestRun& run);
  absl::Status HandleFailure(Lane& lane, RequestRun& run, const absl::Status& status);
  absl::Status HandleLoss(Lane& lane, RequestRun& run);
  absl::Status NameBlocks(Lane& lane, RequestRun& run);
  absl::Status Finish(Lane& lane, RequestRun& run);
  absl::Status PutAside(Lane& lane, RequestRun& run, const absl::Status& status);
  absl::Status Reconnect(Lane& lane, const absl::Status& cause);
  void RecordStep(const RequestRun& run, const kvp_step_times& times);
  bool Done() const;
  bool AnybodyWaits() const;

  const Options& options_;
  const Trace& trace_;
  Metrics& metrics_;
  StepWork work_;
  std::vector<Lane> lanes_;
  uint64_t progress_ns_ = 0;  // When a step last became ready.
};

}  // namespace kvpager::replay

#endif  // KVPAGER_TOOLS_KVPAGER_REPLAY_RUNNER_H_
