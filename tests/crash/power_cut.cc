#include "tests/crash/power_cut.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <utility>

#include "memmgr/base/check.h"

namespace kvpager::crash {
namespace {

namespace fs = std::filesystem;

constexpr size_t kSectorBytes = 512;

// What the device does with writes that were not flushed.
enum class Keeps { kNothing, kEverything, kSomeWrites, kSomeSectors };
constexpr Keeps kAllKeeps[] = {Keeps::kNothing, Keeps::kEverything, Keeps::kSomeWrites,
                               Keeps::kSomeSectors};

struct PageWrite {
  const IoEntry* entry = nullptr;
  size_t written_at = ~size_t{0};  // Which entry says that it was answered.
  bool flushed = false;
};

std::vector<PageWrite> PageWritesOf(const PowerCut& cut) {
  std::vector<PageWrite> writes;
  std::map<uint64_t, size_t> under_way;  // By offset.
  size_t flush_begun = 0;
  size_t flushed_before = 0;
  for (size_t i = 0; i < cut.entries_seen; ++i) {
    const IoEntry& entry = (*cut.entries)[i];
    if (entry.event == IoEvent::kPageWrite) {
      under_way[entry.offset] = writes.size();
      writes.push_back({.entry = &entry});
    } else if (entry.event == IoEvent::kPageWritten) {
      const auto found = under_way.find(entry.offset);
      KVP_CHECK(found != under_way.end());
      writes[found->second].written_at = i;
      under_way.erase(found);
    } else if (entry.event == IoEvent::kPageFlush) {
      flush_begun = i;
    } else if (entry.event == IoEvent::kPageFlushed) {
      flushed_before = flush_begun;
    }
  }
  for (PageWrite& write : writes) write.flushed = write.written_at < flushed_before;
  return writes;
}

void PutAt(int fd, uint64_t offset, const char* bytes, size_t count) {
  KVP_CHECK_EQ(pwrite(fd, bytes, count, static_cast<off_t>(offset)), static_cast<ssize_t>(count));
}

void MakePageFile(const PowerCut& cut, std::mt19937_64& random) {
  const std::string path = cut.image + "/pages.kvp";
  fs::copy_file(cut.before + "/pages.kvp", path);
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  KVP_CHECK(fd >= 0);
  const Keeps keeps = kAllKeeps[random() % 4];
  for (const PageWrite& write : PageWritesOf(cut)) {
    const std::string& data = write.entry->data;
    bool all = write.flushed || keeps == Keeps::kEverything;
    if (keeps == Keeps::kSomeWrites) all = all || random() % 2 == 0;
    if (all) {
      PutAt(fd, write.entry->offset, data.data(), data.size());
    } else if (keeps == Keeps::kSomeSectors) {
      for (size_t at = 0; at + kSectorBytes <= data.size(); at += kSectorBytes) {
        if (random() % 2 == 0) {
          PutAt(fd, write.entry->offset + at, data.data() + at, kSectorBytes);
        }
      }
    }
  }
  close(fd);
}

struct File {
  std::string data;
  size_t synced_bytes = 0;
};

// The catalogue's folder, with the names that are in the page cache and those that the device has.
class Folder {
 public:
  explicit Folder(const std::string& before) {
    for (const auto& entry : fs::directory_iterator(before)) {
      std::ifstream in(entry.path(), std::ios::binary);
      File file;
      file.data.assign(std::istreambuf_iterator<char>(in), {});
      file.synced_bytes = file.data.size();
      cached_[entry.path().filename()] = files_.size();
      files_.push_back(std::move(file));
    }
    kept_ = cached_;
  }

  // `kept`: the device has what the entry does to names.
  void Apply(const IoEntry& entry, bool kept) {
    if (entry.event == IoEvent::kCreate) files_.emplace_back();
    ChangeNames(entry, cached_);
    if (kept) ChangeNames(entry, kept_);
    const auto found = cached_.find(entry.name);
    if (found == cached_.end()) return;
    File& file = files_[found->second];
    if (entry.event == IoEvent::kAppend) file.data += entry.data;
    if (entry.event == IoEvent::kTruncate && entry.offset < file.data.size()) {
      file.data.resize(entry.offset);
      file.synced_bytes = std::min(file.synced_bytes, file.data.size());
    }
    if (entry.event == IoEvent::kSync) syncing_[entry.name] = file.data.size();
    if (entry.event == IoEvent::kSynced) file.synced_bytes = syncing_[entry.name];
  }

  void WriteTo(const std::string& path, std::mt19937_64& random) const {
    fs::create_directory(path);
    for (const auto& [name, index] : kept_) {
      const File& file = files_[index];
      std::string data = file.data.substr(0, file.synced_bytes);
      const std::string rest = file.data.substr(file.synced_bytes);
      switch (random() % 4) {
        case 0:
          break;
        case 1:
          data += rest;
          break;
        case 2:
          data += rest.substr(0, random() % (rest.size() + 1));
          break;
        default:
          data += std::string(rest.size(), '\0');
      }
      std::ofstream(path + "/" + name, std::ios::binary) << data;
    }
  }

 private:
  using Names = std::map<std::string, size_t>;  // Indices of files_.

  void ChangeNames(const IoEntry& entry, Names& names) const {
    if (entry.event == IoEvent::kCreate) names[entry.name] = files_.size() - 1;
    if (entry.event == IoEvent::kDelete) names.erase(entry.name);
    const auto found = names.find(entry.name);
    if (entry.event != IoEvent::kRename || found == names.end()) return;
    names[entry.target] = found->second;
    names.erase(entry.name);
  }

  std::vector<File> files_;
  Names cached_;
  Names kept_;
  std::map<std::string, size_t> syncing_;
};

bool IsOfNames(IoEvent event) {
  return event == IoEvent::kCreate || event == IoEvent::kRename || event == IoEvent::kDelete;
}

void MakeCatalogue(const PowerCut& cut, std::mt19937_64& random) {
  size_t names_flushed = 0;
  size_t names = 0;
  for (size_t i = 0; i < cut.entries_seen; ++i) {
    const IoEvent event = (*cut.entries)[i].event;
    names += IsOfNames(event) ? 1 : 0;
    if (event == IoEvent::kDirSynced) names_flushed = names;
  }
  const size_t names_kept = names_flushed + random() % (names - names_flushed + 1);
  Folder folder(cut.before + "/catalogue");
  size_t seen = 0;
  for (size_t i = 0; i < cut.entries_seen; ++i) {
    const IoEntry& entry = (*cut.entries)[i];
    if (entry.event <= IoEvent::kPageFlushed) continue;
    seen += IsOfNames(entry.event) ? 1 : 0;
    folder.Apply(entry, seen <= names_kept);
  }
  folder.WriteTo(cut.image + "/catalogue", random);
}

}  // namespace

void MakeImage(const PowerCut& cut, std::mt19937_64& random) {
  fs::create_directory(cut.image);
  fs::copy_file(cut.before + "/secret", cut.image + "/secret");
  if (fs::exists(cut.before + "/keys")) {  // Flushed before anything is encrypted with them.
    fs::copy(cut.before + "/keys", cut.image + "/keys", fs::copy_options::recursive);
  }
  MakePageFile(cut, random);
  MakeCatalogue(cut, random);
}

}  // namespace kvpager::crash
