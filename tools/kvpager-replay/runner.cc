#include "tools/kvpager-replay/runner.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"
#include "tools/support/clock.h"

namespace kvpager::replay {
namespace {

constexpr uint64_t kWaitUs = 20'000;       // Of one engine alone; then the caller's turn.
constexpr uint64_t kWaitSharedUs = 200;    // Of one of several engines.
constexpr uint64_t kRefusalPauseUs = 500;  // Between attempts when nothing else goes on.
constexpr uint64_t kReconnectPauseUs = 50'000;
constexpr uint64_t kSecondNs = 1'000'000'000;
constexpr uint32_t kNameKeysMax = 256;  // Of one kvp_seq_name.

StepShape ShapeOf(const Options& options, const Engine& engine) {
  StepShape shape;
  shape.page_tokens = engine.geometry().page_tokens;
  shape.num_groups = engine.pool().num_groups;
  shape.prefill_blocks = options.prefill_blocks;
  // Half of the pool, so that a step which fits can be fetched while another one runs.
  shape.window_blocks = std::max(2u, engine.blocks_hbm() / 2);
  return shape;
}

bool IsLost(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kAborted;
}

absl::Status Explain(const RequestRun& run, const char* call, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("request ", run.index(), ": ", call, ": ",
                                                  std::string(status.message())));
}

}  // namespace

Runner::Runner(const Options& options, const Trace& trace, Metrics& metrics)
    : options_(options), trace_(trace), metrics_(metrics), work_(options, metrics) {
  lanes_.resize(options.engines);
  for (uint32_t i = 0; i < options.engines; ++i) {
    lanes_[i].index = i;
    lanes_[i].in_flight_max = options.in_flight;
    lanes_[i].finished.resize(trace.requests.size());
  }
}

absl::Status Runner::Attach() {
  for (Lane& lane : lanes_) {
    KVP_ASSIGN_OR_RETURN(lane.engine, Engine::Attach(options_, lane.index));
  }
  work_.ForgetFrames(lanes_[0].engine->pool().frames_hbm);
  return absl::OkStatus();
}

absl::Status Runner::Run(const Turn& turn) {
  progress_ns_ = tools::NowNs();
  while (!Done()) {
    const uint64_t wait_us = lanes_.size() == 1 ? kWaitUs : kWaitSharedUs;
    for (Lane& lane : lanes_) {
      if (absl::Status status = TakeTurn(lane, wait_us); !status.ok()) {
        if (!IsLost(status)) return status;
        KVP_RETURN_IF_ERROR(Reconnect(lane, status));
      }
    }
    if (!AnybodyWaits()) tools::PauseUs(kRefusalPauseUs);
    if (tools::NowNs() - progress_ns_ > options_.stall_seconds * kSecondNs) {
      return absl::DeadlineExceededError(
          absl::StrCat("no step became ready for ", options_.stall_seconds,
                       " seconds; kvpagerctl status may say why (--stall-seconds waits longer)"));
    }
    if (!turn(metrics_)) return absl::CancelledError("stopped");
  }
  return absl::OkStatus();
}

bool Runner::Done() const {
  return std::all_of(lanes_.begin(), lanes_.end(), [this](const Lane& lane) {
    return lane.request_next == trace_.requests.size() && lane.active.empty();
  });
}

bool Runner::AnybodyWaits() const {
  return std::any_of(lanes_.begin(), lanes_.end(),
                     [](const Lane& lane) { return !lane.waiting.empty(); });
}

// Everything this engine can do without waiting long.
absl::Status Runner::TakeTurn(Lane& lane, uint64_t wait_us) {
  KVP_RETURN_IF_ERROR(StartRequests(lane));
  bool ready = true;
  // One step if it is there; then the other engine has its turn.
  KVP_RETURN_IF_ERROR(WaitForOldest(lane, wait_us, ready));
  if (!ready) return absl::OkStatus();
  RequestRun& run = *lane.waiting.front();
  lane.waiting.pop_front();
  progress_ns_ = tools::NowNs();
  return HandleReady(lane, run);
}

// The second engine of a shared namespace follows the first one, whose blocks it wants.
bool Runner::MayStart(const Lane& lane) const {
  if (lane.request_next == trace_.requests.size()) return false;
  if (lane.active.size() >= lane.in_flight_max) return false;
  return lane.index == 0 || !options_.shared_namespace ||
         lanes_[lane.index - 1].finished[lane.request_next];
}

