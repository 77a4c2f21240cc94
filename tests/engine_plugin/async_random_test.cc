// An event loop that does anything in any order: submits, drains when epoll says so and when it
// does not, fetches some or all, calls what blocks, begins, waits for and ends steps. Every
// submission completes exactly once, with what the call of that name would have returned. Prints
// the seed that fails; KVPAGER_TEST_SEED=N starts at another one.

#include <sys/epoll.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>
#include <random>
#include <vector>

#include "ipc/unique_fd.h"
#include "tests/engine_plugin/async_fixture.h"

namespace kvpager::engine {
namespace {

constexpr size_t kSequencesMax = 12;
constexpr uint64_t kTokensMax = 24;

class EventLoop : public AsyncFixture {
 protected:
  void Start(uint64_t seed, uint32_t transport) {
    random_.seed(seed);
    const OpenArguments arguments(
        big_daemon_.socket_path(),
        {.pinned_steps = static_cast<uint32_t>(seed % 2), .transport = transport});
    ASSERT_EQ(kvp_client_open(&arguments.options, &client_), KVP_OK) << kvp_last_error();
    ASSERT_EQ(kvp_event_fd(client_, &fd_), KVP_OK) << Error();
    epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = seed;
    ASSERT_EQ(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd_, &event), 0);
  }

  void Stop() {
    while (!outstanding_.empty() && !HasFailure()) Loop();
    while (!steps_.empty() && !HasFailure()) EndOldestStep();
    ExpectQuiet();
    epoll_event event{};
    EXPECT_EQ(epoll_wait(epoll_.get(), &event, 1, 0), 0);
    sequences_.clear();
    Detach();
  }

  void Turn() {
    switch (Draw(14)) {
      case 0:
      case 1:
        return SubmitOpen();
      case 2:
        return SubmitOn(KVP_OP_FORK);
      case 3:
        return SubmitOn(KVP_OP_RESUME);
      case 4:
        return SubmitOn(KVP_OP_EVICT);
      case 5:
        return SubmitOn(KVP_OP_NAME);
      case 6:
        return BeginStep();
      case 7:
        return EndOldestStep();
      case 8:
        return Block();
      case 9:
        return CloseSome();
      case 10:
        return Take(Drain(Draw(4)));  // Whether or not there is anything.
      default:
        return Loop();
    }
  }

  size_t completed_count() const { return completed_count_; }

 private:
  struct Sequence {
    uint64_t length = 0;  // With its steps.
    size_t steps = 0;
  };
  struct OpenStep {
    kvp_step* step = nullptr;
    kvp_seq seq = 0;
  };
  struct Outstanding {
    uint32_t op = 0;
    kvp_seq seq = 0;
    uint64_t length = 0;  // Fork: of the child.
  };

  uint32_t Draw(uint32_t count) { return static_cast<uint32_t>(random_() % count); }
  Sequence* Any(kvp_seq* seq) {
    if (sequences_.empty()) return nullptr;
    const auto at = std::next(sequences_.begin(), Draw(static_cast<uint32_t>(sequences_.size())));
    *seq = at->first;
    return &at->second;
  }

  void Submit(kvp_request request, Outstanding what) {
    what.op = request.op;
    if (request.op == KVP_OP_OPEN || request.op == KVP_OP_FORK) ++opening_count_;
    request.user_data = ++user_data_newest_;
    outstanding_[request.user_data] = what;
    AsyncFixture::Submit({request});
  }

  bool MayOpen() const { return sequences_.size() + opening_count_ < kSequencesMax; }
  void SubmitOpen() {
    const std::vector<kvp_block_key> keys = Keys(Draw(4), Draw(7));
    if (MayOpen()) Submit(OpenRequest(0, keys), {});
  }

  void SubmitOn(uint32_t op) {
    kvp_seq seq = 0;
    const Sequence* sequence = Any(&seq);
    if (sequence == nullptr) return;
    if (op == KVP_OP_FORK && !MayOpen()) return;
    const bool is_in_step = sequence->steps > 0;
    if (is_in_step && (op == KVP_OP_RESUME || op == KVP_OP_NAME)) return;
    const std::vector<kvp_block_key> keys =
        Keys(Draw(4), static_cast<uint32_t>(sequence->length / kPageTokens));
    kvp_request request = NameRequest(0, seq, keys);
    request.op = op;
    request.tier = KVP_TIER_HOST;
    Submit(request, {.seq = seq, .length = sequence->length});
  }

