#include "tiers/nvme/recording_tap.h"

#include <cstdint>
#include <string>

namespace kvpager {

IoTap* RecordingTap::FromEnvironment() {
  static IoTap* const tap = [] {
    IoRecorder* const recorder = IoRecorder::FromEnvironment();
    return recorder == nullptr ? nullptr : new RecordingTap(recorder);
  }();
  return tap;
}

void RecordingTap::Starts(const IoRequest& request) {
  if (!request.write) return;
  IoEntry entry{.event = IoEvent::kPageWrite, .offset = request.offset_bytes};
  entry.data.assign(reinterpret_cast<const char*>(request.buffer), request.bytes);
  recorder_->Note(entry);
}

int64_t RecordingTap::Ends(const IoRequest& request, int64_t result) {
  if (request.write && result == int64_t{request.bytes}) {
    recorder_->Note({.event = IoEvent::kPageWritten, .offset = request.offset_bytes});
  }
  return result;
}

void RecordingTap::FlushStarts() { recorder_->Note({.event = IoEvent::kPageFlush}); }

int RecordingTap::FlushEnds(int error) {
  if (error == 0) recorder_->Note({.event = IoEvent::kPageFlushed});
  return error;
}

}  // namespace kvpager
