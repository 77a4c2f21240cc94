// Proves that entries come back after a clean and an unclean end, that a durable write is flushed
// before it is committed and committed before it is answered, and that what is damaged, foreign or
// in use is told apart.

#include "tiers/catalogue/catalogue.h"

#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/tiers/tier_testing.h"
#include "tiers/catalogue/memory_catalogue.h"
#include "tiers/catalogue/rocksdb_catalogue.h"
#include "tiers/data_flusher.h"

namespace kvpager {
namespace {

using testing::Await;
using ::testing::HasSubstr;

CatalogueWrite Put(uint64_t key, uint64_t counter, OpId op = OpId()) {
  return {.op = op,
          .key = {{key, 1}},
          .parent_key = {{key - 1, 1}},
          .frame_first = FrameIndex{static_cast<uint32_t>(key * 4)},
          .stamp = {.incarnation = 3, .counter = counter},
          .last_use = key + 1000};
}
CatalogueWrite Delete(uint64_t key, OpId op = OpId()) { return {.op = op, .key = {{key, 1}}}; }
OpId Op(uint32_t slot) { return {.slot = slot, .generation = 1}; }

CatalogueEntry Entry(uint64_t key, uint64_t counter, bool durable) {
  const CatalogueWrite write = Put(key, counter);
  return {.key = write.key,
          .parent_key = write.parent_key,
          .frame_first = write.frame_first,
          .stamp = write.stamp,
          .last_use = write.last_use,
          .durable = durable};
}

std::map<uint64_t, CatalogueEntry> EntriesOf(Catalogue& catalogue) {
  std::map<uint64_t, CatalogueEntry> entries;
  const absl::Status status = catalogue.ForEach([&](const CatalogueEntry& entry) {
    EXPECT_TRUE(entries.emplace(entry.key.words[0], entry).second);
  });
  EXPECT_TRUE(status.ok()) << status;
  return entries;
}

// A data file whose flush waits until the test lets it go on, and may fail.
class GatedFlusher final : public DataFlusher {
 public:
  absl::Status Flush() override {
    std::unique_lock<std::mutex> lock(mutex_);
    ++entered_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    return result_;
  }
  void Open(const absl::Status& result = absl::OkStatus()) {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
    result_ = result;
    changed_.notify_all();
  }
  void AwaitEntered() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return entered_ > 0; });
  }
  int entered() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return entered_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int entered_ = 0;
  bool open_ = false;
  absl::Status result_;
};

class RocksdbCatalogueTest : public ::testing::Test {
 protected:
  RocksdbCatalogueOptions Options(DataFlusher* flusher = nullptr) const {
    return {.path = path_,
            .geometry = testing::SmallGeometry(),
            .model_fingerprint = "m",
            .flusher = flusher,
            .hints_max = 8};
  }
  std::unique_ptr<Catalogue> MustOpen(DataFlusher* flusher = nullptr) const {
    auto catalogue = OpenRocksdbCatalogue(Options(flusher));
    EXPECT_TRUE(catalogue.ok()) << catalogue.status();
    return *std::move(catalogue);
  }

  // Another process opens the catalogue, writes durable entries and kills itself.
  int RunOwner(const char* count) const {
    return testing::RunInChild([&] {
      execl(KVP_CATALOGUE_OWNER, KVP_CATALOGUE_OWNER, path_.c_str(), count, nullptr);
      return 1;
    });
  }

  testing::TempFolder folder_;
  std::string path_ = folder_.File("catalogue");
};

