#include "tiers/catalogue/rocksdb_catalogue.h"

#include <errno.h>
#include <fcntl.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/write_batch.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "memmgr/base/crash_point.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/base/units.h"
#include "tiers/catalogue/catalogue_codec.h"
#include "tiers/catalogue/recording_filesystem.h"
#include "tiers/completion_queue.h"
#include "tiers/worker_thread.h"

namespace kvpager {
namespace {

constexpr size_t kBatchWritesMax = 4096;

// Small buffers: what is in the log has to be read at every start.
rocksdb::Options MakeOptions() {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.write_buffer_size = 4 * kMiB;
  options.max_total_wal_size = 8 * kMiB;
  options.max_background_jobs = 2;
  options.max_open_files = 256;
  options.keep_log_file_num = 2;
  options.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  if (rocksdb::Env* const recording = RecordingEnvFromEnvironment()) options.env = recording;
  return options;
}

rocksdb::Slice ToSlice(std::string_view text) { return {text.data(), text.size()}; }
std::string_view ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

absl::Status Translate(const std::string& path, const rocksdb::Status& status) {
  const std::string text = absl::StrCat("catalogue ", path, ": ", status.ToString());
  if (status.IsNoSpace()) return absl::ResourceExhaustedError(absl::StrCat(text, "; make room"));
  if (status.IsCorruption()) return absl::DataLossError(text);
  if (text.find("/LOCK") != std::string::npos) {
    return absl::FailedPreconditionError(absl::StrCat(
        text, "; another process is using it: stop that kvpagerd or choose another nvme path"));
  }
  if (status.IsPathNotFound()) {
    return absl::FailedPreconditionError(absl::StrCat(text, "; its folder must exist"));
  }
  if (text.find(std::strerror(EACCES)) != std::string::npos) {
    return absl::PermissionDeniedError(
        absl::StrCat(text, "; choose an nvme path that this user may write"));
  }
  return absl::UnavailableError(text);
}

// Only damage: not a full disk, a lock or a lack of permission, which moving aside cannot mend.
bool IsDamage(const rocksdb::Status& status, const std::string& path) {
  if (status.IsCorruption()) return true;
  struct stat info {};
  const bool there = stat((path + "/CURRENT").c_str(), &info) == 0;
  return there && status.IsPathNotFound();  // A file of it is missing.
}

// Renames the folder to the first free "<path>.corrupt-N" and returns that name.
absl::StatusOr<std::string> MoveAside(const std::string& path) {
  for (int i = 1; i <= 1000; ++i) {
    const std::string aside = absl::StrCat(path, ".corrupt-", i);
    struct stat info {};
    if (lstat(aside.c_str(), &info) == 0) continue;
    if (std::rename(path.c_str(), aside.c_str()) == 0) return aside;
    return absl::UnavailableError(absl::StrCat("catalogue ", path, ": is damaged and cannot be ",
                                               "moved to ", aside, ": ", std::strerror(errno)));
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "catalogue ", path, ": is damaged, as 1000 before it; remove ", path, ".corrupt-*"));
}

class RocksdbCatalogue final : public Catalogue {
 public:
  explicit RocksdbCatalogue(const RocksdbCatalogueOptions& options) : options_(options) {}
  ~RocksdbCatalogue() override;

  absl::Status Init();

  bool was_clean() const override { return was_clean_; }
  bool created() const override { return created_; }
  std::string_view detail() const override { return detail_; }
  absl::Status ForEach(absl::FunctionRef<void(const CatalogueEntry&)> visit) override;
  void Submit(absl::Span<const CatalogueWrite> writes) override;
  size_t Poll(absl::Span<Completion> out) override { return done_.Poll(out); }
  int ready_fd() const override { return done_.fd(); }
  bool wants_poll() const override { return false; }
  absl::Status CloseClean() override;
  CatalogueStats stats() const override;

 private:
  absl::Status OpenDatabase();
  absl::Status StartAfresh(const rocksdb::Status& damage);
  absl::Status AfreshOrRefuse(const rocksdb::Status& status);
  absl::Status CheckPool();
  void Run();
  void Commit(absl::Span<const CatalogueWrite> writes);
  static void AddToBatch(const CatalogueWrite& write, rocksdb::WriteBatch& batch);

