// tiers/nvme/recording_tap.h
//
// An IoTap that changes nothing and records what the page file is asked for
// (memmgr/base/io_record.h).
//
// Ownership: the recorder outlives it. Thread-safety: any thread.

#ifndef KVPAGER_TIERS_NVME_RECORDING_TAP_H_
#define KVPAGER_TIERS_NVME_RECORDING_TAP_H_

#include <cstdint>

#include "memmgr/base/io_record.h"
#include "tiers/nvme/io_tap.h"

namespace kvpager {

class RecordingTap final : public IoTap {
 public:
  // Null unless the environment asks for a record. One for the whole process.
  static IoTap* FromEnvironment();

  explicit RecordingTap(IoRecorder* recorder) : recorder_(recorder) {}

  void Starts(const IoRequest& request) override;
  int64_t Ends(const IoRequest& request, int64_t result) override;
  void FlushStarts() override;
  int FlushEnds(int error) override;

 private:
  IoRecorder* recorder_;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_NVME_RECORDING_TAP_H_
