// memmgr/base/io_record.h
//
// A record of what a process asked its disk to do, in order: writes with their bytes, flushes, and
// what it did to file names. kvpager-crash (tests/crash) makes of it the disks that a power cut
// could have left behind.
//
// In builds with KVPAGER_CRASH_POINTS and with KVPAGER_IO_RECORD=PATH in the environment, the page
// file and the catalogue append to PATH. Otherwise nothing is recorded. One write per entry: after
// a kill the file ends with the last thing that was asked, perhaps cut short.
//
//   a write is durable   if kPageWritten comes before a kPageFlush whose kPageFlushed is there too
//   an append is durable if it comes before a kSync of its file whose kSynced is there too
//   a name is durable    if a kSynced or kDirSynced of anything comes after it
//
// Thread-safety: Note, any thread: the file is open for appending, and a write to it is one piece.
// Errors: a record that cannot be written is a CHECK.

#ifndef KVPAGER_MEMMGR_BASE_IO_RECORD_H_
#define KVPAGER_MEMMGR_BASE_IO_RECORD_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kvpager {

enum class IoEvent : uint8_t {
  kPageWrite,    // Of `data` at `offset`: about to be handed to the kernel.
  kPageWritten,  // The one at `offset` has been answered.
  kPageFlush,    // Begins.
  kPageFlushed,  // Was answered well.
  kCreate,       // File `name`, empty.
  kAppend,       // `data` to `name`.
  kTruncate,     // `name` to `offset` bytes.
  kSync,         // Of `name`: begins.
  kSynced,       // Was answered well.
  kDirSynced,    // The folder.
  kRename,       // `name` to `target`.
  kDelete,       // `name`.
};

struct IoEntry {
  IoEvent event = IoEvent::kPageWrite;
  uint64_t offset = 0;
  std::string name;  // Without its folder.
  std::string target;
  std::string data;
  uint64_t end_bytes = 0;  // Where in the record the next entry begins.
};

class IoRecorder {
 public:
  // Null unless the environment asks for one. One for the whole process.
  static IoRecorder* FromEnvironment();

  explicit IoRecorder(const std::string& path);
  ~IoRecorder();
  IoRecorder(const IoRecorder&) = delete;
  IoRecorder& operator=(const IoRecorder&) = delete;

  // `entry.end_bytes` is ignored.
  void Note(const IoEntry& entry);

 private:
  int fd_ = -1;
};

// The whole entries of a record, in order; an entry that was cut short ends it.
std::vector<IoEntry> ReadIoRecord(const std::string& path);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_BASE_IO_RECORD_H_