TEST_F(RocksdbCatalogueTest, KeepsEntriesOverACleanEnd) {
  {
    const auto catalogue = MustOpen();
    EXPECT_TRUE(catalogue->created());
    EXPECT_FALSE(catalogue->was_clean());
    catalogue->Submit(std::vector<CatalogueWrite>{Put(1, 10), Put(2, 20), Put(3, 30)});
    catalogue->Submit(std::vector<CatalogueWrite>{Delete(2), Put(3, 31)});
    ASSERT_TRUE(catalogue->CloseClean().ok());
    EXPECT_EQ(catalogue->stats().entries_written, 5u);
  }
  {
    const auto catalogue = MustOpen();
    EXPECT_FALSE(catalogue->created());
    EXPECT_TRUE(catalogue->was_clean());
    const auto entries = EntriesOf(*catalogue);
    ASSERT_EQ(entries.size(), 2u);
    EXPECT_EQ(entries.at(1), Entry(1, 10, false));
    EXPECT_EQ(entries.at(3), Entry(3, 31, false));
  }
  EXPECT_FALSE(MustOpen()->was_clean()) << "the last owner only went away";
}

TEST_F(RocksdbCatalogueTest, MarksDurableEntriesUntilTheirStampChanges) {
  {
    const auto catalogue = MustOpen();
    catalogue->Submit(std::vector<CatalogueWrite>{Put(1, 10, Op(1)), Put(2, 20, Op(2)),
                                                  Put(3, 30, Op(3)), Put(4, 40)});
    for (const Completion& completion : Await(*catalogue, 3)) {
      EXPECT_EQ(completion.outcome, Outcome::kOk);
    }
    // A later use of 1; a new place for 2; the end of 3.
    catalogue->Submit(std::vector<CatalogueWrite>{Put(1, 10), Put(2, 21), Delete(3)});
    ASSERT_TRUE(catalogue->CloseClean().ok());
  }
  const auto entries = EntriesOf(*MustOpen());
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries.at(1), Entry(1, 10, true));
  EXPECT_EQ(entries.at(2), Entry(2, 21, false));
  EXPECT_EQ(entries.at(4), Entry(4, 40, false));
}

TEST_F(RocksdbCatalogueTest, FlushesTheDataBeforeItCommitsAndAnswersLast) {
  GatedFlusher flusher;
  const auto catalogue = MustOpen(&flusher);
  catalogue->Submit(std::vector<CatalogueWrite>{Put(1, 10, Op(1))});
  flusher.AwaitEntered();
  Completion completion;
  EXPECT_EQ(catalogue->Poll({&completion, 1}), 0u);
  EXPECT_EQ(catalogue->stats().entries_written, 0u);
  // What arrives meanwhile shares the next flush.
  catalogue->Submit(std::vector<CatalogueWrite>{Put(2, 20, Op(2)), Put(3, 30, Op(3))});
  flusher.Open();
  EXPECT_EQ(Await(*catalogue, 3).size(), 3u);
  EXPECT_EQ(catalogue->stats().entries_written, 3u);
  EXPECT_EQ(catalogue->stats().commits_durable, 2u);
  EXPECT_EQ(flusher.entered(), 2);
}

TEST_F(RocksdbCatalogueTest, CommitsNothingDurableWhenTheFlushFails) {
  {
    GatedFlusher flusher;
    flusher.Open(absl::UnavailableError("the disk is gone"));
    const auto catalogue = MustOpen(&flusher);
    catalogue->Submit(std::vector<CatalogueWrite>{Put(1, 10, Op(1))});
    const Completion completion = Await(*catalogue, 1).front();
    EXPECT_EQ(completion.op, Op(1));
    EXPECT_EQ(completion.outcome, Outcome::kFailed);
    EXPECT_EQ(catalogue->stats().writes_failed, 1u);
  }
  EXPECT_TRUE(EntriesOf(*MustOpen()).empty());
}

TEST_F(RocksdbCatalogueTest, DropsAndCountsHintsWhenTheQueueIsFull) {
  GatedFlusher flusher;
  {
    const auto catalogue = MustOpen(&flusher);
    catalogue->Submit(std::vector<CatalogueWrite>{Put(1, 10, Op(1))});
    flusher.AwaitEntered();  // The thread is busy, so everything from here on is queued.
    std::vector<CatalogueWrite> hints;
    for (uint64_t key = 100; key < 113; ++key) hints.push_back(Put(key, key));
    catalogue->Submit(hints);
    catalogue->Submit(std::vector<CatalogueWrite>{Put(2, 20, Op(2))});  // Never dropped.
    EXPECT_EQ(catalogue->stats().hints_dropped, 5u);
    flusher.Open();
    EXPECT_EQ(Await(*catalogue, 2).size(), 2u);
    ASSERT_TRUE(catalogue->CloseClean().ok());
  }
  EXPECT_EQ(EntriesOf(*MustOpen()).size(), 10u);
}