absl::Status Runner::StartRequests(Lane& lane) {
  for (size_t count = lane.aside.size(); count > 0; --count) {
    RequestRun& run = *lane.aside.front();
    lane.aside.pop_front();
    KVP_RETURN_IF_ERROR(GoOn(lane, run));
  }
  while (MayStart(lane)) {
    const uint32_t index = lane.request_next++;
    lane.active.push_back(std::make_unique<RequestRun>(
        index, trace_.requests[index], lane.engine->name_space(), ShapeOf(options_, *lane.engine)));
    KVP_RETURN_IF_ERROR(GoOn(lane, *lane.active.back()));
  }
  return absl::OkStatus();
}

// Does what the request needs next: a sequence, or a step.
absl::Status Runner::GoOn(Lane& lane, RequestRun& run) {
  absl::Status status = run.sequence == 0 ? OpenSequence(lane, run) : absl::OkStatus();
  if (status.ok()) status = BeginStep(lane, run);
  return status.ok() ? status : HandleFailure(lane, run, status);
}

absl::Status Runner::OpenSequence(Lane& lane, RequestRun& run) {
  const Engine& engine = *lane.engine;
  kvp_reuse reuse = {};
  reuse.struct_size = sizeof reuse;
  kvp_seq sequence = 0;
  const kvp_status code =
      kvp_seq_open(engine.client(), run.keys().data(), run.keys().size(), &sequence, &reuse);
  if (code == KVP_DEADLINE_EXCEEDED) {
    return absl::UnavailableError("the daemon did not answer kvp_seq_open in time");
  }
  if (code != KVP_OK) return Explain(run, "kvp_seq_open", engine.StatusOf(code));
  const uint64_t prompt_blocks = run.keys().size();
  if (reuse.tokens % engine.geometry().page_tokens != 0 ||
      reuse.tokens / engine.geometry().page_tokens > prompt_blocks) {
    return absl::FailedPreconditionError(absl::StrCat("request ", run.index(), ": ", reuse.tokens,
                                                      " tokens were reused, of a prompt of ",
                                                      prompt_blocks, " full blocks"));
  }
  run.Opened(sequence, reuse.tokens);
  std::copy(std::begin(reuse.hit_blocks), std::end(reuse.hit_blocks), run.hit_blocks.begin());
  if (!std::exchange(run.opened_before, true)) {
    metrics_.opens.emplace_back(lane.index, run.index());
  }
  run.PlanStep();
  return absl::OkStatus();
}

absl::Status Runner::BeginStep(Lane& lane, RequestRun& run) {
  const Engine& engine = *lane.engine;
  uint64_t length = 0;
  kvp_status code = kvp_seq_length(engine.client(), run.sequence, &length);
  if (code != KVP_OK) return Explain(run, "kvp_seq_length", engine.StatusOf(code));
  if (length < run.tokens()) return absl::DataLossError("cut between two steps");

  kvp_step_options options = {};
  options.struct_size = sizeof options;
  options.residency = KVP_RESIDENT;
  kvp_step_entry entry = {};
  entry.seq = run.sequence;
  entry.append_tokens = run.part_append_tokens();
  entry.num_groups = KVP_ALL;
  entry.first_block = run.part().first;
  entry.num_blocks = run.part().count;
  const uint64_t asked_ns = tools::NowNs();
  code = kvp_step_begin(engine.client(), &options, &entry, 1, &run.step);
  if (code != KVP_OK) {
    run.step = nullptr;
    return Explain(run, "kvp_step_begin", engine.StatusOf(code));
  }
  run.begun_ns = tools::NowNs();
  run.stall_ns = run.begun_ns - asked_ns;  // A step without a message is ready by then.
  metrics_.stalled_ns += run.stall_ns;
  lane.waiting.push_back(&run);
  return absl::OkStatus();
}