  const RocksdbCatalogueOptions options_;
  std::unique_ptr<rocksdb::DB> database_;
  std::string detail_;
  bool was_clean_ = false;
  bool created_ = false;
  bool closed_ = false;
  CompletionQueue done_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<CatalogueWrite> queue_;
  uint32_t hints_queued_ = 0;
  bool busy_ = false;  // The thread is writing what it took.
  bool stopping_ = false;
  CatalogueStats stats_;

  WorkerThread thread_;
};

RocksdbCatalogue::~RocksdbCatalogue() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.Join();
  if (database_ != nullptr) database_->Close();
}

absl::Status RocksdbCatalogue::Init() {
  KVP_RETURN_IF_ERROR(OpenDatabase());
  KVP_RETURN_IF_ERROR(CheckPool());
  KVP_RETURN_IF_ERROR(done_.Init());
  return thread_.Start<RocksdbCatalogue, &RocksdbCatalogue::Run>("kvp-catalogue", this);
}

absl::Status RocksdbCatalogue::OpenDatabase() {
  rocksdb::DB* database = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(MakeOptions(), options_.path, &database);
  if (!status.ok() && IsDamage(status, options_.path)) return StartAfresh(status);
  if (!status.ok()) return Translate(options_.path, status);
  database_.reset(database);
  return absl::OkStatus();
}

// Moves the damaged database aside, and opens a new one.
absl::Status RocksdbCatalogue::StartAfresh(const rocksdb::Status& damage) {
  database_.reset();
  KVP_ASSIGN_OR_RETURN(const std::string aside, MoveAside(options_.path));
  detail_ = absl::StrCat("the catalogue ", options_.path, " was damaged (", damage.ToString(),
                         ") and was moved to ", aside, "; a new one is rebuilt from the headers");
  rocksdb::DB* database = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(MakeOptions(), options_.path, &database);
  if (!status.ok()) return Translate(options_.path, status);
  database_.reset(database);
  return absl::OkStatus();
}

// After a row could not be read: a new database that is this pool's, if it is damage.
absl::Status RocksdbCatalogue::AfreshOrRefuse(const rocksdb::Status& status) {
  if (!IsDamage(status, options_.path)) return Translate(options_.path, status);
  was_clean_ = false;
  KVP_RETURN_IF_ERROR(StartAfresh(status));
  return CheckPool();
}

// Whose is it, and how was it left? Takes the mark of a clean close away before anything changes.
absl::Status RocksdbCatalogue::CheckPool() {
  const std::string wanted = EncodePool(options_.geometry, options_.model_fingerprint);
  rocksdb::WriteOptions sync;
  sync.sync = true;
  std::string found;
  rocksdb::Status status = database_->Get({}, ToSlice(kCataloguePoolKey), &found);
  if (status.IsNotFound()) {
    created_ = true;
    status = database_->Put(sync, ToSlice(kCataloguePoolKey), wanted);
    return status.ok() ? absl::OkStatus() : Translate(options_.path, status);
  }
  if (!status.ok()) return AfreshOrRefuse(status);
  if (found != wanted) {
    return absl::FailedPreconditionError(
        absl::StrCat("catalogue ", options_.path, ": belongs to a pool of another ",
                     DifferingPoolPart(found, wanted),
                     "; choose another nvme path, or remove the folder if its pages may be lost"));
  }
  status = database_->Get({}, ToSlice(kCatalogueCleanKey), &found);
  if (status.IsNotFound()) return absl::OkStatus();
  if (!status.ok()) return AfreshOrRefuse(status);
  was_clean_ = true;
  status = database_->Delete(sync, ToSlice(kCatalogueCleanKey));
  return status.ok() ? absl::OkStatus() : Translate(options_.path, status);
}

absl::Status RocksdbCatalogue::ForEach(absl::FunctionRef<void(const CatalogueEntry&)> visit) {
  rocksdb::ReadOptions read;
  read.fill_cache = false;
  std::unique_ptr<rocksdb::Iterator> rows(database_->NewIterator(read));
  CatalogueEntry entry;
  CatalogueEntry pending;  // An entry whose mark of durability may be the next row.
  bool have_pending = false;
  for (rows->SeekToFirst(); rows->Valid(); rows->Next()) {
    const CatalogueRow row = DecodeRow(ToView(rows->key()), ToView(rows->value()), entry);
    if (row == CatalogueRow::kDurable) {
      if (have_pending && entry.key == pending.key && entry.stamp == pending.stamp) {
        pending.durable = true;
      }
      continue;
    }
    if (have_pending) visit(pending);
    have_pending = row == CatalogueRow::kEntry;
    pending = entry;
  }
  if (have_pending) visit(pending);
  const rocksdb::Status status = rows->status();
  rows.reset();
  if (status.ok()) return absl::OkStatus();
  KVP_RETURN_IF_ERROR(AfreshOrRefuse(status));
  return absl::DataLossError(detail_);
}