TEST_F(RocksdbCatalogueTest, KeepsWhatItAnsweredOverAKill) {
  const int status = RunOwner("50");
  ASSERT_TRUE(WIFSIGNALED(status));
  const auto catalogue = MustOpen();
  EXPECT_FALSE(catalogue->created());
  EXPECT_FALSE(catalogue->was_clean());
  const auto entries = EntriesOf(*catalogue);
  ASSERT_EQ(entries.size(), 50u);
  EXPECT_EQ(entries.at(50), Entry(50, 50, true));
}

TEST_F(RocksdbCatalogueTest, ForgetsThatItWasCleanWhenItsOwnerIsKilled) {
  ASSERT_TRUE(MustOpen()->CloseClean().ok());
  const int status = RunOwner("0");
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_FALSE(MustOpen()->was_clean());
}

TEST_F(RocksdbCatalogueTest, RefusesTheCatalogueOfAnotherPool) {
  MustOpen();
  RocksdbCatalogueOptions other = Options();
  other.geometry.page_tokens = 32;
  auto catalogue = OpenRocksdbCatalogue(other);
  EXPECT_EQ(catalogue.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(catalogue.status().message()), HasSubstr("pool of another geometry"));
  other = Options();
  other.model_fingerprint = std::string("n");
  catalogue = OpenRocksdbCatalogue(other);
  EXPECT_EQ(catalogue.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(catalogue.status().message()), HasSubstr("pool of another model"));
}

TEST_F(RocksdbCatalogueTest, RefusesASecondOwner) {
  const auto first = MustOpen();
  const auto second = OpenRocksdbCatalogue(Options());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition) << second.status();
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("another process is using it"));
}

TEST_F(RocksdbCatalogueTest, RefusesAFolderThatDoesNotExist) {
  RocksdbCatalogueOptions options = Options();
  options.path = folder_.File("nowhere/deeper/catalogue");
  const auto catalogue = OpenRocksdbCatalogue(options);
  EXPECT_EQ(catalogue.status().code(), absl::StatusCode::kFailedPrecondition) << catalogue.status();
}

TEST_F(RocksdbCatalogueTest, MovesADamagedDatabaseAsideAndStartsAfresh) {
  {
    const auto catalogue = MustOpen();
    catalogue->Submit(std::vector<CatalogueWrite>{Put(1, 10)});
    ASSERT_TRUE(catalogue->CloseClean().ok());
  }
  const std::string aside = path_ + ".corrupt-1";
  std::ofstream(path_ + "/CURRENT") << "no such manifest";
  {
    const auto catalogue = MustOpen();
    EXPECT_TRUE(catalogue->created());
    EXPECT_FALSE(catalogue->was_clean());
    EXPECT_THAT(std::string(catalogue->detail()), HasSubstr(aside));
    EXPECT_TRUE(EntriesOf(*catalogue).empty());
  }
  EXPECT_TRUE(std::filesystem::exists(aside + "/CURRENT"));
  // Again, by a missing file this time.
  for (const auto& file : std::filesystem::directory_iterator(path_)) {
    if (file.path().filename().string().starts_with("MANIFEST")) {
      std::filesystem::remove(file.path());
    }
  }
  EXPECT_THAT(std::string(MustOpen()->detail()), HasSubstr(".corrupt-2"));
}

