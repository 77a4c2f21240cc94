// Proves the memory orders of steps without a message with real threads: a daemon that withdraws,
// waits, reuses and lends, and two engines that read, keep views and take credits, all through the
// real page table and the real lanes (docs/SHARED_PAGE_TABLE.md). What a frame holds is read and
// written without any order of its own, so only the protocol can make it right.

#include <fcntl.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "ipc/credit_word.h"
#include "ipc/lanes.h"
#include "ipc/page_table_reader.h"
#include "ipc/page_table_writer.h"

namespace kvpager {
namespace {

constexpr uint32_t kPages = 160;  // Three extents of withdrawal counters.
constexpr uint32_t kShown = 130;  // Pages that every engine reads; the others are lent.
constexpr uint32_t kFrames = 40;
constexpr uint32_t kEngines = 2;
constexpr uint32_t kRows = 4;
constexpr uint64_t kSequence = 5;  // Of each engine; the low half is the slot of its credit.
constexpr uint64_t kSeed = 11;
constexpr uint64_t kFree = ~uint64_t{0};

// More than any machine needs until all has happened that is to be seen.
constexpr uint32_t kStepsMax = 50'000'000;

// At least.
uint32_t StepsOfEachEngine() {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  return 4'000;
#else
  return 40'000;
#endif
}

// What a page holds: which page it is, and how often it has been made anew.
uint64_t ContentOf(uint32_t page, uint32_t generation) { return uint64_t{page} << 32 | generation; }

using Frame = std::array<std::atomic<uint64_t>, kRows>;

void Fill(Frame& frame, uint64_t value) {
  for (auto& row : frame) row.store(value, std::memory_order_relaxed);
}

bool Holds(const Frame& frame, uint64_t value) {
  for (const auto& row : frame) {
    if (row.load(std::memory_order_relaxed) != value) return false;
  }
  return true;
}

class SharedSteps : public ::testing::Test {
 protected:
  SharedSteps() : frames_(kFrames), writer_(*PageTableWriter::Create(kPages, 1, 7)) {
    for (auto& lanes : lanes_) lanes = std::make_unique<SharedLanes>();
    for (Frame& frame : frames_) Fill(frame, kFree);
  }

  PageTableReader Reader() {
    UniqueFd fd(fcntl(writer_.fd(), F_DUPFD_CLOEXEC, 0));
    return *PageTableReader::Create(
        *ShmRegion::Map("page_table", std::move(fd), writer_.bytes(), Access::kReadOnly));
  }

  std::vector<Frame> frames_;
  PageTableWriter writer_;
  std::array<std::unique_ptr<SharedLanes>, kEngines> lanes_;
  std::atomic<uint32_t> running_{kEngines};
  std::atomic<bool> reused_and_revoked_{false};  // The daemon has done both.
};

// ---- The daemon

class Pager {
 public:
  Pager(PageTableWriter& writer, std::vector<Frame>& frames,
        std::array<std::unique_ptr<SharedLanes>, kEngines>& lanes)
      : writer_(writer), frames_(frames), lanes_(lanes), pages_(kPages) {
    for (uint32_t frame = 0; frame < kFrames; ++frame) free_.push_back(frame);
  }

  // One thing, as the dice say.
  void Turn(std::mt19937_64& random) {
    Reuse();
    const auto engine = static_cast<uint32_t>(random() % kEngines);
    const auto page = static_cast<uint32_t>(random() % kShown);
    switch (random() % 4) {
      case 0:
        return Lend(engine, kShown + static_cast<uint32_t>(random() % (kPages - kShown)));
      case 1:
        return Revoke(engine);
      default:
        pages_[page].frame.has_value() ? Withdraw(page) : Publish(page);
    }
  }
  uint64_t reused() const { return reused_; }
  uint64_t revoked() const { return revoked_; }

 private:
  struct Page {
    std::optional<uint32_t> frame;
    uint32_t generation = 0;  // [0, 1024)
  };
  struct Parted {
    uint32_t frame = 0;
    std::array<uint64_t, kEngines> stamps{};
  };

