// tests/ipc/page_table_test.cc
//
// Proves that a word read is the word written, that a reader never takes a page of another
// generation for its own, and that a withdrawal is counted before its frame can be reused, also
// when writer and reader run at once.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "ipc/page_table_layout.h"
#include "ipc/page_table_reader.h"
#include "ipc/page_table_writer.h"

namespace kvpager {
namespace {

using testing::HasSubstr;

constexpr uint64_t kSeed = 7;

PageTableWord Hbm(uint32_t frame, uint32_t generation) {
  return {.frame_hbm = FrameIndex{frame}, .generation = generation};
}

struct Pair {
  PageTableWriter writer;
  PageTableReader reader;
};

Pair MakePair(uint32_t blocks_max, uint32_t num_groups) {
  absl::StatusOr<PageTableWriter> writer = PageTableWriter::Create(blocks_max, num_groups, 99);
  KVP_CHECK(writer.ok());
  absl::StatusOr<ShmRegion> region =
      ShmRegion::Map("page_table", UniqueFd(fcntl(writer->fd(), F_DUPFD_CLOEXEC, 0)),
                     writer->bytes(), Access::kReadOnly);
  KVP_CHECK(region.ok());
  absl::StatusOr<PageTableReader> reader = PageTableReader::Create(*std::move(region));
  KVP_CHECK(reader.ok());
  return {*std::move(writer), *std::move(reader)};
}

TEST(PageTableWord, EveryWordComesBackFromItsBits) {
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < 100'000; ++i) {
    PageTableWord word;
    if (random() % 4 != 0) word.frame_hbm.value = static_cast<uint32_t>(random() % (1u << 26));
    if (random() % 4 != 0) word.frame_host.value = static_cast<uint32_t>(random() % (1u << 26));
    word.generation = static_cast<uint32_t>(random() % 1024);
    ASSERT_EQ(UnpackWord(PackWord(word)), word);
  }
}

TEST(PageTableWord, TheBitsAreWhereTheLayoutSays) {
  EXPECT_EQ(PackWord({}), 0u);
  EXPECT_EQ(PackWord(Hbm(5, 0)), uint64_t{5} | uint64_t{1} << 26);
  EXPECT_EQ(PackWord({.frame_host = FrameIndex{5}}), uint64_t{5} << 27 | uint64_t{1} << 53);
  EXPECT_EQ(PackWord({.generation = 1023}), uint64_t{1023} << 54);
}

TEST(PageTableWordDeathTest, AFrameOrGenerationThatDoesNotFitStopsTheProcess) {
  EXPECT_DEATH(PackWord(Hbm(1u << 26, 0)), "check failed");
  EXPECT_DEATH(PackWord({.generation = 1024}), "check failed");
}

TEST(PageTable, AReaderSeesWhatTheWriterWrote) {
  Pair table = MakePair(100, 3);
  EXPECT_EQ(table.reader.blocks_max(), 100u);
  EXPECT_EQ(table.reader.num_groups(), 3u);
  EXPECT_EQ(table.reader.incarnation(), 99u);
  EXPECT_EQ(table.reader.state(), PageTableState::kStarting);
  table.writer.SetState(PageTableState::kServing);
  table.writer.Heartbeat(12345);
  EXPECT_EQ(table.reader.state(), PageTableState::kServing);
  EXPECT_EQ(table.reader.heartbeat_ns(), 12345u);
  const PageTableWord word = {FrameIndex{4}, FrameIndex{8}, 15};
  table.writer.Write(PageIndex{2 * 100 + 16}, word);
  EXPECT_EQ(table.reader.Read(2, 16), word);
  EXPECT_EQ(table.writer.Read(PageIndex{216}), word);
  EXPECT_EQ(table.reader.Read(2, 17), PageTableWord{});
}

TEST(PageTable, RunsAreReadInOrder) {
  Pair table = MakePair(1000, 2);
  for (uint32_t block = 0; block < 1000; ++block) {
    table.writer.Write(PageIndex{1000 + block}, Hbm(block + 1, block / 100));
  }
  const std::vector<BlockRun> runs = {{550, 50, 5}, {100, 100, 1}, {300, 0, 9}, {999, 1, 9}};
  std::vector<PageTableWord> words(151);
  ASSERT_EQ(table.reader.ReadRuns(1, runs, absl::MakeSpan(words)), 151u);
  EXPECT_EQ(words[0], Hbm(551, 5));
  EXPECT_EQ(words[50], Hbm(101, 1));
  EXPECT_EQ(words[150], Hbm(1000, 9));
  EXPECT_EQ(table.reader.ReadRuns(1, {}, {}), 0u);
}

TEST(PageTable, APageOfAnotherGenerationStopsTheRead) {
  Pair table = MakePair(64, 1);
  for (uint32_t block = 0; block < 64; ++block) table.writer.Write(PageIndex{block}, Hbm(block, 3));
  table.writer.Write(PageIndex{10}, Hbm(10, 4));
  std::vector<PageTableWord> words(64);
  const std::vector<BlockRun> runs = {{0, 64, 3}};
  EXPECT_EQ(table.reader.ReadRuns(0, runs, absl::MakeSpan(words)), 10u);
}

TEST(PageTable, ABlockOutOfRangeNeverMatches) {
  Pair table = MakePair(64, 2);
  std::vector<PageTableWord> words(64);
  const std::vector<BlockRun> beyond = {{60, 10, 0}};
  EXPECT_EQ(table.reader.ReadRuns(1, beyond, absl::MakeSpan(words)), 4u);
  const std::vector<BlockRun> far = {{0xffffffff, 0xffffffff, 0}};
  EXPECT_EQ(table.reader.ReadRuns(1, far, absl::MakeSpan(words)), 0u);
}

TEST(PageTable, OnlyWithdrawalsAreCountedInTheirExtent) {
  Pair table = MakePair(128, 1);
  const auto count = [&] { return table.reader.withdrawals(0, 70).load(); };
  table.writer.Write(PageIndex{70}, Hbm(1, 0));
  table.writer.Write(PageIndex{70}, {FrameIndex{1}, FrameIndex{2}, 0});  // One more copy.
  EXPECT_EQ(count(), 0u);
  table.writer.Write(PageIndex{70}, Hbm(1, 0));  // The host copy went.
  EXPECT_EQ(count(), 1u);
  table.writer.Write(PageIndex{70}, Hbm(9, 0));  // It moved.
  EXPECT_EQ(count(), 2u);
  table.writer.Write(PageIndex{71}, Hbm(3, 0));
  table.writer.Write(PageIndex{71}, Hbm(3, 1));  // It is another page now.
  EXPECT_EQ(count(), 3u);
  table.writer.Write(PageIndex{70}, {.generation = 1});
  EXPECT_EQ(count(), 4u);
  table.writer.Write(PageIndex{70}, {.generation = 2});  // Nobody could rely on it.
  EXPECT_EQ(count(), 4u);
  EXPECT_EQ(table.reader.withdrawals(0, 63).load(), 0u);
}

// An engine and the daemon in small, as the message-free path will have them: a view is reused
// while the counter, loaded inside the step, stands where it stood before the view's words were
// read; a frame is reused when every step that began before the sample has ended.
//
// Raising the counter before the withdrawal fails here: a view built between the two is trusted for
// ever (decision 0005).
TEST(PageTable, AViewThatTheCounterVouchesForIsNeverReadAfterItsFrameIsReused) {
  constexpr uint32_t kFrames = 2;
  constexpr uint32_t kFree = 0;
  constexpr int kReads = 50'000;
  Pair table = MakePair(64, 1);
  std::atomic<uint64_t> begun{0};
  std::atomic<uint64_t> done{0};
  std::array<std::atomic<uint32_t>, kFrames> content{};  // The generation whose bytes it has.
  std::atomic<bool> stop{false};
  std::thread daemon([&] {
    for (uint32_t i = 0; !stop.load(); ++i) {
      const uint32_t frame = i % kFrames;
      const uint32_t generation = 1 + i % 1000;
      content[frame].store(generation);
      table.writer.Write(PageIndex{0}, Hbm(frame, generation));
      for (uint32_t pause = i % 64; pause != 0; --pause) table.reader.heartbeat_ns();
      table.writer.Write(PageIndex{0}, {.generation = generation});
      const uint64_t sample = begun.load();
      while (done.load() < sample) std::this_thread::yield();
      content[frame].store(kFree);
    }
  });
  PageTableWord view;
  uint64_t counted = 0;
  int reads = 0;
  for (uint64_t step = 1; reads < kReads; ++step) {
    begun.store(step);
    const uint64_t count = table.reader.withdrawals(0, 0).load();
    if (view.frame_hbm.is_none() || count != counted) {
      counted = count;
      view = table.reader.Read(0, 0);
    }
    const bool resident = !view.frame_hbm.is_none();
    const bool right = !resident || content[view.frame_hbm.value].load() == view.generation;
    reads += resident;
    done.store(step);
    EXPECT_TRUE(right) << "step " << step << " read a frame after its reuse";
    if (!right) break;
  }
  stop.store(true);
  daemon.join();
}

class DamagedTable : public testing::Test {
 protected:
  // A region with a good header, which `damage` then changes.
  template <typename Damage>
  absl::Status Verdict(Damage damage) {
    const Pair good = MakePair(64, 1);
    absl::StatusOr<ShmRegion> region = ShmRegion::Create("damaged", good.writer.bytes());
    KVP_CHECK(region.ok());
    UniqueFd fd(fcntl(good.writer.fd(), F_DUPFD_CLOEXEC, 0));
    KVP_CHECK(pread(fd.get(), region->data(), region->bytes(), 0) ==
              static_cast<ssize_t>(region->bytes()));
    damage(*reinterpret_cast<PageTableHeader*>(region->data()));
    return PageTableReader::Create(*std::move(region)).status();
  }
};

TEST_F(DamagedTable, AHeaderThatIsNotThatOfAPageTableIsRefused) {
  EXPECT_TRUE(Verdict([](PageTableHeader&) {}).ok());
  EXPECT_EQ(Verdict([](PageTableHeader& h) { h.magic = 1; }).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Verdict([](PageTableHeader& h) { h.layout_version = 2; }).code(),
            absl::StatusCode::kUnimplemented);
  EXPECT_FALSE(Verdict([](PageTableHeader& h) { h.blocks_max = 0; }).ok());
  EXPECT_FALSE(Verdict([](PageTableHeader& h) { h.blocks_max = 65536; }).ok());
  EXPECT_FALSE(Verdict([](PageTableHeader& h) { h.num_groups = ~0u; }).ok());
  EXPECT_FALSE(Verdict([](PageTableHeader& h) { h.words_offset = 8; }).ok());
  EXPECT_FALSE(Verdict([](PageTableHeader& h) { h.region_bytes += 4096; }).ok());
}

TEST(PageTable, ARegionSmallerThanItsTableIsRefused) {
  const Pair good = MakePair(4096, 1);
  absl::StatusOr<ShmRegion> region = ShmRegion::Map(
      "page_table", UniqueFd(fcntl(good.writer.fd(), F_DUPFD_CLOEXEC, 0)), 8192, Access::kReadOnly);
  ASSERT_TRUE(region.ok());
  EXPECT_THAT(std::string(PageTableReader::Create(*std::move(region)).status().message()),
              HasSubstr("too small"));
}

}  // namespace
}  // namespace kvpager