void RocksdbCatalogue::Submit(absl::Span<const CatalogueWrite> writes) {
  if (writes.empty()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    KVP_CHECK(!closed_);
    for (const CatalogueWrite& write : writes) {
      if (write.op.is_none() && hints_queued_ >= options_.hints_max) {
        ++stats_.hints_dropped;
        continue;
      }
      if (write.op.is_none()) ++hints_queued_;
      queue_.push_back(write);
    }
  }
  changed_.notify_all();
}

void RocksdbCatalogue::Run() {
  std::vector<CatalogueWrite> taken;
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    taken.swap(queue_);
    hints_queued_ = 0;
    busy_ = true;
    lock.unlock();
    for (size_t at = 0; at < taken.size(); at += kBatchWritesMax) {
      Commit(absl::MakeConstSpan(taken).subspan(at, kBatchWritesMax));
    }
    taken.clear();
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

// One batch. With a durable write in it: first the frames reach the medium, then the entries.
void RocksdbCatalogue::Commit(absl::Span<const CatalogueWrite> writes) {
  KVP_CRASH_POINT("catalogue_put_before");
  const bool durable = std::any_of(writes.begin(), writes.end(),
                                   [](const CatalogueWrite& write) { return !write.op.is_none(); });
  bool flushed = true;
  if (durable) {
    flushed = options_.flusher == nullptr || options_.flusher->Flush().ok();
    KVP_CRASH_POINT("catalogue_durable_flushed");
  }
  rocksdb::WriteBatch batch;
  uint64_t entries = 0;
  for (const CatalogueWrite& write : writes) {
    if (!write.op.is_none() && !flushed) continue;
    AddToBatch(write, batch);
    ++entries;
  }
  rocksdb::WriteOptions write_options;
  write_options.sync = durable;
  const bool committed = database_->Write(write_options, &batch).ok();
  if (durable) KVP_CRASH_POINT("catalogue_durable_committed");
  KVP_CRASH_POINT("catalogue_put_after");
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stats_.entries_written += committed ? entries : 0;
    stats_.writes_failed += writes.size() - (committed ? entries : 0);
    stats_.commits_durable += durable ? 1 : 0;
  }
  const bool good = flushed && committed;
  std::vector<Completion> completions;
  for (const CatalogueWrite& write : writes) {
    if (write.op.is_none()) continue;
    completions.push_back({.op = write.op,
                           .outcome = good ? Outcome::kOk : Outcome::kFailed,
                           .os_error = good ? 0 : EIO});
  }
  done_.Push(completions);
}

void RocksdbCatalogue::AddToBatch(const CatalogueWrite& write, rocksdb::WriteBatch& batch) {
  if (write.frame_first.is_none()) {
    batch.Delete(EntryKey(write.key));
    batch.Delete(DurableKey(write.key));
    return;
  }
  batch.Put(EntryKey(write.key), EncodeEntry(write));
  if (!write.op.is_none()) batch.Put(DurableKey(write.key), EncodeStamp(write.stamp));
}

absl::Status RocksdbCatalogue::CloseClean() {
  {
    std::unique_lock<std::mutex> lock(mutex_);
    closed_ = true;
    changed_.wait(lock, [this] { return queue_.empty() && !busy_; });
  }
  rocksdb::WriteOptions sync;
  sync.sync = true;
  const rocksdb::Status status = database_->Put(sync, ToSlice(kCatalogueCleanKey), "1");
  return status.ok() ? absl::OkStatus() : Translate(options_.path, status);
}

CatalogueStats RocksdbCatalogue::stats() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Catalogue>> OpenRocksdbCatalogue(
    const RocksdbCatalogueOptions& options) {
  auto catalogue = std::make_unique<RocksdbCatalogue>(options);
  KVP_RETURN_IF_ERROR(catalogue->Init());
  return catalogue;
}

}  // namespace kvpager