// What is opened without a complaint may still have rows that cannot be read.
TEST_F(RocksdbCatalogueTest, ReplacesADatabaseWhoseRowsAreDamaged) {
  std::vector<CatalogueWrite> writes;
  for (uint32_t key = 1; key <= 200; ++key) writes.push_back(Put(key, key, Op(key)));
  {
    const auto catalogue = MustOpen();
    catalogue->Submit(writes);
    Await(*catalogue, writes.size());
  }
  MustOpen();  // Brings them out of the log into a table.
  std::string table;
  for (const auto& file : std::filesystem::directory_iterator(path_)) {
    if (file.path().extension() == ".sst") table = file.path();
  }
  ASSERT_FALSE(table.empty());
  std::fstream(table, std::ios::in | std::ios::out | std::ios::binary).seekp(100) << "damaged";
  const auto catalogue = MustOpen();
  uint32_t seen = 0;
  const absl::Status status = catalogue->ForEach([&](const CatalogueEntry&) { ++seen; });
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_LT(seen, writes.size());
  EXPECT_FALSE(catalogue->was_clean());
  EXPECT_THAT(std::string(catalogue->detail()), HasSubstr(".corrupt-1"));
  EXPECT_EQ(EntriesOf(*catalogue).size(), 0u) << "the new one";
  catalogue->Submit(std::vector<CatalogueWrite>{Put(7, 70, Op(1))});
  EXPECT_EQ(Await(*catalogue, 1).front().outcome, Outcome::kOk);
  EXPECT_EQ(EntriesOf(*catalogue).size(), 1u);
}

// The row that says whose it is comes last.
TEST_F(RocksdbCatalogueTest, ReplacesADatabaseThatCannotSayWhoseItIs) {
  std::vector<CatalogueWrite> writes;
  for (uint32_t key = 1; key <= 200; ++key) writes.push_back(Put(key, key, Op(key)));
  {
    const auto catalogue = MustOpen();
    catalogue->Submit(writes);
    Await(*catalogue, writes.size());
  }
  MustOpen();
  for (const auto& file : std::filesystem::directory_iterator(path_)) {
    if (file.path().extension() != ".sst") continue;
    // All data blocks: what opening reads is behind them.
    const auto bytes = static_cast<int64_t>(file.file_size());
    std::fstream table(file.path(), std::ios::in | std::ios::out | std::ios::binary);
    for (int64_t at = 100; at < bytes - 1200; at += 100) table.seekp(at) << "damaged";
  }
  const auto catalogue = MustOpen();
  EXPECT_THAT(std::string(catalogue->detail()), HasSubstr(".corrupt-1"));
  EXPECT_TRUE(catalogue->created());
  EXPECT_EQ(EntriesOf(*catalogue).size(), 0u);
}

TEST(MemoryCatalogue, BehavesAsTheOneOnDisk) {
  GatedFlusher flusher;
  flusher.Open();
  MemoryCatalogue catalogue(&flusher);
  catalogue.Submit(std::vector<CatalogueWrite>{Put(1, 10, Op(1)), Put(2, 20), Put(3, 30)});
  catalogue.Submit(std::vector<CatalogueWrite>{Delete(2), Put(1, 10)});
  EXPECT_TRUE(catalogue.wants_poll());
  EXPECT_EQ(Await(catalogue, 1).front().op, Op(1));
  EXPECT_FALSE(catalogue.wants_poll());
  EXPECT_EQ(flusher.entered(), 1);
  const auto entries = EntriesOf(catalogue);
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries.at(1), Entry(1, 10, true));
  EXPECT_EQ(entries.at(3), Entry(3, 30, false));
}

TEST(MemoryCatalogue, CommitsNothingDurableWhenTheFlushFails) {
  GatedFlusher flusher;
  flusher.Open(absl::UnavailableError("the disk is gone"));
  MemoryCatalogue catalogue(&flusher);
  catalogue.Submit(std::vector<CatalogueWrite>{Put(1, 10, Op(1)), Put(2, 20)});
  EXPECT_EQ(Await(catalogue, 1).front().outcome, Outcome::kFailed);
  EXPECT_EQ(EntriesOf(catalogue).size(), 1u);
}

}  // namespace
}  // namespace kvpager