  void Place(uint32_t page, uint64_t content) {
    Page& row = pages_[page];
    row.frame = free_.front();
    free_.pop_front();
    Fill(frames_[*row.frame], content);
    writer_.Write(PageIndex{page},
                  {.frame_hbm = FrameIndex{*row.frame}, .generation = row.generation});
  }

  void Publish(uint32_t page) {
    if (free_.empty()) return;
    Page& row = pages_[page];
    row.generation = (row.generation + 1) % 1024;
    Place(page, ContentOf(page, row.generation));
  }

  void Withdraw(uint32_t page) {
    Page& row = pages_[page];
    writer_.Write(PageIndex{page}, {.generation = row.generation});
    Parted parted{.frame = *row.frame};
    row.frame.reset();
    for (uint32_t i = 0; i < kEngines; ++i) parted.stamps[i] = lanes_[i]->lanes[0].begun.load();
    limbo_.push_back(parted);
  }

  void Reuse() {
    for (size_t i = limbo_.size(); i > 0; --i) {
      const Parted parted = limbo_.front();
      limbo_.pop_front();
      bool passed = true;
      for (uint32_t e = 0; e < kEngines; ++e) {
        passed &= lanes_[e]->lanes[0].done.load() >= parted.stamps[e];
      }
      if (!passed) {
        limbo_.push_back(parted);
        continue;
      }
      Fill(frames_[parted.frame], kFree);
      free_.push_back(parted.frame);
      ++reused_;
    }
  }

  static CreditWord Granted(uint32_t page, uint32_t generation) {
    return {.state = CreditWordState::kGranted,
            .generation = generation,
            .block = page,
            .tag = CreditWord::TagOf(kSequence)};
  }

  void Lend(uint32_t engine, uint32_t page) {
    std::atomic<uint64_t>& word = *lanes_[engine]->credit_of(kSequence);
    Page& row = pages_[page];
    if (row.frame.has_value() || free_.empty() || lent_[engine].has_value()) return;
    row.generation = (row.generation + 1) % 1024;
    Place(page, 0);  // Scrubbed.
    lent_[engine] = page;
    word.store(Granted(page, row.generation).Pack());
  }

  // What was taken is let go of when its engine has said that it is done with it.
  void Revoke(uint32_t engine) {
    if (!lent_[engine].has_value()) return;
    const uint32_t page = *lent_[engine];
    std::atomic<uint64_t>& word = *lanes_[engine]->credit_of(kSequence);
    uint64_t expected = Granted(page, pages_[page].generation).Pack();
    const bool revoked = word.compare_exchange_strong(expected, 0);
    if (!revoked && expected != 0) return;  // In use.
    revoked_ += revoked;
    lent_[engine].reset();
    Withdraw(page);
  }

  PageTableWriter& writer_;
  std::vector<Frame>& frames_;
  std::array<std::unique_ptr<SharedLanes>, kEngines>& lanes_;
  std::vector<Page> pages_;
  std::deque<uint32_t> free_;
  std::deque<Parted> limbo_;
  std::array<std::optional<uint32_t>, kEngines> lent_;
  uint64_t reused_ = 0;
  uint64_t revoked_ = 0;
};

// ---- An engine

class Stepper {
 public:
  Stepper(PageTableReader table, std::vector<Frame>& frames, SharedLanes& lanes, uint64_t seed)
      : table_(std::move(table)), frames_(frames), lanes_(lanes), random_(seed) {}

  // False: something was not what it must be.
  bool Step() {
    lanes_.lanes[0].begun.store(++number_);
    const bool right = ReadSome() && Grow();
    lanes_.lanes[0].done.store(number_);
    if (credit_.has_value() && random_() % 16 == 0) {  // Said to the daemon: it is done with it.
      credit_.reset();
      lanes_.credit_of(kSequence)->store(0);
    }
    return right;
  }
  uint64_t pages_read() const { return pages_read_; }
  uint64_t credits_taken() const { return credits_taken_; }

 private:
  struct View {
    uint64_t counted = ~uint64_t{0};
    PageTableWord word;
  };

