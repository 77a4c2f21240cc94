// tools/kvpager-replay/step_work.h
//
// What an engine does while a step is ready: compare, write, attend, compare.
//
// Every page of a request is compared, in full, when the request first sees it, whenever it may
// have moved since, and in the request's last step. It may have moved if
//   V1  it is in another frame than the one where this request compared it, or
//   V2  this step brought pages from another tier, or
//   V3  the frame has held something else meanwhile.
// A move that none of the three shows was made for another step, of this run, whose V2 compared
// the page in its new frame.
//
// Ownership: borrows all it is given. Thread-safety: one thread. Errors: a wrong page, a view that
// makes no sense and a wrong attention output are counted and told, and the replay goes on.

#ifndef KVPAGER_TOOLS_KVPAGER_REPLAY_STEP_WORK_H_
#define KVPAGER_TOOLS_KVPAGER_REPLAY_STEP_WORK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kernels/cpu/attend.h"
#include "tools/kvpager-replay/content.h"
#include "tools/kvpager-replay/engine.h"
#include "tools/kvpager-replay/metrics.h"
#include "tools/kvpager-replay/options.h"
#include "tools/kvpager-replay/request_run.h"

namespace kvpager::replay {

// One page of a step, as a view lists it.
struct PagePlace {
  uint32_t block = 0;
  uint32_t group = 0;
  uint32_t frame = 0;
  uint32_t tokens = 0;  // That hold content.
};

// What is wrong with a view of the step's current part, or empty.
std::string ViewFault(const Engine& engine, const RequestRun& run, const kvp_view& view);

class StepWork {
 public:
  StepWork(const Options& options, Metrics& metrics);

  // The pool is new: nothing is known of its frames.
  void ForgetFrames(uint32_t frames_hbm);

  // `run`'s step is ready, and took `times`. An error is one of the library's.
  absl::Status Perform(const Engine& engine, RequestRun& run, const kvp_step_times& times);

 private:
  enum class When : uint8_t { kBeforeWriting, kAfterWriting };

  void WorkOnGroup(const Engine& engine, RequestRun& run, const kvp_view& view, uint32_t group);
  void ComparePages(const Engine& engine, RequestRun& run, const kvp_view& view, uint32_t group,
                    When when);
  bool MustCompare(const PagePlace& page, RequestRun& run) const;
  bool Compare(const Engine& engine, const kvp_view& view, const RequestRun& run,
               const PagePlace& page);
  void WriteTokens(const Engine& engine, RequestRun& run, const kvp_view& view, uint32_t group);
  void Attend(const Engine& engine, RequestRun& run, const kvp_view& view, uint32_t layer);
  void CheckAttention(const RequestRun& run, const kernels::PagedKv& kv, uint32_t layer);
  void MakeQuery(const RequestRun& run, uint32_t layer);
  kernels::AttentionQuery query() const;
  void TellMismatch(const RequestRun& run, const PagePlace& page, const ContentRows& rows,
                    const ContentPlace& place);
  bool MayTell(uint64_t count) const;

  const Options& options_;
  Metrics& metrics_;
  kvp_step_times times_{};               // Of the step at hand.
  std::vector<uint64_t> frame_content_;  // What each frame was last seen to hold.
  uint64_t decode_steps_ = 0;
  bool checks_attention_ = false;  // In the step at hand.
  kernels::AttentionStates states_;
  std::vector<float> query_;
  std::vector<float> output_;
  std::vector<float> lse_;
  std::vector<float> reference_output_;
  std::vector<float> reference_lse_;
};

}  // namespace kvpager::replay

#endif  // KVPAGER_TOOLS_KVPAGER_REPLAY_STEP_WORK_H_