  void BeginStep() {
    kvp_seq seq = 0;
    Sequence* sequence = Any(&seq);
    if (sequence == nullptr || steps_.size() >= 20) return;
    const uint32_t append = sequence->length < kTokensMax ? Draw(4) : 0;
    kvp_step* step = Begin({Entry(seq, append)}, static_cast<uint32_t>(seq % 8));
    ASSERT_NE(step, nullptr);
    sequence->length += append;
    ++sequence->steps;
    steps_.push_back({step, seq});
    Submit(WaitRequest(0, step), {.seq = seq});
  }

  // After a wait that blocks, beside the one that was submitted.
  void EndOldestStep() {
    if (steps_.empty()) return;
    const OpenStep oldest = steps_.front();
    steps_.pop_front();
    EXPECT_EQ(kvp_step_wait(oldest.step, kLongUs), KVP_OK) << Error();
    EXPECT_EQ(kvp_step_end(oldest.step, KVP_STEP_KEEP), KVP_OK) << Error();
    --sequences_.at(oldest.seq).steps;
  }

  void Block() {
    kvp_seq seq = 0;
    if (Any(&seq) == nullptr) return;
    if (Draw(2) == 0) {
      EXPECT_EQ(kvp_seq_evict(client_, seq, KVP_TIER_HOST), KVP_OK) << Error();
    } else if (!steps_.empty()) {
      const kvp_status status = kvp_step_wait(steps_.front().step, Draw(2) == 0 ? 0 : kLongUs);
      EXPECT_TRUE(status == KVP_OK || status == KVP_DEADLINE_EXCEEDED) << Error();
    }
  }

  void CloseSome() {
    kvp_seq seq = 0;
    const Sequence* sequence = Any(&seq);
    if (sequence == nullptr || sequence->steps > 0) return;
    for (const auto& [user_data, what] : outstanding_) {
      if (what.seq == seq && what.op != KVP_OP_EVICT) return;
    }
    EXPECT_EQ(kvp_seq_close(client_, seq), KVP_OK) << Error();
    sequences_.erase(seq);
  }

  void Loop() {
    if (outstanding_.empty()) return;
    // Forks behind steps complete when those have ended, and that is up to us.
    while (!IsAnythingDue() && !steps_.empty()) EndOldestStep();
    epoll_event event{};
    ASSERT_EQ(epoll_wait(epoll_.get(), &event, 1, kWatchdogMs), 1)
        << outstanding_.size() << " outstanding, nothing to drain";
    Take(Drain(1 + Draw(6)));
  }
  bool IsAnythingDue() const {
    return std::any_of(outstanding_.begin(), outstanding_.end(), [](const auto& each) {
      return each.second.op != KVP_OP_FORK && each.second.op != KVP_OP_STEP;
    });
  }

  void Take(const std::vector<Done>& found) {
    EXPECT_EQ(drained_, KVP_OK) << Error();
    for (const Done& done : found) {
      const auto at = outstanding_.find(done.completion.user_data);
      ASSERT_NE(at, outstanding_.end()) << "it completed twice";
      const Outstanding what = at->second;
      outstanding_.erase(at);
      ++completed_count_;
      EXPECT_EQ(done.completion.op, what.op);
      EXPECT_EQ(done.completion.status, KVP_OK) << done.error;
      if (what.op != KVP_OP_OPEN && what.op != KVP_OP_FORK) continue;
      --opening_count_;
      ASSERT_NE(done.completion.seq, 0u);
      const bool is_open = what.op == KVP_OP_OPEN;
      const uint64_t length = is_open ? done.completion.reuse_tokens : what.length;
      EXPECT_EQ(Length(done.completion.seq), length);
      sequences_[done.completion.seq].length = length;
    }
  }

  FakeDaemon big_daemon_{{.blocks_max = 512}};
  UniqueFd epoll_;
  std::mt19937_64 random_;
  std::map<kvp_seq, Sequence> sequences_;
  std::deque<OpenStep> steps_;  // Oldest first.
  std::map<uint64_t, Outstanding> outstanding_;
  size_t opening_count_ = 0;
  uint64_t user_data_newest_ = 0;
  size_t completed_count_ = 0;
};

TEST_F(EventLoop, LosesNothingWhateverTheOrder) {
  const char* text = std::getenv("KVPAGER_TEST_SEED");
  const uint64_t seed_first = text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
  for (uint64_t seed = seed_first; seed < seed_first + 8 && !HasFailure(); ++seed) {
    const uint32_t transport = seed / 2 % 2 == 0 ? KVP_TRANSPORT_RING : KVP_TRANSPORT_ZMQ;
    Start(seed, transport);
    for (int turn = 0; turn < 3000 && !HasFailure(); ++turn) Turn();
    Stop();
    if (HasFailure()) ADD_FAILURE() << "seed " << seed;
  }
  EXPECT_GT(completed_count(), 4000u);
}

}  // namespace
}  // namespace kvpager::engine
