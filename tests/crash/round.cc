#include "tests/crash/round.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memmgr/base/io_record.h"
#include "tests/crash/damage.h"
#include "tests/crash/load.h"
#include "tests/crash/power_cut.h"
#include "tests/e2e/testbed.h"
#include "tools/support/daemon_status.h"

namespace kvpager::crash {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLoadMsMin = 20;
constexpr uint64_t kLoadMsMax = 250;
constexpr uint64_t kAll = ~uint64_t{0};
constexpr uint32_t kBlocksNvme = 512;

// Before everything is read back: nothing, or everything that may be evicted is.
enum class Pressure { kNone, kFull };

constexpr uint64_t kKinds = 3;  // They take turns.

class Round {
 public:
  Round(uint64_t seed, const std::string& parent)
      : random_(seed), parent_(parent), encrypted_(seed / kKinds % 2 == 1) {
    if (!parent_.empty()) fs::create_directories(disk_ = parent_ + absl::StrCat("/seed-", seed));
    if (parent_.empty()) disk_ = directory_.path();
    if (encrypted_) WriteKey();
  }
  ~Round() {
    std::error_code ignored;
    if (!parent_.empty()) fs::remove_all(disk_, ignored);
  }
  Round(const Round&) = delete;
  Round& operator=(const Round&) = delete;

  void Kill() {
    for (int i = 0; i < 3 && good(); ++i) {
      LoadAndKill("");
      const std::unique_ptr<e2e::Daemon> next = Check(Nvme(), kAll, Toss());
      if (next != nullptr && random_() % 2 == 0 && next->Stop() != 0) Fail("no clean stop", *next);
    }
  }

  void Cut() {
    LoadAndKill("");
    const std::string before = disk_ + "/before";
    if (!good()) return;
    fs::copy(Nvme(), before, fs::copy_options::recursive);
    const std::string record = disk_ + "/record";
    LoadAndKill(record);
    if (!good()) return;
    const std::vector<IoEntry> entries = ReadIoRecord(record);
    const size_t first = static_cast<size_t>(
        std::count_if(entries.begin(), entries.end(),
                      [this](const IoEntry& entry) { return entry.end_bytes <= recorded_; }));
    for (int i = 0; i < 2 && good(); ++i) {
      const size_t seen = first + random_() % (entries.size() - first + 1);
      const std::string image = disk_ + absl::StrCat("/image", i);
      MakeImage({.before = before, .image = image, .entries = &entries, .entries_seen = seen},
                random_);
      Check(image, seen == 0 ? 0 : entries[seen - 1].end_bytes, Toss());
      fs::remove_all(image);
    }
  }

  void Damage() {
    if (random_() % 2 == 0) {
      LoadAndKill("");
    } else {
      LoadAndKill("");
      const std::unique_ptr<e2e::Daemon> next = Check(Nvme(), kAll, Pressure::kNone);
      if (next != nullptr && next->Stop() != 0) Fail("no clean stop", *next);
    }
    if (!good()) return;
    damage_ = crash::Damage(Nvme(), random_);
    const std::unique_ptr<e2e::Daemon> next = Check(Nvme(), kAll, Pressure::kNone);
  }

  const RoundResult& result() const { return result_; }

 private:
  bool good() const { return result_.failure.empty(); }
  std::string Nvme() const { return disk_ + "/nvme"; }
  std::string KeyFile() const { return disk_ + "/key"; }
  void WriteKey() const {
    std::ofstream(KeyFile()) << std::string(32, 'k');
    fs::permissions(KeyFile(), fs::perms::owner_read | fs::perms::owner_write);
  }
  Pressure Toss() { return random_() % 2 == 0 ? Pressure::kNone : Pressure::kFull; }

  void Fail(const std::string& what, const e2e::Daemon& daemon) {
    result_.failure =
        absl::StrCat(what, damage_.empty() ? "" : "; damage: ", damage_, "\n", daemon.Log());
  }

