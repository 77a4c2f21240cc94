#include "tools/kvpager-replay/line_reader.h"

#include <zstd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace kvpager::replay {
namespace {

constexpr size_t kChunkBytes = size_t{256} << 10;
constexpr char kZstdMagic[] = {'\x28', '\xb5', '\x2f', '\xfd'};

absl::Status OpenError(const std::string& path, int error) {
  const std::string text = absl::StrCat("cannot read ", path, ": ", std::strerror(error));
  if (error == ENOENT) return absl::NotFoundError(text);
  if (error == EACCES) return absl::PermissionDeniedError(text);
  return absl::InvalidArgumentError(text);
}

}  // namespace

struct LineReader::Unpacker {
  Unpacker() : stream(ZSTD_createDStream()) {}
  ~Unpacker() { ZSTD_freeDStream(stream); }
  Unpacker(const Unpacker&) = delete;
  Unpacker& operator=(const Unpacker&) = delete;
  ZSTD_DStream* stream;
  bool between_frames = false;
};

LineReader::~LineReader() {
  if (file_ != nullptr) std::fclose(file_);
}

absl::StatusOr<std::unique_ptr<LineReader>> LineReader::Open(const std::string& path) {
  std::unique_ptr<LineReader> reader(new LineReader);
  reader->path_ = path;
  reader->file_ = std::fopen(path.c_str(), "rb");
  if (reader->file_ == nullptr) return OpenError(path, errno);
  if (absl::Status status = reader->ReadFile(); !status.ok()) return status;
  if (reader->packed_.compare(0, sizeof(kZstdMagic), kZstdMagic, sizeof(kZstdMagic)) == 0) {
    reader->unpacker_ = std::make_unique<Unpacker>();
  }
  return reader;
}

absl::Status LineReader::ReadFile() {
  packed_.resize(kChunkBytes);
  const size_t count = std::fread(packed_.data(), 1, packed_.size(), file_);
  packed_.resize(count);
  if (count == 0 && std::ferror(file_) != 0) return OpenError(path_, errno);
  file_ended_ = count == 0;
  return absl::OkStatus();
}

absl::Status LineReader::Refill() {
  if (packed_.empty() && !file_ended_) {
    if (absl::Status status = ReadFile(); !status.ok()) return status;
  }
  if (packed_.empty()) {
    if (unpacker_ != nullptr && !unpacker_->between_frames) {
      return absl::DataLossError(absl::StrCat(path_, " ends in the middle of its compression"));
    }
    ended_ = true;
    return absl::OkStatus();
  }
  if (unpacker_ == nullptr) {
    text_ += packed_;
    packed_.clear();
    return absl::OkStatus();
  }
  ZSTD_inBuffer in = {packed_.data(), packed_.size(), 0};
  while (in.pos < in.size) {
    const size_t old_size = text_.size();
    text_.resize(old_size + kChunkBytes);
    ZSTD_outBuffer out = {text_.data() + old_size, kChunkBytes, 0};
    const size_t hint = ZSTD_decompressStream(unpacker_->stream, &out, &in);
    text_.resize(old_size + out.pos);
    if (ZSTD_isError(hint) != 0) {
      return absl::DataLossError(
          absl::StrCat(path_, " does not unpack: ", ZSTD_getErrorName(hint)));
    }
    unpacker_->between_frames = hint == 0;
  }
  packed_.clear();
  return absl::OkStatus();
}

absl::StatusOr<bool> LineReader::Next(std::string& line) {
  size_t searched = start_;
  while (true) {
    const size_t end = text_.find('\n', searched);
    if (end != std::string::npos) {
      line.assign(text_, start_, end - start_);
      start_ = end + 1;
      return true;
    }
    if (ended_) break;
    text_.erase(0, start_);
    start_ = 0;
    searched = text_.size();
    if (searched > kLineBytesMax) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, " has a line of more than ", kLineBytesMax >> 20, " MiB"));
    }
    if (absl::Status status = Refill(); !status.ok()) return status;
  }
  if (start_ == text_.size()) return false;
  line.assign(text_, start_, text_.size() - start_);
  start_ = text_.size();
  return true;
}

}  // namespace kvpager::replay
