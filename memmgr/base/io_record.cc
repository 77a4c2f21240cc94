#include "memmgr/base/io_record.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "memmgr/base/check.h"

namespace kvpager {
namespace {

constexpr uint32_t kMagic = 0x4f49564b;

struct Prefix {
  uint32_t magic = kMagic;
  uint32_t event = 0;
  uint32_t name_bytes = 0;
  uint32_t target_bytes = 0;
  uint64_t data_bytes = 0;
  uint64_t offset = 0;
};

}  // namespace

IoRecorder* IoRecorder::FromEnvironment() {
#ifdef KVPAGER_CRASH_POINTS
  // Never destroyed: threads may record until the process ends.
  static IoRecorder* const recorder = [] {
    const char* path = std::getenv("KVPAGER_IO_RECORD");
    return path == nullptr ? nullptr : new IoRecorder(path);
  }();
  return recorder;
#else
  return nullptr;
#endif
}

IoRecorder::IoRecorder(const std::string& path)
    : fd_(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {
  KVP_CHECK(fd_ >= 0);
}

IoRecorder::~IoRecorder() { close(fd_); }

void IoRecorder::Note(const IoEntry& entry) {
  const Prefix prefix{.event = static_cast<uint32_t>(entry.event),
                      .name_bytes = static_cast<uint32_t>(entry.name.size()),
                      .target_bytes = static_cast<uint32_t>(entry.target.size()),
                      .data_bytes = entry.data.size(),
                      .offset = entry.offset};
  std::string bytes(reinterpret_cast<const char*>(&prefix), sizeof(prefix));
  bytes += entry.name;
  bytes += entry.target;
  bytes += entry.data;
  KVP_CHECK_EQ(write(fd_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
}

std::vector<IoEntry> ReadIoRecord(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  std::vector<IoEntry> entries;
  size_t at = 0;
  while (bytes.size() - at >= sizeof(Prefix)) {
    Prefix prefix;
    std::memcpy(&prefix, bytes.data() + at, sizeof(prefix));
    KVP_CHECK_EQ(prefix.magic, kMagic);
    const uint64_t rest = uint64_t{prefix.name_bytes} + prefix.target_bytes + prefix.data_bytes;
    if (bytes.size() - at - sizeof(prefix) < rest) break;
    at += sizeof(prefix);
    IoEntry entry;
    entry.event = static_cast<IoEvent>(prefix.event);
    entry.offset = prefix.offset;
    entry.name = bytes.substr(at, prefix.name_bytes);
    entry.target = bytes.substr(at + prefix.name_bytes, prefix.target_bytes);
    entry.data = bytes.substr(at + prefix.name_bytes + prefix.target_bytes, prefix.data_bytes);
    at += rest;
    entry.end_bytes = at;
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace kvpager