  std::unique_ptr<e2e::Daemon> Start(const std::string& nvme, const std::string& record) {
    e2e::DaemonOptions options;
    options.blocks_hbm = 24;
    options.blocks_host = 48;
    options.blocks_nvme = kBlocksNvme;
    options.nvme_path = nvme;
    if (encrypted_) options.flags = {"--nvme.encryption_key_file=" + KeyFile()};
    if (!record.empty()) options.environment = {{"KVPAGER_IO_RECORD", record}};
    auto daemon = std::make_unique<e2e::Daemon>(directory_, options);
    if (!daemon->WaitUntilReady()) Fail("the daemon does not start", *daemon);
    return daemon;
  }

  void LoadAndKill(const std::string& record) {
    const std::unique_ptr<e2e::Daemon> daemon = Start(Nvme(), record);
    if (!good()) return;
    uint64_t mismatched = 0;
    {
      Load load(
          {.socket_path = daemon->socket_path(), .record_path = record, .journal = &journal_});
      std::error_code error;
      recorded_ = record.empty() ? 0 : fs::file_size(record, error);
      const uint64_t ms = kLoadMsMin + random_() % (kLoadMsMax - kLoadMsMin);
      daemon->process().EndsWithin(static_cast<uint32_t>(ms));
      if (!daemon->process().running()) Fail("the daemon died by itself", *daemon);
      daemon->Kill();
      mismatched = load.mismatched_blocks();
    }
    result_.blocks_wrong += mismatched;
    if (mismatched > 0) Fail("wrong bytes under load", *daemon);
  }

  // A new daemon on `nvme`, held to what was promised while the record was no longer.
  std::unique_ptr<e2e::Daemon> Check(const std::string& nvme, uint64_t recorded_bytes,
                                     Pressure pressure) {
    if (!good()) return nullptr;
    std::unique_ptr<e2e::Daemon> daemon = Start(nvme, "");
    if (!good()) return nullptr;
    const std::vector<Named> journal = journal_.All();
    if (pressure == Pressure::kFull) {
      const std::string error = Press(daemon->socket_path(), kBlocksNvme, journal_);
      if (!error.empty()) Fail(error, *daemon);
    }
    const Found found = ReadBack(daemon->socket_path(), journal, recorded_bytes);
    result_.prompts = journal.size();
    result_.blocks_read += found.blocks_read;
    result_.blocks_wrong += found.blocks_wrong;
    result_.blocks_missing += found.blocks_missing;
    result_.durable_prompts += found.durable_prompts;
    result_.durable_missing += found.durable_missing;
    Judge(found, *daemon);
    return daemon;
  }

  void Judge(const Found& found, const e2e::Daemon& daemon) {
    if (found.blocks_wrong > 0) return Fail("WRONG BYTES", daemon);
    if (!found.error.empty()) return Fail(found.error, daemon);
    if (found.durable_missing == 0) return;
    if (damage_.empty()) return Fail("a durable block is lost", daemon);
    const auto status = tools::AskDaemon(daemon.socket_path(), "kvpager-crash");
    if (!status.ok()) return Fail("the daemon does not say how it is", daemon);
    uint64_t counted = status->Counter("restored_lost") + status->Counter("blocks_lost");
    // Without its catalogue, or with a part of it, the daemon finds blocks but not what was
    // promised of them: they may be evicted. It counts each that it enters anew.
    if (damage_.find("/catalogue/") != std::string::npos) {
      counted += status->Counter("restored_repaired");
    }
    result_.durable_counted += counted;
    if (counted < found.durable_missing) {
      Fail(absl::StrCat(found.durable_missing, " durable prompts are lost, ", counted, " counted"),
           daemon);
    }
  }

  std::mt19937_64 random_;
  const std::string parent_;
  const bool encrypted_;  // The tier, in every second round of a kind.
  const e2e::TemporaryDirectory directory_;
  std::string disk_;  // Where the files are: the directory, or one below the parent.
  Journal journal_;
  uint64_t recorded_ = 0;  // Bytes of the record when the engines had attached.
  std::string damage_;
  RoundResult result_;
};

}  // namespace

RoundResult RunRound(RoundKind kind, uint64_t seed, const std::string& parent) {
  Round round(seed, parent);
  switch (kind) {
    case RoundKind::kKill:
      round.Kill();
      break;
    case RoundKind::kCut:
      round.Cut();
      break;
    case RoundKind::kDamage:
      round.Damage();
      break;
  }
  return round.result();
}

}  // namespace kvpager::crash
