// tools/kvpager-replay/line_reader.h
//
// Reads a text file line by line; a file that is compressed with zstd, by its content rather than
// its name, is unpacked on the way.
//
// Ownership: the file and the unpacker. Thread-safety: one thread. Errors: kNotFound no such file,
// kPermissionDenied, kDataLoss damaged compression, kInvalidArgument a line beyond kLineBytesMax.

#ifndef KVPAGER_TOOLS_KVPAGER_REPLAY_LINE_READER_H_
#define KVPAGER_TOOLS_KVPAGER_REPLAY_LINE_READER_H_

#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvpager::replay {

inline constexpr size_t kLineBytesMax = size_t{64} << 20;

class LineReader {
 public:
  static absl::StatusOr<std::unique_ptr<LineReader>> Open(const std::string& path);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // The next line without its end, or false at the end of the file.
  absl::StatusOr<bool> Next(std::string& line);

 private:
  struct Unpacker;

  LineReader() = default;
  absl::Status Refill();    // Appends to text_, or sets ended_.
  absl::Status ReadFile();  // Fills packed_.

  std::string path_;
  std::FILE* file_ = nullptr;
  std::unique_ptr<Unpacker> unpacker_;  // Null: plain text.
  std::string packed_;                  // Bytes of the file that are not consumed.
  bool file_ended_ = false;
  std::string text_;  // Unpacked, from start_ on not handed out.
  size_t start_ = 0;
  bool ended_ = false;
};

}  // namespace kvpager::replay

#endif  // KVPAGER_TOOLS_KVPAGER_REPLAY_LINE_READER_H_
