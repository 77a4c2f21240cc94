#include "kernels/work_plan.h"

#include <algorithm>
#include <cstddef>

#include "kernels/mask.h"

namespace kvpager::kernels {
namespace {

// Pages of an entry that are worth a worker's time, in order: all but those between sinks and
// window.
struct SeenPages {
  int64_t sink_end = 0;
  int64_t window_first = 0;
  int64_t end = 0;

  int64_t count() const { return sink_end + end - window_first; }
  // The page that `seen` seen pages stand before.
  int64_t PageAt(int64_t seen) const {
    return seen < sink_end ? seen : seen - sink_end + window_first;
  }
};

SeenPages SeenPagesOf(const PagedKv& kv, const AttentionQuery& query, int32_t entry) {
  SeenPages seen;
  seen.end = kv.indptr[entry + 1] - kv.indptr[entry];
  if (query.mask.window_tokens == 0 || QueryCount(query, entry) == 0) return seen;
  int64_t window_first = EndPosition(kv, entry);
  for (int32_t token = 0; token < QueryCount(query, entry); ++token) {
    window_first = std::min(window_first, SightOf(kv, query, entry, token).window_first);
  }
  const auto pages_before = [&](int64_t position) {  // That end at `position` or before.
    int64_t low = 0;
    int64_t high = seen.end;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (PagePosition(kv, entry, middle) + kv.page_tokens <= position) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  };
  seen.window_first = pages_before(window_first);
  seen.sink_end =
      std::min(seen.window_first, pages_before(query.mask.sink_tokens + kv.page_tokens - 1));
  return seen;
}

int64_t CostOf(const PagedKv& kv, const AttentionQuery& query, int32_t entry) {
  return SeenPagesOf(kv, query, entry).count() * QueryCount(query, entry);
}

// Makes a plan piece by piece; `cost_` is what was handed out so far.
class Planner {
 public:
  Planner(const PagedKv& kv, const AttentionQuery& query, int32_t workers)
      : kv_(kv), query_(query), workers_(workers) {
    for (int32_t entry = 0; entry < kv.batch_size; ++entry) total_ += CostOf(kv, query, entry);
    plan_.worker_first.push_back(0);
  }

  WorkPlan Plan() {
    for (int32_t entry = 0; entry < kv_.batch_size; ++entry) AddEntry(entry);
    plan_.entry_first.push_back(static_cast<int32_t>(plan_.pieces.size()));
    while (plan_.workers() < workers_) EndWorker();
    return std::move(plan_);
  }

 private:
  void EndWorker() { plan_.worker_first.push_back(static_cast<int32_t>(plan_.pieces.size())); }

  // What all workers up to the current one are to have when it is done.
  int64_t Goal() const { return total_ * plan_.worker_first.size() / workers_; }

  void AddEntry(int32_t entry) {
    plan_.entry_first.push_back(static_cast<int32_t>(plan_.pieces.size()));
    const SeenPages seen = SeenPagesOf(kv_, query_, entry);
    const int64_t each = QueryCount(query_, entry);
    int64_t done = 0;  // Seen pages of this entry.
    do {
      while (plan_.workers() + 1 < workers_ && cost_ >= Goal()) EndWorker();
      int64_t count = seen.count() - done;
      if (plan_.workers() + 1 < workers_ && each > 0) {
        count = std::min(count, std::max<int64_t>(1, (Goal() - cost_ + each - 1) / each));
      }
      AddPiece(entry, seen, done, done + count);
      done += count;
      cost_ += count * each;
    } while (done < seen.count());
  }

  // Seen pages [first, end): from the start of the first to the end of the last, and whatever lies
  // between them is skipped by the kernel.
  void AddPiece(int32_t entry, const SeenPages& seen, int64_t first, int64_t end) {
    WorkPiece piece = {entry, {0, 0}};
    if (end > first) {
      const int64_t tokens = TokenCount(kv_, entry);
      piece.tokens.first = seen.PageAt(first) * kv_.page_tokens;
      piece.tokens.end = std::min(tokens, (seen.PageAt(end - 1) + 1) * kv_.page_tokens);
    }
    plan_.pieces.push_back(piece);
  }

  const PagedKv& kv_;
  const AttentionQuery& query_;
  int32_t workers_;
  int64_t total_ = 0;
  int64_t cost_ = 0;
  WorkPlan plan_;
};

}  // namespace

WorkPlan PlanWork(const PagedKv& kv, const AttentionQuery& query, int32_t workers) {
  return Planner(kv, query, workers).Plan();
}

}  // namespace kvpager::kernels