absl::Status Runner::WaitForOldest(Lane& lane, uint64_t wait_us, bool& ready) {
  ready = false;
  if (lane.waiting.empty()) return absl::OkStatus();
  RequestRun& run = *lane.waiting.front();
  const uint64_t begun_ns = tools::NowNs();
  const kvp_status code = kvp_step_wait(run.step, wait_us);
  const uint64_t waited_ns = tools::NowNs() - begun_ns;
  run.stall_ns += waited_ns;
  metrics_.stalled_ns += waited_ns;
  ready = code == KVP_OK;
  if (code == KVP_OK || code == KVP_DEADLINE_EXCEEDED) return absl::OkStatus();
  const absl::Status status = Explain(run, "kvp_step_wait", lane.engine->StatusOf(code));
  lane.waiting.pop_front();
  progress_ns_ = tools::NowNs();
  // What went wrong first says more than what ending it may say; it is freed either way.
  const kvp_status ended = kvp_step_end(std::exchange(run.step, nullptr), KVP_STEP_DISCARD);
  return ended == KVP_UNAVAILABLE ? lane.engine->StatusOf(ended) : HandleFailure(lane, run, status);
}

absl::Status Runner::HandleReady(Lane& lane, RequestRun& run) {
  const Engine& engine = *lane.engine;
  kvp_step_times times = {};
  times.struct_size = sizeof times;
  absl::Status status = engine.StatusOf(kvp_step_get_times(run.step, &times));
  RecordStep(run, times);
  run.refused_since_ns = 0;
  if (status.ok()) status = work_.Perform(engine, run, times);
  const kvp_status ended = kvp_step_end(std::exchange(run.step, nullptr),
                                        status.ok() ? KVP_STEP_KEEP : KVP_STEP_DISCARD);
  if (status.ok() && ended != KVP_OK) status = engine.StatusOf(ended);
  if (!status.ok()) return HandleFailure(lane, run, Explain(run, "a step that was ready", status));

  if (!run.at_last_part()) {
    run.NextPart();
    return GoOn(lane, run);
  }
  run.StepKept();
  if (status = NameBlocks(lane, run); !status.ok()) return HandleFailure(lane, run, status);
  if (run.finished()) return Finish(lane, run);
  run.PlanStep();
  return GoOn(lane, run);
}

// The prompt's full blocks that are there and have no name yet. What is decoded stays private: a
// trace does not say which later prompts contain it.
absl::Status Runner::NameBlocks(Lane& lane, RequestRun& run) {
  const uint64_t full = run.tokens() / lane.engine->geometry().page_tokens;
  const auto end = static_cast<uint32_t>(std::min<uint64_t>(full, run.keys().size()));
  while (run.blocks_named < end) {
    const uint32_t count = std::min(end - run.blocks_named, kNameKeysMax);
    const kvp_status code = kvp_seq_name(lane.engine->client(), run.sequence, run.blocks_named,
                                         run.keys().data() + run.blocks_named, count, 0, 0);
    if (code == KVP_RESOURCE_EXHAUSTED) {  // A name is worth a try after the next step.
      ++metrics_.exhausted_retries;
      return absl::OkStatus();
    }
    if (code != KVP_OK) return Explain(run, "kvp_seq_name", lane.engine->StatusOf(code));
    run.blocks_named += count;
  }
  return absl::OkStatus();
}

absl::Status Runner::Finish(Lane& lane, RequestRun& run) {
  const kvp_status code = kvp_seq_close(lane.engine->client(), run.sequence);
  if (code != KVP_OK && code != KVP_DATA_LOSS) {  // What was lost is not wanted any more.
    return Explain(run, "kvp_seq_close", lane.engine->StatusOf(code));
  }
  const uint64_t reused = (uint64_t{run.hit_blocks[0]} + run.hit_blocks[1] + run.hit_blocks[2]) *
                          lane.engine->geometry().page_tokens;
  ++metrics_.requests;
  metrics_.lookup_blocks += run.keys().size();
  for (size_t tier = 0; tier < KVP_TIER_COUNT; ++tier) {
    metrics_.hit_blocks[tier] += run.hit_blocks[tier];
  }
  metrics_.prefilled_tokens += run.prompt_tokens() - std::min(run.prompt_tokens(), reused);
  metrics_.decoded_tokens += run.decoded_tokens();
  if (lane.in_flight_max < options_.in_flight && metrics_.requests % 32 == 0) ++lane.in_flight_max;
  lane.finished[run.index()] = true;
  std::erase_if(lane.active, [&run](const auto& active) { return active.get() == &run; });
  return absl::OkStatus();
}

