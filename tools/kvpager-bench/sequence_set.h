// tools/kvpager-bench/sequence_set.h
//
// A batch of sequences of one length, whose page ids lie as asked for.
//
//   runs        each sequence was filled at once: its ids are neighbours
//   scattered   all sequences grew by a page in turn, in an order drawn anew each time: two
//               neighbours in a sequence are at least 16 ids apart, in cache lines of their own
//
// Beyond kDistinctPagesMax pages sequences share blocks, as forks of each other.
//
// Ownership: the sequences; closed by the destructor. Thread-safety: one thread.

#ifndef KVPAGER_TOOLS_KVPAGER_BENCH_SEQUENCE_SET_H_
#define KVPAGER_TOOLS_KVPAGER_BENCH_SEQUENCE_SET_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/kvpager-bench/engine.h"

namespace kvpager::bench {

inline constexpr uint64_t kDistinctPagesMax = uint64_t{1} << 18;

enum class PageIds { kRuns, kScattered };

struct SequenceSetOptions {
  uint32_t sequences = 1;
  uint32_t pages = 1;  // Of each.
  PageIds ids = PageIds::kRuns;
};

class SequenceSet {
 public:
  static absl::StatusOr<std::unique_ptr<SequenceSet>> Make(const Engine& engine,
                                                           const SequenceSetOptions& options);
  ~SequenceSet();
  SequenceSet(const SequenceSet&) = delete;
  SequenceSet& operator=(const SequenceSet&) = delete;

  const std::vector<kvp_seq>& sequences() const { return sequences_; }
  uint64_t pages() const { return pages_; }  // Of all sequences.

 private:
  explicit SequenceSet(const Engine& engine) : engine_(engine) {}
  absl::Status Open(uint32_t count, std::vector<kvp_seq>& into);
  absl::Status FillInRuns(uint32_t pages);
  absl::Status FillInTurns(uint32_t pages);

  const Engine& engine_;
  std::vector<kvp_seq> sequences_;
  std::vector<kvp_seq> fillers_;  // What lies between the pages of few sequences.
  uint64_t pages_ = 0;
};

}  // namespace kvpager::bench

#endif  // KVPAGER_TOOLS_KVPAGER_BENCH_SEQUENCE_SET_H_