  bool ReadSome() {
    bool right = true;
    for (int i = 0; i < 8; ++i) {
      const auto page = static_cast<uint32_t>(random_() % kShown);
      View& view = views_[page];
      const uint64_t counted = table_.withdrawals(0, page).load();
      if (view.word.frame_hbm.is_none() || view.counted != counted) {
        view.counted = counted;
        view.word = table_.Read(0, page);
      }
      if (view.word.frame_hbm.is_none()) continue;
      reads_.push_back({view.word.frame_hbm.value, ContentOf(page, view.word.generation)});
    }
    if (random_() % 16 == 0) std::this_thread::yield();  // A kernel runs for a while.
    for (const auto& [frame, content] : reads_) right &= Holds(frames_[frame], content);
    pages_read_ += reads_.size();
    reads_.clear();
    return right;
  }

  // Takes a credit if there is one, and fills it; what it has filled stays as it is.
  bool Grow() {
    if (credit_.has_value()) return Holds(frames_[*credit_], mark_);
    std::atomic<uint64_t>& word = *lanes_.credit_of(kSequence);
    uint64_t granted = word.load();
    CreditWord credit = CreditWord::Unpack(granted);
    if (credit.state != CreditWordState::kGranted) return true;
    credit.state = CreditWordState::kTaken;
    if (!word.compare_exchange_strong(granted, credit.Pack())) return true;  // Just revoked.
    const PageTableWord where = table_.Read(0, credit.block);
    if (where.frame_hbm.is_none() || where.generation != credit.generation) return false;
    credit_ = where.frame_hbm.value;
    if (!Holds(frames_[*credit_], 0)) return false;  // It was scrubbed for us.
    mark_ = uint64_t{2} << 62 | number_;
    Fill(frames_[*credit_], mark_);
    ++credits_taken_;
    return true;
  }

  PageTableReader table_;
  std::vector<Frame>& frames_;
  SharedLanes& lanes_;
  std::mt19937_64 random_;
  std::array<View, kShown> views_;
  std::vector<std::pair<uint32_t, uint64_t>> reads_;  // Of this step: frame, content.
  std::optional<uint32_t> credit_;
  uint64_t mark_ = 0;
  uint64_t number_ = 0;
  uint64_t pages_read_ = 0;
  uint64_t credits_taken_ = 0;
};

TEST_F(SharedSteps, NoFrameIsReusedUnderAStepAndNoCreditIsUsedTwice) {
  Pager pager(writer_, frames_, lanes_);
  std::thread daemon([&] {
    std::mt19937_64 random(kSeed);
    while (running_.load() > 0) {
      for (int i = 0; i < 32; ++i) pager.Turn(random);
      if (pager.reused() > 0 && pager.revoked() > 0) reused_and_revoked_ = true;
      std::this_thread::yield();
    }
  });
  std::array<std::unique_ptr<Stepper>, kEngines> steppers;
  std::array<bool, kEngines> right{};
  std::vector<std::thread> engines;
  for (uint32_t i = 0; i < kEngines; ++i) {
    steppers[i] = std::make_unique<Stepper>(Reader(), frames_, *lanes_[i], kSeed + 1 + i);
    engines.emplace_back([&, i] {
      right[i] = true;
      // On a busy machine all these steps may run before the daemon lends anything.
      const auto goes_on = [&](uint32_t step) {
        if (step < StepsOfEachEngine()) return true;
        const bool seen = steppers[i]->credits_taken() > 0 && reused_and_revoked_;
        return !seen && step < kStepsMax;
      };
      for (uint32_t step = 0; right[i] && goes_on(step); ++step) {
        right[i] = steppers[i]->Step();
        if (step % 64 == 0) std::this_thread::yield();
      }
      --running_;
    });
  }
  for (std::thread& engine : engines) engine.join();
  daemon.join();
  for (uint32_t i = 0; i < kEngines; ++i) {
    EXPECT_TRUE(right[i]) << "engine " << i << " found what it should not";
    EXPECT_GT(steppers[i]->pages_read(), 0u);
    EXPECT_GT(steppers[i]->credits_taken(), 0u);
  }
  EXPECT_GT(pager.reused(), 0u);
  EXPECT_GT(pager.revoked(), 0u);
}

}  // namespace
}  // namespace kvpager