// A call failed, and `run` has no step: decides how it goes on. Only what nothing can be done about
// is returned.
absl::Status Runner::HandleFailure(Lane& lane, RequestRun& run, const absl::Status& status) {
  if (status.code() == absl::StatusCode::kDataLoss) return HandleLoss(lane, run);
  if (status.code() == absl::StatusCode::kResourceExhausted) return PutAside(lane, run, status);
  return status;
}

absl::Status Runner::HandleLoss(Lane& lane, RequestRun& run) {
  uint64_t length = 0;
  const kvp_status code = kvp_seq_length(lane.engine->client(), run.sequence, &length);
  if (code != KVP_OK) return Explain(run, "kvp_seq_length", lane.engine->StatusOf(code));
  ++metrics_.data_losses;
  if (length < run.tokens()) metrics_.blocks_recomputed += run.CutTo(length);
  if (run.finished()) return Finish(lane, run);
  run.PlanStep();
  lane.aside.push_back(&run);
  return absl::OkStatus();
}

absl::Status Runner::PutAside(Lane& lane, RequestRun& run, const absl::Status& status) {
  ++metrics_.exhausted_retries;
  lane.in_flight_max = std::max(1u, std::min(lane.in_flight_max, options_.in_flight) - 1);
  lane.aside.push_back(&run);
  const uint64_t now_ns = tools::NowNs();
  if (run.refused_since_ns == 0) run.refused_since_ns = now_ns;
  // Nothing else holds anything, and still it is refused: it never will fit.
  if (!AnybodyWaits() && now_ns - run.refused_since_ns > 5 * kSecondNs) {
    return absl::ResourceExhaustedError(
        absl::StrCat(std::string(status.message()),
                     "; nothing else is in flight, so the pool is too small: give the daemon more "
                     "hbm or host blocks, or replay with fewer --prefill-blocks"));
  }
  return absl::OkStatus();
}

absl::Status Runner::Reconnect(Lane& lane, const absl::Status& cause) {
  lane.waiting.clear();
  lane.aside.clear();
  lane.engine.reset();
  for (const std::unique_ptr<RequestRun>& run : lane.active) {
    run->Reset();
    lane.aside.push_back(run.get());
  }
  const uint64_t end_ns = tools::NowNs() + options_.reconnect_seconds * kSecondNs;
  while (true) {
    absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Attach(options_, lane.index);
    if (engine.ok()) {
      lane.engine = *std::move(engine);
      break;
    }
    const bool may_come_back = IsLost(engine.status()) ||
                               engine.status().code() == absl::StatusCode::kNotFound ||
                               engine.status().code() == absl::StatusCode::kDeadlineExceeded;
    if (!may_come_back) return engine.status();
    if (tools::NowNs() >= end_ns) {
      return absl::UnavailableError(absl::StrCat(
          "lost the daemon (", std::string(cause.message()), ") and could not reach it again in ",
          options_.reconnect_seconds, " seconds: ", std::string(engine.status().message())));
    }
    tools::PauseUs(kReconnectPauseUs);
  }
  ++metrics_.reconnects;
  metrics_.requests_restarted += lane.active.size();
  work_.ForgetFrames(lane.engine->pool().frames_hbm);
  progress_ns_ = tools::NowNs();
  return absl::OkStatus();
}

// How long a step waited. Nobody can see it from here while the engine computes; so it is what the
// daemon says, or how long the engine stood still for it, whichever is more.
void Runner::RecordStep(const RequestRun& run, const kvp_step_times& times) {
  const uint64_t by_daemon = times.queue_ns + times.room_ns + times.nvme_ns + times.host_ns;
  ++metrics_.steps;
  metrics_.wait_ns.total.Add(std::max(by_daemon, run.stall_ns));
  metrics_.wait_ns.queue.Add(times.queue_ns);
  metrics_.wait_ns.room.Add(times.room_ns);
  metrics_.wait_ns.nvme.Add(times.nvme_ns);
  metrics_.wait_ns.host.Add(times.host_ns);
  metrics_.promoted_host_pages += times.promoted_host_pages;
  metrics_.promoted_nvme_pages += times.promoted_nvme_pages;
}

}  // namespace kvpager::replay
