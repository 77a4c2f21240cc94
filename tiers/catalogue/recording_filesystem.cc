#include "tiers/catalogue/recording_filesystem.h"

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "memmgr/base/io_record.h"

namespace kvpager {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool IsText(const std::string& path) { return NameOf(path).rfind("LO", 0) == 0; }

class RecordingFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  RecordingFile(std::unique_ptr<rocksdb::FSWritableFile>&& target, const std::string& path,
                IoRecorder* recorder)
      : FSWritableFileOwnerWrapper(std::move(target)), name_(NameOf(path)), recorder_(recorder) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    NoteAppend(data);
    return FSWritableFileOwnerWrapper::Append(data, options, debug);
  }
  IOStatus Append(const Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo& info, IODebugContext* debug) override {
    NoteAppend(data);
    return FSWritableFileOwnerWrapper::Append(data, options, info, debug);
  }
  IOStatus Truncate(uint64_t size, const IOOptions& options, IODebugContext* debug) override {
    recorder_->Note({.event = IoEvent::kTruncate, .offset = size, .name = name_});
    return FSWritableFileOwnerWrapper::Truncate(size, options, debug);
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    recorder_->Note({.event = IoEvent::kSync, .name = name_});
    return Synced(FSWritableFileOwnerWrapper::Sync(options, debug));
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    recorder_->Note({.event = IoEvent::kSync, .name = name_});
    return Synced(FSWritableFileOwnerWrapper::Fsync(options, debug));
  }

 private:
  void NoteAppend(const Slice& data) {
    recorder_->Note({.event = IoEvent::kAppend, .name = name_, .data = data.ToString()});
  }
  IOStatus Synced(IOStatus status) {
    if (status.ok()) recorder_->Note({.event = IoEvent::kSynced, .name = name_});
    return status;
  }

  const std::string name_;
  IoRecorder* const recorder_;
};

class RecordingDirectory final : public rocksdb::FSDirectoryWrapper {
 public:
  RecordingDirectory(std::unique_ptr<rocksdb::FSDirectory>&& target, IoRecorder* recorder)
      : FSDirectoryWrapper(std::move(target)), recorder_(recorder) {}

  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return Synced(FSDirectoryWrapper::Fsync(options, debug));
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                               const rocksdb::DirFsyncOptions& directory) override {
    return Synced(FSDirectoryWrapper::FsyncWithDirOptions(options, debug, directory));
  }

 private:
  IOStatus Synced(IOStatus status) {
    if (status.ok()) recorder_->Note({.event = IoEvent::kDirSynced});
    return status;
  }

  IoRecorder* const recorder_;
};

class RecordingFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  explicit RecordingFileSystem(IoRecorder* recorder)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), recorder_(recorder) {}

  const char* Name() const override { return "KvpagerRecording"; }

  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* result,
                           IODebugContext* debug) override {
    if (!IsText(path)) recorder_->Note({.event = IoEvent::kCreate, .name = NameOf(path)});
    return Wrap(path, FileSystemWrapper::NewWritableFile(path, options, result, debug), result);
  }
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* result,
                              IODebugContext* debug) override {
    return Wrap(path, FileSystemWrapper::ReopenWritableFile(path, options, result, debug), result);
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions& options,
                        std::unique_ptr<rocksdb::FSDirectory>* result,
                        IODebugContext* debug) override {
    const IOStatus status = FileSystemWrapper::NewDirectory(path, options, result, debug);
    if (status.ok()) *result = std::make_unique<RecordingDirectory>(std::move(*result), recorder_);
    return status;
  }
  IOStatus DeleteFile(const std::string& path, const IOOptions& options,
                      IODebugContext* debug) override {
    if (!IsText(path)) recorder_->Note({.event = IoEvent::kDelete, .name = NameOf(path)});
    return FileSystemWrapper::DeleteFile(path, options, debug);
  }
  IOStatus Truncate(const std::string& path, size_t size, const IOOptions& options,
                    IODebugContext* debug) override {
    recorder_->Note({.event = IoEvent::kTruncate, .offset = size, .name = NameOf(path)});
    return FileSystemWrapper::Truncate(path, size, options, debug);
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                      IODebugContext* debug) override {
    if (!IsText(from)) {
      recorder_->Note({.event = IoEvent::kRename, .name = NameOf(from), .target = NameOf(to)});
    }
    return FileSystemWrapper::RenameFile(from, to, options, debug);
  }

 private:
  IOStatus Wrap(const std::string& path, IOStatus status,
                std::unique_ptr<rocksdb::FSWritableFile>* result) {
    if (status.ok() && !IsText(path)) {
      *result = std::make_unique<RecordingFile>(std::move(*result), path, recorder_);
    }
    return status;
  }

  IoRecorder* const recorder_;
};

}  // namespace

rocksdb::Env* RecordingEnvFromEnvironment() {
  // Never destroyed, as RocksDB's own.
  static rocksdb::Env* const env = [] {
    IoRecorder* const recorder = IoRecorder::FromEnvironment();
    if (recorder == nullptr) return static_cast<rocksdb::Env*>(nullptr);
    return rocksdb::NewCompositeEnv(std::make_shared<RecordingFileSystem>(recorder)).release();
  }();
  return env;
}

}  // namespace kvpager
